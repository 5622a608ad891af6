"""Parquet files that strangers may have written: every one is decoded behind one guard, which is here."""
