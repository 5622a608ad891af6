"""Checkpoints: what is wrong with one is said in one line, and none runs code."""

import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from tests.parity.models import randomise
from vilt import (
    Predictor,
    ViltConfig,
    ViltForImageAndTextRetrieval,
    ViltForMaskedLM,
    ViltForQuestionAnswering,
    ViltImageProcessor,
    ViltModel,
    ViltTokenizer,
)
from vilt.checkpoints import state_dict as checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = transformers.ViltConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=64
    )
    randomise(transformers.ViltForImageAndTextRetrieval(config), 0).save_pretrained(tmp_path)
    return tmp_path


def test_what_is_missing_is_initialised_with_one_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = "vilt.encoder.layer.0.attention.attention.key.weight"
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors[key]
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    model, info = ViltForImageAndTextRetrieval.from_pretrained(str(folder), output_loading_info=True)
    [record] = caplog.records
    assert f"newly initialised: {key}." in record.getMessage()
    assert info == {"missing_keys": [key], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    assert 0.01 < model.state_dict()[key].std() < 0.03  # initializer_range


def test_a_predictor_wants_every_tensor(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors["vilt.encoder.layer.0.attention.attention.key.weight"]
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    ViltImageProcessor().save_pretrained(str(folder))
    ViltTokenizer.from_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]).save_pretrained(str(folder))
    with pytest.raises(ValueError, match=r"do not fit: missing encoder\.layer\.0\.attention\.attention\.key\.weight$"):
        Predictor.from_pretrained(str(folder))


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    config = ViltConfig.from_pretrained(str(folder))
    config.vocab_size = 30
    config.save_pretrained(str(folder))
    with pytest.raises(ValueError, match=r"word_embeddings\.weight is \(20, 16\), the config says \(30, 16\)"):
        ViltForImageAndTextRetrieval.from_pretrained(str(folder))
    model = ViltForImageAndTextRetrieval.from_pretrained(str(folder), ignore_mismatched_sizes=True)
    assert model.get_input_embeddings().weight.shape == (30, 16)


def test_a_head_that_is_not_there_is_new(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, info = ViltForQuestionAnswering.from_pretrained(str(folder), num_labels=7, output_loading_info=True)
    assert model.classifier[3].weight.shape == (7, 32)
    assert info["missing_keys"] == [f"classifier.{i}.{part}" for i in (0, 1, 3) for part in ("weight", "bias")]
    assert sorted(info["unexpected_keys"]) == ["rank_output.bias", "rank_output.weight"]
    assert "classifier.0.weight" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"num_hidden_layers": 10_000_000},
            "config.json: num_hidden_layers is 10000000; it is a whole number from 0 to 1000$",
        ),
        ({"num_hidden_layers": "many"}, "num_hidden_layers is 'many'"),
        ({"vocab_size": 10**7}, r"is \(20, 16\), the config says \(10000000, 16\)"),
        ({"vocab_size": -3}, "vocab_size is -3; it is a whole number from 1"),
    ],
)
def test_a_config_that_asks_for_more_than_is_stored(folder: Path, change: dict[str, object], message: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        ViltForImageAndTextRetrieval.from_pretrained(str(folder))


def test_classes_that_the_file_cannot_fill(folder: Path) -> None:
    with pytest.raises(ValueError, match="num_labels is 1000000000; it is a number from 0 to 1000000"):
        ViltForQuestionAnswering.from_pretrained(str(folder), num_labels=10**9)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 10**6}))
    with pytest.raises(ValueError, match=r"dense\.weight is \(8, 16\), the config says \(1000000, 16\)"):
        ViltForQuestionAnswering.from_pretrained(str(folder))


@pytest.mark.parametrize("safe", [True, False])
def test_shards_and_variants(folder: Path, safe: bool) -> None:
    model = ViltForImageAndTextRetrieval.from_pretrained(str(folder))
    out = folder / "out"
    model.half().save_pretrained(out, max_shard_size="5KB", safe_serialization=safe, variant="fp16")
    ending = "safetensors" if safe else "bin"
    assert len(list(out.glob(f"*.fp16-0000?-of-0000?.{ending}"))) > 1
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors or pytorch_model\.bin"):
        ViltForImageAndTextRetrieval.from_pretrained(out)
    ours = ViltForImageAndTextRetrieval.from_pretrained(out, variant="fp16", dtype="auto")
    theirs = transformers.ViltForImageAndTextRetrieval.from_pretrained(
        out, variant="fp16", use_safetensors=safe, dtype="auto"
    )
    assert ours.dtype == theirs.dtype == torch.float16
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    assert ViltForImageAndTextRetrieval.from_pretrained(out, variant="fp16").dtype == torch.float32


def test_an_index_names_files_of_its_folder_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "other.safetensors")
    index = {"weight_map": {"rank_output.bias": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"names the file '\.\./other\.safetensors'; a shard is a file of the same"):
        checkpoints.read(str(folder))


def test_a_tied_decoder_is_saved_once_and_shared(tmp_path: Path) -> None:
    config = ViltConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        tie_word_embeddings=True,
    )
    model = ViltForMaskedLM(config)
    model.save_pretrained(tmp_path)
    names = set(safetensors.torch.load_file(tmp_path / "model.safetensors"))
    assert set(model.state_dict()) - names == {"mlm_score.decoder.weight", "mlm_score.decoder.bias"}
    back, info = ViltForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert back.mlm_score.decoder.weight is back.get_input_embeddings().weight
    assert back.mlm_score.decoder.bias is back.mlm_score.bias
    back.resize_token_embeddings(23)
    assert back.mlm_score.decoder.weight is back.get_input_embeddings().weight
    assert back.mlm_score.bias.shape == (23,)
    assert back.config.vocab_size == 23


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
        ({"problem_type": "ranking"}, "problem_type 'ranking' is not one of regression"),
        ({"id2label": [1]}, r"id2label is \[1\]; it is an object of labels"),
    ],
)
def test_an_impossible_config(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViltConfig.from_dict(values)


def test_heads_that_do_not_share_the_hidden_size(folder: Path) -> None:
    """A config may be changed until a model is made of it; a file is refused when it is read."""
    config = ViltConfig.from_dict({"hidden_size": 10, "num_attention_heads": 3})
    with pytest.raises(ValueError, match=r"^hidden_size 10 is not a multiple of num_attention_heads 3$"):
        ViltModel(config)
    config.save_pretrained(str(folder))
    with pytest.raises(ValueError, match=r"config\.json: hidden_size 10 is not a multiple of num_attention_heads 3$"):
        ViltConfig.from_pretrained(str(folder))
