"""The outputs of all shards of a job: audited, and made one result."""
