"""The Ray stages: preprocess, predict, and the columns that tasks add."""
