"""Code that all rooms of the package share."""
