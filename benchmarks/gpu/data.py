"""Checkpoints with random weights and preprocessed inputs; no pictures are decoded and no files but ours are read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks import coco
from vilt import (
    ViltConfig,
    ViltForImageAndTextRetrieval,
    ViltImageProcessor,
    ViltTokenizer,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)
from vilt.inference.engine import Engine
from vilt.inference.gpu.options import GpuOptions
from vilt.inference.pairs import Pairs
from vilt.models.pretrained import PreTrainedModel
from vilt.models.registry import family_of_config, read_config
from vilt.processing.grids import Grid

TASKS = {"vilt": "score", "vit": "classify", "visual_bert": "answer"}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
WIDTH, REGIONS = 2048, 36  # of the features of regions
CLS, SEP = 2, 3  # in `coco.WORDS`


def checkpoint(kind: str, tiny: bool) -> str:
    """Write a checkpoint of the published size with random weights, the same each time; return its folder."""
    folder = tempfile.mkdtemp()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _model(kind, tiny)
    if kind != "visual_bert":
        (ViltImageProcessor() if kind == "vilt" else ViTImageProcessor()).save_pretrained(folder)
    model.save_pretrained(folder)
    ViltTokenizer.from_vocabulary(coco.WORDS).save_pretrained(folder)
    return folder


def saved(kind: type[PreTrainedModel], config: ViltConfig) -> str:
    """Write a ViLT checkpoint of a published class with random weights, the same each time; return its folder."""
    folder = tempfile.mkdtemp()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    ViltImageProcessor().save_pretrained(folder)
    ViltTokenizer.from_vocabulary(coco.WORDS).save_pretrained(folder)
    return folder


def _model(kind: str, tiny: bool) -> PreTrainedModel:
    size = TINY if tiny else {}
    words = {"vocab_size": len(coco.WORDS) if tiny else 30522}
    if kind == "vilt":
        return ViltForImageAndTextRetrieval(ViltConfig(**size, **words))
    if kind == "vit":
        return ViTForImageClassification(ViTConfig(**size, num_labels=1000))
    width = 64 if tiny else WIDTH
    config = VisualBertConfig(**size, **words, visual_embedding_dim=width, pad_token_id=0, num_labels=3129)
    return VisualBertForQuestionAnswering(config)


def open_as(folder: str, device: torch.device, precision: str, **options: object) -> Engine:
    """Open a checkpoint of any family; options: of `vilt.inference.gpu.options.GpuOptions`."""
    kind = family_of_config(read_config(folder)).predictor_class
    return kind.from_pretrained(folder, device, precision, gpu=GpuOptions(**options))  # type: ignore[arg-type]


def inputs(kind: str, count: int, tiny: bool, texts: int = 1, seed: int = 0) -> Pairs:
    """Return rows as they come: of COCO's picture sizes, texts of 8 to 17 tokens, `texts` for each image."""
    rng = np.random.default_rng(seed)
    cls = kind != "visual_bert"
    if kind == "vilt":
        processor = ViltImageProcessor()
        sides = [processor.resized(height, width) for width, height in coco.SIZES]
        known = [Grid(height // 32, width // 32) for height, width in sides]
        grids, width = [known[i] for i in rng.integers(0, len(known), count)], 3072
    elif kind == "vit":
        grids, width = [Grid(14, 14)] * count, 768
    else:
        grids, width = [Grid(1, int(n)) for n in rng.integers(10, REGIONS + 1, count)], 64 if tiny else WIDTH
    rows = sum(grid.patches for grid in grids)
    if cls:
        patches = rng.integers(0, 256, (rows, width), dtype=np.uint8)
    else:
        patches = rng.standard_normal((rows, width), dtype=np.float32)
    pairs = count * texts
    lengths = rng.integers(8, 18, pairs) if kind != "vit" else np.zeros(pairs, np.int64)
    ids = rng.integers(5, len(coco.WORDS), lengths.sum())
    if kind != "vit":
        ids[np.cumsum(lengths) - lengths], ids[np.cumsum(lengths) - 1] = CLS, SEP
    return Pairs(ids, lengths, patches, grids, np.repeat(np.arange(count), texts), image_cls=cls)


def micro_batches(pairs: Pairs, tokens: int) -> Sequence[Pairs]:
    """Return the pairs in parts of at most so many tokens, as a job gives them to an actor."""
    return [part for _, part in pairs.windows(tokens)]
