"""Loops over numbers, compiled for the CPU that runs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {
    "nogil": True,  # threads run side by side
    "error_model": "numpy",  # no check of each division, which would keep a loop from running on vectors
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},  # sums in any order; infinities and NaN stay what they are
}


def compiled(function: Kernel) -> Kernel:
    """Return a function over numpy arrays as machine code, made when it is first called.

    The code is kept beside the module, or in the user's cache, for later processes; when neither can be written each
    process compiles anew, in about a second.
    """

    @cache
    def machine_code() -> Callable[..., Any]:
        import numba

        try:
            return numba.njit(cache=True, **OPTIONS)(function)
        except RuntimeError:  # nowhere to keep it
            return numba.njit(**OPTIONS)(function)

    @wraps(function)
    def call(*args: Any) -> Any:
        return machine_code()(*args)

    return call  # type: ignore[return-value]
