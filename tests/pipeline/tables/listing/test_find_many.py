"""A folder of many folders is listed once, and its files are those that fsspec finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipeline.tables.file_columns import ListedFiles
from pipeline.tables.input_file import listed_file
from pipeline.tables.listing.find_many import MANY_FOLDERS, find_below


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
    monkeypatch.setattr("pipeline.tables.listing.find_many.MANY_FILES", MANY_FOLDERS)
    path = folder_of_folders(tmp_path, MANY_FOLDERS)
    found, expected = find_below(LocalFileSystem(), path), LocalFileSystem().find(path, detail=True)
    assert isinstance(found, ListedFiles)
    assert list(found) == [listed_file(path, one, info) for one, info in expected.items()]


class Paged(LocalFileSystem):
    """A local folder that is listed page by page, as s3fs does it; bucket `b` is the folder `root`."""

    cachable = False

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root, self.pages = root, 0

    def call_s3(self, method: str, **said: Any) -> dict[str, Any]:
        """Return three names at a time; objects that stand for folders too, as some programs write them."""
        assert method == "list_objects_v2"
        self.pages += 1
        found = sorted(path for path in self.root.rglob("*") if str(path.relative_to(self.root)) > "")
        keys = [f"{path.relative_to(self.root)}{'/' if path.is_dir() else ''}" for path in found]
        below = [key for key in keys if key.startswith(said["Prefix"])]
        if "Delimiter" in said:
            deep = {key.removeprefix(said["Prefix"]) for key in below}
            below = [f"{said['Prefix']}{key}" for key in deep if "/" not in key]
            below += {f"{said['Prefix']}{key.partition('/')[0]}/" for key in deep if "/" in key}
        below = sorted(set(below))
        begin = int(said.get("ContinuationToken", 0))
        names, end = below[begin : begin + 3], begin + 3
        files = [name for name in names if name in keys and ("Delimiter" not in said or not name.endswith("/"))]
        files += [name for name in names if name == said["Prefix"] and name not in files]
        return {
            "Contents": [{"Key": key, "Size": (self.root / key).stat().st_size, "ETag": '"e"'} for key in files],
            "CommonPrefixes": [{"Prefix": name} for name in names if name not in files],
            "IsTruncated": end < len(below),
            "NextContinuationToken": str(end),
        }


@pytest.mark.parametrize("many", [5, 1000])
def test_an_object_store_is_listed_page_by_page(tmp_path: Path, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tables.listing.find_many.MANY_FILES", many)
    (tmp_path / "t").mkdir()
    folder_of_folders(tmp_path / "t", 4)
    for number in range(7):
        (tmp_path / "t" / f"flat{number}.parquet").write_bytes(b"x" * number)
    filesystem = Paged(tmp_path)
    found = find_below(filesystem, "b/t")
    assert isinstance(found, ListedFiles) == (many == 5)
    files = list(found) if isinstance(found, ListedFiles) else [listed_file("b/t", one, found[one]) for one in found]
    expected = LocalFileSystem().find(str(tmp_path / "t"), detail=True)
    sizes = {path.removeprefix(f"{tmp_path}/t/"): info["size"] for path, info in expected.items()}
    assert {file.name: file.size for file in files} == sizes
    assert [file.name for file in files] == sorted(sizes)
    assert {file.etag for file in files} == {"e"}
    assert filesystem.pages > 4
