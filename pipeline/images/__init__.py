"""Images: URIs to bytes, or the reason why not."""
