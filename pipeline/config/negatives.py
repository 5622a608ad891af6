"""Negatives: texts that are read with every image, to be compared with the scores of its own texts."""

from __future__ import annotations

import json
from collections.abc import Sequence

NEGATIVES = "vilt.negatives"  # the key of a footer that holds them, as JSON
MOST_CHARACTERS = 9_000  # of all together, as JSON: they stand in the footer of each file of results


def check_negatives(key: str, texts: list[str]) -> list[str]:
    """Return the texts of a list of negatives.

    Args:
        key: The key of the config, for the message.
        texts: The list.

    Raises:
        ValueError: It is empty or long, or a text is blank or there twice.
    """
    if not texts:
        raise ValueError(f"{key}: an empty list; name the texts, or leave the key out")
    for text in texts:
        if not text.strip():
            raise ValueError(f"{key}: {text!r} is blank")
        if texts.count(text) > 1:
            raise ValueError(f"{key}: {text!r} is there twice")
    if (size := len(stored_negatives(texts))) > MOST_CHARACTERS:
        raise ValueError(
            f"{key}: {size:,} characters, more than the {MOST_CHARACTERS:,} of all texts together; `vilt rank` reads "
            "a table of texts"
        )
    return texts


def stored_negatives(texts: Sequence[str]) -> str:
    """Return negatives as footers hold them."""
    return json.dumps(list(texts), ensure_ascii=False)
