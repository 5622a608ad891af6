"""The tokenizer, against transformers' BERT tokenizer on the same files."""

import time
from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from vilt import ViltTokenizer
from vilt.common.folder import ZOO
from vilt.processing.tokenizer import tokenizer as module

SCENES = str(ZOO / "scenes")


THEIRS = transformers.BertTokenizerFast.from_pretrained(SCENES)


OURS = ViltTokenizer.from_pretrained(SCENES)


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_the_same_ids_as_transformers(texts: list[str]) -> None:
    ids, lengths = OURS.ragged(texts)
    expected = THEIRS(texts, truncation=True, max_length=40)["input_ids"]
    assert [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] == expected


def test_words_and_long_texts() -> None:
    ids, lengths = OURS.ragged(["A Large RED circle", "star " * 100])
    assert lengths.tolist() == [6, 40]
    assert ids[0] == OURS.id("[CLS]")
    assert ids[5] == ids[-1] == OURS.id("[SEP]")
    assert ids[1:5].tolist() == [OURS.id(word) for word in ("a", "large", "red", "circle")]


def test_texts_that_lose_their_end_are_told() -> None:
    star, fits = "star ", " ".join(["star"] * 38)
    texts = ["", "a red star", fits, fits + " star", star * 100, star * 10_000, "a" + " " * 60_000, " " * 60_000 + fits]
    *ids, cut = OURS.ragged_and_cut(texts)
    expected = [len(THEIRS(text)["input_ids"]) > 40 for text in texts]
    assert cut.tolist() == expected == [False, False, False, True, True, True, False, False]
    for got, again in zip(ids, OURS.ragged(texts), strict=True):
        assert np.array_equal(got, again)


def test_a_text_of_which_not_all_is_read_loses_its_end() -> None:
    far = module.MOST_CHARACTERS + 10
    *_, cut = OURS.ragged_and_cut([" " * far + "star", " " * far])
    assert cut.tolist() == [True, False]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), min_size=1, max_size=4))
def test_a_text_is_cut_if_it_has_more_tokens(texts: list[str]) -> None:
    *_, cut = OURS.ragged_and_cut(texts)
    assert cut.tolist() == [len(ids) > 40 for ids in THEIRS(texts)["input_ids"]]


def test_no_texts() -> None:
    ids, lengths = OURS.ragged([])
    assert len(ids) == len(lengths) == 0


@pytest.mark.parametrize("drop", [(), ("tokenizer.json",)])
def test_saved_and_loaded_from_either_file(tmp_path: Path, drop: tuple[str, ...]) -> None:
    OURS.save_pretrained(str(tmp_path))
    for name in drop:
        (tmp_path / name).unlink()
    texts = ["is there a large red circle?", "élan vital, 42!"]
    assert np.array_equal(ViltTokenizer.from_pretrained(str(tmp_path)).ragged(texts)[0], OURS.ragged(texts)[0])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": True},
        {"padding": "longest", "return_tensors": "np"},
        {"padding": "max_length", "max_length": 12, "truncation": True, "return_tensors": "pt"},
        {"truncation": True, "max_length": 5},
        {"add_special_tokens": False, "truncation": True, "max_length": 3},
        {"max_length": 4},
        {"max_length": 4, "truncation": "do_not_truncate", "padding": "do_not_pad"},
        {"padding": True, "pad_to_multiple_of": 8, "return_length": True},
        {"padding": True, "return_special_tokens_mask": True, "return_offsets_mapping": True},
        {"return_token_type_ids": False, "return_attention_mask": False, "verbose": False},
        {"truncation": True, "max_length": 5, "stride": 1, "return_overflowing_tokens": True},
        {"truncation": "only_first", "max_length": 5, "return_overflowing_tokens": True, "padding": True},
    ],
)
def test_the_tokenizer_is_called_as_in_transformers(settings: dict[str, object]) -> None:
    for texts in (["a red star", "is there a large green square?"], "a small blue circle"):
        got, expected = OURS(texts, **settings), THEIRS(texts, **settings)
        assert set(got) == set(expected)
        for name in got:
            same = np.array_equal(got[name], expected[name])
            assert same if "return_tensors" in settings else got[name] == expected[name], name
    assert OURS.decode(OURS("a red star")["input_ids"]) == THEIRS.decode(THEIRS("a red star")["input_ids"])


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(["a", "red", "star,", "##", "[SEP]", "é" * 120, "\u0301", "\x00", "   ", "中", "x" * 300]))
)
def test_the_beginning_of_a_long_text_is_all_that_is_read(words: list[str]) -> None:
    long = " ".join([*words, *["small blue circle"] * 3]) + " is it red?" * 1200
    assert len(long) > module.CHARACTERS
    expected = THEIRS(long, truncation=True, max_length=40)["input_ids"]
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        encode = OURS._encode
        patch.setattr(OURS, "_encode", lambda texts, *more: seen.extend(map(len, texts)) or encode(texts, *more))
        assert OURS.ragged([long, "a"])[0][:40].tolist() == expected
        assert OURS(long, truncation=True)["input_ids"] == expected
        assert OURS(long, truncation=True, max_length=7)["input_ids"] == expected[:6] + expected[-1:]
    assert max(seen) <= module.CHARACTERS


def test_a_beginning_with_too_few_tokens_is_read_anew() -> None:
    for filler in (" " * 50_000, "x" * 50_000 + " ", "\u0301" * 50_000, "\n" * 20_000):
        for long in (filler + "is there a red star?", "a " + filler + "star " * 100):
            expected = THEIRS(long, truncation=True, max_length=40)["input_ids"]
            assert OURS.ragged(["red", long, "star"])[0][3:-3].tolist() == expected


def test_a_caption_of_50_megabytes_takes_no_time() -> None:
    caption = "a small red star, " * 3_000_000
    began = time.process_time()
    ids, lengths = OURS.ragged([caption] * 3 + [" " * 50_000_000])
    assert lengths.tolist() == [40, 40, 40, 2]
    assert ids[:5].tolist() == OURS("a small red star")["input_ids"][:5]
    print(f"{time.process_time() - began:.2f} s")


@pytest.mark.parametrize("truncation", [False, True, "only_second"])
def test_pairs_of_texts(truncation: bool | str) -> None:
    pairs = [["a red star", "is there a large green square?"], ["a", "a small blue circle"]]
    kwargs = {"truncation": truncation, "max_length": 9, "padding": True}
    assert dict(OURS(pairs, **kwargs)) == dict(THEIRS(pairs, **kwargs))


def test_ragged_texts_do_not_make_a_tensor() -> None:
    with pytest.raises(ValueError, match="set padding=True"):
        OURS(["a", "a red star"], return_tensors="pt")
    with pytest.raises(ValueError, match="return_tensors 'tf' is not 'np', 'pt' or None"):
        OURS("a", return_tensors="tf")
