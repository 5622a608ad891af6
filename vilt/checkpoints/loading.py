"""Tensors into a model: what fits, what is missing, what is of another shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vilt.checkpoints.archives import first_line
from vilt.checkpoints.state_dict import Tensors, completed, today
from vilt.common.errors import CheckpointError, MisfitError, short
from vilt.common.skip_init import SkipInit

LAYERS = re.compile(r"(?:.*\.)?encoder\.layer\.(\d{1,9})\.")
MOST_MISSING = 2**28  # numbers, or twice what it holds, that a checkpoint may lack: a new head, a new table of words
NEW_LAYERS = 24  # that a config may name beside twice those that are stored
_CONSTANT = re.compile(r"(.*\.)?position_ids$")  # 0, 1, 2, ...: in old files, and nothing is lost without it


class Fit(NamedTuple):
    """The comparison of a checkpoint with a model.

    Attributes:
        tensors: Those that fit, by the model's names.
        missing: Names that the model has and the checkpoint lacks; of tensors that are tied, only if none is there.
        unexpected: Names of the checkpoint that the model has no place for.
        mismatched: (name, shape in the checkpoint, shape in the model).
    """

    tensors: Tensors
    missing: list[str]
    unexpected: list[str]
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Return a checkpoint's tensors by the names of a model that has a prefix for its part below the heads, or has not.

    Args:
        tensors: By the names in the file.
        names: The model's own.
        prefix: As "vilt".
    """
    start = f"{prefix}."
    in_file, in_model = (any(name.startswith(start) for name in some) for some in (tensors, names))
    if in_file and not in_model:
        return {name.removeprefix(start): tensor for name, tensor in tensors.items()}
    if in_model and not in_file:
        return {name if name in names else start + name: tensor for name, tensor in tensors.items()}
    return dict(tensors)


def compare(tensors: Mapping[str, Tensor], names: Mapping[str, Tensor], prefix: str) -> Fit:
    """Compare a checkpoint's tensors with a model's, which may be on the meta device."""
    found = completed(renamed(tensors, names, prefix))
    fits, mismatched = {}, []
    for name, like in names.items():
        if name not in found:
            continue
        if found[name].shape != like.shape:
            mismatched.append((name, tuple(found[name].shape), tuple(like.shape)))
        else:
            fits[name] = found[name]
    missing = [name for name in names if name not in found]
    in_file = map(today, renamed(tensors, names, prefix))
    unexpected = [name for name in in_file if name not in names and not _CONSTANT.fullmatch(name)]
    return Fit(fits, missing, unexpected, mismatched)


def check_layers(tensors: Mapping[str, Tensor], config: Any, source: str) -> None:
    """Raise CheckpointError when a config names many more layers than the checkpoint holds, before any is made."""
    stored = {int(match[1]) for name in tensors if (match := LAYERS.match(name))}
    named = getattr(config, "num_hidden_layers", 0)  # a family may have none
    if not isinstance(named, int) or named < 0 or named > 2 * len(stored) + NEW_LAYERS:
        raise CheckpointError(
            f"the weights in {source!r} do not fit: num_hidden_layers is {short(named)}, and the file has {len(stored)}"
        )


def on_meta(make: Callable[[], nn.Module], source: str) -> nn.Module:
    """Make a module without memory. Raises CheckpointError when its config makes no sense."""
    try:
        with torch.device("meta"), SkipInit():
            return make()
    except Exception as error:  # torch says in many ways that a size is of no use
        raise CheckpointError(f"the config of {source!r} makes no model: {first_line(error)}") from None


def check_fit(fit: Fit, names: Mapping[str, Tensor], source: str, *, strict: bool, ignore_mismatched: bool) -> None:
    """Raise CheckpointError, in one line that names the tensors, when a checkpoint does not fit a model.

    Args:
        fit: As `compare` gives it.
        names: The model's tensors.
        source: Where the checkpoint is.
        strict: Whether tensors may be missing.
        ignore_mismatched: Whether tensors of other shapes are left out instead.
    """
    faults = [f"missing {name}" for name in fit.missing] if strict else []
    if not ignore_mismatched:
        faults += [f"{name} is {stored}, the config says {wanted}" for name, stored, wanted in fit.mismatched]
    for name, tensor in fit.tensors.items():
        if tensor.is_floating_point() != names[name].is_floating_point():
            faults.append(f"{name} is {tensor.dtype}, the model's is {names[name].dtype}")
    lacking = sum(names[name].numel() for name in [*fit.missing, *(name for name, _, _ in fit.mismatched)])
    if not faults and lacking > max(MOST_MISSING, 2 * sum(tensor.numel() for tensor in fit.tensors.values())):
        faults = [f"the config asks for {lacking:,} numbers that the file does not hold"]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        kind = MisfitError if fit.mismatched and not ignore_mismatched else CheckpointError
        raise kind(f"the weights in {source!r} do not fit: {'; '.join(faults[:3])}{more}")


def fill(model: nn.Module, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> None:
    """Copy tensors into a model that has all their names, in the model's dtype unless one is given."""
    if dtype is not None:
        model.to(dtype)
    parameters = dict(model.state_dict(keep_vars=True))
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def fitted(
    make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], prefix: str, source: str
) -> tuple[nn.Module, Fit]:
    """Return a module without memory, and how tensors, all of which must be there, fit it; arguments as in `loaded`."""
    module = on_meta(make, source)
    names = module.state_dict()
    fit = compare(tensors, names, prefix)
    check_fit(fit, names, source, strict=True, ignore_mismatched=False)
    return module, fit


def loaded(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], prefix: str, source: str) -> nn.Module:
    """Make a module from tensors, without a copy when they are float32, all of which must be there.

    Args:
        make: Makes the module.
        tensors: The checkpoint's, by published names.
        prefix: The model's prefix in published names.
        source: For messages.

    Returns:
        The module in eval mode, float32.

    Raises:
        CheckpointError: The tensors do not fit.
    """
    module, fit = fitted(make, tensors, prefix, source)
    floats = {name: t.float() if t.is_floating_point() else t for name, t in fit.tensors.items()}
    module.load_state_dict(floats, assign=True)
    return module.eval()
