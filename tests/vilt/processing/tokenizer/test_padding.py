"""How long rows of tokens become."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vilt.processing.tokenizer.padding import Lengths, pad_values


class Strategy(Enum):
    LONGEST = "longest"


@pytest.mark.parametrize(
    ("padding", "truncation", "most", "expected"),
    [
        (False, None, None, ("do_not_truncate", "do_not_pad", 40)),
        (True, True, 9, ("longest_first", "longest", 9)),
        ("max_length", "only_first", None, ("only_first", "max_length", 40)),
        (False, None, 9, ("longest_first", "do_not_pad", 9)),
        (False, False, 9, ("do_not_truncate", "do_not_pad", 9)),
        (True, None, 9, ("do_not_truncate", "longest", 9)),
        (Strategy.LONGEST, "longest_first", 9, ("longest_first", "longest", 9)),
        (None, None, None, ("do_not_truncate", "do_not_pad", 40)),
    ],
)
def test_arguments(padding: Any, truncation: Any, most: int | None, expected: tuple[Any, ...]) -> None:
    found = Lengths.of(padding, truncation, most, 40)
    assert found == (*expected, None)
    assert found.truncates == (expected[0] != "do_not_truncate")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("widest", None, None, 40), "padding 'widest' is not one of True, False, longest, max_length, do_not_pad"),
        (
            (False, "shortest", None, 40),
            "truncation 'shortest' is not one of True, False, longest_first, only_first, only_second, do_not_truncate",
        ),
        (
            (True, True, 10, 40, 8),
            "max_length 10 is no multiple of pad_to_multiple_of 8: rows would be cut to the one and padded to the "
            "other",
        ),
    ],
)
def test_arguments_that_are_wrong(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Lengths.of(*arguments)
    assert str(caught.value) == message


@given(st.integers(0, 50), st.sampled_from([None, 1, 8]))
def test_lengths(longest: int, multiple: int | None) -> None:
    assert Lengths("do_not_truncate", "do_not_pad", 40, multiple).padded(longest) is None
    for padding, length in (("longest", longest), ("max_length", 40)):
        found = Lengths("do_not_truncate", padding, 40, multiple).padded(longest)
        assert found is not None
        assert length <= found < length + (multiple or 1)
        assert found % (multiple or 1) == 0


LONGEST = Lengths("do_not_truncate", "longest", 40, None)
ROWS = {"input_ids": [[5, 6], [7]], "token_type_ids": [[0, 1], [0]], "labels": [[1], [2]]}


@pytest.mark.parametrize("side", ["right", "left"])
def test_several_rows(side: str) -> None:
    found = pad_values(ROWS, LONGEST, side, 9)
    padded = [7, 9] if side == "right" else [9, 7]
    mask = [1, 0] if side == "right" else [0, 1]
    assert dict(found) == {
        "input_ids": [[5, 6], padded],
        "token_type_ids": [[0, 1], [0, 0]],
        "attention_mask": [[1, 1], mask],
        "labels": [[1], [2]],
    }
    assert ROWS["input_ids"] == [[5, 6], [7]], "what was given stays"
    assert "attention_mask" not in pad_values(ROWS, LONGEST, side, 9, attention_mask=False)


def test_a_list_of_single_rows_and_one_row() -> None:
    single = [{"input_ids": [5, 6]}, {"input_ids": [7]}]
    assert pad_values(single, LONGEST, "right", 9)["input_ids"] == [[5, 6], [7, 9]]
    most = Lengths("do_not_truncate", "max_length", 4, None)
    assert dict(pad_values({"input_ids": [5, 6]}, most, "right", 9)) == {
        "input_ids": [5, 6, 9, 9],
        "attention_mask": [1, 1, 0, 0],
    }


def test_what_rows_were_they_stay() -> None:
    arrays = {"input_ids": [np.array([5, 6]), np.array([7])]}
    assert isinstance(pad_values(arrays, LONGEST, "right", 9)["input_ids"], np.ndarray)
    tensors = {"input_ids": [torch.tensor([5, 6]), torch.tensor([7])]}
    assert pad_values(tensors, LONGEST, "right", 9)["input_ids"].tolist() == [[5, 6], [7, 9]]
    assert isinstance(
        pad_values(ROWS | {"labels": [1, 2]}, LONGEST, "right", 9, return_tensors="pt")["labels"], torch.Tensor
    )


def test_rows_without_ids() -> None:
    with pytest.raises(ValueError, match=r"^there are no input_ids to pad, only labels$"):
        pad_values({"labels": [1]}, LONGEST, "right", 9)
