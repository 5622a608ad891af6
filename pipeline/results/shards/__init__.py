"""The outputs of many independent runs, each over a shard of the input, and the one result that they become."""
