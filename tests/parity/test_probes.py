"""The table of lines in `tests.parity.probes`, on both libraries; the last test prints counts by class."""

from __future__ import annotations

import copy
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

import vilt
from tests.parity.family import random_pixels, random_regions, random_visual_bert, random_vit
from tests.parity.models import random_config, random_inputs
from tests.parity.probes import FAMILIES, NAMES, PROBES, Probe

COUNTS: dict[str, Counter[str]] = {}
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "transformers.md"
TOLERANCE = 1e-4


def set_(config: Any, name: str, value: object) -> Any:
    setattr(config, name, value)
    return config


def updated_(config: Any, **values: object) -> Any:
    config.update(values)
    return config


def folder_(saved: Any, tmp: Path, **options: object) -> str:
    saved.save_pretrained(str(tmp), **options)
    return str(tmp)


def saved_(config: Any, kind: Any, tmp: Path, **changes: object) -> Any:
    return kind.from_pretrained(folder_(config, tmp), **changes)


def reloaded_(model: Any, tmp: Path, **options: object) -> Any:
    return type(model).from_pretrained(folder_(model, tmp), **options)


def files_(model: Any, tmp: Path, **options: object) -> list[str]:
    return sorted(os.listdir(folder_(model, tmp / "files", **options))) if (tmp / "files").mkdir() is None else []


def pruned_(model: Any, layer: int = 0) -> Any:
    model.prune_heads({layer: [1]})
    return model


def checkpointed_(model: Any) -> Any:
    model.gradient_checkpointing_enable()
    return model


def resized_(model: Any, count: int) -> Any:
    model.resize_token_embeddings(count)
    return model


def wide_(config: Any) -> Any:
    """Return a config whose heads do not share the hidden size evenly."""
    return set_(copy.deepcopy(config), "hidden_size", 37)


def checkpointing_(config: Any) -> Any:
    """As configs of old say it."""
    config.gradient_checkpointing = True
    return config


HELPERS = (set_, updated_, folder_, saved_, reloaded_, files_, pruned_, resized_, wide_, checkpointed_, checkpointing_)


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    """The models in both libraries, with the same weights, and their inputs."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 4), dtype=np.uint8)
    pictures = {"picture": Image.fromarray(pixels[..., :3]), "four": pixels}
    made: dict[str, Any] = {"x": pictures, "ours": {}, "theirs": {}}
    shape = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "hidden_act": "gelu"}
    for key, make_config, make_inputs in (
        ("m", random_config, random_inputs),
        ("v", random_vit, random_pixels),
        ("b", random_visual_bert, random_regions),
    ):
        config = make_config(Random(key), **shape)
        inputs = make_inputs(config, Random(key), 2)
        if key == "m":  # transformers shuffles the patches of pictures, but not these
            del inputs["pixel_values"]
            inputs |= {"image_embeds": torch.randn(2, 7, 32), "pixel_mask": torch.ones(2, 7)}
        made["x"][key] = inputs
        made["theirs"][key] = getattr(transformers, NAMES[key])(config).eval()
        ours = getattr(vilt, NAMES[key])(getattr(vilt, type(config).__name__)(**config.to_dict()))
        ours.load_state_dict(made["theirs"][key].state_dict())
        made["ours"][key] = ours.eval()
    return made


def run(library: ModuleType, models: Mapping[str, Any], probe: Probe, inputs: Any, tmp: Path) -> Any:
    """What a line gives, or the kind of its error."""
    tmp.mkdir()
    helpers = {helper.__name__: helper for helper in HELPERS}
    names = {"lib": library, "x": inputs, "tmp": tmp, "torch": torch, "json_": json.loads, **helpers}
    named = set(re.findall(r"\b[mvb]\b", probe.line))
    used = {key: copy.deepcopy(model) for key, model in models.items() if key in named}
    try:
        return plain(eval(probe.line, {**names, **used}))
    except Exception as error:
        return f"raises {type(error).__name__}"


def plain(value: Any) -> Any:
    """A value as both libraries can give it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.detach()
    known = (str, int, float, bool, type(None), torch.dtype, torch.device, set)
    return value if isinstance(value, known) else type(value).__name__


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and (a.float() - b.float()).abs().max().item() <= TOLERANCE
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe.about}: {probe.line}"[:110])
def test_a_line_gives_the_same(probe: Probe, world: dict[str, Any], tmp_path: Path) -> None:
    got = run(vilt, world["ours"], probe, world["x"], tmp_path / "ours")
    expected = run(transformers, world["theirs"], probe, world["x"], tmp_path / "theirs")
    count = COUNTS.setdefault(probe.about, Counter())
    count["on purpose" if probe.reason else "same" if same(got, expected) else "differs"] += 1
    assert probe.reason or same(got, expected), f"ours {got!r:.300}\ntheirs {expected!r:.300}"


def test_counts() -> None:
    """Print the tables of counts; `make peers` shows them."""
    families: dict[str, Counter[str]] = {}
    for about, count in COUNTS.items():
        families.setdefault(family_of(about), Counter()).update(count)
    for title, table in (("class", COUNTS), ("family", families)):
        print(f"\n{title:32}{'same':>8}{'on purpose':>12}{'differs':>9}")
        for about, count in sorted(table.items()):
            print(f"{about:32}{count['same']:8}{count['on purpose']:12}{count['differs']:9}")
    reasons = Counter(probe.reason for probe in PROBES if probe.reason)
    print("\nlines  differ on purpose, because")
    for reason, lines in reasons.most_common():
        print(f"{lines:5}  {reason}")
    assert sum(map(Counter.total, COUNTS.values())) <= len(PROBES)


def family_of(name: str) -> str:
    return next(family for start, family in FAMILIES.items() if name.startswith(start))


def test_the_page_for_users_names_every_difference() -> None:
    page = re.sub(r"\s+", " ", PAGE.read_text())
    missing = {probe.reason for probe in PROBES if probe.reason and probe.reason not in page}
    assert not missing, "docs/how-to/transformers.md"
