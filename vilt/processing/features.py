"""The outputs of processors: named lists, arrays or tensors, with the published classes' methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding
from typing_extensions import Self

from vilt.common.outputs import Batch
from vilt.common.tensors import is_tensor


class CharSpan(NamedTuple):
    """The first character and the one behind the last."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """The first token and the one behind the last."""

    start: int
    end: int


class BatchFeature(Batch):
    """An image processor's output: a dict, readable as `batch.pixel_values` too, for `model(**batch)`."""

    def __init__(self, data: Mapping[str, Any] | None = None, tensor_type: str | None = None) -> None:
        super().__init__(data or {})
        self.convert_to_tensors(tensor_type)

    @classmethod
    def of(cls, data: Mapping[str, Sequence[Any]], return_tensors: str | None) -> Self:
        """Return `data` as lists (None), or each list stacked as a numpy array ("np") or a tensor ("pt")."""
        return cls(Batch.of(data, return_tensors))

    @property
    def data(self) -> dict[str, Any]:
        """Return the values by name."""
        return self

    def convert_to_tensors(self, tensor_type: str | None = None) -> Self:
        """Stack every list, in place, as a numpy array ("np") or a tensor ("pt").

        Raises:
            ValueError: Rows of different lengths do not make one array.
        """
        if tensor_type is not None:
            arrays = {key: value for key, value in self.items() if not is_tensor(value)}
            self.update(Batch.of(arrays, str(getattr(tensor_type, "value", tensor_type))))
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move every tensor, in place, as `Tensor.to` does; a dtype is for floats alone, integers keep theirs.

        Args:
            *args: A device or a dtype.
            **kwargs: `device`, `dtype`, `non_blocking`.

        Raises:
            TypeError: The first argument is neither.
        """
        import torch

        first = args[0] if args else kwargs.get("device")
        if first is not None and not isinstance(first, str | int | torch.device | torch.dtype):
            raise TypeError(f"cannot move values to {first!r}; give a device or a dtype")
        device = None if isinstance(first, torch.dtype) else first
        for key, value in self.items():
            if is_tensor(value) and value.is_floating_point():
                self[key] = value.to(*args, **kwargs)
            elif is_tensor(value) and device is not None:
                self[key] = value.to(device, non_blocking=bool(kwargs.get("non_blocking")))
        return self


class BatchEncoding(BatchFeature):
    """A tokenizer's output, which also knows which characters and words each token comes from.

    Args:
        data: The values by name.
        encoding: What the tokenizer found, one for each row; None if nobody knows.
        tensor_type: "np" or "pt" to stack lists.
    """

    _encodings: list[Encoding] | None = None

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
    ) -> None:
        super().__init__(data, tensor_type)
        self._encodings = [encoding] if isinstance(encoding, Encoding) else list(encoding) if encoding else None

    def __getitem__(self, item: Any) -> Any:
        """Return the values of a name, or the encodings of a row's number or of a slice of rows."""
        if isinstance(item, int | slice) and self._encodings is not None:
            return self._encodings[item]
        return {key: self[key][item] for key in self} if isinstance(item, slice) else super().__getitem__(item)

    @property
    def encodings(self) -> list[Encoding] | None:
        """Return the tokenizer's encodings, one for each row."""
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Return whether characters and words are known."""
        return self._encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """Return the number of texts of a row, 1 or 2."""
        return self._encodings[0].n_sequences if self._encodings else None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return a row's tokens."""
        return list(self._rows()[batch_index].tokens)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the word that each token of a row comes from; None for special tokens."""
        return list(self._rows()[batch_index].word_ids)

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Return the text, 0 or 1, that each token of a row comes from; None for special tokens."""
        return list(self._rows()[batch_index].sequence_ids)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return the text that a token comes from: `token_to_sequence(token)` or `(row, token)`."""
        row, token = self._place(batch_or_token_index, token_index)
        found: int | None = row.token_to_sequence(token if token >= 0 else len(row.ids) + token)
        return found

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Return the word that a token comes from: `token_to_word(token)` or `(row, token)`."""
        row, token = self._place(batch_or_token_index, token_index)
        found: int | None = row.token_to_word(token if token >= 0 else len(row.ids) + token)
        return found

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Return the first token of a word and the one behind its last: `word_to_tokens(word)` or `(row, word)`."""
        row, word = self._place(batch_or_word_index, word_index)
        span = row.word_to_tokens(word, sequence_index)
        return TokenSpan(*span) if span is not None else None

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """Return a token's first character and the one behind its last: `token_to_chars(token)` or `(row, token)`."""
        row, token = self._place(batch_or_token_index, token_index)
        span = row.token_to_chars(token)
        return CharSpan(*span) if span is not None else None

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """Return the token that a character is in: `char_to_token(character)` or `(row, character)`."""
        row, char = self._place(batch_or_char_index, char_index)
        found: int | None = row.char_to_token(char, sequence_index)
        return found

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan:
        """Return the first character of a word and the one behind its last: `word_to_chars(word)` or `(row, word)`."""
        row, word = self._place(batch_or_word_index, word_index)
        return CharSpan(*row.word_to_chars(word, sequence_index))

    def char_to_word(self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0) -> int:
        """Return the word that a character is in: `char_to_word(character)` or `(row, character)`."""
        row, char = self._place(batch_or_char_index, char_index)
        found: int = row.char_to_word(char, sequence_index)
        return found

    def _place(self, first: int, second: int | None) -> tuple[Encoding, int]:
        """Return the row and the index in it that one index, of the first row, or two stand for."""
        return (self._rows()[0], first) if second is None else (self._rows()[first], second)

    def _rows(self) -> list[Encoding]:
        """Return the encodings. Raises ValueError if there are none."""
        if self._encodings is None:
            raise ValueError("these values were not made by a tokenizer: their characters and words are not known")
        return self._encodings


def as_lists(values: Any) -> Any:
    """Return arrays and tensors, alone or in lists, as lists of numbers."""
    if is_tensor(values) or isinstance(values, np.ndarray | np.generic):
        return values.tolist()
    return [as_lists(value) for value in values] if isinstance(values, list | tuple) else values
