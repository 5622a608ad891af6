"""The published API of processors and tokenizer, line by line on ours and on transformers'.

One line is one row of a table: what a user writes, run on both, compared. What differs on purpose has a test of its
own.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.vilt.processing.test_published_images import FOUR, RGB, WIDE, Line, same
from vilt import ViltImageProcessor, ViltProcessor, ViltTokenizer
from vilt.common.folder import ZOO
from vilt.processing.features import BatchEncoding, BatchFeature

SCENES = str(ZOO / "scenes")
A, B, LONG = "A red star!", "is there a large green square?", "small blue circle left of " * 12
WORDS = [["a", "red", "stars"], ["is", "there", "a", "square"]]

TOKENIZER: dict[str, Line] = {
    "vocab_size": lambda t: t.vocab_size,
    "len": lambda t: len(t),
    "get_vocab": lambda t: t.get_vocab(),
    "vocab": lambda t: t.vocab,
    "get_added_vocab": lambda t: t.get_added_vocab(),
    "added_tokens_encoder": lambda t: t.added_tokens_encoder,
    "added_tokens_decoder": lambda t: {i: token.content for i, token in t.added_tokens_decoder.items()},
    "model_max_length": lambda t: t.model_max_length,
    "padding_side": lambda t: t.padding_side,
    "truncation_side": lambda t: t.truncation_side,
    "model_input_names": lambda t: list(t.model_input_names),
    "is_fast": lambda t: t.is_fast,
    "do_lower_case": lambda t: t.do_lower_case,
    "max_len_single_sentence": lambda t: t.max_len_single_sentence,
    "max_len_sentences_pair": lambda t: t.max_len_sentences_pair,
    "num_special_tokens_to_add": lambda t: (t.num_special_tokens_to_add(), t.num_special_tokens_to_add(True)),
    "special tokens": lambda t: (t.cls_token, t.sep_token, t.pad_token, t.unk_token, t.mask_token, t.bos_token),
    "special ids": lambda t: (t.cls_token_id, t.sep_token_id, t.pad_token_id, t.unk_token_id, t.mask_token_id),
    "no bos": lambda t: (t.bos_token_id, t.eos_token, t.eos_token_id),
    "pad_token_type_id": lambda t: t.pad_token_type_id,
    "all_special_ids": lambda t: sorted(t.all_special_ids),
    "all_special_tokens": lambda t: sorted(t.all_special_tokens),
    "special_tokens_map": lambda t: dict(t.special_tokens_map),
    "tokenize": lambda t: t.tokenize(A),
    "tokenize with special": lambda t: t.tokenize(A, add_special_tokens=True),
    "tokenize a pair": lambda t: t.tokenize(A, B, add_special_tokens=True),
    "encode": lambda t: t.encode(A),
    "encode a pair": lambda t: t.encode(A, B, max_length=9, truncation=True),
    "encode without special": lambda t: t.encode(A, add_special_tokens=False),
    "encode as tensor": lambda t: t.encode(A, return_tensors="pt"),
    "encode_plus": lambda t: dict(t.encode_plus(A, B)),
    "batch_encode_plus": lambda t: dict(t.batch_encode_plus([A, B], padding=True)),
    "batch_encode_plus of pairs": lambda t: dict(t.batch_encode_plus([(A, B), (B, A)])),
    "decode": lambda t: t.decode(t.encode(A)),
    "decode without special": lambda t: t.decode(t.encode(A), skip_special_tokens=True),
    "decode one": lambda t: t.decode(7),
    "decode a tensor": lambda t: t.decode(t(A, return_tensors="pt")["input_ids"][0]),
    "decode an array": lambda t: t.decode(np.array(t.encode(A))),
    "decode, cleaned": lambda t: t.decode(t.encode("a star . is it red ?"), clean_up_tokenization_spaces=True),
    "batch_decode": lambda t: t.batch_decode([t.encode(A), t.encode(B)], skip_special_tokens=True),
    "batch_decode a tensor": lambda t: t.batch_decode(t([A, B], padding=True, return_tensors="pt")["input_ids"]),
    "convert_tokens_to_ids": lambda t: t.convert_tokens_to_ids(["red", "star", "nowhere"]),
    "convert one token": lambda t: (t.convert_tokens_to_ids("red"), t.convert_tokens_to_ids("nowhere")),
    "convert_ids_to_tokens": lambda t: t.convert_ids_to_tokens([2, 7, 8, 3]),
    "convert ids without special": lambda t: t.convert_ids_to_tokens(t.encode(A), skip_special_tokens=True),
    "convert one id": lambda t: t.convert_ids_to_tokens(7),
    "convert_tokens_to_string": lambda t: t.convert_tokens_to_string(["red", "star", "##s", "!"]),
    "build_inputs_with_special_tokens": lambda t: t.build_inputs_with_special_tokens([7, 8], [9]),
    "create_token_type_ids_from_sequences": lambda t: t.create_token_type_ids_from_sequences([7, 8], [9]),
    "get_special_tokens_mask": lambda t: t.get_special_tokens_mask(t.encode(A), already_has_special_tokens=True),
    "one text": lambda t: t(A),
    "one text in a list": lambda t: t([A]),
    "text_pair": lambda t: t(A, B),
    "text_pair as lists": lambda t: t([A, B], [B, A], padding=True, return_tensors="np"),
    "pairs": lambda t: t([(A, B), (B, A)], padding=True),
    "words": lambda t: t(WORDS[0], is_split_into_words=True),
    "words of several": lambda t: t(WORDS, is_split_into_words=True, padding=True),
    "words of pairs": lambda t: t(WORDS, WORDS[::-1], is_split_into_words=True, padding=True),
    "padding": lambda t: t([A, B], padding=True, return_tensors="pt"),
    "padding to max_length": lambda t: t([A, B], padding="max_length", return_tensors="pt"),
    "padding to a length": lambda t: t([A, B], padding="max_length", max_length=16, truncation=True),
    "padding to a multiple": lambda t: t([A, B], padding=True, pad_to_multiple_of=8),
    "padding to the left": lambda t: t([A, B], padding=True, padding_side="left"),
    "truncation": lambda t: t([A, LONG], truncation=True),
    "truncation to a length": lambda t: t(LONG, truncation=True, max_length=8),
    "max_length alone": lambda t: t(LONG, max_length=8),
    "longest_first": lambda t: t(A, LONG, truncation="longest_first", max_length=12),
    "only_first": lambda t: t(LONG, A, truncation="only_first", max_length=12),
    "only_second": lambda t: t(A, LONG, truncation="only_second", max_length=12),
    "do_not_truncate": lambda t: t(LONG, truncation="do_not_truncate"),
    "overflow": lambda t: t(LONG, truncation=True, max_length=10, stride=3, return_overflowing_tokens=True),
    "overflow of pairs": lambda t: t(
        A, LONG, truncation="only_second", max_length=16, stride=2, return_overflowing_tokens=True, padding=True
    ),
    "offsets": lambda t: t([A, B], return_offsets_mapping=True),
    "special tokens mask": lambda t: t([A, B], return_special_tokens_mask=True, padding=True),
    "length": lambda t: t([A, B], return_length=True),
    "length of one": lambda t: t(A, return_length=True),
    "without masks": lambda t: t(A, return_attention_mask=False, return_token_type_ids=False),
    "special tokens in the text": lambda t: t("a [MASK] star [SEP] red"),
    "empty text": lambda t: t(""),
    "pad": lambda t: t.pad([t(A), t(B)]),
    "pad to tensors": lambda t: t.pad([t(A), t(B)], return_tensors="pt"),
    "pad to a length": lambda t: t.pad({"input_ids": [[2, 7, 3], [2, 3]]}, padding="max_length", max_length=6),
    "pad to a multiple": lambda t: t.pad(t([A, B]), pad_to_multiple_of=16),
    "pad one": lambda t: t.pad(t(A), padding="max_length", max_length=20),
    "pad left": lambda t: t.pad([t(A), t(B)], padding_side="left"),
    "pad tensors": lambda t: t.pad([{"input_ids": torch.tensor([2, 7, 3])}, {"input_ids": torch.tensor([2, 3])}]),
    "pad without a mask": lambda t: t.pad({"input_ids": [[2, 7, 3], [2, 3]]}, return_attention_mask=False),
    "pad special tokens mask": lambda t: t.pad([t(text, return_special_tokens_mask=True) for text in (A, B)]),
    "not padded": lambda t: t.pad(t([A, B]), padding=False),
}  # fmt: skip

ENCODINGS: dict[str, Line] = {
    "tokens": lambda t: t([A, B]).tokens(1),
    "word_ids": lambda t: t([A, B]).word_ids(0),
    "words": lambda t: t([A, B]).words(0),
    "sequence_ids": lambda t: t(A, B).sequence_ids(),
    "n_sequences": lambda t: (t(A).n_sequences, t(A, B).n_sequences),
    "is_fast": lambda t: t(A).is_fast,
    "char_to_token": lambda t: [t(A).char_to_token(i) for i in range(len(A))],
    "char_to_token of a row": lambda t: [t([A, B]).char_to_token(1, i) for i in range(len(B))],
    "char_to_token of the second text": lambda t: [t(A, B).char_to_token(i, sequence_index=1) for i in range(5)],
    "char_to_word": lambda t: [t(A).char_to_word(i) for i in (0, 2, 3, 7)],
    "token_to_chars": lambda t: [t(A).token_to_chars(i) for i in range(5)],
    "token_to_word": lambda t: [t(A).token_to_word(i) for i in (0, 1, 2)],
    "token_to_sequence": lambda t: [t(A, B).token_to_sequence(i) for i in (0, 1, 8)],
    "word_to_tokens": lambda t: [t(A).word_to_tokens(i) for i in range(3)],
    "word_to_chars": lambda t: [t(A).word_to_chars(i) for i in range(3)],
    "spans by name": lambda t: (t(A).word_to_tokens(1).start, t(A).word_to_chars(1).end),
    "encodings": lambda t: [e.ids for e in t([A, B], padding=True).encodings],
    "by number": lambda t: t([A, B], padding=True)[1].tokens,
    "a slice": lambda t: [e.ids for e in t([A, B])[:1]],
    "by attribute": lambda t: t(A).input_ids,
    "keys": lambda t: list(t(A).keys()),
    "convert_to_tensors": lambda t: dict(t([A, B], padding=True).convert_to_tensors("pt")),
    "to a device": lambda t: dict(t(A, return_tensors="pt").to("cpu")),
    "overflow's tokens": lambda t: t(LONG, truncation=True, max_length=9, return_overflowing_tokens=True).tokens(2),
}  # fmt: skip


def tokenizers() -> tuple[ViltTokenizer, Any]:
    return ViltTokenizer.from_pretrained(SCENES), transformers.BertTokenizerFast.from_pretrained(SCENES)


OURS, THEIRS = tokenizers()


@pytest.mark.parametrize("line", TOKENIZER)
def test_tokenizer(line: str) -> None:
    got, expected = TOKENIZER[line](OURS), TOKENIZER[line](THEIRS)
    assert same(got, expected), (got, expected)


@pytest.mark.parametrize("line", ENCODINGS)
def test_encodings(line: str) -> None:
    got, expected = ENCODINGS[line](OURS), ENCODINGS[line](THEIRS)
    assert same(got, expected), (got, expected)


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_sides_are_settings(side: str) -> None:
    ours, theirs = tokenizers()
    for tokenizer in (ours, theirs):
        setattr(tokenizer, side, "left")
    got, expected = (t([A, LONG], padding=True, truncation=True, max_length=12) for t in (ours, theirs))
    assert same(got, dict(expected))


def test_tokens_are_added() -> None:
    ours, theirs = tokenizers()
    for line in (
        lambda t: t.add_tokens(["starlight", "red"]),
        lambda t: t.add_special_tokens({"additional_special_tokens": ["<box>"]}),
        lambda t: (len(t), t.vocab_size, t.get_added_vocab()),
        lambda t: t("a starlight <box> red")["input_ids"],
    ):
        assert same(line(ours), line(theirs))


@pytest.mark.parametrize(
    "moved", [{"dtype": torch.float16}, {"device": "cpu"}, {"device": "cpu", "dtype": torch.bfloat16}]
)
def test_features_are_moved_in_place_and_integers_stay(moved: dict[str, Any]) -> None:
    data = {"pixel_values": torch.zeros(2, 3), "pixel_mask": torch.ones(2, dtype=torch.int64), "labels": ["a"]}
    ours, theirs = BatchFeature(data), transformers.BatchFeature(data)
    assert ours.to(**moved) is ours
    theirs.to(**moved)
    assert {k: getattr(v, "dtype", v) for k, v in ours.items()} == {
        k: getattr(v, "dtype", v) for k, v in theirs.items()
    }
    assert BatchFeature({"x": torch.zeros(1)}).to(torch.float16)["x"].dtype == torch.float16
    with pytest.raises(TypeError, match="cannot move values to"):
        ours.to([1])


def test_outputs_are_copied_and_pickled() -> None:
    encoding = OURS([A, B])
    for other in (copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        assert dict(other) == dict(encoding)
        assert other.tokens(1) == encoding.tokens(1)
    bare = BatchEncoding({"input_ids": [[1]]})
    assert not bare.is_fast
    with pytest.raises(ValueError, match="not made by a tokenizer"):
        bare.tokens()
    with pytest.raises(AttributeError, match="'nothing'"):
        OURS.nothing  # noqa: B018


def test_auto_classes_read_what_we_save(tmp_path: Path) -> None:
    ViltProcessor.from_pretrained(SCENES).save_pretrained(tmp_path)
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(processor, transformers.ViltProcessor)
    got = ViltProcessor.from_pretrained(tmp_path)(
        [RGB, WIDE], [A, LONG], padding=True, truncation=True, return_tensors="pt"
    )
    expected = processor([RGB, WIDE], [A, LONG], padding=True, truncation=True, return_tensors="pt")
    assert same(got, dict(expected))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(tokenizer, transformers.BertTokenizerFast)
    assert tokenizer.model_max_length == OURS.model_max_length
    assert isinstance(transformers.AutoImageProcessor.from_pretrained(tmp_path), transformers.ViltImageProcessor)
    slow = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert slow.get_vocab() == OURS.get_vocab()


def test_we_read_what_they_save(tmp_path: Path) -> None:
    theirs = transformers.ViltProcessor(
        transformers.ViltImageProcessor(size={"shortest_edge": 64}, do_pad=False), THEIRS
    )
    theirs.save_pretrained(tmp_path)
    ours = ViltProcessor.from_pretrained(tmp_path)
    assert (ours.image_processor.size, ours.image_processor.pads) == ({"shortest_edge": 64}, False)
    assert same(ours(RGB, A, return_tensors="pt"), dict(theirs(RGB, A, return_tensors="pt")))
    path = tmp_path / "preprocessor_config.json"
    assert ViltImageProcessor.from_json_file(path) == ours.image_processor
    ours.image_processor.to_json_file(path)
    assert transformers.ViltImageProcessor.from_json_file(path).size == {"shortest_edge": 64}


def test_differences_on_purpose() -> None:
    """Clearer errors, and grey and RGBA arrays that become RGB as pictures do."""
    for wrong, message in (
        ({"truncation": "shortest"}, "truncation 'shortest' is not one of True, False, longest_first"),
        ({"padding": "widest"}, "padding 'widest' is not one of True, False, longest"),
        ({"truncation": True, "padding": True, "max_length": 10, "pad_to_multiple_of": 8}, "10 is no multiple of"),
    ):
        with pytest.raises(ValueError, match=message):
            OURS([A, B], **wrong)
        with pytest.raises(ValueError):  # noqa: PT011
            THEIRS([A, B], **wrong)
    with pytest.raises(TypeError, match="unexpected keyword argument 'trunction'"):
        OURS(A, trunction=True)
    processor = ViltImageProcessor()
    for array in (FOUR, RGB[..., :1], RGB[..., 0]):
        assert processor(array, return_tensors="np")["pixel_values"].shape[1] == 3
    with pytest.raises(ValueError, match="mean has 3 numbers for 4 channels"):
        processor(FOUR, input_data_format="channels_last")
