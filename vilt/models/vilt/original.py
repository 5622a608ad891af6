"""Checkpoints of the original project (github.com/dandelin/ViLT): `.ckpt` files, by the names of published ones.

`itm_score` and `mpp_score`, the heads for pretraining on matches and on masked patches, have no published class and
are left out, as is anything else that is not named here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from vilt.checkpoints import lightning
from vilt.common.errors import CheckpointError, short
from vilt.common.folder import Folder
from vilt.common.storage import Source
from vilt.models.vilt.configuration import ViltConfig

SUFFIX = ".ckpt"

_RENAMED = (  # original -> published
    (r"text_embeddings\.(word_embeddings|position_embeddings|token_type_embeddings|LayerNorm)\.",
     r"embeddings.text_embeddings.\1."),
    (r"token_type_embeddings\.", "embeddings.token_type_embeddings."),
    (r"transformer\.cls_token$", "embeddings.cls_token"),
    (r"transformer\.pos_embed$", "embeddings.position_embeddings"),
    (r"transformer\.patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"transformer\.blocks\.(\d+)\.norm1\.", r"encoder.layer.\1.layernorm_before."),
    (r"transformer\.blocks\.(\d+)\.norm2\.", r"encoder.layer.\1.layernorm_after."),
    (r"transformer\.blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.output.dense."),
    (r"transformer\.blocks\.(\d+)\.mlp\.fc1\.", r"encoder.layer.\1.intermediate.dense."),
    (r"transformer\.blocks\.(\d+)\.mlp\.fc2\.", r"encoder.layer.\1.output.dense."),
    (r"transformer\.norm\.", "layernorm."),
    (r"(pooler|mlm_score|rank_output)\.", r"\1."),
    (r"(?:vqa|nlvr2)_classifier\.", "classifier."),
)  # fmt: skip
_QKV = re.compile(r"transformer\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")
_CONSTANT = "text_embeddings.position_ids"  # 0, 1, 2, ...: nothing is lost without it

WORDS, POSITIONS = "text_embeddings.word_embeddings.weight", "text_embeddings.position_embeddings.weight"
TOKEN_TYPES, MODALITIES = "text_embeddings.token_type_embeddings.weight", "token_type_embeddings.weight"
PATCHES, TABLE = "transformer.patch_embed.proj.weight", "transformer.pos_embed"
UP = "transformer.blocks.0.mlp.fc1.weight"
ANSWERS, REASONS = "vqa_classifier.3.weight", "nlvr2_classifier.3.weight"


class Original(NamedTuple):
    """A `.ckpt` file as the rest of the code reads checkpoints.

    tensors: by their published names, without the prefix `vilt.`. left_out: original names. short_side: what images
    were resized to, which may be another size than `config.image_size`, the position table's.
    """

    config: ViltConfig
    tensors: dict[str, Tensor]
    sha256: str
    left_out: list[str]
    short_side: int


def is_original(uri: Source) -> bool:
    """Tell whether a checkpoint is the original project's, by its name."""
    return str(uri).endswith(SUFFIX)


