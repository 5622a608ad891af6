"""`vilt convert`: the folder it makes loads in transformers and here, and gives the logits of the original."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import transformers
from PIL import Image
from typer.testing import CliRunner

import vilt
from jobs.cli import app
from tests.originals import KINDS, inputs_for, largest_difference, original_state, random_model, save
from tests.parity.checkpoints import WORDS

ZOO = str(Path(vilt.__file__).parent / "zoo" / "scenes")


def convert(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["convert", *map(str, words)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def write(folder: Path, name: str, **config: int) -> torch.nn.Module:
    model, told = random_model(name, **config)
    save(folder / f"{name}.ckpt", original_state(model, KINDS[name]), told)
    return model


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_logits(tmp_path: Path, vocabulary: Path, name: str) -> None:
    model, out, published = write(tmp_path, name), tmp_path / "out", KINDS[name].published
    code, said, _ = convert(tmp_path / f"{name}.ckpt", out, "--tokenizer", vocabulary)
    assert code == 0
    assert said.splitlines()[0] == f"{out}: {published}"
    assert ("itm_score.fc.weight" in said) == KINDS[name].has_itm
    assert "tokenizer" not in said
    theirs, info = getattr(transformers, published).from_pretrained(out, output_loading_info=True)
    assert not any(info.values()), info
    assert theirs.config.architectures == [published]
    ours = getattr(vilt, published).from_pretrained(str(out))
    inputs = inputs_for(model)
    assert largest_difference(theirs, model, inputs) < 1e-4
    assert largest_difference(ours, model, inputs) < 1e-4
    assert transformers.ViltImageProcessor.from_pretrained(out).size == {"shortest_edge": 96}
    assert len(transformers.ViltProcessor.from_pretrained(out).tokenizer) == len(WORDS)


def test_a_predictor_of_the_folder(tmp_path: Path, vocabulary: Path) -> None:
    write(tmp_path, "vqa", num_labels=3)
    (tmp_path / "labels.txt").write_text("red\nblue\nleft\n")
    code, *_ = convert(
        tmp_path / "vqa.ckpt", tmp_path / "out", "--tokenizer", vocabulary, "--labels", tmp_path / "labels.txt"
    )
    assert code == 0
    predictor = vilt.Predictor.from_pretrained(str(tmp_path / "out"))
    [found] = predictor.answer(Image.new("RGB", (100, 100)), "a red star?", top_k=3)
    assert sorted(answer for answer, _ in found) == ["blue", "left", "red"]


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (json.dumps(["a", "b"]), {0: "a", 1: "b"}),
        (json.dumps({"1": "b", "0": "a"}), {0: "a", 1: "b"}),
        ("a\nb c\n", {0: "a", 1: "b c"}),
    ],
)
def test_labels(tmp_path: Path, content: str, labels: dict[int, str]) -> None:
    write(tmp_path, "vqa", num_labels=2)
    (tmp_path / "labels").write_text(content)
    code, said, _ = convert(tmp_path / "vqa.ckpt", tmp_path / "out", "--labels", tmp_path / "labels")
    assert code == 0
    assert said.splitlines()[-1].startswith(f"{tmp_path / 'out'} has no tokenizer yet")
    assert transformers.ViltConfig.from_pretrained(tmp_path / "out").id2label == labels


@pytest.mark.parametrize("in_safetensors", [True, False])
def test_a_published_folder(tmp_path: Path, in_safetensors: bool) -> None:
    model, _ = random_model("pretraining")
    folder = tmp_path / "in"
    model.save_pretrained(folder, safe_serialization=in_safetensors)
    vilt.ViltImageProcessor(size={"shortest_edge": 64}).save_pretrained(str(folder))
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    out = tmp_path / "out"
    assert convert(folder, out)[0] == 0
    assert {file.name for file in out.iterdir()} == {
        "config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt"
    }  # fmt: skip
    theirs = transformers.ViltForMaskedLM.from_pretrained(out)
    assert largest_difference(theirs, model, inputs_for(model)) < 1e-4
    assert vilt.ViltImageProcessor.from_pretrained(str(out)).size == {"shortest_edge": 64}


def test_the_shipped_model_keeps_both_its_heads(tmp_path: Path) -> None:
    assert convert(ZOO, tmp_path / "out")[0] == 0
    both = [vilt.Predictor.from_pretrained(folder, precision="float32") for folder in (ZOO, str(tmp_path / "out"))]
    image = Image.new("RGB", (128, 128), "red")
    first, second = (p.score(image, "a red circle")[0] for p in both)
    assert first == second
    assert both[0].heads.keys() == both[1].heads.keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.ckpt", "out"], "no none.ckpt in '.': the folder has no such file"),
        (["nowhere", "out"], "no config.json in 'nowhere': no such folder"),
        (["cut.ckpt", "out"], "'cut.ckpt' is truncated or damaged: "),
        (["vqa.ckpt", "old"], "'old' already holds a model.safetensors: give a new folder"),
        (["vqa.ckpt", "out", "--tokenizer", "nowhere"], "--tokenizer 'nowhere': the folder has no vocab.txt or "),
        (["vqa.ckpt", "out", "--tokenizer", ZOO], "with the id 149; the model's table of words has 60 rows"),
        (["vqa.ckpt", "out", "--tokenizer", "gaps"], "with the id 98; the model's table of words has 60 rows"),
        (["vqa.ckpt", "out", "--labels", "labels"], "'labels' has 3 labels from 0 to 2; the classifier has 7, from 0"),
        (["vqa.ckpt", "out", "--labels", "broken"], "'broken' is neither a JSON list nor a JSON object"),
        (["retrieval.ckpt", "out", "--labels", "labels"], "'labels': the checkpoint has no classifier"),
        (["odd.ckpt", "out"], "'odd.ckpt' do not fit: the config has no place for classifier.0.weight (3, 3), "),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, words: Sequence[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no waiting for a network
    model = write(tmp_path, "vqa")
    write(tmp_path, "retrieval")
    state = original_state(model, KINDS["vqa"])
    save(tmp_path / "odd.ckpt", {**state, "vqa_classifier.0.weight": torch.zeros(3, 3)}, random_model("vqa")[1])
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "vqa.ckpt").read_bytes()[:2000])
    (tmp_path / "labels").write_text("a\nb\nc\n")
    (tmp_path / "broken").write_text('{"a": ')
    vilt.ViltTokenizer.from_vocabulary(WORDS).save_pretrained("gaps")
    gaps = json.loads((tmp_path / "gaps" / "tokenizer.json").read_text())
    gaps["model"]["vocab"][WORDS[-1]] = 98
    (tmp_path / "gaps" / "tokenizer.json").write_text(json.dumps(gaps))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "model.safetensors").touch()
    code, said, error = convert(*words)
    assert (code, said) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
