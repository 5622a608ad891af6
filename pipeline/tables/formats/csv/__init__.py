"""Tables of CSV and TSV."""
