"""What processors return: values by name, as lists, arrays or tensors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from vilt.common.outputs import Batch

DATA = {"ids": [[1, 2], [3, 4]], "x": [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)]}


def test_lists_arrays_and_tensors() -> None:
    assert Batch.of(DATA, None) == DATA
    arrays, tensors = Batch.of(DATA, "np"), Batch.of(DATA, "pt")
    assert (arrays["ids"].tolist(), arrays.x.shape, arrays.x.dtype) == (DATA["ids"], (2, 2, 3), np.float32)
    assert isinstance(tensors.ids, torch.Tensor)
    assert torch.equal(tensors.x, torch.from_numpy(arrays.x))


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_rows_of_different_lengths(kind: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Batch.of({"ids": [[1], [2, 3]]}, kind)
    assert str(caught.value) == (
        "texts or images of different sizes do not make one array: set padding=True or do_pad=True, or leave "
        "return_tensors out"
    )


def test_kinds_that_are_not_known() -> None:
    with pytest.raises(ValueError, match=r"^return_tensors 'tf' is not 'np', 'pt' or None$"):
        Batch.of(DATA, "tf")


def test_values_by_name() -> None:
    batch = Batch.of(DATA, "np")
    assert batch.ids is batch["ids"]
    with pytest.raises(AttributeError, match=r"^'pixels' is not one of ids, x$"):
        batch.pixels  # noqa: B018
    assert dict(pickle.loads(pickle.dumps(Batch(a=1)))) == {"a": 1}


def test_tensors_are_moved_and_the_rest_stays() -> None:
    moved = Batch(a=torch.zeros(2), names=["x"]).to(torch.float16)
    assert isinstance(moved, Batch)
    assert (moved.a.dtype, moved.names) == (torch.float16, ["x"])
