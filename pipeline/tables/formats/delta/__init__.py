"""Delta tables: the log, what is checked before deltalake decodes it, the change data feed."""
