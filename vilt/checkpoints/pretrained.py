"""`from_pretrained` and `save_pretrained` of the model classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from vilt.checkpoints import state_dict as checkpoint
from vilt.common.configuration import Config
from vilt.common.outputs import ModelOutput


class PretrainedModel(nn.Module):
    """A model that is made from a config and kept in a checkpoint folder."""

    config: Config
    config_class: ClassVar[type[Config]]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def parts(self) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """The model without heads, and the heads by their checkpoint names."""
        raise NotImplementedError

    def finish(self, out: ModelOutput, return_dict: bool | None) -> Any:
        """What `forward` returns: the named values or, where they are not wanted, a tuple."""
        return out if (self.config.return_dict if return_dict is None else return_dict) else out.to_tuple()

    @classmethod
    def options(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """How a checkpoint of these tensors wants the class to be made, beside its config."""
        del tensors
        return {}

    @classmethod
    def read_checkpoint(cls, uri: str) -> tuple[Config, dict[str, Tensor]]:
        """The config and the tensors of a checkpoint. Raises ValueError for what is none of this family."""
        return cls.config_class.from_pretrained(uri), checkpoint.read(uri)[0]

    @classmethod
    def from_pretrained(cls, uri: str, **options: Any) -> Self:
        """Load config and weights from a folder or any URI that fsspec opens; in eval mode, float32.

        Also ViLT from a `.ckpt` file of the original project. options: of the class, beside its config; where they are
        left out, as the checkpoint has it. Raises ValueError in one line where it is of another kind, or does not fit.
        """
        config, tensors = cls.read_checkpoint(uri)
        model = cls(config, **{**cls.options(tensors), **options})
        checkpoint.fill(*model.parts(), tensors, uri)
        return model.eval()

    def save_pretrained(self, folder: str, dtype: torch.dtype = torch.float32) -> None:
        """Write `config.json` and `model.safetensors` in the published format."""
        self.config.save_pretrained(folder)
        checkpoint.save(folder, *self.parts(), dtype)
