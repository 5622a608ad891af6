"""Random checkpoint folders with all their files, and transformers' way to run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
import transformers
from PIL import Image

from tests.parity.models import random_config, randomise
from vilt import ViltImageProcessor, ViltTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "blue", "star", "circle", "left", "of", "?"]


def write_checkpoint(folder: Path, name: str, seed: int = 0, **config: object) -> torch.nn.Module:
    """Write a random model of the class `name`, for pictures of short side 384; the model in transformers."""
    shape = {"vocab_size": len(WORDS), "max_position_embeddings": 40, "patch_size": 32, "image_size": 384}
    model = randomise(getattr(transformers, name)(random_config(Random(seed), **{**shape, **config})), seed)
    model.save_pretrained(folder)
    ViltImageProcessor().save_pretrained(str(folder))
    ViltTokenizer.from_vocabulary(WORDS).save_pretrained(str(folder))
    return model


def transformers_logits(
    folder: Path, model: torch.nn.Module, images: Sequence[Image.Image], texts: Sequence[str]
) -> torch.Tensor:
    """One padded batch, as users of transformers run it."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    processor = transformers.ViltProcessor(transformers.ViltImageProcessor(), tokenizer)
    inputs = processor(list(images), list(texts), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits
