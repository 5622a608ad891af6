"""One redaction for all URIs: no spelling of a secret is left, and what is harmless stays."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.redaction import has_credentials, redacted, redacted_text

SECRET = "hunter2Qz9"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://bucket/a b/c@2x.png", "s3://bucket/a b/c@2x.png"),
        ("file:///data/a@b.png", "file:///data/a@b.png"),
        ("/data/a:/b@c.png?x", "/data/a:/b@c.png?x"),
        ("https://host:8080/@user/pic.png", "https://host:8080/@user/pic.png"),
        ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
        ("https://host/a?w=200&format=jpg&v=1.5&id=7", "https://host/a?w=200&format=jpg&v=1.5&id=7"),
        ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
        ("github://org:repo@main/a.png", "github://org:repo@main/a.png"),
        ("hf://datasets/owner/name@main/a.png", "hf://datasets/owner/name@main/a.png"),
        ("ftp://user:secret@host/a", "ftp://host/a"),
        ("a@b?c#d", "a@b?c#d"),
        ("http://host/a@b", "http://host/a@b"),
        ("FTP://user:se@cret@host/a", "FTP://host/a"),
        ("s3://key:se/cr'et@bucket/a", "s3://bucket/a"),
        ("https:/user:pw@host/a", "https:/host/a"),
        ("https://host/a?tok=hunter2&w=1#x", "https://host/a?tok=***&w=1"),
        (
            "https://b.s3.amazonaws.com/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F2026&X-Amz-Date="
            "20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0abc",
            "https://b.s3.amazonaws.com/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=***&X-Amz-Date="
            "20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=***",
        ),
        ("https://a.blob.core.windows.net/c/b?sv=2024-01-01&sr=b&sig=a%2Bb%3D", "https://a.blob.core.windows.net/c/b?sv=2024-01-01&sr=b&sig=***"),
    ],
)  # fmt: skip
def test_what_is_hidden_and_what_stays(uri: str, shown: str) -> None:
    assert redacted(uri) == shown
    assert redacted(shown) == shown


ANY = st.text(st.characters(codec="ascii"), max_size=4)
SCHEME = st.sampled_from(
    ["http", "https", "ftp", "s3", "S3", "HTTPS", "Ftp", "s3a", "gs", "sftp", "abfs", "hdfs", "x+y"]
)
PATH = st.sampled_from(["", "/", "/a b/c.png", "/a@b", "/%40", "//", "/a;b", "/x.png?w=20"])


@st.composite
def with_user(draw: st.DrawFn) -> str:
    """A URI with the secret in its password, which may have any characters around it."""
    password = draw(ANY.filter(lambda text: not re.match(r"\d+\D", text))) + SECRET + draw(ANY)  # or it is a port
    if draw(st.booleans()):
        password = quote(password, safe="")
    user = draw(st.sampled_from(["user", "", "a@b.c", "us er", "'", '"']))
    return f"{draw(SCHEME)}://{user}:{password.replace(':', '')}@host{draw(st.sampled_from(['', ':80']))}{draw(PATH)}"


@st.composite
def with_query(draw: st.DrawFn) -> str:
    """A URL with the secret in its query."""
    name = draw(
        st.sampled_from(
            ["tok", "token", "sig", "X-Amz-Signature", "Signature", "x-goog-signature", "api_key", "q", "", "#"]
        )
    )
    value = draw(ANY) + SECRET + draw(ANY)
    if draw(st.booleans()):
        value = quote(value, safe="")
    before = draw(st.sampled_from(["", "w=20&", "a=b;", "&", "url=https://x/&"]))
    return f"{draw(SCHEME)}://host/a?{before}{name}={value}{draw(st.sampled_from(['', '&h=1', '#f']))}"


@st.composite
def nested(draw: st.DrawFn) -> str:
    """A URI with one with a secret in its path or its query, as it is or escaped once or twice."""
    inner = draw(with_user() | with_query())
    for _ in range(draw(st.integers(0, 2))):
        inner = quote(inner, safe="")
    return (
        draw(st.sampled_from(["https://proxy/", "https://h/?u=", "s3://b/", "https://h/a#", "zip://a.png::"])) + inner
    )


URIS = with_user() | with_query() | nested()


@given(URIS)
@settings(max_examples=200)
def test_no_secret_is_left_in_a_uri(uri: str) -> None:
    assert SECRET not in redacted(uri)
    assert redacted(redacted(uri)) == redacted(uri)


@given(
    URIS, st.sampled_from(["{}", "{!r}: not found", "cannot read '{}' (x)", "a@b {} c@d", '{{"url": "{}"}}', "x\n{}\n"])
)
@settings(max_examples=200)
def test_no_secret_is_left_in_a_message_about_a_uri(uri: str, form: str) -> None:
    assert SECRET not in redacted_text(form.format(uri), uri)


@given(with_user() | with_query(), st.sampled_from(["see {} now", "<{}>", "['{}', 1]", "GET {}"]))
def test_no_secret_is_left_in_a_message_of_anybody(uri: str, form: str) -> None:
    """A URI that nobody has named, if it is one by the rules: no blanks, no quotes."""
    if not any(c in uri for c in " \t\r\n\v\f\x1c\x1d\x1e\x1f'\"<>`|\\"):
        assert SECRET not in redacted_text(form.format(uri))


@given(st.text(st.characters()))
def test_any_text_is_redacted_once(text: str) -> None:
    redacted_text(redacted(text), text)


def test_messages_keep_what_is_no_secret() -> None:
    assert redacted_text("'s3://b/a?x' and 'http://h/b#y'") == "'s3://b/a?x' and 'http://h/b'"
    assert redacted_text("GET https://me:secret@host/a?key=1#x failed") == "GET https://host/a?key=*** failed"
    text = "https://host/a?w=1: not read in 30 seconds (limits.fetch_seconds); write to a@b.c"
    assert redacted_text(text) == text
    assert redacted_text("no bucket 's3://b'; ask me@x.org") == "no bucket 's3://b'; ask me@x.org"
    assert (
        redacted_text(f"url='https://u:{SECRET}@h/a?sig={SECRET}', code=404") == "url='https://h/a?sig=***', code=404"
    )


@pytest.mark.parametrize(
    "advice",
    [
        "'nonsense' is not key=value, as in output.path=scores/",
        "write 'storage.secret={env: NAME}' or 'storage.key={file: PATH}'",
        "make it with use_mask_token=True",
    ],
)
def test_advice_is_shown(advice: str) -> None:
    assert redacted_text(advice) == advice


@pytest.mark.parametrize("value", [f"{{env:{SECRET}", f"true{SECRET}", f"value{SECRET}", f"{{file:{SECRET}}}"])
def test_what_only_begins_like_advice_is_hidden(value: str) -> None:
    assert redacted_text(f"token={value}") == "token=***"
    assert SECRET not in redacted(f"https://host/?key={value}")


@pytest.mark.parametrize(
    ("uri", "has"),
    [("s3://b/a", False), ("ftp://user:secret@host/", True), ("https://h/?tok=abc", True), ("https://h/?w=20", False),
     ("abfs://c@account/a", False), ("abfs://c:key@account/a", True), ("https://*", False), ("/local/a@b:c", False),
     ("hdfs://user@host/a", False), ("S3://K:S@b", True), ("ftp%3A%2F%2Fu%3Ap%40h", True)],
)  # fmt: skip
def test_whether_there_are_credentials(uri: str, has: bool) -> None:
    assert has_credentials(uri) == has


@pytest.mark.parametrize("part", ["key", "a://", "a:b@", "%25", "https://u:p@h/?key=", "x", "?k=", "a://b?&", "\n"])
def test_no_text_takes_long(part: str) -> None:
    """Of a megabyte; a pattern that goes back over the text again and again would take hours."""
    text = part * (2**20 // len(part))
    assert SECRET not in redacted(f"https://u:{SECRET}@h/{text}")
    assert SECRET not in redacted_text(f"https://u:{SECRET}@h/ {text}")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://user:@secret#@host", "http://host"),
        ("http://user:p@a#ss?@host/x", "http://host/x"),
        ("http://user:word@host/a?x=1", "http://host/a?x=1"),
    ],
)
def test_a_password_may_hold_what_ends_a_host(uri: str, shown: str) -> None:
    assert redacted(uri) == shown
    assert redacted_text(f"see {uri} now", uri) == f"see {shown} now"
