"""Where the model stopped reading a text; the tokenizer that says so is opened only if the caller allows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.overview import look_at
from pipeline.reporting.ranked import Ranked
from pipeline.reporting.truncation import TruncatedText, truncated_texts, words_read
from tests.pipeline.reporting.outputs import write_output
from vilt.common.folder import ZOO

LONG = "a large red square left of a small blue circle " * 6


@pytest.mark.parametrize(
    ("text", "read"),
    [("one two three four", "one two"), ("one two", "one two"), ("", ""), ("  ", "  "), (" a\nb c", " a\nb")],
)
def test_whole_words(text: str, read: str) -> None:
    assert text[: words_read(text, lambda beginning: len(beginning.split()) > 2)] == read


def test_a_first_word_that_is_too_long() -> None:
    assert words_read("abcdef g", lambda beginning: len(beginning) > 3) == 0


def shown(folder: Path, access: Access) -> tuple[list[TruncatedText], str]:
    view = look_at(str(folder), StorageConfig())
    return truncated_texts(view, Ranked(), StorageConfig(), access)


def test_of_a_shipped_model(tmp_path: Path) -> None:
    columns = {"row_id": [1, 2], "text": [LONG, "a star"], "score": [0.5, 0.6], "text_truncated": [True, False]}
    write_output(tmp_path / "out", columns, text="text", id="id")
    found, note = shown(tmp_path / "out", Access())
    assert note == ""
    [text] = found
    assert (text.row_id, text.read + text.lost) == ("1", LONG)
    assert len(text.read.split()) == 38, "40 tokens, two of which are no words"


def test_a_model_that_may_not_be_opened(tmp_path: Path) -> None:
    """A stranger's results name a checkpoint on this machine."""
    columns = {"row_id": [1], "text": [LONG], "score": [0.5], "text_truncated": [True]}
    out = Path(write_output(tmp_path / "out", columns, text="text", id="id"))
    shutil.copytree(ZOO / "scenes", tmp_path / "model")
    summary = json.loads((out / "_summary.json").read_text())
    for model in (str(tmp_path / "model"), f"zoo://../../{tmp_path.name}/model", "zoo://scenes/../scenes"):
        summary["lineage"]["vilt.model"] = model
        (out / "_summary.json").write_text(json.dumps(summary))
        [text], note = shown(out, Access())
        assert (text.read, text.lost) == (LONG, "")
        assert note.endswith(f"--allow {model}")
    summary["lineage"]["vilt.model"] = str(tmp_path / "model")
    (out / "_summary.json").write_text(json.dumps(summary))
    [text], note = shown(out, Access([str(tmp_path)]))
    assert (len(text.read.split()), note) == (38, "")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    summary["lineage"]["vilt.model"] = str(tmp_path / "broken")
    (out / "_summary.json").write_text(json.dumps(summary))
    [text], note = shown(out, Access([str(tmp_path)]))
    assert text.lost == ""
    assert note.startswith("Where each text was cut is not shown: ")


def test_texts_of_a_table_that_may_not_be_opened(tmp_path: Path) -> None:
    write_output(tmp_path / "out", {"row_id": [1], "score": [0.5], "text_truncated": [True]}, text="text", id="id")
    found, note = shown(tmp_path / "out", Access())
    assert found == []
    assert note.startswith("The texts are left out: they are in ")


def test_texts_that_the_results_carry_need_no_look_at_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ids are not read for them: a table may have many."""

    def fail(*_: object) -> None:
        raise AssertionError("the table was read")

    monkeypatch.setattr("pipeline.reporting.pictures.find_ids", fail)
    monkeypatch.setattr("pipeline.reporting.pictures.open_files", fail)
    columns = {"row_id": [1], "text": [LONG], "score": [0.5], "text_truncated": [True]}
    write_output(tmp_path / "out", columns, path=str(tmp_path / "table"), text="text", id="id")
    [text], note = shown(tmp_path / "out", Access([str(tmp_path / "table")]))
    assert (len(text.read.split()), note) == (38, "")