class OriginalFolder(Folder):
    """A `.ckpt` file as a folder: its config, its weights, and how its images were resized; it has no tokenizer."""

    def __init__(self, folder: Folder) -> None:
        self.uri, self.folder = folder.uri, folder
        self.found = read(folder)
        self.files = {
            "config.json": self.found.config.to_json_string(use_diff=False).encode(),
            "preprocessor_config.json": json.dumps({"size": {"shortest_edge": self.found.short_side}}).encode(),
        }

    def exists(self, name: str) -> bool:
        """Tell whether the file stands for a file of this name."""
        return name in self.files

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return what the file says, as the file of this name would."""
        del most
        if name not in self.files:
            raise FileNotFoundError(f"no {name} in {self.uri!r}: an original checkpoint has none")
        return self.files[name]

    def local_path(self, name: str) -> str | None:
        """Return None: no file lies anywhere."""
        del name
        return None

    def stored(self) -> tuple[dict[str, Tensor], str]:
        """Return the tensors and the hash of the file."""
        return self.found.tensors, self.found.sha256


def read(source: Source) -> Original:
    """Read a `.ckpt` file without running code that is pickled in it.

    Raises ValueError in one line when it is damaged, when a tensor that tells the model's shape is missing, or
    when its tensors and its hyper-parameters differ.
    """
    uri = str(source)
    data = source.fs.cat_file(source.path) if isinstance(source, Folder) else None
    state, hyper_parameters, sha256 = lightning.read(uri, data)
    named = hyper_parameters.get("config")
    named = named if isinstance(named, dict) else {}
    try:
        config = _config(state, named)
        short_side = _number(named, "image_size", config.image_size)
    except ValueError as error:
        raise CheckpointError(f"{uri!r}: {error}") from None
    tensors: dict[str, Tensor] = {}
    left_out = []
    for name, tensor in state.items():
        renamed = _published(name, tensor)
        tensors.update(renamed)
        if not renamed and name != _CONSTANT:
            left_out.append(name)
    return Original(config, tensors, sha256, left_out, short_side)


def _published(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return an original tensor by its published names; nothing when it has none."""
    if fused := _QKV.fullmatch(name):
        layer, kind = fused.groups()
        names = [f"encoder.layer.{layer}.attention.attention.{part}.{kind}" for part in ("query", "key", "value")]
        return dict(zip(names, tensor.chunk(3), strict=False))
    for pattern, published in _RENAMED:
        renamed, count = re.subn(f"^{pattern}", published, name)
        if count:
            return {renamed: tensor}
    return {}


def _config(state: Mapping[str, Tensor], named: Mapping[str, Any]) -> ViltConfig:
    """Make the config of the tensors' shapes, and of the number of attention heads in the hyper-parameters.

    Without hyper-parameters heads are 64 wide, as in every ViT. `max_image_len`, which is 200 in the file of the
    pretraining, saved memory there: as in the published checkpoint of that file, all patches are read.
    """
    (vocabulary, width), (positions, _) = _shape(state, WORDS, 2), _shape(state, POSITIONS, 2)
    (_, channels, patch, _), (_, table, _) = _shape(state, PATCHES, 4), _shape(state, TABLE, 3)
    layers = {int(found[1]) for name in state if (found := re.match(r"transformer\.blocks\.(\d{1,6})\.", name))}
    inner = _shape(state, UP, 2)[0]
    for key, tensor, stored in (
        ("vocab_size", WORDS, vocabulary),
        ("hidden_size", WORDS, width),
        ("max_text_len", POSITIONS, positions),
        ("patch_size", PATCHES, patch),
        ("num_layers", f"transformer.blocks.{max(layers)}", len(layers)),
        ("mlp_ratio", UP, inner / width),
    ):
        if key in named and (not isinstance(named[key], int | float) or named[key] != stored):
            raise ValueError(f"hyper_parameters say {key} {short(named[key])}, but by {tensor} it is {stored:g}")
    return ViltConfig(
        vocab_size=vocabulary,
        type_vocab_size=_shape(state, TOKEN_TYPES, 2)[0],
        modality_type_vocab_size=_shape(state, MODALITIES, 2)[0],
        max_position_embeddings=positions,
        hidden_size=width,
        num_hidden_layers=len(layers),
        num_attention_heads=_number(named, "num_heads", max(1, width // 64)),
        intermediate_size=inner,
        image_size=round((table - 1) ** 0.5) * patch,
        patch_size=patch,
        num_channels=channels,
        qkv_bias="transformer.blocks.0.attn.qkv.bias" in state,
        num_images=2 if REASONS in state else -1,
        id2label={0: "False", 1: "True"} if REASONS in state else None,  # the answers of VQA are not in the file
        num_labels=_shape(state, ANSWERS, 2)[0] if ANSWERS in state else None,
    )


def _number(named: Mapping[str, Any], key: str, default: int) -> int:
    value = named.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"hyper_parameters say {key} {short(value)}; it is a number from 1")
    return value


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a tensor that has so many dimensions. Raises ValueError that names it."""
    if name not in state:
        raise ValueError(f"no tensor {name}; is this a checkpoint of ViLT?")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions:
        raise ValueError(f"{name} is {shape}; it has {dimensions} dimensions")
    return shape
