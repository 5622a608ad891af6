"""URIs in one spelling, prefixes, and what logs may show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.uris import as_given, as_prefix, is_any_host, normal, scheme, shown

SEGMENTS = st.lists(st.sampled_from(["a", "b.c", ".", "..", "", "d e"]), max_size=6)


@pytest.mark.parametrize(
    ("uri", "spelling"),
    [
        ("/a/./b/../c/", "/a/c"),
        ("a/../../b", "../b"),
        ("file:///a/b%20c/../d", "/a/d"),
        ("FILE:///a", "/a"),
        ("s3://b/a/../c/./d", "s3://b/c/d"),
        ("S3://b/a", "s3://b/a"),
        ("s3://b/../../a", "s3://b/a"),
        ("s3://b/a//c", "s3://b/a//c"),
        ("s3://b/", "s3://b"),
        ("s3://b", "s3://b"),
        ("s3://b/a%20b", "s3://b/a%20b"),
        ("http://HOST/a b#top", "http://host/a%20b"),
        ("https://host:443/a?q=1", "https://host/a?q=1"),
        ("HTTPS://host/?q#x", "https://host/?q"),
        ("http://host/%7Ea", "http://host/~a"),
    ],
)
def test_one_spelling(uri: str, spelling: str) -> None:
    assert normal(uri) == spelling
    assert normal(spelling) == spelling


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://host/a/../b", "a path with '..'"),
        ("http://host/a/%2e%2E/b", "a path with '..'"),
        ("http://host/a\\..\\b", "a path with '..'"),
        ("http://me:secret@host/a", "a URL with a user name"),
        ("http://me@host/a", "a URL with a user name"),
        ("http:///a", "a URL without a host"),
    ],
)
def test_urls_that_are_refused(uri: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        normal(uri)


@given(SEGMENTS, SEGMENTS, st.sampled_from(["s3://bucket/", "/", "file:///", "gs://bucket/"]))
def test_no_path_leaves_its_root_and_prefixes_hold(base: list[str], path: list[str], root: str) -> None:
    uri = normal(root + "/".join([*base, *path]))
    top = normal(root).rstrip("/")
    assert uri == top or uri.startswith(as_prefix(top)) or uri == top + "/"
    assert ".." not in uri.split("/")
    assert normal(uri) == uri or root in ("/", "file:///")


def test_schemes_and_prefixes() -> None:
    assert [scheme(uri) for uri in ("S3://b/a", "/a", "a:b", "https://h")] == ["s3", "", "", "https"]
    assert (as_prefix("s3://b/a"), as_prefix("s3://b/a//")) == ("s3://b/a/", "s3://b/a/")
    assert [is_any_host(p) for p in ("https://*", "HTTP://*/", "https://*/a", "https://*.org", "s3://*")] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("uri", "sent"),
    [
        ("http://host/a%7Eb", "http://host/a%7Eb"),
        ("http://HOST/a?b=%2F#c", "http://host/a?b=%2F"),
        ("http://host", "http://host/"),
        ("http://host?q", "http://host/?q"),
        ("http://host/a b", "http://host/a%20b"),
        ("http://host/é", "http://host/%C3%A9"),
    ],
)
def test_urls_are_sent_as_they_were_given(uri: str, sent: str) -> None:
    assert as_given(uri, normal(uri)) == sent


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("GET https://me:secret@host/a?key=1#x failed", "GET https://host/a failed"),
        ("'s3://b/a?x' and 'http://h/b#y'", "'s3://b/a' and 'http://h/b'"),
        ("a@b?c#d", "a@b?c#d"),
        ("http://host/a@b", "http://host/a@b"),
    ],
)
def test_what_logs_show(text: str, seen: str) -> None:
    assert shown(text) == seen
