"""The model families, one folder each, and their registry."""
