"""The GPU kit: what a GPU computes, how exactly and how fast; `python -m benchmarks.gpu`."""
