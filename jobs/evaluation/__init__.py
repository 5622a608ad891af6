"""The published benchmarks of ViLT: their files, their metrics, and how a checkpoint is measured on them."""
