"""ViT's preprocessor: pictures -> patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from vilt.common.storage import Source, as_folder
from vilt.inference.preprocessor import ImagePreprocessor, patch_side
from vilt.models.vit.configuration import ViTConfig
from vilt.processing.images import PillowProcessor, ViTImageProcessor


@dataclass
class ViTPreprocessor(ImagePreprocessor):
    """Images alone."""

    images_class: ClassVar[type[PillowProcessor]] = ViTImageProcessor

    @classmethod
    def from_pretrained(cls, source: Source, config: ViTConfig | None = None, tokenizer: Source | None = None) -> Self:
        """See `AnyPreprocessor`; there is no tokenizer."""
        del tokenizer
        folder = as_folder(source)
        config = config or ViTConfig.from_pretrained(folder)
        return cls(cls.images_class.from_pretrained(folder), patch_side(config))
