"""Overviews of finished jobs, for reports."""
