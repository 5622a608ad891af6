"""The YAML files of jobs, checked."""
