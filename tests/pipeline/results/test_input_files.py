"""Which files of the input results were made from, and what has changed since."""

from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from pipeline.results.input_files import InputFiles
from pipeline.tables.input_file import InputFile

FILES = [InputFile(f"/t/{name}", name, size, "1") for name, size in (("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5))]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    files = InputFiles.of("hash", FILES)
    assert InputFiles.read(LocalFileSystem(), str(tmp_path)) is None
    files.write(LocalFileSystem(), str(tmp_path))
    assert InputFiles.read(LocalFileSystem(), str(tmp_path)) == files


def test_changes_are_named() -> None:
    files = InputFiles.of("", FILES)
    assert files.changes(files) == ""
    now = InputFiles.of("", [InputFile("/t/a", "a", 1, "2"), FILES[1], InputFile("/t/f", "f", 1, "1")])
    assert files.changes(now) == "changed: 'a', gone: 'c', 'd', 'e', new: 'f'"
    assert files.changes(InputFiles("", {})) == "gone: 'a', 'b', 'c' and 2 more files"
