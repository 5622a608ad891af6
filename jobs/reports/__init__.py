"""The reports of jobs: HTML pages and figures."""
