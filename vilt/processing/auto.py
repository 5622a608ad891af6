"""`AutoTokenizer`, `AutoImageProcessor` and `AutoProcessor`: the class is what a checkpoint's files say."""

from __future__ import annotations

from typing import Any

from vilt.common.folder import Folder
from vilt.common.hub import split_options
from vilt.common.storage import Source, as_folder
from vilt.processing import images, torch_images
from vilt.processing.image_settings import ImageSettings
from vilt.processing.processor import ViltProcessor
from vilt.processing.tokenizer.tokenizer import ViltTokenizer

_BY_TYPE = {"vilt": "ViltImageProcessor", "vit": "ViTImageProcessor"}  # when the settings do not name a class


class AutoTokenizer:
    """The tokenizer of a checkpoint; all families read BERT's."""

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> ViltTokenizer:
        """Read it; see `ViltTokenizer.from_pretrained`."""
        options.pop("use_fast", None)
        return ViltTokenizer.from_pretrained(source, **options)


class AutoImageProcessor:
    """The image processor of a checkpoint."""

    @classmethod
    def from_pretrained(cls, source: Source, use_fast: bool | None = None, **options: Any) -> Any:
        """Read it.

        Args:
            source: A folder, any URI that fsspec opens, or a repository of the hub.
            use_fast: Whether it resizes with torch; by default as the files say.
            **options: Keywords that say how to reach the hub, and settings that take the place of the files'.

        Returns:
            A processor of one of the classes in `vilt.processing.images` and `vilt.processing.torch_images`.

        Raises:
            ValueError: The files name a class that is none of this package's.
        """
        folder = as_folder(source, split_options(options)[0])
        given = folder.read_json("preprocessor_config.json") if folder.exists("preprocessor_config.json") else {}
        name = given.get("image_processor_type") or given.get("feature_extractor_type") or _BY_TYPE.get(_kind(folder))
        fast = str(name).endswith("Fast") if use_fast is None else use_fast
        plain = str(name).removesuffix("Fast")
        made = getattr(torch_images if fast else images, f"{plain}Fast" if fast else plain, None)
        if made is None or not issubclass(made, ImageSettings):
            raise ValueError(f"{str(source)!r} has image_processor_type {name!r:.100}; ViT's and ViLT's are read here")
        return made.from_pretrained(source, **options)


class AutoProcessor:
    """Opens what prepares a checkpoint's inputs: ViLT's processor, ViT's image processor or VisualBERT's tokenizer."""

    @classmethod
    def from_pretrained(cls, source: Source, **options: Any) -> Any:
        """Read it; see `ViltProcessor.from_pretrained` and `AutoImageProcessor.from_pretrained`."""
        kind = _kind(as_folder(source, split_options(options)[0]))
        if kind == "vit":
            return AutoImageProcessor.from_pretrained(source, **options)
        return (ViltProcessor if kind == "vilt" else AutoTokenizer).from_pretrained(source, **options)


def _kind(folder: Folder) -> str:
    """Return the `model_type` that a folder's files say or, without a config, what kinds of inputs they prepare."""
    if folder.exists("config.json"):
        return str(folder.read_json("config.json").get("model_type", "vilt"))
    texts = any(folder.exists(name) for name in ("tokenizer.json", "vocab.txt"))
    return ("vilt" if texts else "vit") if folder.exists("preprocessor_config.json") else "visual_bert"
