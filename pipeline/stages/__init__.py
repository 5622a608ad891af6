"""What each Ray stage does: preprocess, predict, and the columns that tasks add."""
