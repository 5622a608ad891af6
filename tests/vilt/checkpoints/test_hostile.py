"""Checkpoints of strangers: each ends in one line that names the file, within little memory and time."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vilt.checkpoints import hostile
from vilt.common.errors import CheckpointError
from vilt.models.registry import open_predictor

MOST_MEMORY = 256 * 2**20  # bytes that a checkpoint of some KB may take while it is refused
FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = hostile.write_checkpoint(tmp_path_factory.mktemp("good"))
    hostile.read(folder)  # what is imported and compiled is not the stranger's
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


@contextmanager
def little_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY


def refused(path: Path) -> str:
    """The line with which a checkpoint is refused."""
    with little_memory(), pytest.raises(CheckpointError) as caught:
        hostile.read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1000
    return line


@pytest.mark.parametrize("name", hostile.HOSTILE)
def test_a_folder_is_refused_in_one_line(folder: Path, name: str) -> None:
    hostile.HOSTILE[name](folder)
    assert str(folder) in refused(folder)


@pytest.mark.parametrize("name", hostile.CKPTS)
def test_a_file_of_the_original_project_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(hostile.CKPTS[name]())
    assert str(path) in refused(path)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "tokenizer_config.json"])
@given(data=st.data())
@settings(max_examples=40)
def test_any_value_of_any_key_loads_or_is_refused(good: Path, name: str, data: st.DataObject) -> None:
    path = good / name
    before = path.read_text()
    try:
        values = json.loads(before)
        path.write_text(json.dumps({**values, **data.draw(hostile.config_changes(values))}))
        loads_or_is_refused(good)
    finally:
        path.write_text(before)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=20)
def test_a_damaged_file_loads_or_is_refused(good: Path, name: str, data: st.DataObject) -> None:
    path = good / name
    before = path.read_bytes()
    try:
        path.write_bytes(data.draw(hostile.damaged(before)))
        loads_or_is_refused(good)
    finally:
        path.write_bytes(before)


def loads_or_is_refused(path: Path) -> None:
    """A checkpoint is one that a job can use, or refused in a line."""
    try:
        predictor = open_predictor(str(path), "cpu", "float32")
    except (CheckpointError, FileNotFoundError) as error:
        assert "\n" not in str(error)
    else:
        predictor.preprocessor.tokens(["a b [MASK]" * 50])
