"""The outputs of processors: named values, readable by name or by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import Self

from vilt.common.tensors import is_tensor


class Batch(dict[str, Any]):
    """A processor's output: a dict, readable as `batch.input_ids` too, for `model(**batch)`."""

    @classmethod
    def of(cls, data: Mapping[str, Sequence[Any]], return_tensors: str | None) -> Self:
        """Make a batch of lists (None), or of each list stacked as a numpy array ("np") or a tensor ("pt")."""
        if return_tensors is None:
            return cls(data)
        if return_tensors not in ("np", "pt"):
            raise ValueError(f"return_tensors {return_tensors!r} is not 'np', 'pt' or None")
        try:
            arrays = {key: np.stack([np.asarray(value) for value in values]) for key, values in data.items()}
        except ValueError:
            raise ValueError(
                "texts or images of different sizes do not make one array: set padding=True or do_pad=True, "
                "or leave return_tensors out"
            ) from None
        if return_tensors == "np":
            return cls(arrays)
        import torch

        return cls({key: torch.from_numpy(array) for key, array in arrays.items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r} is not one of {', '.join(self)}") from None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the batch with every tensor moved, as by `Tensor.to`."""
        return type(self)({k: v.to(*args, **kwargs) if is_tensor(v) else v for k, v in self.items()})
