"""A model family that only tests know: the mean colour of an image, times a weight for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typing_extensions import Self

from vilt.checkpoints import state_dict as checkpoint
from vilt.common.configuration import Config
from vilt.common.storage import Source, as_folder
from vilt.inference.engine import Engine
from vilt.inference.pairs import ImageRows, Pairs
from vilt.models.family import ModelFamily
from vilt.processing.grids import Grid
from vilt.processing.image_files.decoding import MAX_PIXELS, decode


class ToyConfig(Config):
    model_type: ClassVar[str] = "toy"

    def __init__(self, side: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.side = side


@dataclass
class ToyPreprocessor:
    side: int

    @classmethod
    def from_pretrained(cls, source: Source, config: Any = None, tokenizer: Source | None = None) -> Self:
        del tokenizer
        return cls((config or ToyConfig.from_pretrained(source)).side)

    @property
    def rows(self) -> ImageRows:
        return ImageRows(3)

    def settings(self) -> tuple[object, ...]:
        return (self.side,)

    def tokens(self, texts: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.empty(0, np.int64), np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)

    def grid_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS) -> Grid:
        del data, max_pixels
        return Grid(self.side, self.side)

    def patches_of_bytes(self, data: bytes, max_pixels: int = MAX_PIXELS, seconds: float | None = None) -> np.ndarray:
        del seconds
        pixels = np.asarray(decode(data, max_pixels, False).convert("RGB"))[: self.side, : self.side]
        return np.ascontiguousarray(pixels).reshape(-1, 3)


class ToyPredictor(Engine):
    config_class = ToyConfig
    preprocessor_class = ToyPreprocessor

    def __init__(self, weight: Tensor, config: ToyConfig, preprocessor: ToyPreprocessor) -> None:
        self.weight, self.config, self.preprocessor = weight, config, preprocessor
        self.device, self.precision = torch.device("cpu"), "float32"

    @classmethod
    def from_pretrained(cls, source: Source, *_: Any) -> Self:
        folder = as_folder(source)
        config = ToyConfig.from_pretrained(folder)
        return cls(checkpoint.read(folder)[0]["weight"], config, ToyPreprocessor(config.side))

    @classmethod
    def heads_in(cls, tensors: Any, config: Any) -> dict[str, nn.Module]:
        del config
        return {"embed": nn.Identity()} if "weight" in tensors else {}

    def reads(self, task: str) -> Any:
        del task
        return "pooled"

    def vectors(self, pairs: Pairs, reads: Any, images: Tensor | None = None) -> Tensor:
        del reads, images
        pixels = torch.from_numpy(np.array(pairs.patches)).float().view(len(pairs.grids), -1, 3)
        return pixels.mean(1)[torch.from_numpy(pairs.image_index)] * self.weight

    def logits(self, task: str, features: Tensor) -> np.ndarray:
        del task
        return features.numpy()


FAMILY = ModelFamily(
    name="Toy",
    model_type="toy",
    config="tests.vilt.models.toy:ToyConfig",
    predictor="tests.vilt.models.toy:ToyPredictor",
    preprocessor="tests.vilt.models.toy:ToyPreprocessor",
    tasks=("embed",),
    reads=frozenset({"image"}),
)


def write_checkpoint(folder: str) -> None:
    ToyConfig(side=2).save_pretrained(folder)
    save_file({"weight": torch.tensor([1.0, 10.0, 100.0])}, f"{folder}/model.safetensors")
