"""Files of results become rows of a Lance dataset."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from pipeline.config.storage import StorageConfig
from pipeline.results.lance_results import LanceTarget, ResultsWriter, with_vectors
from pipeline.results.work_folder import WorkFolder


def test_embeddings_have_a_fixed_size_as_an_index_of_vectors_needs(tmp_path: Path) -> None:
    rows = [{"id": 1, "embedding": None}, {"id": 2, "embedding": [0.5, -1]}, {"id": 3, "embedding": [2, 3]}]
    schema = pa.schema({"id": pa.int64(), "embedding": pa.list_(pa.float32())})
    for name, part in (("a", rows[:1]), ("b", rows[1:])):
        pq.write_table(pa.Table.from_pylist(part, schema), tmp_path / name)
    work, files = WorkFolder(LocalFileSystem(), str(tmp_path / "work")), [str(tmp_path / "a"), str(tmp_path / "b")]
    columns = with_vectors(schema, work, files)
    target = LanceTarget.at(LocalFileSystem(), str(tmp_path / "out"), StorageConfig())
    target.overwrite(0, list(enumerate(files)), ResultsWriter(work, "job", "digest", columns))
    dataset = lance.dataset(tmp_path / "out")
    assert dataset.schema.field("embedding").type == pa.list_(pa.float32(), 2)
    assert dataset.to_table().to_pylist() == rows
    nearest = dataset.to_table(nearest={"column": "embedding", "q": [2.0, 2.0], "k": 1})
    assert nearest["id"].to_pylist() == [3]


def test_without_any_embedding_the_columns_stay_as_they_are(tmp_path: Path) -> None:
    schema = pa.schema({"embedding": pa.list_(pa.float32())})
    pq.write_table(pa.table({"embedding": [None]}, schema), tmp_path / "a")
    assert with_vectors(schema, WorkFolder(LocalFileSystem(), str(tmp_path)), [str(tmp_path / "a")]) == schema
    assert with_vectors(pa.schema({"id": pa.int64()}), WorkFolder(LocalFileSystem(), str(tmp_path)), []).names == ["id"]
