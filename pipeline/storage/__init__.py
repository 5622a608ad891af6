"""Storage: paths, retries, locks, and the reading of Parquet files that strangers may have written."""
