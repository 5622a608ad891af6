"""Tokens and their ids, special and added ones."""

from __future__ import annotations

import copy
import pickle

import pytest

from vilt.processing.tokenizer.tokenizer import SPECIAL_TOKENS, ViltTokenizer

WORDS = [*SPECIAL_TOKENS, "a", "red", "star", "##s"]


@pytest.fixture
def table() -> ViltTokenizer:
    return ViltTokenizer.from_vocabulary(WORDS, max_length=9)


def test_special_tokens(table: ViltTokenizer) -> None:
    assert (table.pad_token, table.unk_token, table.cls_token, table.sep_token, table.mask_token) == SPECIAL_TOKENS
    assert (table.pad_token_id, table.cls_token_id, table.mask_token_id) == (0, 2, 4)
    assert (table.bos_token, table.eos_token_id) == (None, None)
    assert table.all_special_tokens == list(table.special_tokens_map.values())
    assert sorted(table.all_special_ids) == [0, 1, 2, 3, 4]
    table.mask_token = "star"
    assert (table.mask_token, table.mask_token_id) == ("star", 7)
    with pytest.raises(AttributeError, match=r"^'ViltTokenizer' has no attribute 'cls_tokens'$"):
        table.cls_tokens  # noqa: B018


def test_ids_and_tokens(table: ViltTokenizer) -> None:
    assert (table.id("red"), table.token(6), table.token(99)) == (6, "red", "")
    with pytest.raises(KeyError, match="'blue' is not in the vocabulary"):
        table.id("blue")
    assert table.convert_tokens_to_ids(["red", "blue"]) == [6, 1]
    assert table.convert_tokens_to_ids("star") == 7
    assert table.convert_ids_to_tokens(6) == "red"
    assert table.convert_ids_to_tokens([2, 6, 3]) == ["[CLS]", "red", "[SEP]"]
    assert table.convert_ids_to_tokens([2, 6, 3], skip_special_tokens=True) == ["red"]
    assert table.convert_tokens_to_string(["a", "star", "##s"]) == "a stars"


def test_sizes(table: ViltTokenizer) -> None:
    assert (len(table), table.vocab_size, len(table.get_vocab())) == (9, 9, 9)
    assert (table.model_max_length, table.max_len_single_sentence, table.max_len_sentences_pair) == (9, 7, 6)
    table.model_max_length = 20
    assert table.max_length == 20
    assert repr(table) == "ViltTokenizer(vocab_size=9, model_max_length=20)"


def test_added_tokens(table: ViltTokenizer) -> None:
    assert table.add_tokens(["reds"]) == 1
    assert table.add_tokens("<box>", special_tokens=True) == 1
    assert (len(table), table.vocab_size) == (11, 9)
    assert {"reds": 9, "<box>": 10}.items() <= table.get_added_vocab().items()
    assert table("a reds <box>")["input_ids"] == [2, 5, 9, 10, 3]


def test_named_special_tokens(table: ViltTokenizer) -> None:
    assert table.add_special_tokens({"cls_token": "<s>", "additional_special_tokens": ["<box>"]}) == 2
    assert (table.cls_token, table.cls_token_id) == ("<s>", 9)
    with pytest.raises(KeyError, match=r"'class_token' is not one of unk_token, .*, additional_special_tokens"):
        table.add_special_tokens({"class_token": "x"})


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies(table: ViltTokenizer, copied) -> None:  # type: ignore[no-untyped-def]
    other = copied(table)
    assert other("a red stars")["input_ids"] == table("a red stars")["input_ids"] == [2, 5, 6, 7, 8, 3]
