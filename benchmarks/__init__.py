"""Side-by-side measurements: each module prints rows of one table."""
