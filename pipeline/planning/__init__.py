"""Plans: what a job will meet and how long it will take, from a sample."""
