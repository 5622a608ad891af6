"""Formats that are recognised by their marker, and refused."""

from __future__ import annotations

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline import ConfigError
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.tables.formats.unreadable import UnreadableFormat

FORMAT = UnreadableFormat("toy", "a Toy table", "_toy", r"[^/]*\.manifest$")


@pytest.mark.parametrize("path", ["_toy/1.manifest", "a/b/_toy/1.manifest"])
def test_the_marker(path: str) -> None:
    assert FORMAT.marker is not None
    assert FORMAT.marker.search(path)


@pytest.mark.parametrize("path", ["not_toy/1.manifest", "_toy/a/1.manifest", "_toy.manifest", "_toy/1.manifest.bak"])
def test_what_is_no_marker(path: str) -> None:
    assert FORMAT.marker is not None
    assert not FORMAT.marker.search(path)


def test_the_table_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        FORMAT.list_marked(MemoryFileSystem(), "/data/t", InputConfig(path="/data/t"), StorageConfig())
    assert str(caught.value) == (
        "input.path: '/data/t' is a Toy table (_toy/), which is not read yet: its log says which of its files are "
        "the table; export the rows to a folder of Parquet files and name that folder"
    )
