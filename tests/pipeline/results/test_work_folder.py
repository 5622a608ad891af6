"""A folder of an output: names, small JSON files, part files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import ConfigError
from pipeline.common.row_ranges import RowSet
from pipeline.results.file_footer import FOOTER, ResultFile
from pipeline.results.work_folder import WorkFolder, each, read_part, refuse_delta, write_parquet


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> WorkFolder:
    """An empty folder that does not exist yet."""
    if request.param == "local":
        return WorkFolder(LocalFileSystem(), str(tmp_path / "out"))
    return WorkFolder(MemoryFileSystem(), f"/{tmp_path.name}/out")


def test_a_folder_that_does_not_exist(folder: WorkFolder) -> None:
    assert folder.names() == set()
    assert folder.files() == []
    assert folder.read("a.json") is None
    folder.remove_all()
    refuse_delta(folder)


def test_names_and_json(folder: WorkFolder) -> None:
    folder.filesystem.makedirs(f"{folder.path}/below")
    folder.write("a.json", {"n": 1, "text": "é"})
    folder.filesystem.pipe_file(f"{folder.path}/below/b.json", b"{}")
    assert folder.names() == {"a.json", "below"}
    assert sorted(folder.files()) == ["a.json", "below/b.json"]
    assert folder.read("a.json") == {"n": 1, "text": "é"}
    folder.write("a.json", {})
    assert folder.read("a.json") == {}
    folder.remove(["a.json", "below/b.json"])
    assert folder.files() == []
    folder.write("c.json", {})
    folder.remove_all()
    assert folder.names() == set()


@pytest.mark.parametrize("content", [b"[1]", b"[1", b"\0", b"[" * 5000, b'"x"', b"\xff", b"1" * 5000])
def test_what_is_no_file_of_a_job_is_named(folder: WorkFolder, content: bytes) -> None:
    folder.filesystem.makedirs(folder.path)
    folder.filesystem.pipe_file(f"{folder.path}/job.json", content)
    with pytest.raises(ConfigError, match=r"^'.*job\.json' is not what a job writes: ") as caught:
        folder.read("job.json")
    assert "\n" not in str(caught.value)


def test_a_summary_of_somebody_elses_is_named(folder: WorkFolder) -> None:
    folder.filesystem.makedirs(folder.path)
    folder.write("_summary.json", {"files": 5})
    with pytest.raises(ConfigError, match=r"_summary\.json' is not what a job writes: "):
        folder.read("_summary.json")


def test_parts_and_their_lineage(folder: WorkFolder) -> None:
    folder.filesystem.makedirs(folder.path)
    table = pa.table({"n": [1, 2]})
    footer = ResultFile("other name", RowSet.of_range(0, 4), rows=4)
    metadata = {"vilt.model": "m", FOOTER: footer.to_json(), "other": "x"}
    size = write_parquet(folder.filesystem, f"{folder.path}/p.parquet", [table, table], metadata)
    assert size == folder.filesystem.size(f"{folder.path}/p.parquet")
    assert folder.files() == ["p.parquet"], "nothing half written is left"
    [part] = folder.parts(["p.parquet"])
    assert (part.name, part.rows, part.complete) == ("p.parquet", 4, footer.complete)
    rows, lineage = read_part(folder.filesystem, f"{folder.path}/p.parquet")
    assert rows.equals(pa.concat_tables([table, table]))
    assert (rows.schema.metadata, lineage) == (None, {"vilt.model": "m", "other": "x"})


def test_row_groups_are_compressed(tmp_path: Path) -> None:
    write_parquet(LocalFileSystem(), str(tmp_path / "a"), [pa.table({"n": range(5)})], {})
    assert pq.read_metadata(tmp_path / "a").row_group(0).column(0).compression == "ZSTD"


def test_a_delta_table_is_refused(folder: WorkFolder) -> None:
    folder.filesystem.makedirs(f"{folder.path}/_delta_log")
    folder.filesystem.pipe_file(f"{folder.path}/_delta_log/0.json", b"{}")
    with pytest.raises(ConfigError) as caught:
        refuse_delta(folder)
    assert str(caught.value) == (
        f"output.path: {folder.path!r} holds a Delta table; choose another folder, set output.format=delta, or use "
        "`vilt reindex`"
    )


def test_each_keeps_the_order() -> None:
    assert each(lambda n: n * n, range(50)) == [n * n for n in range(50)]
