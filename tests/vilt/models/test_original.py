"""Checkpoints of the original project: they load as they are, and none runs code."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import vilt
from tests.originals import KINDS, inputs_for, largest_difference, original_state, random_model, save
from tests.parity.checkpoints import WORDS
from vilt import Predictor
from vilt.models.vilt import original


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model, told = random_model("retrieval")
    save(tmp_path / "x.ckpt", original_state(model, KINDS["retrieval"]), told)
    return tmp_path / "x.ckpt"


def resave(path: Path, change: dict[str, Any], **told: Any) -> None:
    model, own = random_model("retrieval")
    state = {**original_state(model, KINDS["retrieval"]), **change}
    save(path, {name: tensor for name, tensor in state.items() if tensor is not None}, {**own, **told})


@pytest.mark.parametrize("name", KINDS)
def test_logits_are_those_of_the_published_model(tmp_path: Path, name: str) -> None:
    model, told = random_model(name)
    save(tmp_path / "x.ckpt", original_state(model, KINDS[name]), told)
    ours = getattr(vilt, KINDS[name].published).from_pretrained(str(tmp_path / "x.ckpt"))
    assert largest_difference(ours, model, inputs_for(model)) < 1e-4


def test_every_tensor_is_there_once(path: Path) -> None:
    found = original.read(str(path))
    assert found.left_out == ["itm_score.fc.weight", "itm_score.fc.bias"]
    published, _ = random_model("retrieval")
    assert found.tensors.keys() == {name.removeprefix("vilt.") for name in published.state_dict()}
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_config_without_hyper_parameters(tmp_path: Path) -> None:
    model, _ = random_model("nlvr2", hidden_size=128, num_attention_heads=2)
    save(tmp_path / "x.ckpt", original_state(model, KINDS["nlvr2"]), None)
    config = original.read(str(tmp_path / "x.ckpt")).config
    values = config.to_dict()
    for key in ("vocab_size", "type_vocab_size", "modality_type_vocab_size", "max_position_embeddings", "hidden_size",
                "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size", "qkv_bias",
                "num_images", "max_image_length", "layer_norm_eps", "hidden_act"):  # fmt: skip
        assert values[key] == getattr(model.config, key), key
    assert config.id2label == {0: "False", 1: "True"}


def test_pictures_may_be_of_another_size_than_the_position_table(path: Path) -> None:
    resave(path, {}, image_size=128)
    found = original.read(str(path))
    assert (found.config.image_size, found.short_side) == (96, 128)


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran-code",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickled_code_does_not_run(path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    state = original_state(random_model("retrieval")[0], KINDS["retrieval"])
    torch.save({"callbacks": [_RunsCode()], "state_dict": state}, path, pickle_protocol=protocol)
    original.read(str(path))
    torch.save({"state_dict": {**state, "pooler.dense.bias": _RunsCode()}}, path, pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"'pooler\.dense\.bias' in its 'state_dict' is not a tensor"):
        original.read(str(path))
    assert not (path.parent / "ran-code").exists()
    torch.load(path, weights_only=False)  # does run it
    assert (path.parent / "ran-code").exists()


@pytest.mark.parametrize(
    ("change", "told", "message"),
    [
        ({"pooler.dense.bias": torch.zeros(3)}, {}, r"pooler\.dense\.bias is \(3,\), the config says \(32,\)$"),
        (
            {"pooler.dense.bias": torch.zeros(1).expand(10**12)},
            {},
            r"pooler\.dense\.bias is damaged: 1 numbers for the",
        ),
        ({"transformer.pos_embed": None}, {}, r"x\.ckpt': no tensor transformer\.pos_embed; is this a checkpoint"),
        ({"transformer.pos_embed": torch.zeros(3)}, {}, r"transformer\.pos_embed is \(3,\); it has 3 dimensions$"),
        ({}, {"vocab_size": 7}, r"say vocab_size 7, but by text_embeddings\.word_embeddings\.weight it is 60$"),
        ({}, {"num_layers": 3}, r"say num_layers 3, but by transformer\.blocks\.1 it is 2$"),
        ({}, {"mlp_ratio": 4}, r"say mlp_ratio 4, but by transformer\.blocks\.0\.mlp\.fc1\.weight it is 2$"),
        ({}, {"num_heads": "all"}, r"say num_heads 'all'; it is a number from 1$"),
        ({}, {"num_heads": 5}, r"hidden_size 32 is not a multiple of num_attention_heads 5$"),
    ],
)
def test_what_does_not_fit_is_named(path: Path, change: dict[str, Any], told: dict[str, Any], message: str) -> None:
    resave(path, change, **told)
    with pytest.raises(ValueError, match=message):
        vilt.ViltForImageAndTextRetrieval.from_pretrained(str(path))


def test_a_missing_tensor_is_named_and_a_predictor_refuses(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    resave(path, {"pooler.dense.bias": None})
    vilt.ViltForImageAndTextRetrieval.from_pretrained(str(path))
    assert "newly initialised: vilt.pooler.dense.bias." in caplog.text
    words = path.parent / "words"
    vilt.ViltTokenizer.from_vocabulary(WORDS).save_pretrained(str(words))
    with pytest.raises(ValueError, match=r"x\.ckpt' do not fit: missing pooler\.dense\.bias$"):
        vilt.open_predictor(str(path), tokenizer=str(words))


def test_a_predictor_reads_the_file_as_it_is(path: Path) -> None:
    words = path.parent / "words"
    vilt.ViltTokenizer.from_vocabulary(WORDS).save_pretrained(str(words))
    predictor = vilt.open_predictor(str(path), precision="float32", tokenizer=str(words))
    assert isinstance(predictor, Predictor)
    picture = Image.new("RGB", (64, 48), "red")
    processor = vilt.ViltProcessor(predictor.preprocessor.images, predictor.preprocessor.tokenizer)
    model = vilt.ViltForImageAndTextRetrieval.from_pretrained(str(path))
    expected = model(**processor(picture, "a star", return_tensors="pt")).logits[0, 0].item()
    assert predictor.score(picture, "a star")[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kept", [0, 50, 1000, -100])
def test_a_truncated_file(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"x\.ckpt' is (truncated or damaged|no zip file)") as raised:
        original.read(str(path))
    assert "\n" not in str(raised.value)


def test_a_damaged_tensor_is_named(path: Path) -> None:
    bias = torch.full((32,), 123.25)
    resave(path, {"pooler.dense.bias": bias})
    data = path.read_bytes()
    at = data.index(bias.numpy().tobytes())
    path.write_bytes(data[:at] + b"\1" + data[at + 1 :])
    with pytest.raises(ValueError, match=r"x\.ckpt': pooler\.dense\.bias is damaged: Bad CRC"):
        original.read(str(path))


def test_files_that_are_something_else(path: Path) -> None:
    torch.save({"weights": 1}, path)
    with pytest.raises(ValueError, match=r"is no Lightning checkpoint: it holds no 'state_dict'"):
        original.read(str(path))
    torch.save({"state_dict": {}}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"no zip file as torch writes them since version 1\.6"):
        original.read(str(path))
    with pytest.raises(FileNotFoundError, match=r"no none\.ckpt in .*: the folder has no such file"):
        original.read(str(path.with_name("none.ckpt")))


def test_a_predictor_needs_a_folder(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.ckpt': this is a file; `vilt convert` makes a folder"):
        Predictor.from_pretrained(str(path))
