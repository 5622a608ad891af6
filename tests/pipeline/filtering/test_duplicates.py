"""`keep.unique`: of rows with the same image the best one, whatever holds the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig
from pipeline.filtering.duplicates import REASON
from pipeline.filtering.filter_table import filter_table

# Of three rows with picture a: 1 has failed, 2 and 4 are equal. Row 8 has the best picture b, row 6 none above 2.
PICTURES = {0: b"a", 1: b"a", 2: b"a", 3: b"b" * 5000, 4: b"a", 5: None, 6: b"c", 7: None, 8: b"b" * 5000}
SCORES = {0: 1.0, 1: None, 2: 5.0, 3: 3.0, 4: 5.0, 5: 4.0, 6: 2.0, 7: 4.0, 8: 9.0}
UNIQUE = [2, 5, 7, 8]


def kept(folder: Path, images: pa.Array, **keep: Any) -> tuple[list[int], dict[str, int]]:
    """Filter a table of two files."""
    (folder / "table").mkdir(exist_ok=True)
    rows = pa.table({"key": list(PICTURES), "image": images})
    for name, part in (("a", rows.slice(0, 4)), ("b", rows.slice(4))):
        pq.write_table(part, folder / "table" / f"{name}.parquet")
    summary = filter_table(FilterConfig.checked(config(folder, **keep)))
    files = [pq.read_table(folder / "out" / name) for name in summary.files]
    return pa.concat_tables(files)["key"].to_pylist(), summary.dropped


def config(folder: Path, **keep: Any) -> dict[str, Any]:
    (folder / "scores").mkdir(exist_ok=True)
    errors = [None if score else "image_null" for score in SCORES.values()]
    columns = {"row_id": list(SCORES), "score": pa.array(SCORES.values(), pa.float32()), "error": errors}
    pq.write_table(pa.table(columns), folder / "scores" / "part-0.parquet")
    return {
        "input": {"path": f"{folder}/table", "id": "key"},
        "scores": f"{folder}/scores",
        "keep": keep or {"min_score": 3, "unique": "image"},
        "output": {"path": f"{folder}/out", "report": False},
    }


def test_the_best_row_of_each_image_is_kept(tmp_path: Path) -> None:
    keys, dropped = kept(tmp_path, pa.array(PICTURES.values(), pa.binary()))
    assert keys == UNIQUE
    assert dropped == {REASON: 2, "score below 3": 2, "error: image_null": 1}


def test_unique_alone_is_a_condition(tmp_path: Path) -> None:
    keys, _ = kept(tmp_path, pa.array(PICTURES.values(), pa.large_binary()), unique="image")
    assert keys == [2, 5, 6, 7, 8]


def test_structs_of_bytes_and_path(tmp_path: Path) -> None:
    cells = [{"bytes": data, "path": None if data is None else "x.jpg"} for data in PICTURES.values()]
    keys, _ = kept(tmp_path, pa.array(cells))
    assert keys == UNIQUE
    cells[5]["path"] = "elsewhere.jpg"
    (tmp_path / "2").mkdir()
    with pytest.raises(ConfigError, match=r"keep\.unique: a kept row names the image 'elsewhere\.jpg' .* without its"):
        kept(tmp_path / "2", pa.array(cells))


def test_uris_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keep\.unique: column 'image' is string, and images are compared by their"):
        kept(tmp_path, pa.array(["a.jpg"] * len(PICTURES)))
    with pytest.raises(ConfigError, match=r"keep\.unique: the table has no column 'imge'"):
        kept(tmp_path, pa.array(PICTURES.values(), pa.binary()), unique="imge")


def test_images_in_tars(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    with webdataset.TarWriter(str(tmp_path / "table" / "0.tar")) as writer:
        for key, data in PICTURES.items():
            writer.write({"__key__": f"{key}", "json": {"key": key}, **({} if data is None else {"jpg": data})})
    summary = filter_table(FilterConfig.checked(config(tmp_path)))
    assert (summary.kept, summary.dropped[REASON]) == (4, 2)
    samples = webdataset.WebDataset(str(tmp_path / "out" / "kept" / "0.tar"), shardshuffle=False)
    assert [int(sample["__key__"]) for sample in samples] == UNIQUE
