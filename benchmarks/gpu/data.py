"""Checkpoints with random weights and preprocessed inputs; no pictures are decoded and no files but ours are read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence

import numpy as np
import torch

import vilt
from benchmarks import coco
from vilt.configuration import Config, ViltConfig, VisualBertConfig, ViTConfig
from vilt.engine import Engine
from vilt.family import PREDICTORS
from vilt.grids import Grid
from vilt.heads import initialise
from vilt.images import ViltImageProcessor
from vilt.packing import Pairs
from vilt.text import ViltTokenizer

TASKS = {"vilt": "score", "vit": "classify", "visual_bert": "answer"}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
WIDTH, REGIONS = 2048, 36  # of the features of regions
CLS, SEP = 2, 3  # in `coco.WORDS`


def checkpoint(kind: str, tiny: bool) -> str:
    """Write a checkpoint of the published size with random weights; return its folder."""
    folder = tempfile.mkdtemp()
    size = TINY if tiny else {}
    words = {"vocab_size": len(coco.WORDS) if tiny else 30522}
    config: Config
    if kind == "vilt":
        config = ViltConfig(**size, **words)
        model = vilt.ViltForImageAndTextRetrieval(config)
        ViltImageProcessor().save_pretrained(folder)
    elif kind == "vit":
        config = ViTConfig(**size)
        config.num_labels = 1000
        model = vilt.ViTForImageClassification(config)
        vilt.ViTImageProcessor().save_pretrained(folder)
    else:
        config = VisualBertConfig(**size, **words, visual_embedding_dim=64 if tiny else WIDTH, pad_token_id=0)
        config.num_labels = 3129
        model = vilt.VisualBertForQuestionAnswering(config)
    initialise(model, config, torch.Generator().manual_seed(0))
    model.save_pretrained(folder)
    ViltTokenizer.from_vocabulary(coco.WORDS).save_pretrained(folder)
    return folder


def open_as(folder: str, device: torch.device, precision: str, **options: object) -> Engine:
    """Open a checkpoint of any kind; options: of `vilt.gpu.GpuOptions`."""
    from vilt.configuration import read_config
    from vilt.gpu import GpuOptions

    kind = PREDICTORS[read_config(folder).model_type]
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
