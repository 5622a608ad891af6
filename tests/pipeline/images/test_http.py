"""Images over http: no address, no redirect and no answer of a server gets around the rules."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError, JobConfig
from pipeline.common.error_codes import Failure
from pipeline.common.file_versions import version_of_info
from pipeline.common.redaction import redacted_text
from pipeline.common.uris import normal
from pipeline.images.fetch import AT_ONCE, ATTEMPTS, Fetcher
from tests.pipeline.images.web_server import LIMIT, Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.stopped.set()
        running.shutdown()


def web_fetcher(*allow: str, private: bool = True, seconds: float = 10) -> Fetcher:
    values = {
        "input": {"path": "/nowhere", "allow": list(allow), "allow_private": private},
        "limits": {"image_bytes": LIMIT, "fetch_seconds": seconds},
        "model": "m",
        "output": {"path": "/out"},
    }
    return Fetcher("/nowhere", JobConfig.parse("score", values))


LIMITS_HEADERS = pytest.mark.skipif(
    tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 14),
    reason="aiohttp before 3.14 reads headers without end until limits.fetch_seconds",
)


@pytest.fixture
def fetch(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A path below the allowed prefix -> its bytes, or the reason."""
    monkeypatch.setattr("pipeline.images.fetch.FIRST_PAUSE", 0.01)

    def one(path: str) -> Any:
        fetcher = web_fetcher(f"{server.url}/images", seconds=1 if path in ("hang", "drip", "slowly") else 30)
        [found] = fetcher.fetch([path if "://" in path else f"{server.url}/images/{path}"])
        return found.reason if isinstance(found, Failure) else found

    return one


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.jpg", b"picture /images/a.jpg"),
        ("a%20b.jpg?x=1&y=%2F", b"picture /images/a%20b.jpg?x=1&y=%2F"),
        ("a%2Cb%3A.jpg?Signature=a%2Bb%3D&p=%7E", b"picture /images/a%2Cb%3A.jpg?Signature=a%2Bb%3D&p=%7E"),
        ("ü b.jpg?q=|", b"picture /images/%C3%BC%20b.jpg?q=%7C"),
        ("to/x?/images/a%2Cb.jpg", b"picture /images/a%2Cb.jpg"),
        ("to/a.jpg", b"picture /images/a.jpg"),
        ("to/to/to/a.jpg", b"picture /images/a.jpg"),
        ("to/to/to/to/to/to/a.jpg", "image_fetch_failed"),
        ("to/x?/elsewhere/a.jpg", "uri_not_allowed"),
        ("to/x?http://169.254.169.254/latest", "uri_not_allowed"),
        ("to/x?file:///nowhere/a.jpg", "uri_not_allowed"),
        ("status/404", "image_missing"),
        ("status/410", "image_missing"),
        ("status/401", "image_forbidden"),
        ("status/403", "image_forbidden"),
        ("status/429", "fetch_throttled"),
        ("status/503", "fetch_throttled"),
        ("status/500", "image_fetch_failed"),
        ("status/418", "image_fetch_failed"),
        ("flaky/500", b"picture /images/flaky/500"),
        ("flaky/503", b"picture /images/flaky/503"),
        ("large", "image_too_large"),
        ("endless", "image_too_large"),
        ("cut", "image_fetch_failed"),
        ("reset", "image_fetch_failed"),
        ("hang", "fetch_timeout"),
        ("drip", "fetch_timeout"),
        pytest.param("headers", "image_fetch_failed", marks=LIMITS_HEADERS),
        ("slowly", "fetch_timeout"),
        ("../secret", "uri_not_allowed"),
        ("%2e%2e/secret", "uri_not_allowed"),
        ("x/..%2f..%2fsecret", "uri_not_allowed"),
        ("x/..%5c..%5csecret", "uri_not_allowed"),
        ("http://127.0.0.1:1/images/a.jpg", "uri_not_allowed"),
        ("ftp://127.0.0.1/images/a.jpg", "uri_not_allowed"),
    ],
)
def test_answers(fetch: Callable[[str], Any], path: str, expected: bytes | str) -> None:
    assert fetch(path) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a.jpg", b"picture /images/a.jpg"),
        ("a b?c%d/../e.jpg", b"picture /images/e.jpg"),
        ("status/404", "image_missing"),
        ("status/403", "image_forbidden"),
        ("status/503", "fetch_throttled"),
        ("status/500", "image_fetch_failed"),
        ("flaky/500", b"picture /images/flaky/500"),
        ("flaky/503", b"picture /images/flaky/503"),
        ("large", "image_too_large"),
        ("reset", "image_fetch_failed"),
        ("cut", "image_fetch_failed"),
        ("hang", "fetch_timeout"),
        ("drip", "fetch_timeout"),
    ],
)
def test_answers_of_an_s3_server(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str, expected: bytes | str
) -> None:
    monkeypatch.setattr("pipeline.images.fetch.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    values = {
        "input": {"path": "s3://images"},
        "limits": {"image_bytes": LIMIT, "fetch_seconds": 2 if expected == "fetch_timeout" else 30},
        "model": "m",
        "output": {"path": "/out"},
        "storage": {"endpoint_url": server.url, "key": "k", "secret": "s", "region": "us-east-1"},
    }
    [found] = Fetcher("s3://images", JobConfig.parse("score", values)).fetch([key])
    assert (found.reason if isinstance(found, Failure) else found) == expected


