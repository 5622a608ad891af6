"""Iceberg tables: snapshots, and the files of their metadata."""
