"""BERT's tokenizer: its files, its tokens, and texts as rows of ids."""
