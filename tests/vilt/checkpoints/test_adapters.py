"""Adapters merged on loading, beside peft's own `merge_and_unload`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

import vilt
from tests.parity.checkpoints import write_checkpoint

LORA = {"target_modules": ["query", "value"], "r": 4, "lora_alpha": 6}
QUERY = "vilt.encoder.layer.0.attention.attention.query"
SHAPE: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 30,
    "num_labels": 5,
    "qkv_bias": True,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_checkpoint(folder, "ViltForQuestionAnswering", seed=3, **SHAPE)
    return folder


def write_adapter(base: Path, folder: Path, config: peft.PeftConfig, **options: Any) -> torch.nn.Module:
    """Train an adapter a little, save it, and load and merge it with peft; the merged model."""
    torch.manual_seed(0)
    adapted = peft.get_peft_model(vilt.ViltForQuestionAnswering.from_pretrained(base), config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    adapted.save_pretrained(folder, **options)
    loaded = peft.PeftModel.from_pretrained(vilt.ViltForQuestionAnswering.from_pretrained(base), folder)
    merged: torch.nn.Module = loaded.merge_and_unload()
    return merged


def assert_same_weights(got: torch.nn.Module, expected: torch.nn.Module) -> None:
    theirs = expected.state_dict()
    assert got.state_dict().keys() == theirs.keys()
    for name, tensor in got.state_dict().items():
        assert torch.allclose(tensor, theirs[name], atol=1e-6), name


@pytest.mark.parametrize(
    "config",
    [
        peft.LoraConfig(**LORA, modules_to_save=["classifier"]),
        peft.LoraConfig(**LORA, use_rslora=True),
        peft.LoraConfig(**LORA, use_dora=True),
        peft.LoraConfig(**LORA, rank_pattern={"value": 2}, alpha_pattern={r"layer\.1\..*query": 3, "value": 5}),
        peft.LoraConfig(**LORA, use_rslora=True, use_dora=True, rank_pattern={"layer.0.attention.attention.query": 8}),
        peft.LoraConfig(**LORA, bias="all"),
        peft.LoraConfig(**LORA, bias="lora_only"),
        peft.LoraConfig(**LORA, lora_bias=True),
        peft.LoraConfig(**LORA, fan_in_fan_out=True),
        peft.LoraConfig(**LORA, init_lora_weights="gaussian", layers_to_transform=[1], layers_pattern="layer"),
        peft.LoraConfig(r=2, target_modules=["word_embeddings", "projection", "key"]),
        peft.LoraConfig(r=2, target_modules=["projection"], use_dora=True),
        peft.LoraConfig(r=2, target_modules="all-linear"),
        peft.IA3Config(
            target_modules=["query", "value", "intermediate.dense"],
            feedforward_modules=["intermediate.dense"],
            modules_to_save=["classifier"],
        ),
    ],
    ids=lambda config: str(sorted((key, value) for key, value in config.to_dict().items() if value))[:50],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_are_those_that_peft_merges(base: Path, tmp_path: Path, config: peft.PeftConfig) -> None:
    expected = write_adapter(base, tmp_path, config)
    assert_same_weights(vilt.ViltForQuestionAnswering.from_pretrained(tmp_path), expected)


def test_torch_files_and_a_config_of_the_model_beside_them(base: Path, tmp_path: Path) -> None:
    expected = write_adapter(base, tmp_path, peft.LoraConfig(**LORA), safe_serialization=False)
    expected.config.save_pretrained(str(tmp_path))  # it does not make the folder one of a whole model
    assert_same_weights(vilt.ViltForQuestionAnswering.from_pretrained(tmp_path), expected)
    assert vilt.open_predictor(str(tmp_path)).weights_sha256 != vilt.open_predictor(str(base)).weights_sha256


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (peft.LoHaConfig(target_modules=["query"]), "of peft_type 'LOHA'; LORA and IA3 are merged here. Save the mer"),
        (peft.LoraConfig(**LORA, init_lora_weights="pissa"), "with init_lora_weights='pissa' is not merged here"),
        (peft.LoraConfig(**LORA, trainable_token_indices=[1]), "with trainable_token_indices="),
        (peft.LoraConfig(**LORA, layer_replication=[(0, 2), (1, 2)]), "with layer_replication="),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_what_is_not_merged_is_refused_by_name(
    base: Path, tmp_path: Path, config: peft.PeftConfig, message: str
) -> None:
    if not getattr(config, "layer_replication", None):
        write_adapter(base, tmp_path, config)
    settings = {**config.to_dict(), "base_model_name_or_path": str(base)}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    (tmp_path / "adapter_config.json").write_text(json.dumps(plain))
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(ValueError, match=message):
        vilt.ViltForQuestionAnswering.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({f"{QUERY}.lora_A.weight": (4, 24)}, r"query\.lora_A has no place there"),
        ({f"{QUERY}.lora_A.weight": (4, 20), f"{QUERY}.lora_B.weight": (24, 4)}, r"query\.lora_A has no place"),
        ({f"{QUERY}.lora_A.weight": (4, 24), f"{QUERY}.lora_B.weight": (24, 3)}, r"query\.lora_A has no place"),
        ({"vilt.nothing.lora_A.weight": (4, 24), "vilt.nothing.lora_B.weight": (24, 4)}, "nothing.lora_A has no pl"),
        ({f"{QUERY}.lora_E": (4, 1)}, r"query\.lora_E, which is not merged here"),
        ({f"{QUERY}.lora_B.bias": (24,)}, r"query\.lora_A has no place there"),
        ({f"{QUERY}.ia3_l": (3, 1)}, r"query\.ia3_l has no place there"),
    ],
    ids=lambda value: value[-25:] if isinstance(value, str) else None,
)
def test_an_adapter_that_does_not_fit_its_base(
    base: Path, tmp_path: Path, tensors: dict[str, tuple[int, ...]], message: str
) -> None:
    import safetensors.torch

    settings = {"peft_type": "LORA", "base_model_name_or_path": str(base)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    named = {f"base_model.model.{name}": torch.ones(shape) for name, shape in tensors.items()}
    safetensors.torch.save_file(named, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=message):
        vilt.ViltForQuestionAnswering.from_pretrained(tmp_path)
