"""URIs: only allowed places are read, and every failure has its reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fetch import Fetcher
from pipeline.reasons import REASONS, Failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = tmp_path / "table"
    (table / "images").mkdir(parents=True)
    (table / "images" / "a b.png").write_bytes(b"picture")
    (table / "big").write_bytes(b"x" * 101)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "table-2").write_bytes(b"secret")
    return table


def test_bytes_in_the_order_of_the_uris(folder: Path) -> None:
    uris = ["images/a b.png", f"{folder}/images/a b.png", f"file://{folder}/images/a%20b.png", "./images/../big"]
    assert Fetcher(str(folder), [], 200).fetch(uris) == [b"picture"] * 3 + [b"x" * 101]


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("images/none.png", "image_missing"),
        ("images", "image_missing"),
        ("big", "image_too_large"),
        ("../secret", "uri_not_allowed"),
        ("images/../../secret", "uri_not_allowed"),
        ("../table-2", "uri_not_allowed"),
        ("/etc/passwd", "uri_not_allowed"),
        ("file:///etc/passwd", "uri_not_allowed"),
        ("file://localhost/etc/passwd", "uri_not_allowed"),
        ("http://169.254.169.254/latest/meta-data", "uri_not_allowed"),
        ("s3://other/key", "uri_not_allowed"),
        ("github://a:b@/x", "uri_not_allowed"),
    ],
)
def test_a_failure_has_its_reason(folder: Path, uri: str, reason: str) -> None:
    [failure, good] = Fetcher(str(folder), [], 100).fetch([uri, "images/a b.png"])
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert failure.reason in REASONS
    assert good == b"picture"


def test_prefixes_can_be_allowed(folder: Path) -> None:
    secret = str(folder.parent / "secret")
    assert Fetcher(str(folder), [str(folder.parent)], 100).fetch([secret]) == [b"secret"]
    fetcher = Fetcher("s3://bucket/table", ["s3://images/2026"], 100)
    assert fetcher.resolve("x/y.jpg") == "s3://bucket/table/x/y.jpg"
    assert fetcher.resolve("S3://images/2026/y.jpg") == "s3://images/2026/y.jpg"
    assert isinstance(fetcher.resolve("s3://images/2027/y.jpg"), Failure)
    assert isinstance(fetcher.resolve("s3://images/2026/../2027/y.jpg"), Failure)
    assert isinstance(fetcher.resolve("/etc/passwd"), Failure)


@given(st.text(alphabet="./a%:\\", max_size=30))
def test_no_spelling_leaves_the_folder(uri: str) -> None:
    found = Fetcher("/data/table", [], 1).resolve(uri)
    assert isinstance(found, Failure) or (found.startswith("/data/table/") and ".." not in found.split("/"))
