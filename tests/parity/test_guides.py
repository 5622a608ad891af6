"""The examples of the documentation, word for word, on both libraries: only the import changes.

The texts are in `guides/`. Their checkpoints are small ones in folders of the published names, for local folders win
over the hub, and pictures come from here in place of downloads.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState
from PIL import Image

import vilt
from tests.parity.checkpoints import WORDS, write_checkpoint
from tests.vilt.models.test_registry import write_visual_bert, write_vit
from vilt.checkpoints.saving import save_weights

GUIDES = Path(__file__).parent / "guides"
BROKEN = {  # what transformers 4.56.2 cannot run itself, by the error that it raises, and ours unless it can
    "vilt.md: ViltConfig": (ImportError, True),  # the text misspells both names
    "vilt.md: ViltForTokenClassification": (ValueError, True),  # it gives no picture
    "visualbert.md: VisualBertForRegionToPhraseAlignment": (RuntimeError, False),  # positions that are floats
}
REGIONS = 20  # numbers in the features of a region
VOCABULARY = [*WORDS[:5], *(f"[unused{i}]" for i in range(98)), "[MASK]", *WORDS[5:], "cats", "on", "laying", "."]


class Example(NamedTuple):
    """One example; `name` is the file and the heading above it."""

    name: str
    code: str

    @property
    def changed(self) -> str:
        """The example with its imports from this package."""
        return re.sub(r"^from transformers import", "from vilt import", self.code, flags=re.MULTILINE)


def examples() -> list[Example]:
    found = []
    for path in sorted(GUIDES.glob("*.md")):
        for heading, block in re.findall(
            r"^## (\w+)\n+```python\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE
        ):
            found.append(Example(f"{path.name}: {heading}", plain(block)))
    return found


def plain(block: str) -> str:
    """Code without prompts and without what it prints."""
    if ">>>" not in block:
        return block
    lines = [line[4:] for line in block.splitlines() if line.startswith((">>> ", "... "))]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small checkpoints by their published names."""
    folder = tmp_path_factory.mktemp("world")
    for name, kind, extra in (
        ("dandelin/vilt-b32-mlm", "ViltForMaskedLM", {}),
        ("dandelin/vilt-b32-finetuned-vqa", "ViltForQuestionAnswering", {}),
        ("dandelin/vilt-b32-finetuned-coco", "ViltForImageAndTextRetrieval", {}),
        (
            "dandelin/vilt-b32-finetuned-nlvr2",
            "ViltForImagesAndTextClassification",
            {"num_images": 2, "modality_type_vocab_size": 3},
        ),
    ):
        write_checkpoint(folder / name, kind, seed=4, vocab_size=len(VOCABULARY), **extra)
    write_vit(folder / "google/vit-base-patch16-224", "ViTForImageClassification", seed=2)
    write_vit(folder / "google/vit-base-patch16-224-in21k", "ViTForMaskedImageModeling", seed=2)
    small = {"visual_embedding_dim": REGIONS, "vocab_size": len(VOCABULARY), "num_labels": 2, "num_attention_heads": 2}
    small["max_position_embeddings"] = 64
    for name, kinds in (
        ("uclanlp/visualbert-vqa-coco-pre", ("PreTraining", "RegionToPhraseAlignment", "QuestionAnswering")),
        ("uclanlp/visualbert-vqa", ("QuestionAnswering",)),
        ("uclanlp/visualbert-vcr", ("MultipleChoice",)),
        ("uclanlp/visualbert-nlvr2", ("VisualReasoning",)),
    ):
        tensors: dict[str, torch.Tensor] = {}
        for kind in kinds:  # so that no head of a class begins at random
            model = write_visual_bert(folder / name, f"VisualBertFor{kind}", seed=3, hidden_size=32, **small)
            tensors |= model.state_dict()
        save_weights(str(folder / name), tensors)
    tokenizer = vilt.ViltTokenizer.from_vocabulary(VOCABULARY, max_length=512)
    for path in [*folder.glob("dandelin/*"), folder / "google-bert/bert-base-uncased"]:
        tokenizer.save_pretrained(path)
    return folder


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8))


def download(*_: object, **__: object) -> SimpleNamespace:
    """In place of `requests.get`."""
    buffer = io.BytesIO()
    picture().save(buffer, "PNG")
    return SimpleNamespace(raw=io.BytesIO(buffer.getvalue()), content=buffer.getvalue())


def detector() -> ModuleType:
    """In place of torchvision, whose weights would be downloaded: a network of pooled colours."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.flat = torch.nn.AdaptiveAvgPool3d((REGIONS, 1, 1)), torch.nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(x)

    def to_tensor(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image)).permute(2, 0, 1) / 255

    def chained(steps: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def run(image: Any) -> Any:
            for step in steps:
                image = step(image)
            return image

        return run

    def same(*_: object, **__: object) -> Callable[[Any], Any]:
        return lambda value: value

    steps = {"Compose": chained, "Resize": same, "CenterCrop": same, "ToTensor": lambda: to_tensor, "Normalize": same}
    networks = SimpleNamespace(resnet50=lambda **_: Network())
    return module_of("torchvision", models=networks, transforms=SimpleNamespace(**steps))


def module_of(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def run(code: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a script; what it leaves: its variables, and what it printed."""
    pictures = {"test": {"image": [picture()]}}
    for module in (
        module_of("requests", get=download),
        module_of("datasets", load_dataset=lambda _: pictures),
        detector(),
    ):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    regions = torch.randn(4, REGIONS, generator=torch.Generator().manual_seed(5))
    names: dict[str, Any] = {"__name__": "guide", "get_visual_embeddings": lambda _: regions, "image": picture()}
    names["torch"] = torch  # some examples use it without importing it
    drawn, draw = torch.Generator().manual_seed(0), torch.randint  # not by what loading a model has drawn before
    monkeypatch.setattr(torch, "randint", lambda **arguments: draw(**arguments, generator=drawn))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "guide", "exec", dont_inherit=True), names)
    monkeypatch.setattr(torch, "randint", draw)
    return {**names, "printed": printed.getvalue()}


def kept(value: Any) -> Any:
    """What can be compared of a variable; tokens of pictures come in any order."""
    if isinstance(value, torch.Tensor):
        value = value.detach().double()
        return value.sort(1).values if value.ndim == 3 else value
    if isinstance(value, torch.nn.Module):
        return {name: tuple(tensor.shape) for name, tensor in value.state_dict().items()}
    return value if isinstance(value, str | int | float | list) else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_an_example(example: Example, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    lines = list(difflib.unified_diff(example.code.splitlines(), example.changed.splitlines(), n=0, lineterm=""))
    [added] = [line for line in lines if line.startswith("+from")]
    assert len(lines) == 5  # two lines of heading, one of place, one gone, one new
    if example.name in BROKEN:
        error, both = BROKEN[example.name]
        with pytest.raises(error):
            run(example.code, monkeypatch)
        with pytest.raises(error) if both else contextlib.nullcontext():
            run(example.changed, monkeypatch)
        return
    expected, got = run(example.code, monkeypatch), run(example.changed, monkeypatch)
    for name in added.partition("import ")[2].split(", "):
        assert got[name] is getattr(vilt, name)
        assert expected[name] is getattr(transformers, name)
    compared = [name for name, value in expected.items() if kept(value) is not None and not name.startswith("__")]
    assert len(compared) > 1
    for name in compared:
        a, b = kept(got[name]), kept(expected[name])
        if isinstance(b, torch.Tensor):
            assert a.shape == b.shape, name
            assert (a - b).abs().max() <= 1e-4, name
        else:
            assert a == (pytest.approx(b, abs=1e-4) if isinstance(b, float) else b), name


@pytest.mark.filterwarnings("ignore")
def test_fine_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide to visual question answering, with both libraries: both learn the rows, and load what they saved."""
    ours = (GUIDES / "fine_tune_vqa.py").read_text()
    theirs = ours.replace("from vilt import", "from transformers import")
    lines = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), n=0, lineterm="")
    assert [line for line in lines if line.startswith("+from")] == [
        "+from vilt import ViltForQuestionAnswering, ViltProcessor"
    ]
    rows = []
    for i, colour in enumerate(("red", "blue", "black", "white") * 2):
        Image.new("RGB", (80 + i, 64), colour).save(tmp_path / f"{i}.png")
        rows.append({"image": f"{i}.png", "question": "a star ?", "answers": {colour: 1.0, "circle": 0.3}})
    for name, code in (("ours", ours), ("theirs", theirs)):
        folder = tmp_path / name
        write_checkpoint(
            folder / "dandelin/vilt-b32-mlm",
            "ViltForMaskedLM",
            seed=4,
            hidden_size=32,
            num_attention_heads=2,
            num_hidden_layers=2,
            image_size=64,
            hidden_act="gelu",
            vocab_size=len(VOCABULARY),
        )
        vilt.ViltImageProcessor(size={"shortest_edge": 64}).save_pretrained(folder / "dandelin/vilt-b32-mlm")
        vilt.ViltTokenizer.from_vocabulary(VOCABULARY).save_pretrained(folder / "dandelin/vilt-b32-mlm")
        (folder / "questions.json").write_text(json.dumps([{**r, "image": str(tmp_path / r["image"])} for r in rows]))
        monkeypatch.chdir(folder)
        AcceleratorState._reset_state(True)
        torch.manual_seed(0)
        with contextlib.redirect_stdout(io.StringIO()):
            left: dict[str, Any] = {"__name__": "guide"}
            exec(compile(code, "guide", "exec", dont_inherit=True), left)
        assert left["losses"][-1] < left["losses"][0] / 2
        assert [answer for answer, _ in left["predicted"]] == [next(iter(row["answers"])) for row in rows]
        for piped, (answer, score) in zip(left["piped"], left["predicted"], strict=True):
            assert piped["answer"] == answer
            assert piped["score"] == pytest.approx(score, abs=1e-4)
        for library in (vilt, transformers):
            model, info = library.ViltForQuestionAnswering.from_pretrained("vilt_finetuned", output_loading_info=True)
            assert not any(info.values())
            assert model.config.label2id == left["label2id"]
