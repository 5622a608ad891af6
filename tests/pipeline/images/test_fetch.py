"""URIs: only allowed places are read, and every failure has its reason."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import JobConfig
from pipeline.common.error_codes import REASONS, RETRYABLE, Failure
from pipeline.images.fetch import Fetcher


def fetcher(base: str, allow: list[str], max_bytes: int, **more: Any) -> Fetcher:
    values = {
        "input": {"path": base, "allow": allow, **more},
        "limits": {"image_bytes": max_bytes},
        "model": "m",
        "output": {"path": "/out"},
    }
    return Fetcher(base, JobConfig.parse("score", values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = tmp_path / "table"
    (table / "images").mkdir(parents=True)
    (table / "images" / "a b.png").write_bytes(b"picture")
    (table / "big").write_bytes(b"x" * 101)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "table-2").write_bytes(b"secret")
    (table / "link").symlink_to(tmp_path / "secret")
    (table / "linked").symlink_to(tmp_path)
    os.mkfifo(table / "pipe")
    return table


def test_bytes_in_the_order_of_the_uris(folder: Path) -> None:
    uris = ["images/a b.png", f"{folder}/images/a b.png", f"file://{folder}/images/a%20b.png", "./images/../big"]
    assert fetcher(str(folder), [], 200).fetch(uris) == [b"picture"] * 3 + [b"x" * 101]


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
        ("link", "uri_not_allowed"),
        ("linked/secret", "uri_not_allowed"),
        ("pipe", "image_missing"),
        ("nul\0", "image_missing"),
        ("x" * 300, "image_missing"),
        ("x::file:///etc/passwd", "uri_not_allowed"),
    ],
)
def test_a_failure_has_its_reason(folder: Path, uri: str, reason: str) -> None:
    [failure, good] = fetcher(str(folder), [], 100).fetch([uri, "images/a b.png"])
    assert isinstance(failure, Failure)
    assert failure.reason == reason
    assert failure.reason in REASONS
    assert good == b"picture"


def test_prefixes_can_be_allowed(folder: Path) -> None:
    secret = str(folder.parent / "secret")
    assert fetcher(str(folder), [str(folder.parent)], 100).fetch([secret]) == [b"secret"]
    stores = fetcher("s3://bucket/table", ["s3://images/2026"], 100)
    assert stores.resolve("x/y.jpg") == "s3://bucket/table/x/y.jpg"
    assert stores.resolve("S3://images/2026/y.jpg") == "s3://images/2026/y.jpg"
    assert isinstance(stores.resolve("s3://images/2027/y.jpg"), Failure)
    assert isinstance(stores.resolve("s3://images/2026/../2027/y.jpg"), Failure)
    assert isinstance(stores.resolve("/etc/passwd"), Failure)
    assert stores.resolve("x//y.jpg") == "s3://bucket/table/x//y.jpg", "two keys of one store"


@given(st.text(alphabet="./a%:\\", max_size=30))
def test_no_spelling_leaves_the_folder(uri: str) -> None:
    found = fetcher("/data/table", [], 1).resolve(uri)
    assert isinstance(found, Failure) or (found.startswith("/data/table/") and ".." not in found.split("/"))


def test_links_inside_the_folder_and_a_linked_folder(folder: Path) -> None:
    (folder / "inside").symlink_to(folder / "images")
    (folder.parent / "other-name").symlink_to(folder)
    assert fetcher(str(folder), [], 100).fetch(["inside/a b.png"]) == [b"picture"]
    assert fetcher(str(folder.parent / "other-name"), [], 100).fetch(["images/a b.png"]) == [b"picture"]


def test_a_uri_in_a_table_is_no_chain_of_filesystems(folder: Path) -> None:
    memory = fetcher("memory://table", [], 100)
    [failure] = memory.fetch([f"memory://table/x::file://{folder.parent}/secret"])
    assert isinstance(failure, Failure)
    assert failure.reason == "image_missing"


def test_reasons_that_may_pass_are_reasons() -> None:
    assert {"image_fetch_failed", "fetch_throttled", "fetch_timeout"} == RETRYABLE <= REASONS.keys()
