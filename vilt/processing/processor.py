"""`ViltProcessor`: an image processor and a tokenizer, called together."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Self

from vilt.common.storage import Source
from vilt.processing.features import BatchEncoding
from vilt.processing.images import PillowProcessor, ViltImageProcessor
from vilt.processing.tokenizer.tokenizer import ViltTokenizer

TEXT_SETTINGS = inspect.signature(ViltTokenizer.__call__).parameters.keys() - {"self", "text", "return_tensors"}


class ViltProcessor:
    """The published `ViltProcessor`.

    Args:
        image_processor: For the images.
        tokenizer: For the texts.

    Raises:
        ValueError: One of them is missing.
    """

    attributes = ("image_processor", "tokenizer")

    def __init__(
        self, image_processor: PillowProcessor | None = None, tokenizer: ViltTokenizer | None = None, **older: Any
    ) -> None:
        image_processor = image_processor or older.pop("feature_extractor", None)
        if older:
            raise TypeError(f"ViltProcessor has no argument {', '.join(map(repr, older))}")
        if image_processor is None or tokenizer is None:
            raise ValueError("give an image_processor and a tokenizer")
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> Self:
        """Read both from a checkpoint.

        Args:
            source: A folder, any URI that fsspec opens, or a repository of the hub.
            **options: Keywords that say how to reach the hub.
        """
        return cls(
            ViltImageProcessor.from_pretrained(source, **options), ViltTokenizer.from_pretrained(source, **options)
        )

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write both into a folder, so that `AutoProcessor` reads them."""
        name = type(self).__name__
        self.image_processor.save_pretrained(save_directory, name)
        self.tokenizer.save_pretrained(save_directory, name)

    @property
    def feature_extractor(self) -> PillowProcessor:
        """Return the older published name of `image_processor`."""
        return self.image_processor

    @property
    def model_input_names(self) -> list[str]:
        """Return the names of what a call returns."""
        return list(dict.fromkeys((*self.image_processor.model_input_names, *self.tokenizer.model_input_names)))

    def __call__(
        self,
        images: Any,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        return_tensors: str | None = None,
        **settings: Any,
    ) -> BatchEncoding:
        """Prepare images and as many texts for the models' `forward`.

        Args:
            images: See `PillowProcessor.preprocess`.
            text: See `ViltTokenizer.__call__`.
            return_tensors: "pt", "np", or None for lists.
            **settings: Of `ViltTokenizer.__call__`; others are the image processor's own, for this call.

        Returns:
            `input_ids`, `token_type_ids`, `attention_mask`, `pixel_values`, `pixel_mask`.
        """
        of_texts = {name: settings.pop(name) for name in TEXT_SETTINGS & settings.keys()}
        encoding = self.tokenizer(text, return_tensors=return_tensors, **of_texts)
        encoding.update(self.image_processor(images, return_tensors=return_tensors, **settings))
        return encoding

    def decode(self, token_ids: Any, **settings: Any) -> str:
        """Return the text of ids; see `ViltTokenizer.decode`."""
        return self.tokenizer.decode(token_ids, **settings)

    def batch_decode(self, sequences: Any, *args: Any, **settings: Any) -> list[str]:
        """Return the texts of several rows of ids; see `ViltTokenizer.batch_decode`."""
        return self.tokenizer.batch_decode(sequences, *args, **settings)
