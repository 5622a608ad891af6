"""Lance datasets."""
