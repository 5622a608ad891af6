"""The terminal side of a command: how it prints, logs and ends."""
