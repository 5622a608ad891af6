"""What the configs of all families share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from vilt.common.config_checks import MOST_LABELS
from vilt.common.config_values import dtype_named
from vilt.common.configuration import Config
from vilt.common.patch_config import both, check_heads


class ToyConfig(Config):
    model_type: ClassVar[str] = "toy"

    def __init__(self, side: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.side = side


def test_labels() -> None:
    assert ToyConfig().id2label == {0: "LABEL_0", 1: "LABEL_1"}
    config = ToyConfig(id2label={"0": "no", "1": "yes"})
    assert (config.id2label, config.label2id, config.num_labels) == ({0: "no", 1: "yes"}, {"no": 0, "yes": 1}, 2)
    config.num_labels = 2
    assert config.id2label[1] == "yes", "the same number leaves names"
    config.num_labels = 3
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert ToyConfig(num_labels=0).id2label == {}
    found = ToyConfig.from_dict({"side": 5}, id2label={0: "a"})
    assert (found.label2id, found.side) == ({"a": 0}, 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_labels": -1}, f"num_labels is -1; it is a number from 0 to {MOST_LABELS}"),
        ({"num_labels": 10**9}, f"num_labels is 1000000000; it is a number from 0 to {MOST_LABELS}"),
        ({"id2label": ["a"]}, "id2label is ['a']; it is an object of labels"),
        (
            {"problem_type": "guess"},
            "problem_type 'guess' is not one of regression, single_label_classification, multi_label_classification",
        ),
        ({"dtype": "float33"}, "dtype 'float33' is no dtype of torch; name one such as float32, float16 or bfloat16"),
        ({"dtype": "nn"}, "dtype 'nn' is no dtype of torch; name one such as float32, float16 or bfloat16"),
        (
            {"attn_implementation": "flash"},
            'Specified `attn_implementation="flash"` is not supported; it is one of eager, sdpa',
        ),
    ],
)
def test_values_of_no_use(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ToyConfig(**values)
    assert str(caught.value) == message


def test_labels_that_disagree() -> None:
    with pytest.raises(ValueError, match=r"^num_labels is 3, but id2label names 1; leave one of them out$"):
        ToyConfig.from_dict({}, id2label={0: "a"}, num_labels=3)


def test_other_keys_are_kept() -> None:
    config = ToyConfig(side=7, transformers_version="4.0", _attn=1)
    assert config.transformers_version == "4.0"
    config.later = [1]
    assert config.to_dict()["later"] == [1]
    assert ToyConfig(**config.to_dict()) == config
    assert config != ToyConfig(side=7)
    with pytest.raises(AttributeError, match=r"^ToyConfig has no 'sise'$"):
        config.sise  # noqa: B018


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_one_dtype_under_two_names(key: str) -> None:
    config = ToyConfig(**{key: "bfloat16"})
    assert config.dtype == config.torch_dtype == torch.bfloat16
    setattr(config, key, "torch.float16")
    assert config.dtype == torch.float16
    assert config.to_dict()["dtype"] == "float16"
    assert dtype_named("torch.int8") == torch.int8


def test_saved_and_read(tmp_path: Path) -> None:
    config = ToyConfig(side=9, dtype="float16", id2label={0: "a"}, pruned_heads={"1": [2]})
    config.save_pretrained(str(tmp_path))
    read = ToyConfig.from_pretrained(str(tmp_path))
    assert read == config
    assert (read.name_or_path, read.pruned_heads) == (str(tmp_path), {1: [2]})
    stored = json.loads((tmp_path / "config.json").read_text())
    assert (stored["model_type"], stored["dtype"], stored["side"]) == ("toy", "float16", 9)
    assert not any(name.startswith("_") for name in stored)
    read, unused = ToyConfig.from_pretrained(str(tmp_path), side=3, what=1, return_unused_kwargs=True)
    assert (read.side, unused) == (3, {"what": 1})
    assert json.loads(config.to_json_string()).keys() == {
        "side",
        "dtype",
        "id2label",
        "label2id",
        "model_type",
        "pruned_heads",
    }
    with pytest.raises(ValueError, match=r"^push_to_hub: not offered here"):
        config.save_pretrained(str(tmp_path), push_to_hub=True)


def test_checkpoints_of_another_family(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vilt"}')
    with pytest.raises(ValueError, match=r"^'.*' is a checkpoint of model_type 'vilt'; ToyConfig is 'toy'$"):
        ToyConfig.from_pretrained(str(tmp_path))


def test_pairs_and_heads() -> None:
    assert (both(3), both([3, 4]), both((5, 6))) == ((3, 3), (3, 4), (5, 6))
    check_heads(768, 12)
    with pytest.raises(ValueError, match=r"^hidden_size 768 is not a multiple of num_attention_heads 7$"):
        check_heads(768, 7)
