"""What Delta and Iceberg share: Parquet files that a table's log lists."""
