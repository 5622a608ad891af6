"""Input tables: formats, files, schemas, and the Ray datasource that reads them."""
