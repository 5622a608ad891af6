"""TSV files, with and without a header line, and with quotes that may be characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas

from tests.pipeline.tables.reading import config, refusal, rows_of


def plain(path: object, **keys: Any) -> list[list[str]]:
    return [[row["image"], row["text"]] for row in rows_of(config(path, **keys))]


def test_conceptual_captions(tmp_path: Path) -> None:
    file = tmp_path / "Train_GCC-training.tsv"
    file.write_text('a man 5\' 10" tall, "so"\thttp://x/0.jpg\nthe second\thttp://x/1.jpg\n')
    rows = [["http://x/0.jpg", 'a man 5\' 10" tall, "so"'], ["http://x/1.jpg", "the second"]]
    assert plain(file, column_names=["text", "image"]) == rows
    line = refusal(file)
    assert "no column 'image'" in line
    assert line.endswith(
        "if its files have no header line, name their columns in input.column_names, as in [text, image]"
    )
    assert "is damaged" in refusal(file, column_names=["text", "image", "third"])
    file.write_text("text\timage\n" + file.read_text())
    assert plain(file) == rows
    assert "its first line names the columns: leave input.column_names out" in refusal(
        file, column_names=["Text", "image"]
    )


def test_quotes_are_asked_for(tmp_path: Path) -> None:
    table = pandas.DataFrame({"image": ["a", "b"], "text": ["plain", 'with a\ttab and "quotes"\nand lines']})
    table.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    assert "if double quotes enclose values, as pandas writes them, set input.quotes=true" in refusal(
        tmp_path / "a.tsv"
    )
    assert plain(tmp_path / "a.tsv", quotes=True) == table.values.tolist()
    (tmp_path / "a.tsv").write_text('image\ttext\na\tplain\na\t"quotes"\n')
    assert "'text' of row 2 begins with a double quote: set input.quotes=true" in refusal(tmp_path / "a.tsv")
    (tmp_path / "a.tsv").write_text('image\ttext\na\t"hello" she said\n')
    assert plain(tmp_path / "a.tsv", quotes=False) == [["a", '"hello" she said']]
    (tmp_path / "a.csv").write_text('a,"b,c"\n')
    assert plain(tmp_path / "a.csv", column_names=["image", "text"]) == [["a", "b,c"]]


def test_keys_of_other_formats(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"image": "a", "text": "b"}\n')
    for keys in ({"column_names": ["image", "text"]}, {"quotes": True}):
        assert "is for CSV and TSV files; " in refusal(tmp_path, **keys)
    for keys in ({"version": 1}, {"timestamp": "2026-01-01"}):
        assert "is jsonl, which keeps no versions: leave the key out" in refusal(tmp_path, **keys)
