"""A real S3 server is listed page by page, and says the same as fsspec."""

from __future__ import annotations

import pytest
import s3fs
from fsspec.implementations.local import LocalFileSystem

from pipeline.storage import pages
from pipeline.storage.pages import has_pages
from pipeline.tables.input_file import etag_of
from pipeline.tables.listing.find_many import find_below


def test_the_pages_of_a_folder(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert s3_server
    monkeypatch.setattr(pages, "NAMES_PER_PAGE", 3)
    s3 = s3fs.S3FileSystem()
    s3.mkdir("pages")
    for name in ("t/a.parquet", "t/b c%2F.parquet", "t/d/e.parquet", "t/d/f/g.parquet", "t/h=1/i.parquet", "other/x"):
        s3.pipe_file(f"pages/{name}", name.encode())
    for number in range(7):
        s3.pipe_file(f"pages/t/k/{number}.parquet", b"x" * number)
    s3.invalidate_cache()
    found, expected = find_below(s3, "pages/t"), s3.find("pages/t", detail=True)
    assert list(found) == sorted(expected)
    for path in expected:
        assert (found[path]["size"], etag_of(found[path])) == (expected[path]["size"], etag_of(expected[path]))
    assert (has_pages(s3), has_pages(LocalFileSystem())) == (True, False)
