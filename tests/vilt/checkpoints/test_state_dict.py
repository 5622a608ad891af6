"""Checkpoints: what is wrong with one is said in one line, and none runs code."""

import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from tests.parity.models import randomise
from vilt import ViltConfig, ViltForImageAndTextRetrieval, ViltForQuestionAnswering
from vilt.checkpoints import state_dict as checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = transformers.ViltConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=64
    )
    randomise(transformers.ViltForImageAndTextRetrieval(config), 0).save_pretrained(tmp_path)
    return tmp_path


def test_a_missing_tensor_is_named(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors["vilt.encoder.layer.0.attention.attention.key.weight"]
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"do not fit: missing encoder\.layer\.0\.attention\.attention\.key\.weight$"):
        ViltForImageAndTextRetrieval.from_pretrained(str(folder))


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    config = ViltConfig.from_pretrained(str(folder))
    config.vocab_size = 30
    config.save_pretrained(str(folder))
    with pytest.raises(ValueError, match=r"word_embeddings\.weight is \(20, 16\), the config says \(30, 16\)"):
        ViltForImageAndTextRetrieval.from_pretrained(str(folder))


def test_a_head_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"missing classifier\.0\.weight.* and 3 more"):
        ViltForQuestionAnswering.from_pretrained(str(folder))


def test_a_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or no safetensors file"):
        ViltForImageAndTextRetrieval.from_pretrained(str(folder))


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors or pytorch_model\.bin"):
        ViltForImageAndTextRetrieval.from_pretrained(str(folder))


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran-code",)


@pytest.mark.parametrize("torch_format", [True, False])
def test_pickled_code_does_not_run(folder: Path, torch_format: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "model.safetensors").unlink()
    if torch_format:
        torch.save({"x": _RunsCode()}, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": _RunsCode()}))
    with pytest.raises(ValueError, match="damaged or holds more than tensors"):
        checkpoints.read(str(folder))
    assert not (folder / "ran-code").exists()


def test_unknown_config_keys_are_kept(folder: Path) -> None:
    config = ViltConfig.from_pretrained(str(folder))
    assert config.architectures == ["ViltForImageAndTextRetrieval"]
    config.save_pretrained(str(folder / "again"))
    assert ViltConfig.from_pretrained(str(folder / "again")) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 10, "num_attention_heads": 3}, "hidden_size 10 is not a multiple of num_attention_heads 3"),
        ({"problem_type": "ranking"}, "problem_type 'ranking' is not one of regression"),
        ({"id2label": [1]}, r"id2label is \[1\]; it is an object of labels"),
    ],
)
def test_an_impossible_config(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViltConfig.from_dict(values)
