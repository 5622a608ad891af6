"""Checkpoints as a stranger may write them: what each does to a good one, and how a job reads it.

`HOSTILE` is by name; `config_changes` and `damaged` are strategies for hypothesis, here and in longer runs.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from tests.vilt.checkpoints.changes import (
    Change,
    adapter,
    config,
    content,
    edit,
    flat_adapter,
    header,
    images,
    lightning,
    model_of_words,
    nested,
    saved,
    tensors,
    torch_file,
    words,
    zipped,
)
from vilt import ViltConfig, ViltForImageAndTextRetrieval, ViltImageProcessor, ViltTokenizer
from vilt.models.registry import open_predictor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]


def write_checkpoint(folder: Path) -> Path:
    """Write a small good checkpoint of ViLT."""
    torch.manual_seed(0)
    config = ViltConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=64
    )
    ViltForImageAndTextRetrieval(config).save_pretrained(folder)
    ViltImageProcessor(size={"shortest_edge": 64}).save_pretrained(folder)
    ViltTokenizer.from_vocabulary(WORDS).save_pretrained(folder)
    return folder


def read(path: Path) -> None:
    """Read a checkpoint as a job does."""
    open_predictor(str(path), "cpu", "float32")


EXPANDING = {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 100_000}
DOUBLING = {
    "type": "Sequence",
    "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 40,
}
ENDLESS = {"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Isolated", "invert": False}
ADDING = {"type": "BertProcessing", "sep": ["[SEP]", 10**9], "cls": ["[CLS]", 2]}

HOSTILE: dict[str, Change] = {
    "a billion labels": config(num_labels=10**9, id2label=None, label2id=None),
    "ten million layers": config(num_hidden_layers=10**7),
    "a thousand layers": config(num_hidden_layers=1000),
    "a width of a billion": config(hidden_size=10**9),
    "a width that is not stored": config(hidden_size=2**17),
    "words that are not stored": config(vocab_size=10**7),
    "images of 2^40 pixels": config(image_size=2**20),
    "a negative size": config(intermediate_size=-8),
    "a size of nothing": config(num_attention_heads=0),
    "a size in words": config(hidden_size="sixteen"),
    "a size in digits": config(num_hidden_layers="1"),
    "a size that is true": config(num_hidden_layers=True),
    "a size with a fraction": config(hidden_size=16.5),
    "no size": config(vocab_size=None),
    "a list for an object": config(id2label=["yes", "no"]),
    "an object for a number": config(hidden_size={"a": 1}),
    "labels that are lists": config(id2label={"0": ["yes"]}),
    "labels without numbers": config(id2label={"yes": "no"}),
    "heads to prune": config(pruned_heads={"0": list(range(10**5))}),
    "an activation that is none": config(hidden_act="__import__"),
    "an activation that is a number": config(hidden_act=7),
    "a dtype that is none": config(dtype="nn"),
    "a key that hides a method": config(to_dict=1),
    "a key that hides the object": config(__dict__={}),
    "no finite number": config(layer_norm_eps=float("nan")),
    "a share of 400 digits": config(hidden_dropout_prob=10**400),
    "a number of 400 digits": config(layer_norm_eps=10**400),
    "a model that is a list": config(model_type=["vilt"] * 10**5),
    "a config that is a list": content("config.json", b"[1]"),
    "a config of lists in lists": content("config.json", b"[" * 10**5),
    "a config of a number with many digits": content("config.json", b'{"hidden_size": ' + b"9" * 10**5 + b"}"),
    "a config of 20 MB": content("config.json", b'{"a": "' + b"x" * 20_000_000 + b'"}'),
    "a config that is no text": content("config.json", b"\xff\xfe\x00"),
    "a picture of ten million pixels a side": images(size={"shortest_edge": 10**7}),
    "a picture of no side": images(size={"shortest_edge": 0}),
    "a size of picture in words": images(size="large"),
    "a size of picture that is a list": images(size=[64] * 10**5),
    "a divisor of nothing": images(size_divisor=0),
    "a deviation of nothing": images(image_std=[0, 0, 0]),
    "a mean of 400 digits": images(image_mean=10**400),
    "many means": images(image_mean=[0.5] * 10**5),
    "an unknown filter": images(resample=99),
    "a switch that is a list": images(do_resize=[]),
    "a normalizer that expands": words(normalizer=EXPANDING),
    "normalizers that double": words(normalizer=DOUBLING),
    "a pattern without end": words(pre_tokenizer=ENDLESS),
    "a special token beyond the table": words(post_processor=ADDING),
    "a word beyond the table": model_of_words(vocab={word: 7 * i for i, word in enumerate(WORDS)}),
    "a vocabulary that is a list": model_of_words(vocab=WORDS),
    "an empty vocabulary": model_of_words(vocab={}),
    "another kind of model": model_of_words(type="Unigram"),
    "a long prefix": model_of_words(continuing_subword_prefix="#" * 10**6),
    "words of any length": model_of_words(max_input_chars_per_word=10**9),
    "no unknown word": model_of_words(unk_token="nothing"),
    "a tokenizer that is a list": content("tokenizer.json", b"[]"),
    "a tokenizer of lists in lists": content("tokenizer.json", b"[" * 10**5),
    "an unknown side": edit("tokenizer_config.json", padding_side="up"),
    "accents in words": edit("tokenizer_config.json", strip_accents="perhaps"),
    "weights of nothing": content("model.safetensors", b""),
    "a header of 2^60 bytes": content("model.safetensors", struct.pack("<Q", 2**60)),
    "a header that says more than there is": header({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4]}}),
    "a header with a huge shape of nothing": header(
        {"a": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}
    ),
    "a header of lists in lists": header(b"[" * 10**5),
    "tensors that overlap": header(
        {name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for name in "abcdefgh"}, b"\0" * 16
    ),
    "weights of whole numbers": tensors(vilt__layernorm__weight=torch.ones(16, dtype=torch.int64)),
    "weights of another shape": tensors(vilt__layernorm__weight=torch.ones(10**6)),
    "an index of another folder": lambda folder: (
        (folder / "model.safetensors").unlink(),
        edit("model.safetensors.index.json", weight_map={"a": "../../x.safetensors"})(folder),
    ),
    "an index that is a list": lambda folder: (
        (folder / "model.safetensors").unlink(),
        edit("model.safetensors.index.json", weight_map=["a"])(folder),
    ),
    "a short pickle": torch_file(lambda: zipped(b"\x80\x02")),
    "a pickle of 60 MB in 60 KB": torch_file(
        lambda: zipped(b"\x80\x02" + b"N0" * 30_000_000 + b"}.", zipfile.ZIP_DEFLATED)
    ),
    "a pickle that asks for 34 GB": torch_file(lambda: zipped(b"\x80\x02]r\xff\xff\xff\x7f.")),
    "a pickle of tuples in tuples": torch_file(lambda: zipped(nested(10**6))),
    "an old pickle of tuples in tuples": torch_file(lambda: nested(10**6)),
    "a tensor of a petabyte": torch_file(lambda: saved({"a": torch.zeros(1).expand(2**40, 2**10)})),
    "a sparse tensor": torch_file(lambda: saved({"a": torch.zeros(10**6, 10**6, layout=torch.sparse_coo)})),
    "a tensor without a name": torch_file(lambda: saved({7: torch.zeros(1)})),
    "no tensors": torch_file(lambda: saved([1, 2])),
    "an adapter of rank 0": adapter(0),
    "an adapter of one dimension": flat_adapter,
    "an adapter with a scale in words": adapter(lora_alpha="much"),
    "an adapter with a scale of 400 digits": adapter(lora_alpha=10**400),
    "an adapter with a pattern without end": adapter(alpha_pattern={"(a+)+$": 1}),
    "an adapter whose base is a private server": adapter(base_model_name_or_path="http://127.0.0.1:9/base"),
    "an adapter whose base is a chain": adapter(base_model_name_or_path="zip://x::file:///etc/passwd"),
    "an adapter whose base is a list": adapter(base_model_name_or_path=["a"]),
}

NUMBERS = st.sampled_from([-1, 0, 1, 2, 16, 10**6, 10**9, 2**63, 10**400, 1.5, 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def config_changes(values: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return some keys of a file with values that may be of no use."""
    return st.dictionaries(st.sampled_from(sorted(values)), VALUES, min_size=1, max_size=3)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return a file with some bytes replaced, cut off or repeated."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(out) - 1)) if out else 0
        kind = draw(st.sampled_from(["byte", "cut", "repeat"]))
        if kind == "byte" and out:
            out[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del out[place:]
        else:
            out[place:place] = out[place : place + 64]
    return bytes(out)


def hyper_parameters_of_a_bomb() -> Any:
    """Return a value that is small in a pickle, and whose `repr` has 2^40 letters."""
    value: Any = ("x",)
    for _ in range(40):
        value = (value, value)
    return value


CKPTS: dict[str, Callable[[], bytes]] = {
    "a short pickle": lambda: zipped(b"\x80"),
    "a pickle of 60 MB in 60 KB": lambda: zipped(b"\x80\x02" + b"N0" * 30_000_000 + b"}.", zipfile.ZIP_DEFLATED),
    "a pickle that asks for 34 GB": lambda: zipped(b"\x80\x02]r\xff\xff\xff\x7f."),
    "a pickle of tuples in tuples": lambda: zipped(nested(10**6)),
    "a directory that lies": lambda: _lying(zipped(pickle.dumps({"state_dict": {}}))),
    "no tensors": lambda: lightning({"a": 1}),
    "a name that is none": lambda: lightning({("a",): torch.zeros(1)}),
    "a storage of many tensors": lambda: lightning(
        {f"n{i}": tensor for tensor in [torch.zeros(10_000)] for i in range(1000)}
    ),
    "a name of a storage that is a bomb": lambda: zipped(pickle.dumps(hyper_parameters_of_a_bomb(), 2)[:-1] + b"Q."),
}


def _lying(data: bytes) -> bytes:
    """Return a zip file whose directory says of the first entry that it has 3 GB."""
    place = data.index(b"PK\x01\x02")
    return data[: place + 20] + struct.pack("<II", 3 * 10**9, 3 * 10**9) + data[place + 28 :]
