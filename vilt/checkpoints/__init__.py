"""Checkpoints: files to `state_dict` and back."""
