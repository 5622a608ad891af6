"""Results: written whole, resumable, published."""
