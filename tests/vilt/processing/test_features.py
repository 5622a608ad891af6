"""What processors return, with the characters and words that tokens come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vilt.processing.features import BatchEncoding, BatchFeature, CharSpan, TokenSpan, as_lists
from vilt.processing.tokenizer.tokenizer import SPECIAL_TOKENS, ViltTokenizer

TOKENIZER = ViltTokenizer.from_vocabulary([*SPECIAL_TOKENS, "a", "red", "star", "##s", "?"])
#                        0       1    2      3       4     5    6        7
TEXT = "a red stars?"  # [CLS]   a    red    star    ##s   ?    [SEP]


def test_features_by_name() -> None:
    features = BatchFeature({"x": [[1, 2], [3, 4]], "t": torch.ones(2)})
    assert features.data is features
    assert features.convert_to_tensors(None)["x"] == [[1, 2], [3, 4]]
    assert features.convert_to_tensors("np") is features
    assert features.x.tolist() == [[1, 2], [3, 4]]
    assert isinstance(features.t, torch.Tensor)
    assert isinstance(BatchFeature({"x": [[1]]}, "pt").x, torch.Tensor)
    assert len(BatchFeature()) == 0


def test_features_are_moved_in_place() -> None:
    features = BatchFeature({"x": torch.ones(2), "mask": torch.ones(2, dtype=torch.int64), "n": [1]})
    assert features.to(torch.float16) is features
    assert (features.x.dtype, features.mask.dtype, features.n) == (torch.float16, torch.int64, [1])
    assert features.to("meta").mask.is_meta
    with pytest.raises(TypeError, match=r"^cannot move values to \[1\]; give a device or a dtype$"):
        features.to([1])


def test_what_tokens_come_from() -> None:
    found = TOKENIZER([TEXT, "a"])
    assert found.is_fast
    assert found.n_sequences == 1
    assert found.tokens() == ["[CLS]", "a", "red", "star", "##s", "?", "[SEP]"]
    assert found.tokens(1) == ["[CLS]", "a", "[SEP]"]
    assert found.word_ids() == found.words() == [None, 0, 1, 2, 2, 3, None]
    assert found.sequence_ids() == [None, 0, 0, 0, 0, 0, None]
    assert (found.token_to_word(4), found.token_to_word(0, -3), found.token_to_word(0)) == (2, 2, None)
    assert found.token_to_sequence(1, 1) == 0
    assert (found.word_to_tokens(2), found.word_to_tokens(0, 3), found.word_to_tokens(9)) == (
        TokenSpan(3, 5),
        TokenSpan(5, 6),
        None,
    )
    assert (found.token_to_chars(4), found.token_to_chars(0)) == (CharSpan(10, 11), None)
    assert (found.char_to_token(10), found.char_to_token(1)) == (4, None)
    assert found.word_to_chars(2) == CharSpan(6, 11)
    assert (found.char_to_word(7), found.char_to_word(1, 0)) == (2, 0)


def test_pairs_of_texts() -> None:
    found = TOKENIZER("a", "red star")
    assert found.n_sequences == 2
    assert found.sequence_ids() == [None, 0, None, 1, 1, None]
    assert found.word_to_tokens(1, sequence_index=1) == TokenSpan(4, 5)


def test_rows_by_number() -> None:
    found = TOKENIZER([TEXT, "a"])
    assert found.encodings is not None
    assert found[1].ids == found["input_ids"][1]
    assert [one.ids for one in found[:1]] == found["input_ids"][:1]
    bare = BatchEncoding({"x": [1, 2, 3]})
    assert (bare[1:], bare.n_sequences, bare.encodings) == ({"x": [2, 3]}, None, None)


def test_values_that_no_tokenizer_made() -> None:
    bare = BatchEncoding({"input_ids": [[1]]})
    assert not bare.is_fast
    for ask in (bare.tokens, bare.word_ids, lambda: bare.char_to_token(0)):
        with pytest.raises(
            ValueError, match=r"^these values were not made by a tokenizer: their characters and words are"
        ):
            ask()


@pytest.mark.parametrize(
    ("values", "lists"),
    [
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (torch.tensor([1, 2]), [1, 2]),
        ([np.array([1]), torch.tensor([2])], [[1], [2]]),
        ((np.int64(3), 4), [3, 4]),
        ("text", "text"),
        (None, None),
    ],
)
def test_lists_of_numbers(values: Any, lists: Any) -> None:
    assert as_lists(values) == lists
