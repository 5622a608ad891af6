"""Filter jobs: keep the rows of a table whose results are good enough."""