@pytest.mark.parametrize(
    ("tag", "opted_out"),
    [
        ("noai", True),
        ("all, NoImageAI", True),
        ("noindex, nofollow", False),
        ("noaix", False),
        ("vilt-pipeline: noai", True),
        ("otherbot: noai", False),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai", True),
        ("noai, max-snippet:-1", True),
    ],
)
def test_hosts_that_want_no_ai(server: Server, monkeypatch: pytest.MonkeyPatch, tag: str, opted_out: bool) -> None:
    """Heeded of every public host, for which a loopback server stands in here; not of those that a prefix names."""
    monkeypatch.setattr("pipeline.images.http.is_public", bool)
    url = f"{server.url}/images/tagged/a.jpg?{quote(tag)}"
    [found] = web_fetcher("http://*", private=False).fetch([url])
    if opted_out:
        assert isinstance(found, Failure)
        assert found.reason == "image_opted_out"
        assert "X-Robots-Tag: no" in found.detail
    else:
        assert found == b"picture"
    assert web_fetcher(f"{server.url}/images").fetch([url]) == [b"picture"]
    fetcher = web_fetcher("http://*", private=False)
    spec = fetcher.config.input.model_copy(update={"robots": False})
    fetcher.config = fetcher.config.model_copy(update={"input": spec})
    assert fetcher.fetch([url]) == [b"picture"]


def test_no_more_is_read_than_the_limit(fetch: Callable[[str], Any], server: Server) -> None:
    assert fetch("endless") == "image_too_large"
    assert server.sent < 20 * 2**20, "what fits the buffers of two sockets, not more"


@LIMITS_HEADERS
def test_headers_without_end_are_not_kept(fetch: Callable[[str], Any], server: Server) -> None:
    assert fetch("headers") == "image_fetch_failed"
    assert server.sent < ATTEMPTS * 20 * 2**20


def test_bodies_are_counted_before_they_are_read(server: Server) -> None:
    """Of 8 bodies of 1,000 bytes 3 fit; the sizes that servers tell are enough to leave the others alone."""
    fetcher = web_fetcher(f"{server.url}/images")
    urls = [f"{server.url}/images/full/{i}" for i in range(8)]
    found = fetcher.fetch_within(urls, 3 * LIMIT + 500, {urls[7]})
    assert urls[7] in found, "what is needed is fetched in any case"
    assert len(found) <= 4
    rest = [url for url in urls if url not in found]
    assert set(fetcher.fetch_within(rest, 8 * LIMIT, set())) == set(rest)
    endless = f"{server.url}/images/untold"
    assert fetcher.fetch_within([endless], 10, set()) == {}
    assert len(fetcher.fetch_within([endless], 10, {endless})[endless]) == LIMIT


def test_only_transient_faults_are_repeated(fetch: Callable[[str], Any], server: Server) -> None:
    for status, times in ((404, 1), (403, 1), (500, ATTEMPTS), (429, ATTEMPTS)):
        fetch(f"status/{status}")
        assert server.seen[f"/images/status/{status}"] == times


def test_many_at_once_but_not_all(server: Server) -> None:
    urls = [f"{server.url}/images/slow/{i % 80}" for i in range(100)]
    found = web_fetcher(f"{server.url}/images").fetch(urls)
    assert found == [f"picture /images/slow/{i % 80}".encode() for i in range(100)]
    assert server.seen.total() == 80, "each URL once"
    assert 8 < server.most <= AT_ONCE


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_as_they_are_connected_to(server: Server, host: str) -> None:
    url = f"http://{host}:{server.server_port}/images"
    [found] = web_fetcher(url, private=False).fetch([f"{url}/a.jpg"])
    assert isinstance(found, Failure)
    assert found.reason in ("uri_not_allowed", "image_missing"), found
    assert not server.seen


def test_a_name_that_changes_its_address_is_checked_each_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: any name resolves to this machine, the second time as at the first."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more))
    url = f"http://images.example.com:{server.server_port}/images"
    [found] = web_fetcher(url, private=False).fetch([f"{url}/a.jpg"])
    assert isinstance(found, Failure)
    assert (found.reason, "127.0.0.1 is not a public address" in found.detail) == ("uri_not_allowed", True)
    assert web_fetcher(url).fetch([f"{url}/a.jpg"]) == [b"picture /images/a.jpg"]


