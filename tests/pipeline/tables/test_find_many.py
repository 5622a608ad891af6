"""A folder of many folders is listed once, and its files are those that fsspec finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.tables.file_columns import ListedFiles
from pipeline.tables.find_many import MANY_FOLDERS, find_below
from pipeline.tables.input_file import listed_file


class Counted(LocalFileSystem):
    """A local filesystem that keeps the folders that were listed."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> Any:
        """List a folder."""
        self.listed.append(path)
        return super().ls(path, detail=detail, **kwargs)


def folder_of_folders(folder: Path, folders: int) -> str:
    for number in range(folders):
        below = folder / f"{number:02d}" / ("deep" if number % 2 else ".")
        below.mkdir(parents=True)
        (below / "a.parquet").write_bytes(b"x" * number)
    (folder / "empty").mkdir()
    (folder / "above.parquet").write_bytes(b"above")
    return str(folder)


@pytest.mark.parametrize("folders", [2, MANY_FOLDERS])
def test_the_files_are_those_that_fsspec_finds(tmp_path: Path, folders: int) -> None:
    path = folder_of_folders(tmp_path, folders)
    found, expected = find_below(LocalFileSystem(), path), LocalFileSystem().find(path, detail=True)
    assert not isinstance(found, ListedFiles)
    assert list(found) == list(expected)
    assert len(found) == folders + 1
    assert [listed_file(path, one, found[one]) for one in found] == [
        listed_file(path, one, expected[one]) for one in expected
    ]


def test_each_folder_of_many_is_listed_once(tmp_path: Path) -> None:
    filesystem, path = Counted(), folder_of_folders(tmp_path, MANY_FOLDERS)
    find_below(filesystem, path)
    assert len(filesystem.listed) == len(set(filesystem.listed))


def test_the_columns_of_very_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.find_many.MANY_FILES", MANY_FOLDERS)
    path = folder_of_folders(tmp_path, MANY_FOLDERS)
    found, expected = find_below(LocalFileSystem(), path), LocalFileSystem().find(path, detail=True)
    assert isinstance(found, ListedFiles)
    assert list(found) == [listed_file(path, one, info) for one, info in expected.items()]
