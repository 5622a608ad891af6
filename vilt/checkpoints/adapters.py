"""Adapter folders, as peft writes them: low-rank changes of some layers, merged into the base checkpoint's tensors."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from vilt.checkpoints.state_dict import Stored, Tensors, read_stored
from vilt.common.storage import Folder, as_folder

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
        ValueError: The adapter names no base, or is of a kind that cannot be merged here.
    """

    def __init__(self, folder: Folder, **options: Any) -> None:
        self.folder, self.uri = folder, folder.uri
        self.settings = folder.read_json(CONFIG)
        base = self.settings.get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise ValueError(f"{self.uri}/{CONFIG} names no base_model_name_or_path: set it to the base checkpoint")
        if self.settings.get("peft_type") != "LORA":
            raise ValueError(
                f"{self.uri!r} is an adapter of peft_type {self.settings.get('peft_type')!r}; LORA is merged"
            )
        for key, harmless in _UNKNOWN.items():
            if self.settings.get(key) not in harmless:
                raise ValueError(
                    f"{self.uri!r}: an adapter with {key}={self.settings[key]!r} is not merged here; save the merged "
                    "model: model.merge_and_unload().save_pretrained(...)"
                )
        self.base = as_folder(base, **options)

    def exists(self, name: str) -> bool:
        """Tell whether the adapter or its base holds a file."""
        return self.folder.exists(name) or self.base.exists(name)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the adapter, or of its base."""
        return (self.folder if self.folder.exists(name) else self.base).read(name)

    def local_path(self, name: str) -> str | None:
        """Return where a file lies on this machine, if it does."""
        return self.folder.local_path(name) or self.base.local_path(name)

    def stored(self) -> tuple[dict[str, Tensor], str]:
        """Return the base's tensors with the adapter merged, and a hash of both."""
        base, data = read_stored(self.base), self.folder.read(WEIGHTS)
        try:
            adapter = safetensors.torch.load(data)
        except SafetensorError as error:
            raise ValueError(f"{self.uri}/{WEIGHTS} is damaged or no safetensors file: {error}") from None
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
        ValueError: The adapter changes a tensor that the base has not, or has in another shape.
    """
    out = dict(base.tensors)
    for full, tensor in adapter.items():
        name = full.removeprefix(_WRAPPER)
        if match := re.fullmatch(r"(.+)\.lora_A\.weight", name):
            module = match[1]
            key, up = f"{module}.weight", adapter.get(f"{_WRAPPER}{module}.lora_B.weight")
            if up is None or key not in out or out[key].shape != (len(up), tensor.shape[1]):
                raise ValueError(f"the adapter in {source!r} does not fit its base: {name} has no place in {key}")
            change = up.float() @ tensor.float() * _scale(module, len(tensor), settings)
            out[key] = (out[key].float() + change).to(out[key].dtype)
        elif re.search(r"\.lora_(B\.weight|embedding_[AB])$|\.lora_", name):
            if not name.endswith(".lora_B.weight"):
                raise ValueError(f"the adapter in {source!r} holds {name}, which cannot be merged here")
        else:
            out[name.replace(".modules_to_save.default", "").replace(".modules_to_save", "")] = tensor
    return out


def _scale(module: str, rank: int, settings: dict[str, Any]) -> float:
    """Return the factor of a module's product."""
    alpha = settings.get("lora_alpha", 8)
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = value
            break
    return float(alpha) / (rank**0.5 if settings.get("use_rslora") else rank)
