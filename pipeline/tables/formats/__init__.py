"""The formats of tables, one file each, and what reads their files."""
