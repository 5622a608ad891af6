"""Published benchmarks: their files, their metrics, and how a checkpoint is measured on them."""
