"""Adapter folders, as peft writes them: low-rank changes of some layers, merged into the base checkpoint's tensors."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import safetensors.torch
from torch import Tensor

from vilt.checkpoints.archives import first_line
from vilt.checkpoints.state_dict import Stored, Tensors, read_stored
from vilt.common.errors import CheckpointError, short
from vilt.common.hub import HubFolder, is_repository
from vilt.common.storage import Folder, as_folder

MOST_PATTERNS, MOST_ALPHA = 1000, 1e6
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WRAPPER = "base_model.model."  # before every name in an adapter's file
_UNKNOWN = {  # settings that change how weights are merged, by the values that change nothing
    "use_dora": (False, None),
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "lora_bias": (False, None),
    "megatron_config": (None,),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
}


class AdapterFolder(Folder):
    """An adapter's folder over the folder of its base checkpoint: files that the adapter lacks are the base's.

    Args:
        folder: The adapter's.
        **options: For the filesystem of the base.

    Raises:
        CheckpointError: The adapter names no base, or one that it must not open, or cannot be merged here.
    """

    def __init__(self, folder: Folder, **options: Any) -> None:
        self.folder, self.uri = folder, folder.uri
        self.settings = folder.read_json(CONFIG)
        base = self.settings.get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise CheckpointError(
                f"{self.uri}/{CONFIG} names no base_model_name_or_path: set it to the base checkpoint"
            )
        if self.settings.get("peft_type") != "LORA":
            raise CheckpointError(
                f"{self.uri!r} is an adapter of peft_type {short(self.settings.get('peft_type'))}; LORA is merged"
            )
        for key, harmless in _UNKNOWN.items():
            if self.settings.get(key) not in harmless:
                raise CheckpointError(
                    f"{self.uri!r}: an adapter with {key}={short(self.settings[key])} is not merged here; "
                    "save the merged model: model.merge_and_unload().save_pretrained(...)"
                )
        _check_settings(self.settings, f"{self.uri}/{CONFIG}")
        own = f"hf://{self.uri}" if isinstance(folder, HubFolder) and "://" not in self.uri else self.uri
        if not _may_name(own, base):
            raise CheckpointError(
                f"{self.uri}/{CONFIG}: base_model_name_or_path is {short(base)}, which an adapter from there must not "
                "open: copy the adapter, name owner/name on the hub, or save the merged model"
            )
        self.base = as_folder(base, **options)

    def exists(self, name: str) -> bool:
        """Tell whether the adapter or its base holds a file."""
        return self.folder.exists(name) or self.base.exists(name)

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return the bytes of a file of the adapter, or of its base."""
        return (self.folder if self.folder.exists(name) else self.base).read(name, most)

    def local_path(self, name: str) -> str | None:
        """Return where a file lies on this machine, if it does."""
        return self.folder.local_path(name) or self.base.local_path(name)

    def stored(self) -> tuple[dict[str, Tensor], str]:
        """Return the base's tensors with the adapter merged, and a hash of both."""
        base, data = read_stored(self.base), self.folder.read(WEIGHTS)
        try:
            adapter = safetensors.torch.load(data)
        except Exception as error:  # SafetensorError, or what torch says of a type or a shape that it lacks
            where = f"{self.uri}/{WEIGHTS}"
            raise CheckpointError(f"{where} is damaged or no safetensors file: {first_line(error)}") from None
        settings = json.dumps(self.settings, sort_keys=True).encode()
        digest = hashlib.sha256(base.sha256.encode() + hashlib.sha256(data).digest() + settings)
        return merged(base, adapter, self.settings, self.uri), digest.hexdigest()


def with_base(folder: Folder, **options: Any) -> Folder:
    """Return an adapter's folder over its base's; any other folder as it is."""
    if isinstance(folder, AdapterFolder) or folder.exists("config.json") or not folder.exists(CONFIG):
        return folder
    return AdapterFolder(folder, **options)


