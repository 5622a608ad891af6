"""A table of results as a Delta Lake table: types, data files, commits."""
