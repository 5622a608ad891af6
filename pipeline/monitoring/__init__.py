"""Metrics, events, progress and error budgets of a running job."""
