"""Make modules without drawing their first weights."""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode


class SkipInit(TorchFunctionMode):
    """While it is open, the functions of `torch.nn.init` do nothing.

    For modules whose weights are replaced at once. On the meta device there is nothing to draw, and `normal_` imports
    torch's whole compiler to find that out: a second of a start.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch, unless it initialises a tensor: then return the tensor as it is."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
