"""Adapters merged into a base checkpoint's tensors: LoRA with its variants, and IA3, by the rules of peft."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from vilt.checkpoints.state_dict import Tensors
from vilt.common.config_checks import is_number
from vilt.common.errors import CheckpointError, short

MOST_PATTERNS = 1000
Settings = dict[str, Any]  # of `adapter_config.json`
_ADVICE = "Save the merged model: model.merge_and_unload().save_pretrained(...)"
_WRAPPER = "base_model.model."  # before every name in an adapter's file
_SAVED = re.compile(r"\.modules_to_save(\.default)?(?=\.)|\.base_layer(?=\.)|\.original_module(?=\.)")
_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_embedding_A|lora_embedding_B|"
    r"lora_magnitude_vector(?:\.weight)?|ia3_l)"
)
_OF_ADAPTERS = re.compile(r"\.(lora|ia3|hada|lokr|oft|vera|token_adapter)[._]")
# Settings that change how weights are merged, by the values with which they change nothing.
_HARMLESS: dict[str, tuple[object, ...]] = {
    "layer_replication": (None,),
    "megatron_config": (None,),
    "trainable_token_indices": (None,),
    "use_qalora": (False, None),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None,),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),  # others change the base as well
}


class _Change(NamedTuple):
    """The tensors of one adapted module, by the names of their parts.

    Attributes:
        module: The module's name in the base checkpoint.
        parts: By names such as "lora_A" or "lora_B.bias".
        settings: The adapter's.
        source: For messages.
    """

    module: str
    parts: Tensors
    settings: Settings
    source: str

    def misfit(self, part: str) -> CheckpointError:
        """Return the error for a part that does not fit."""
        return CheckpointError(
            f"the adapter in {self.source!r} does not fit its base: {self.module}.{part} has no place there"
        )


def check_settings(settings: Settings, source: str) -> None:
    """Raise CheckpointError, in one line, when an adapter is of a kind that cannot be merged here.

    Args:
        settings: The adapter's.
        source: For messages.
    """
    kind = settings.get("peft_type")
    if kind not in ("LORA", "IA3"):
        raise CheckpointError(
            f"{source!r} is an adapter of peft_type {short(kind)}; LORA and IA3 are merged here. {_ADVICE}"
        )
    for key, harmless in _HARMLESS.items():
        if settings.get(key) not in harmless:
            raise CheckpointError(
                f"{source!r}: an adapter with {key}={short(settings[key])} is not merged here. {_ADVICE}"
            )
    _check_scales(settings, source)


def _check_scales(settings: Settings, where: str) -> None:
    """Check the scale of an adapter, and the patterns that change it for some modules.

    Raises:
        CheckpointError: A scale is no number, or a pattern is none, or one that may take minutes on a name.
    """
    patterns = settings.get("alpha_pattern") or {}
    if not isinstance(patterns, dict) or len(patterns) > MOST_PATTERNS:
        raise CheckpointError(f"{where}: alpha_pattern is {short(patterns)}; it is an object of scales by module")
    for key, value in [("lora_alpha", settings.get("lora_alpha", 8)), *patterns.items()]:
        if not is_number(value):
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


def merged(base: Tensors, adapter: Tensors, settings: Settings, source: str) -> Tensors:
    """Return the base's tensors changed as peft's `merge_and_unload` changes them.

    Args:
        base: The base checkpoint's tensors.
        adapter: By the names in its file.
        settings: Its `adapter_config.json`, which `check_settings` has passed.
        source: For messages.

    Raises:
        CheckpointError: The adapter changes a tensor that the base has not, or has in another shape.
    """
    out, changes = dict(base), dict[str, Tensors]()
    for full, tensor in adapter.items():
        name = full.removeprefix(_WRAPPER)
        if match := _PART.fullmatch(name):
            changes.setdefault(match["module"], {})[match["part"].removesuffix(".weight")] = tensor
        elif _OF_ADAPTERS.search(name):
            raise CheckpointError(f"the adapter in {source!r} holds {name}, which is not merged here. {_ADVICE}")
        else:  # a module that was trained whole, or a bias
            out[_SAVED.sub("", name)] = tensor
    for module, parts in changes.items():
        change = _Change(module, parts, settings, source)
        _merge_ia3(out, change) if "ia3_l" in parts else _merge_lora(out, change)
    return out


def _merge_ia3(out: Tensors, change: _Change) -> None:
    """Scale a module's outputs or, when the vector lies in a row, its inputs."""
    scale, key = change.parts["ia3_l"].float(), f"{change.module}.weight"
    if key not in out or tuple(scale.shape) not in ((len(out[key]), 1), (1, *out[key].shape[1:])):
        raise change.misfit("ia3_l")
    out[key] = (out[key].float() * scale).to(out[key].dtype)
    bias = f"{change.module}.bias"
    if len(scale) > 1 and bias in out:
        out[bias] = (out[bias].float() * scale.flatten()).to(out[bias].dtype)


