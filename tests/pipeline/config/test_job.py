"""Configs: what is right is read, what is wrong is one line that names the key."""

from pathlib import Path

import pytest
import yaml

from pipeline import ConfigError, JobConfig
from pipeline.common.redaction import redacted_text

GOOD = {"input": {"path": "in/", "text": "caption"}, "model": "zoo://scenes", "output": {"path": "out/"}}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    return str(path)


def test_a_file_with_overrides(file: str) -> None:
    config = JobConfig.load("score", file, ["output.path=s3://b/o", "limits.image_pixels=1000", "input.columns=[a, b]"])
    assert config.tasks == ["score"]
    assert config.input.image == "image"
    assert config.output.path == "s3://b/o"
    assert config.limits.image_pixels == 1000
    assert config.input.columns == ["a", "b"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("input.imge=x", "input.imge: unknown key; did you mean 'image'? the keys here are path, image, text"),
        ("modl=x", "modl: unknown key; did you mean 'model'? the keys here are input, texts, model, output"),
        ("top_k=zero", "top_k: 'zero' is wrong; input should be a valid integer"),
        ("top_k=0", "top_k: 0 is wrong; input should be greater than or equal to 1"),
        (
            "precision=half",
            "precision: 'half' is wrong; input should be 'auto', 'float32', 'bfloat16', 'int8' or 'float8'",
        ),
        ("input=5", "input: 5 is wrong"),
        ("input.path=", "input.path: None is wrong; input should be a valid string"),
        ("output.path=in", "output.path: 'in' is in the input's folder 'in/'"),
        ("output.path=in/scores", "output.path: 'in/scores' is in the input's folder 'in/'"),
        ("nonsense", "'nonsense' is not key=value, as in output.path=scores/"),
        ("model.name=x", "model.name: model is a str, it has no key 'name'"),
        ("top_k=[", "top_k: the value is not YAML: "),
        ("task=score", "tasks: 'score', but the command is answer: use `vilt run`"),
        ("input.text=5", "input.text: 5 is wrong; input should be a valid string"),
        ("input.text={score: a}", "input.text: names score; the tasks are answer"),
        ("input.text={scor: a}", "input.text: 'scor' is wrong; input should be 'score', 'answer', 'fill'"),
        ("model={answer: 5}", "model: 5 is wrong; input should be a valid string"),
        (
            "input.allow=[./photos/]",
            "input.allow: './photos/' matches no image, since it is neither an absolute path nor a URL: write '/",
        ),
        ("input.allow=[~/photos/]", "input.allow: '~/photos/' matches no image"),
        ("input.image=[a, b]", "input.image: ['a', 'b'] are several columns; answer reads one image"),
    ],
)
def test_what_is_wrong_is_one_line(file: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobConfig.load("answer", file, [override])
    assert message in redacted_text(str(caught.value)), "the line that is shown"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [],
            "tasks: missing; add `task: score` to the file (or answer, fill, reason, tag, embed, classify, rank), or",
        ),
        (["task=scoer"], "tasks: 'scoer' is wrong; input should be 'score', 'answer'"),
        (["tasks=[]"], "tasks: [] is wrong; list should have at least 1 item"),
        (["tasks=[score, score]"], "tasks: score, score: name each once"),
        (["tasks=[score, reason]"], "tasks: reason reads several images a row; run it in a job of its own"),
        (["tasks=[score]", "task=answer"], "task: give either task or tasks"),
    ],
)
def test_tasks_of_the_file(file: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobConfig.load(None, file, overrides)
    assert message in str(caught.value)
    both = JobConfig.load(None, file, ["tasks=[score, answer]", "input.text={score: caption, answer: question}"])
    assert both.text_columns == ["caption", "question"]
    assert both.models == {"zoo://scenes": ["score", "answer"]}
    assert JobConfig.load(None, file, ["task=fill"]).tasks == ["fill"]


def test_a_missing_key_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("input: {path: x}\nmodel: m\n")
    with pytest.raises(ConfigError, match="output: missing; it is the section 'output', with the keys path, ov"):
        JobConfig.load("score", str(path))
    path.write_text("input: {path: x}\nmodel: m\noutput: {}\n")
    with pytest.raises(ConfigError, match=r"output\.path: missing; it is the folder for the Parquet files"):
        JobConfig.load("score", str(path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "output.join=true",
            "output.join, though a file of the input may be divided among shards",
        ),
        (
            "output.format=delta",
            "output.format=delta, a table that one run at a time may change",
        ),
        (
            "output.format=lance",
            "output.format=lance, a table that one run at a time may change",
        ),
        ("output.format=webdataset", "output.format=webdataset: leave it out, and give each run its own tars"),
    ],
)
def test_what_shards_cannot_write(file: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        JobConfig.load("score", file, ["output.path=out", "input.shard=0/2", override])
    assert f"input.shard: given with {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "not YAML"), ("- 1", "holds list"), ("", "holds NoneType"), (None, "no such file")],
)
def test_files_that_are_no_config(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "job.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        JobConfig.load("score", str(path))


def test_the_hash_is_of_what_changes_results(file: str) -> None:
    first = JobConfig.load("score", file).sha256
    for free in ("output.path=elsewhere", "actors.count=3", "batch.tokens=4096", "input.version=3", "decode=exact"):
        assert JobConfig.load("score", file, [free]).sha256 == first
    for bound in ("model=other", "precision=float32", "input.text=t", "limits.image_bytes=7", "decode=fast"):
        assert JobConfig.load("score", file, [bound]).sha256 != first
