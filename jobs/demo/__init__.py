"""The demo: drawn scenes, questions about them, a small model trained on them, an S3 server."""
