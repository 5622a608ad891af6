"""Where checkpoint files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from vilt.common.folder import Folder
from vilt.common.storage import as_folder, read_file


def test_sources(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert as_folder(folder) is folder
    assert as_folder(tmp_path).uri == str(tmp_path)
    assert as_folder(f"{tmp_path}/", {"subfolder": "below"}).uri == f"{tmp_path}/below"


def test_a_file_in_the_folder_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(b"x")
    assert read_file("a") == b"x"


def test_a_file_at_a_uri() -> None:
    Folder("memory://test_a_file_at_a_uri").write("b.bin", b"\0\1")
    assert read_file("memory://test_a_file_at_a_uri/b.bin") == b"\0\1"
