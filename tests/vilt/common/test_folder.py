"""Folders of checkpoints: local, in a filesystem that fsspec opens, or one that ships with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from vilt.common.folder import ZOO, Folder


@pytest.fixture(params=["local", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "new") if request.param == "local" else f"memory://{tmp_path.name}/new"


def test_files_are_written_and_read(uri: str) -> None:
    folder = Folder(uri)
    assert not folder.exists("a.json")
    folder.write("a.json", '{"é": 1}')
    folder.write("b.bin", b"\0\1")
    assert folder.exists("a.json")
    assert (folder.read_json("a.json"), folder.read("b.bin")) == ({"é": 1}, b"\0\1")
    assert (str(folder), folder.stored(), folder.commit_hash) == (uri, None, None)


def test_what_is_not_there(uri: str) -> None:
    folder = Folder(uri)
    with pytest.raises(FileNotFoundError) as caught:
        folder.read("a.json")
    assert str(caught.value) == f"no a.json in {uri!r}: no such folder"
    folder.write("b", b"")
    with pytest.raises(FileNotFoundError) as caught:
        folder.read("a.json")
    assert str(caught.value) == f"no a.json in {uri!r}: the folder has no such file"
    with pytest.raises(FileNotFoundError) as caught:
        Folder(f"{uri}/b").read("a.json")
    assert str(caught.value) == (
        f"no a.json in '{uri}/b': this is a file; `vilt convert` makes a folder of an original checkpoint"
    )


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", b"3", b"[" * 100_000])
def test_what_is_no_object(uri: str, content: bytes) -> None:
    folder = Folder(uri)
    folder.write("a.json", content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        folder.read_json("a.json")
    assert str(caught.value).startswith(f"{uri}/a.json ")
    assert "\n" not in str(caught.value)


def test_the_zoo() -> None:
    assert Folder("zoo://scenes").exists("config.json")
    assert Folder("zoo://scenes").local_path("config.json") == str(ZOO / "scenes" / "config.json")
    assert not Folder("zoo://nothing").exists("config.json")


def test_files_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert Folder(tmp_path).local_path("a") == f"{tmp_path}/a"
    assert Folder(tmp_path).local_path("b") is None
    Folder("memory://here").write("a", b"x")
    assert Folder("memory://here").local_path("a") is None


def test_filesystems_that_are_not_known() -> None:
    with pytest.raises(ValueError, match=r"^cannot open 'gopher://host/a': "):
        Folder("gopher://host/a")
