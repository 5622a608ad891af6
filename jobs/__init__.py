"""What a person runs: one file a job, bound to the command `vilt` by `jobs.cli`."""
