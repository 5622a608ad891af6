"""Rank jobs: every text of one table with every image of another."""
