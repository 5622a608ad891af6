"""Names that all rooms share: columns, errors, error codes, row ranges, tasks."""
