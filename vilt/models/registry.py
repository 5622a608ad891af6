"""The model families by `model_type`, as a checkpoint's `config.json` has it. Imports no torch.

| | ViLT | ViT | VisualBERT |
| --- | --- | --- | --- |
| reads | a text and an image | an image | a text and the features of an image's regions |
| image size | in proportion, any grid | one size, one grid | a detector has seen it |
| an image's rows | patches: bilinear positions, modality | patches: bicubic positions | regions: token type |
| norms of a block | before its layers | before its layers | after the residuals |
| heads read | pooled text [CLS], or the text | image [CLS] | pooled [CLS], or the last word |

An installed package adds a family with an entry point of the group `vilt.families` that names its `ModelFamily`; every
worker of a cluster finds it as the driver does. In one process, `register` does the same.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from vilt.common.configuration import Config
from vilt.common.errors import CheckpointError, short
from vilt.common.folder import Folder
from vilt.common.storage import Source, as_folder
from vilt.models import vilt, visual_bert, vit
from vilt.models.family import ModelFamily

if TYPE_CHECKING:
    import torch

    from vilt.inference.engine import Engine
    from vilt.inference.preprocessor import AnyPreprocessor

ENTRY_POINTS = "vilt.families"
_FAMILIES: dict[str, ModelFamily] = {}


def register(family: ModelFamily) -> None:
    """Add a family. Raises ValueError when its `model_type` is taken by another."""
    known = _FAMILIES.setdefault(family.model_type, family)
    if known != family:
        raise ValueError(f"model_type {family.model_type!r} is taken by {known.name}")


register(vilt.FAMILY)
register(vit.FAMILY)
register(visual_bert.FAMILY)


def families() -> list[ModelFamily]:
    """Return all families, those of installed packages last."""
    for point in entry_points(group=ENTRY_POINTS):
        register(point.load())
    return list(_FAMILIES.values())


def family_of(model_type: str) -> ModelFamily | None:
    """Return the family of a `model_type`; None when there is none."""
    if model_type not in _FAMILIES:  # the search through installed packages takes a moment
        families()
    return _FAMILIES.get(model_type)


def families_with(task: str) -> list[ModelFamily]:
    """Return the families that have a task."""
    return [family for family in families() if task in family.tasks]


def open_checkpoint(source: Source, **options: Any) -> Folder:
    """Open what a person names as a checkpoint.

    Args:
        source: A folder (of `save_pretrained` or of a Trainer, whole or in shards), a folder of an adapter over its
            base, a `.ckpt` file of the original project, `owner/name` on the hub, or a URI that fsspec opens.
        **options: For the filesystem, as fsspec takes them.

    Returns:
        A folder with `config.json` and weights.
    """
    folder = as_folder(source, **options)
    if not folder.uri.endswith(".ckpt"):
        if not folder.exists("adapter_config.json"):
            return folder
        from vilt.checkpoints.adapters import with_base

        return with_base(folder, **options)
    from vilt.models.vilt.original import OriginalFolder

    return folder if isinstance(folder, OriginalFolder) else OriginalFolder(folder)


def read_config(source: Source) -> Config:
    """Read the config of a checkpoint of any family. Raises ValueError for a `model_type` that no family has."""
    folder = open_checkpoint(source)
    values = folder.read_json("config.json")
    name = values.get("model_type", vilt.FAMILY.model_type)
    family = family_of(name) if isinstance(name, str) else None
    if family is None:
        known = ", ".join(family.model_type for family in families())
        raise CheckpointError(f"{str(source)!r} is a checkpoint of model_type {short(name)}, not one of {known}")
    config: Config = family.config_class.from_folder(values, folder)
    return config


def family_of_config(config: Config) -> ModelFamily:
    """Return the family that a config belongs to. Raises ValueError when it is not registered."""
    family = family_of(config.model_type)
    if family is None:
        raise ValueError(f"no family of model_type {config.model_type!r} is registered")
    return family


def open_predictor(
    source: Source,
    device: str | torch.device | None = None,
    precision: str = "auto",
    tokenizer: Source | None = None,
) -> Engine:
    """Load a checkpoint of any family; see `Engine.from_pretrained`."""
    folder = open_checkpoint(source)
    predictor = family_of_config(read_config(folder)).predictor_class
    return predictor.from_pretrained(folder, device, precision, tokenizer)


def open_preprocessor(source: Source, tokenizer: Source | None = None) -> AnyPreprocessor:
    """Read the preprocessor of a checkpoint of any family; see `Engine.from_pretrained`."""
    folder = open_checkpoint(source)
    config = read_config(folder)
    return family_of_config(config).preprocessor_class.from_pretrained(folder, config, tokenizer)
