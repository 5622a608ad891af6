"""Locks of what `make` installs."""
