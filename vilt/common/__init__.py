"""What all rooms of the package share."""
