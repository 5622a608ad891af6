"""Images that are text in the table's cell."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pipeline.common.error_codes import REASONS, Failure
from pipeline.images.fetch import DETAIL_CHARS
from pipeline.images.inline import decode_inline
from tests.pipeline.images.test_fetch import fetcher

PICTURE = bytes(range(256)) * 4
BASE64 = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    ("cell", "image"),
    [
        (f"data:image/png;base64,{BASE64}", PICTURE),
        ("DATA:;BASE64,AAAA%2BAAA", base64.b64decode("AAAA+AAA")),
        ("data:,a%20b", b"a b"),
        ("data:image/png;base64,", b""),
        ("photos/a.jpg", None),
        ("s3://bucket/" + "a" * 600 + ".jpg", None),
    ],
)
def test_images(cell: str, image: bytes | None) -> None:
    assert decode_inline(cell, 2000) == image


@pytest.mark.parametrize(
    ("cell", "reason", "detail"),
    [
        (BASE64, "image_missing", "looks like an image in base64, not like a URI"),
        ("data:image/png;base64", "image_corrupt", "is a data URI without a comma"),
        ("data:image/png;base64,abc", "image_corrupt", "is a damaged data URI"),
        (f"data:image/png;base64,{base64.b64encode(PICTURE * 2).decode()}", "image_too_large", "more than 2000 bytes"),
    ],
)
def test_failures(cell: str, reason: str, detail: str) -> None:
    found = decode_inline(cell, 2000)
    assert isinstance(found, Failure)
    assert found.reason == reason
    assert reason in REASONS
    assert detail in found.detail


def test_details_are_short(tmp_path: Path) -> None:
    cells = [BASE64, "x/" * 5000, "http://host/" + "y" * 5000, "data:image/png;base64,AAAA"]
    found = fetcher(str(tmp_path), [], 100).fetch(cells)
    assert found[-1] == bytes(3)
    for failure in found[:-1]:
        assert isinstance(failure, Failure)
        assert len(failure.detail) <= DETAIL_CHARS
