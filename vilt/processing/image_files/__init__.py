"""Image files: checked by their structure, then decoded, in a process that can be ended if need be."""
