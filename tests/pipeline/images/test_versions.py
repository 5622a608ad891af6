"""Versions of images: as they were when images were read, and as they are now, of each kind of storage."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

from pipeline import JobConfig
from pipeline.images.fetch import Fetcher
from pipeline.images.versions import GONE, VersionFetcher, row_version
from tests.pipeline.images.web_server import Server


def config(base: str, **keys: Any) -> JobConfig:
    values = {
        "input": {"path": base, "verify": "etag", **keys},
        "model": "m",
        "output": {"path": "/out", "format": "delta"},
        "limits": {"fetch_seconds": 3},
    }
    return JobConfig.parse("score", values)


def read(job: JobConfig, *uris: str) -> dict[str, str]:
    """Read images; the versions that they had."""
    fetcher = Fetcher(job.input.path, job)
    found = fetcher.fetch_within(uris, 2**27, [])
    assert not [one for one in found.values() if not isinstance(one, bytes)]
    return {uri: fetcher.versions[uri] for uri in uris if uri in fetcher.versions}


def now(job: JobConfig, *uris: str) -> dict[str, str | None]:
    return VersionFetcher(job.input.path, job).versions_of(uris)


def test_local_files(tmp_path: Path) -> None:
    table, job = tmp_path / "table", config(str(tmp_path / "table"))
    table.mkdir()
    (tmp_path / "secret").write_bytes(b"s")
    for name in ("same", "larger", "touched", "removed"):
        (table / name).write_bytes(b"a")
    (table / "link").symlink_to(table / "same")
    uris = ("same", "larger", "touched", "removed", "link", "data:image/png;base64,aaaa")
    before = read(job, *uris)
    assert before.keys() == set(uris[:5])
    assert now(job, *uris[:5]) == before
    (table / "larger").write_bytes(b"ab")
    os.utime(table / "touched", ns=(1, 1))
    (table / "removed").unlink()
    (table / "link").unlink()
    (table / "link").symlink_to(tmp_path / "secret")
    after = now(job, *uris[:5])
    assert {uri for uri in after if after[uri] != before[uri]} == {"larger", "touched", "removed", "link"}
    assert (after["removed"], after["link"]) == (GONE, GONE)


def test_objects(s3_server: str) -> None:
    assert s3_server
    s3, job = s3fs.S3FileSystem(), config("s3://versions/in")
    s3.mkdir("versions")
    for name in ("same", "other", "removed"):
        s3.pipe_file(f"versions/in/{name}", b"a")
    uris = ("same", "other", "removed", "s3://versions/in/same")
    before = read(job, *uris)
    assert before["same"] == before["s3://versions/in/same"] == s3.info("versions/in/same")["ETag"].strip('"')
    assert now(job, *uris) == before
    s3.pipe_file("versions/in/other", b"b")  # of the same size, within the same second
    s3.rm_file("versions/in/removed")
    after = now(job, *uris)
    assert after == before | {"other": after["other"], "removed": GONE}
    assert after["other"] != before["other"]


class TestHttp:
    @pytest.fixture
    def server(self) -> Iterator[Server]:
        with Server() as running:
            threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
            yield running
            running.shutdown()

    def job(self, server: Server) -> JobConfig:
        return config("/table", allow=[f"{server.url}/images/"], allow_private=True)

    def test_headers_say_it(self, server: Server) -> None:
        job, url = self.job(server), f"{server.url}/images/versioned"
        server.headers = {"a": {"ETag": '"1"'}, "b": {"Last-Modified": "Mon"}, "c": {}}
        uris = (f"{url}/a", f"{url}/b", f"{url}/c", f"{server.url}/images/to/versioned/a")
        before = read(job, *uris)
        assert before == {uris[0]: "1", uris[1]: "Mon 7", uris[2]: "7", uris[3]: "1"}
        assert now(job, *uris) == before
        server.headers["a"] = {"ETag": '"2"'}
        assert now(job, *uris) == before | {uris[0]: "2", uris[3]: "2"}

    def test_a_server_that_answers_get_alone(self, server: Server) -> None:
        job, url = self.job(server), f"{server.url}/images/getonly/a"
        server.headers = {"a": {"ETag": "1"}}
        assert now(job, url) == read(job, url) == {url: "1"}

    def test_what_does_not_answer_is_unknown_and_what_is_not_there_is_gone(self, server: Server) -> None:
        job, url = self.job(server), f"{server.url}/images"
        uris = (f"{url}/status/503", f"{url}/status/500", f"{url}/status/404", f"{url}/status/403")
        assert list(now(job, *uris).values()) == [None, None, GONE, GONE]


def test_a_row_of_several_images_has_one_version() -> None:
    assert row_version([b"bytes", "a", "b"], {"a": "1"}) == json.dumps([None, "1", None])
    assert row_version(["a"], {"a": "1"}) == "1"
    assert row_version([b"bytes", "b"], {"a": "1"}) is None
