"""Lengths of rows of tokens: truncated, padded, and stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tokenizers import Encoding

from vilt.common.tensors import is_tensor
from vilt.processing.features import BatchEncoding, as_lists

PADDINGS = {True: "longest", False: "do_not_pad", None: "do_not_pad"}
TRUNCATIONS = {True: "longest_first", False: "do_not_truncate", None: "do_not_truncate"}
STRATEGIES = {
    "padding": ("longest", "max_length", "do_not_pad"),
    "truncation": ("longest_first", "only_first", "only_second", "do_not_truncate"),
}


class Lengths(NamedTuple):
    """The meaning of the arguments `padding`, `truncation` and `max_length` together.

    Attributes:
        strategy: Which text loses its end, "longest_first", "only_first" or "only_second"; "do_not_truncate".
        padding: "longest", "max_length" or "do_not_pad".
        most: Most tokens, or those that rows are padded to.
        multiple: Padded rows are as long as a multiple of this; None of 1.
    """

    strategy: str
    padding: str
    most: int
    multiple: int | None

    @classmethod
    def of(
        cls, padding: Any, truncation: Any, max_length: int | None, model_length: int, multiple: int | None = None
    ) -> Lengths:
        """Read the arguments as transformers does.

        Raises:
            ValueError: A strategy is none, or truncated rows could not be padded to a multiple.
        """
        if max_length is not None and padding is False and truncation is None:
            truncation = True  # a length alone is meant as the most
        padding = _named("padding", PADDINGS, padding)
        strategy = _named("truncation", TRUNCATIONS, truncation)
        most = model_length if max_length is None else max_length
        if multiple and strategy != "do_not_truncate" and padding != "do_not_pad" and most % multiple:
            raise ValueError(
                f"max_length {most} is no multiple of pad_to_multiple_of {multiple}: rows would be cut to the one and "
                "padded to the other"
            )
        return cls(strategy, padding, most, multiple)

    @property
    def truncates(self) -> bool:
        """Return whether texts lose their end."""
        return self.strategy != "do_not_truncate"

    def padded(self, longest: int) -> int | None:
        """Return the tokens that rows are padded to, of which the longest has `longest`; None if they are not."""
        if self.padding == "do_not_pad":
            return None
        length = longest if self.padding == "longest" else self.most
        return -(-length // self.multiple) * self.multiple if self.multiple else length


def _named(what: str, names: Mapping[Any, str], value: Any) -> str:
    """Return the name of a strategy that is given by name or by True or False."""
    name = str(
        names.get(value, getattr(value, "value", value))
        if isinstance(value, bool | None)
        else getattr(value, "value", value)
    )
    if name not in STRATEGIES[what]:
        raise ValueError(f"{what} {value!r} is not one of True, False, {', '.join(STRATEGIES[what])}")
    return name


def pad_encodings(encodings: Sequence[Encoding], lengths: Lengths, side: str, pad_id: int, pad_token: str) -> None:
    """Pad rows in place."""
    length = lengths.padded(max((len(row.ids) for row in encodings), default=0))
    if length is not None:
        for row in encodings:
            row.pad(length, direction=side, pad_id=pad_id, pad_type_id=0, pad_token=pad_token)


def pad_values(
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    lengths: Lengths,
    side: str,
    pad_id: int,
    attention_mask: bool = True,
    return_tensors: str | None = None,
) -> BatchEncoding:
    """Pad what a tokenizer has returned, a row, several rows, or a list of single rows.

    Args:
        values: The rows by name, as lists, arrays or tensors.
        lengths: How long rows become.
        side: "right" or "left".
        pad_id: The id of the token that fills.
        attention_mask: Whether to return a mask.
        return_tensors: "pt", "np", or None for what the rows were.

    Raises:
        ValueError: There are no `input_ids`.
    """
    rows = values if isinstance(values, Mapping) else {key: [each[key] for each in values] for key in values[0]}
    if "input_ids" not in rows:
        raise ValueError(f"there are no input_ids to pad, only {', '.join(rows)}")
    ids = rows["input_ids"]
    if return_tensors is None and len(ids) and not isinstance(ids[0], int | list | tuple):
        return_tensors = "pt" if is_tensor(ids[0]) else "np"
    rows = {key: as_lists(value) for key, value in rows.items()}
    ids = rows["input_ids"]
    one = bool(ids) and isinstance(ids[0], int)
    several = {key: [value] if one else value for key, value in rows.items()}
    if attention_mask and "attention_mask" not in several:
        several["attention_mask"] = [[1] * len(row) for row in several["input_ids"]]
    length = lengths.padded(max((len(row) for row in several["input_ids"]), default=0))
    fill = {"input_ids": pad_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}
    if not attention_mask:
        del fill["attention_mask"]
    for key, value in fill.items():
        if key in several and length is not None:
            several[key] = [_filled(list(row), length, value, side) for row in several[key]]
    if one and return_tensors is None:
        several = {key: value[0] for key, value in several.items()}
    return BatchEncoding(several, tensor_type=return_tensors)


def _filled(row: list[int], length: int, value: int, side: str) -> list[int]:
    """Return a row of at least `length` numbers."""
    more = [value] * (length - len(row))
    return row + more if side == "right" else more + row
