"""The tokenizer, against transformers' BERT tokenizer on the same files."""

from pathlib import Path

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from vilt import ViltProcessor, ViltTokenizer
from vilt.common.storage import ZOO

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


def test_the_processor_pads_as_transformers_does() -> None:
    images = [np.zeros((64, 96, 3), np.uint8), np.zeros((96, 64, 3), np.uint8)]
    texts = ["a red star", "a small blue circle left of a large green square"]
    theirs = transformers.ViltProcessor(transformers.ViltImageProcessor.from_pretrained(SCENES), THEIRS)
    expected = theirs(images, texts, padding=True, return_tensors="pt")
    got = ViltProcessor.from_pretrained(SCENES)(images, texts, padding=True, return_tensors="pt")
    assert set(got) == set(expected)
    for name, tensor in got.items():
        assert np.allclose(tensor.numpy(), expected[name].numpy(), atol=1e-6), name


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


@pytest.mark.parametrize("truncation", [False, True, "only_second"])
def test_pairs_of_texts(truncation: bool | str) -> None:
    pairs = [["a red star", "is there a large green square?"], ["a", "a small blue circle"]]
    kwargs = {"truncation": truncation, "max_length": 9, "padding": True}
    assert dict(OURS(pairs, **kwargs)) == dict(THEIRS(pairs, **kwargs))


def test_decoding_several() -> None:
    rows = OURS(["a red star", "a small blue circle"])["input_ids"]
    processor = ViltProcessor.from_pretrained(SCENES)
    for skip in (False, True):
        assert processor.batch_decode(rows, skip) == THEIRS.batch_decode(rows, skip_special_tokens=skip)
        assert processor.decode(rows[0], skip_special_tokens=skip) == THEIRS.decode(rows[0], skip_special_tokens=skip)


def test_ragged_texts_do_not_make_a_tensor() -> None:
    with pytest.raises(ValueError, match="set padding=True"):
        OURS(["a", "a red star"], return_tensors="pt")
    with pytest.raises(ValueError, match="return_tensors 'tf' is not 'np', 'pt' or None"):
        OURS("a", return_tensors="tf")
