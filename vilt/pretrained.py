"""`from_pretrained` and `save_pretrained` of the model classes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from typing_extensions import Self

from vilt import checkpoint, original
from vilt.configuration import ViltConfig


class PretrainedModel(nn.Module):
    """A model that is made from a `ViltConfig` and kept in a checkpoint folder."""

    config: ViltConfig

    def __init__(self, config: ViltConfig) -> None:
        super().__init__()
        self.config = config

    def parts(self) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """The `ViltModel`, and the heads by their checkpoint names."""
        raise NotImplementedError

    @classmethod
    def from_pretrained(cls, uri: str) -> Self:
        """Load config and weights from a folder or any URI that fsspec opens; in eval mode, float32.

        Also from a `.ckpt` file of the original project.
        """
        if original.is_original(uri):
            config, tensors, *_ = original.read(uri)
        else:
            config, tensors = ViltConfig.from_pretrained(uri), checkpoint.read(uri)[0]
        model = cls(config)
        checkpoint.fill(*model.parts(), tensors, uri)
        return model.eval()

    def save_pretrained(self, folder: str, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors` in the published format."""
        self.config.save_pretrained(folder)
        checkpoint.save(folder, *self.parts(), dtype)
