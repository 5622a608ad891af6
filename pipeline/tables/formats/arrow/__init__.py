"""Arrow files, and the folders that `datasets.save_to_disk` writes."""
