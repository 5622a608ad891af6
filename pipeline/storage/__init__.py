"""Storage: paths, retries, and locks."""
