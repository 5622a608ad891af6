"""WebDataset tars: read, and copied byte for byte."""
