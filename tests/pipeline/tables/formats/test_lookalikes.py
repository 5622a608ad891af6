"""Files that are something else than their names say."""

from __future__ import annotations

import pytest

from pipeline.tables.formats.lookalikes import lookalike


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\xff\xfei\0m\0", "UTF-16"),
        ("image,text".encode("utf-16-le"), "UTF-16"),
        ("image,text".encode("utf-16-be"), "UTF-16"),
        (b"\n<!DOCTYPE html>", "HTML"),
        (b"PK\x03\x04", "xlsx"),
        (b"PAR1", "Parquet"),
    ],
)
def test_what_it_is(head: bytes, word: str) -> None:
    assert word in (lookalike(head) or "")


@pytest.mark.parametrize("head", [b"image,text\na,b\n", b"", b'{"a": 1}', b"\xef\xbb\xbfimage", b"\0" * 64])
def test_nothing(head: bytes) -> None:
    assert lookalike(head) is None


def test_its_own_format_is_no_answer() -> None:
    assert lookalike(b"PAR1", "parquet") is None
