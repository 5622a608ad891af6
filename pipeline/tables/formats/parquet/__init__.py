"""Parquet tables, and the one guard behind which every Parquet file is decoded."""