def _merge_lora(out: Tensors, change: _Change) -> None:
    """Add the product of two low-rank matrices to a weight; with DoRA, give its rows the lengths that were learnt."""
    key, bias = f"{change.module}.weight", f"{change.module}.bias"
    delta, rank = _product(change, out.get(key))
    scale = _scale(change.module, rank, change.settings)
    weight = out[key].float() + delta * scale
    if "lora_magnitude_vector" in change.parts:
        if "lora_embedding_A" in change.parts or change.parts["lora_magnitude_vector"].numel() != len(weight):
            raise change.misfit("lora_magnitude_vector")
        lengths = change.parts["lora_magnitude_vector"].float().flatten() / weight.flatten(1).norm(dim=1)
        weight = weight * lengths.view(-1, *[1] * (weight.ndim - 1))
    out[key] = weight.to(out[key].dtype)
    if "lora_B.bias" in change.parts:
        if bias not in out or change.parts["lora_B.bias"].shape != out[bias].shape:
            raise change.misfit("lora_B.bias")
        out[bias] = (out[bias].float() + change.parts["lora_B.bias"].float() * scale).to(out[bias].dtype)


def _product(change: _Change, weight: Tensor | None) -> tuple[Tensor, int]:
    """Return the product of a module's two matrices in the shape of its weight, and their rank."""
    table = "lora_embedding_A" in change.parts or "lora_embedding_B" in change.parts
    names = ("lora_embedding_A", "lora_embedding_B") if table else ("lora_A", "lora_B")
    down, up = (change.parts.get(name) for name in names)
    if down is None or up is None or weight is None or not _chains(up, down, weight):
        raise change.misfit(names[0])
    rank, down, up = len(down), down.float(), up.float()
    if table:
        delta = (up @ down).T
    elif down.ndim == 4:  # a convolution, then one of 1 x 1
        delta = F.conv2d(down.transpose(0, 1), up).transpose(0, 1)
    else:
        delta = up @ down
    if delta.shape != weight.shape:
        raise change.misfit(names[0])
    return delta, rank


def _chains(up: Tensor, down: Tensor, weight: Tensor) -> bool:
    """Return whether matrices share a rank, and their product has as many numbers as the weight: before it is made."""
    if up.ndim < 2 or down.ndim < 2 or not len(down) or up.shape[1] != len(down) or up.numel() != len(up) * len(down):
        return False
    floats = all(tensor.is_floating_point() for tensor in (up, down, weight))
    return floats and len(up) * down.numel() == weight.numel() * len(down)


def _scale(module: str, rank: int, settings: Settings) -> float:
    """Return the factor of a module's product."""
    alpha = settings.get("lora_alpha", 8)
    for pattern, value in (settings.get("alpha_pattern") or {}).items():  # the first that fits the end of the name
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = value
            break
    return float(alpha) / (rank**0.5 if settings.get("use_rslora") else rank)