def merged(base: Stored, adapter: Tensors, settings: dict[str, Any], source: str) -> Tensors:
    """Add the products of an adapter's low-rank matrices to the base's weights, and put whole modules in place.

    Args:
        base: The base checkpoint.
        adapter: By the names in its file.
        settings: Its `adapter_config.json`.
        source: For messages.

    Raises:
        CheckpointError: The adapter changes a tensor that the base has not, or has in another shape.
    """
    out = dict(base.tensors)
    for full, tensor in adapter.items():
        name = full.removeprefix(_WRAPPER)
        if match := re.fullmatch(r"(.+)\.lora_A\.weight", name):
            module = match[1]
            key, up = f"{module}.weight", adapter.get(f"{_WRAPPER}{module}.lora_B.weight")
            if up is None or key not in out or not _fits(up, tensor, out[key]):
                raise CheckpointError(f"the adapter in {source!r} does not fit its base: {name} has no place in {key}")
            change = up.float() @ tensor.float() * _scale(module, len(tensor), settings)
            out[key] = (out[key].float() + change).to(out[key].dtype)
        elif re.search(r"\.lora_(B\.weight|embedding_[AB])$|\.lora_", name):
            if not name.endswith(".lora_B.weight"):
                raise CheckpointError(f"the adapter in {source!r} holds {name}, which cannot be merged here")
        else:
            out[name.replace(".modules_to_save.default", "").replace(".modules_to_save", "")] = tensor
    return out


def _fits(up: Tensor, down: Tensor, weight: Tensor) -> bool:
    """Return whether the product of (out, rank) and (rank, in) is added to a weight (out, in); of floats, rank >= 1."""
    if up.ndim != 2 or down.ndim != 2 or weight.ndim != 2 or up.shape[1] != len(down) or not len(down):
        return False
    floats = all(tensor.is_floating_point() for tensor in (up, down, weight))
    return floats and weight.shape == (len(up), down.shape[1])


def _scale(module: str, rank: int, settings: dict[str, Any]) -> float:
    """Return the factor of a module's product."""
    alpha = settings.get("lora_alpha", 8)
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = value
            break
    return float(alpha) / (rank**0.5 if settings.get("use_rslora") else rank)


def _check_settings(settings: dict[str, Any], where: str) -> None:
    """Check the scale of an adapter, and the patterns that change it for some modules.

    Raises:
        CheckpointError: A scale is no number, or a pattern is none, or one that may take minutes on a name.
    """
    patterns = settings.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or len(patterns) > MOST_PATTERNS:
        raise CheckpointError(f"{where}: alpha_pattern is {short(patterns)}; it is an object of scales by module")
    for key, value in [("lora_alpha", settings.get("lora_alpha", 8)), *patterns.items()]:
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < MOST_ALPHA:
            raise CheckpointError(f"{where}: the scale {short(key)} is {short(value)}; it is a number")
    for pattern in patterns:
        quantifiers = len(re.findall(r"[*+?{]", pattern))
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise CheckpointError(f"{where}: alpha_pattern has {short(pattern)}, no pattern: {error}") from None
        if len(pattern) > 200 or quantifiers > 3 or re.search(r"\)\s*[*+?{]", pattern):
            raise CheckpointError(
                f"{where}: alpha_pattern has {short(pattern)}; name the modules with simpler patterns"
            )


def _may_name(adapter: str, base: str) -> bool:
    """Return whether an adapter may say that its base is there: its author must not choose what else is opened.

    A repository of the hub and a model that ships with the package may be named by all; another folder by an adapter
    in the same bucket or on the same server; a local one by a local adapter.
    """
    if "::" in base:  # a chain of filesystems
        return False
    scheme, _, rest = base.partition("://") if "://" in base else ("", "", base)
    if scheme in ("hf", "zoo"):
        return not rest.startswith("/") and ".." not in rest.split("/")
    if is_repository(base):
        return True
    own, _, own_rest = adapter.partition("://") if "://" in adapter else ("", "", adapter)
    if scheme.lower() in ("", "file", "local"):
        return own in ("", "file")
    return (scheme, rest.partition("/")[0]) == (own, own_rest.partition("/")[0])
