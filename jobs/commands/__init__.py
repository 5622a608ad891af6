"""The commands of `vilt`, one file each: read the config, call the pipeline, lay out the outcome."""
