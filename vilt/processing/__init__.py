"""Images to patches, texts to token ids."""
