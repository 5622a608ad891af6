"""Reindex jobs: a Delta table of results that follows its input."""
