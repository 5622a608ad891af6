"""One whole job over a table, on Ray Data."""
