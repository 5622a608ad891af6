"""The formats of tables, a file or a folder each, and what several of them share."""
