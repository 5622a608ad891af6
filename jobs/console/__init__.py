"""The terminal side of a command: exit codes, logs, signals."""