def test_private_servers_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"input\.allow_private: true, but input\.allow names no http"):
        web_fetcher("s3://images")


@pytest.mark.parametrize("prefix", ["https://me:SECRET@host/x", "https:///x", "https://host/a/%2e%2e/b"])
def test_prefixes_that_cannot_be_used(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"input\.allow: 'https://.*' cannot be used: a (URL|path) with") as caught:
        web_fetcher(prefix, private=False)
    assert "SECRET" not in str(caught.value)


def test_details_hold_no_credentials(server: Server) -> None:
    fetcher = web_fetcher(f"{server.url}/images")
    host = server.url.removeprefix("http://")
    urls = [f"{server.url}/images/status/404?sig=SECRET", f"http://me:SECRET@{host}/images/a.jpg"]
    urls += ["https://other/a.jpg?X-Amz-Signature=SECRET", f"{server.url}/images/to/x?http://other/?token=SECRET"]
    for found in fetcher.fetch(urls):
        assert isinstance(found, Failure)
        assert "SECRET" not in found.detail
    assert redacted_text("GET 'https://a:b@h/x?y=k9#z' failed") == "GET 'https://h/x?y=***' failed"


@given(st.text(alphabet="./%2eE5cCfF\\?#@:a", max_size=24))
def test_no_spelling_leaves_the_prefix(rest: str) -> None:
    found = web_fetcher("https://host/images", private=False).resolve(f"https://host/images/{rest}")
    if isinstance(found, str):
        assert found.startswith("https://host/")
        assert normal(found).startswith("https://host/images/")
        assert ".." not in re.split(r"[/\\]", unquote(urlsplit(found).path))


def test_any_public_host(server: Server) -> None:
    anywhere = web_fetcher("https://*", private=False)
    assert anywhere.resolve("https://a.example/x.jpg?s=%2F") == "https://a.example/x.jpg?s=%2F"
    assert isinstance(anywhere.resolve("http://a.example/x.jpg"), Failure)
    assert isinstance(anywhere.resolve("s3://a/x.jpg"), Failure)
    assert isinstance(anywhere.resolve("https://a.example/../x.jpg"), Failure)
    [found] = web_fetcher("http://*", private=False).fetch([f"{server.url}/images/a.jpg"])
    assert isinstance(found, Failure)
    assert (found.reason, "127.0.0.1 is not a public address" in found.detail) == ("uri_not_allowed", True)
    assert not server.seen


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("photos/", r"input\.allow: 'photos/' matches no image, since it is neither an absolute path nor a URL"),
        ("https://*.example.com/", r"input\.allow: 'https://\*\.example\.com/' (is taken as it stands|cannot be used)"),
    ],
)
def test_prefixes_that_match_nothing(prefix: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        web_fetcher(prefix, private=False)
    with pytest.raises(ConfigError, match=r"'https://\*' is every public host; with input\.allow_private name the"):
        web_fetcher("https://*", private=True)


@pytest.mark.parametrize("location", ["http://[", "//[", "http://h:99999/", "http://user:pw@["])
def test_redirected_to_what_is_no_address(location: str, server: Server) -> None:
    server.headers["a"] = {"Location": location}
    [failure] = web_fetcher(server.url).fetch([f"{server.url}/images/moved/a"])
    assert isinstance(failure, Failure)
    assert failure.reason == "uri_not_allowed"
    assert "redirected to http" in failure.detail or "redirected to //" in failure.detail
    assert "pw" not in failure.detail


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "256.256.256.256"])
def test_a_name_that_no_host_can_have(host: str) -> None:
    [failure] = web_fetcher("http://*", private=False).fetch([f"http://{host}/a.jpg"])
    assert isinstance(failure, Failure)
    assert failure.reason == "uri_not_allowed"
    said = ("cannot be used: ", f"{host} is not a public address")  # the second by older releases of aiohttp
    assert any(line in failure.detail for line in said)


def test_headers_that_are_not_utf8_become_texts_that_a_table_can_hold(server: Server) -> None:
    server.headers["a"] = {"Location": "http://h\xff.example/", "ETag": '"\xff"'}
    fetcher = web_fetcher(server.url)
    [failure] = fetcher.fetch([f"{server.url}/images/moved/a"])
    assert isinstance(failure, Failure)
    assert r"h\udcff.example" in failure.detail
    failure.detail.encode()
    assert version_of_info({"ETag": '"\udcff"'}) == r"\udcff"
    assert version_of_info({"mtime": "\udcff"}) == r"\udcff"
