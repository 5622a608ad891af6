"""The commands of `vilt`, one file each."""
