"""Parquet tables: footers, row groups, columns in the names of folders."""
