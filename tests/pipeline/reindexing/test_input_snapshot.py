"""Which files are new, and which are gone."""

from __future__ import annotations

from pathlib import Path

from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reindexing.input_snapshot import Editions
from pipeline.tables.format import InputFile

FILES = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3"]))


@given(before=FILES, now=FILES)
def test_new_and_gone(before: dict[str, str], now: dict[str, str]) -> None:
    editions = Editions({name: (f"{version} 10", 1) for name, version in before.items()})
    found = [InputFile(name, name, 10, version) for name, version in now.items()]
    assert {file.name for file in editions.new(found)} == {n for n in now if before.get(n) != now[n]}
    assert editions.gone(found).files.keys() == {n for n in before if now.get(n) != before[n]}
    again = Editions({file.name: (file.version, 1) for file in found})
    assert not again.new(found)
    assert not again.gone(found).files


def test_on_a_storage(tmp_path: Path) -> None:
    for editions in (Editions({"a/ü.parquet": ("x 1", 3), "b": ("y 2", 4)}), Editions.none()):
        editions.write(LocalFileSystem(), str(tmp_path / "e.parquet"))
        assert Editions.read(LocalFileSystem(), str(tmp_path / "e.parquet")) == editions
    assert editions.rows == 0
