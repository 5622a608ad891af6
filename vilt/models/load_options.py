"""The keywords of `from_pretrained` that are neither of the hub nor of the config, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vilt.common.config_values import dtype_named
from vilt.common.configuration import Config

CONVERT = "convert the checkpoint with transformers first"
QUANTIZE = "quantize the loaded model, or score with precision int8"
REFUSED = {
    "from_tf": CONVERT,
    "from_flax": CONVERT,
    "gguf_file": CONVERT,
    "load_in_8bit": QUANTIZE,
    "load_in_4bit": QUANTIZE,
    "quantization_config": QUANTIZE,
    "tp_plan": "a model of this size stays on one device",
    "key_mapping": "rename the tensors and pass them as state_dict",
}


class LoadOptions(NamedTuple):
    """The keywords of `from_pretrained` that are neither of the hub nor of the config."""

    state_dict: Mapping[str, Tensor] | None = None
    ignore_mismatched_sizes: bool = False
    output_loading_info: bool = False
    dtype: torch.dtype | str | None = None
    device_map: Any = None
    variant: str | None = None
    use_safetensors: bool | None = None
    low_cpu_mem_usage: bool | None = None  # weights are never held twice for long
    weights_only: bool = True  # nothing else is read
    max_memory: Any = None  # these say how a model is spread over devices; here it stays on one
    offload_folder: Any = None
    offload_state_dict: bool | None = None
    offload_buffers: bool = False
    adapter_kwargs: Mapping[str, Any] | None = None  # `AutoModel.from_pretrained` passes these three on
    adapter_name: str = "default"
    generation_config: Any = None

    @classmethod
    def of(cls, keywords: dict[str, Any]) -> tuple[LoadOptions, dict[str, Any]]:
        """Return the options among the keywords, and the other keywords."""
        if "torch_dtype" in keywords:
            older = keywords.pop("torch_dtype")
            keywords.setdefault("dtype", older)
        for name, instead in REFUSED.items():
            if keywords.pop(name, None):
                raise ValueError(f"{name}: not offered here; {instead}")
        known = {key: keywords.pop(key) for key in cls._fields if key in keywords}
        return cls(**known), keywords


def dtype_of(asked: torch.dtype | str | None, config: Config, tensors: Mapping[str, Tensor]) -> torch.dtype:
    """Return the dtype of a model that is loaded."""
    if isinstance(asked, torch.dtype):
        return asked
    if asked == "auto":
        if isinstance(config.dtype, torch.dtype):
            return config.dtype
        return next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.get_default_dtype())
    return torch.get_default_dtype() if asked is None else dtype_named(asked)


def device_of(device_map: Any) -> torch.device | None:
    """Return the one device that a `device_map` names; None leaves the model where it is."""
    if isinstance(device_map, Mapping):
        devices = set(device_map.values())
        if len(devices) != 1:
            raise ValueError(f"device_map names {len(devices)} devices; a model of this size stays on one")
        device_map = devices.pop()
    if device_map is None:
        return None
    if device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device_map)
