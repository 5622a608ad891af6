"""Hide the credentials of URIs that are shown or stored, and tell whether there are any.

A table, a log, a report or a footer may be handed on; a key in a URI would go with it. What may be a secret is hidden:
user names and passwords, and all values of a query but those that are known, or look, harmless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

from yarl import URL

HIDDEN = "***"
# So that no text takes long: characters of a URI and of a line, and URIs in a line. What is beyond is left out.
LONGEST_URI, LONGEST_LINE, MOST_URIS = 8192, 20_000, 100
# Schemes that have a name before "@" which is no secret: a container, or a repository.
NAMES_BEFORE_AT = ("abfs", "abfss", "adl", "github", "wasb", "wasbs")
_COLON, _SLASH = r"(?::|%(?:25)*3a)", r"(?:[/\\]|%(?:25)*(?:2f|5c))"  # as they are, or escaped, once or more
_START = re.compile(
    rf"([a-z][a-z0-9+.\-]{{0,30}}){_COLON}{_SLASH}{{2,}}|(https?|ftps?|s3a?){_COLON}{_SLASH}", re.IGNORECASE
)
_AT = re.compile(r"@|%(?:25)*40", re.IGNORECASE)
_AUTHORITY_END = re.compile(r"[/?#]|%(?:25)*(?:2f|3f|23)", re.IGNORECASE)
_QUERY = re.compile(r"[?#]|%(?:25)*(?:3f|23)", re.IGNORECASE)
_TOKEN_END = re.compile(r"[\s'\"<>`|]")  # of a URI in a text, as far as anybody can tell
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.%]*\]|[^:]*)(?::\d+)?")
_PARAMETER = re.compile(r"([&;])")
_SECRET = (
    r"[\w.\-]{0,64}(?:auth|credential|hmac|jwt|key|pass|passwd|password|policy|pwd|secret|session|sig|signature|ticket|tok|"
    r"token|accessid)[\w.\-]{0,64}"
)
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_ASSIGNED = re.compile(rf"((?<![\w.\-])({_SECRET})(?:=|%(?:25)*3d))([^&;\s'\"<>,]+)", re.IGNORECASE)
# What our own messages have there: advice, as "storage.secret={env: NAME}", which says nothing if it is hidden.
_ADVICE = re.compile(r"value|true|false|\{(?:env|file):", re.IGNORECASE)
_HARMLESS = re.compile(r"\d{1,12}|[\d.,:x\-]{1,24}|\d{8}T\d{6}Z|[A-Za-z]{1,16}")
_KNOWN = frozenset(  # of signed URLs: how and until when, not by whom
    {"x-amz-algorithm", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-goog-algorithm", "x-goog-date"}
    | {"x-goog-expires", "x-goog-signedheaders", "versionid", "response-content-type"}
)


def redacted(uri: str) -> str:
    """Return a URI, all of the text, without its credentials: `https://host/a.png?w=20&X-Amz-Signature=***`."""
    if len(uri) <= LONGEST_URI:
        return _redact(uri, to_the_end=True)
    found = _START.search(uri[:LONGEST_URI])
    kept = uri[: found.end()] if found else uri[: LONGEST_URI // 2]
    return f"{kept}{HIDDEN}"


def redacted_text(text: str, *uris: str) -> str:
    """Return a message without the credentials of the URIs in it.

    Args:
        text: A message, of a library perhaps.
        *uris: URIs that may stand in it, in any spelling. Where others end can only be guessed.
    """
    for uri in uris:
        for spelling in sorted(_spellings(uri), key=len, reverse=True):
            text = text.replace(spelling, redacted(spelling))
    return "\n".join(_redact(_cut(line), to_the_end=False) for line in text.split("\n"))


def _cut(line: str) -> str:
    """Return a line without what is beyond its longest, from the last blank before that on."""
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE].rpartition(' ')[0]} ..."


def redacted_values(value: Any) -> Any:
    """Return a value of JSON without the credentials of the URIs in its texts."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {key: redacted_values(one) for key, one in value.items()}
    return [redacted_values(one) for one in value] if isinstance(value, list | tuple) else value


def has_credentials(uri: str) -> bool:
    """Return whether a URI has a password, or a value in its query that may be one."""
    for found in _START.finditer(uri):
        scheme, rest = (found[1] or found[2]).lower(), uri[found.end() :]
        user, _ = _split_user(rest, scheme)
        if ":" in unquote(unquote(user)):
            return True
    _, mark, query = _split(uri, _QUERY)
    return bool(mark) and _hidden_query(query) != query


def _spellings(uri: str) -> set[str]:
    """Return the ways in which libraries write a URI."""
    found = {
        uri,
        repr(uri)[1:-1],
        quote(uri, errors="replace"),
        quote(uri, safe="", errors="replace"),
        unquote(uri, errors="replace"),
        quote(uri, safe=":/?#[]@!$&'()*+,;=%", errors="replace"),
    }
    with suppress(ValueError):
        found |= {str(URL(uri)), URL(uri).human_repr()}
    return {one for one in found if one}


def _redact(text: str, to_the_end: bool) -> str:
    """Hide credentials. to_the_end: of a URI that reaches to the end of the text, whatever is in it."""
    if not any(mark in text for mark in ":%="):
        return text
    out, place = list[str](), 0
    for count in range(MOST_URIS + 1):
        found = _START.search(text, place)
        if found is None:
            break
        if count == MOST_URIS:
            out.append("...")
            place = len(text)
            break
        out.append(text[place : found.end()])
        end = len(text)
        if not to_the_end and (stop := _TOKEN_END.search(text, found.end())):
            end = stop.start()
        uri = text[found.end() : end]
        user, rest = _split_user(uri, (found[1] or found[2]).lower())
        if not user and not to_the_end:  # a quote or a blank may be of the password
            line = text[found.end() :].partition("\n")[0]
            wide, behind = _split_user(line, (found[1] or found[2]).lower())
            if ":" in wide:
                rest = _TOKEN_END.split(behind, maxsplit=1)[0]
                end = found.end() + len(line) - len(behind) + len(rest)
        inner = _START.search(rest)
        before, mark, query = _split(rest, _QUERY)
        if inner and inner.start() < len(before):  # a URI in the path of another is looked at next
            place = end - len(rest) + inner.start()
            out.append(rest[: inner.start()])
            continue
        out.append(before)
        if mark == "?":
            out.append(f"?{_hidden_query(query)}")
        place = end
    out.append(text[place:])
    return _ASSIGNED.sub(_hidden_assignment, "".join(out))


def _hidden_assignment(found: re.Match[str]) -> str:
    """Return `name=***`, unless the name is known to be harmless, or the value is none that anybody keeps secret."""
    harmless = found[2].lower() in _KNOWN or _ADVICE.fullmatch(found[3])
    return found[0] if harmless else f"{found[1]}{HIDDEN}"


def _split_user(rest: str, scheme: str) -> tuple[str, str]:
    """Split what follows `scheme://` into user name and password, which may hold any character, and what is behind."""
    stop = _AUTHORITY_END.search(rest)
    authority = rest[: stop.start()] if stop else rest
    ats = list(_AT.finditer(authority))
    host = unquote(unquote(authority[ats[-1].end() if ats else 0 :]))
    if not _HOST.fullmatch(host) or (ats and not host):  # a password with a slash, perhaps
        inner = _START.search(rest)
        ats = list(_AT.finditer(rest[: inner.start()] if inner else rest))
    if not ats:
        return "", rest
    if ":" in unquote(unquote(rest[: ats[-1].start()])) and scheme != "github":
        inner = _START.search(rest)  # a password may hold another @ and what ends a host: the last @ counts
        ats = list(_AT.finditer(rest[: inner.start()] if inner else rest)) or ats
    user = rest[: ats[-1].start()]
    if scheme in NAMES_BEFORE_AT and (scheme == "github" or ":" not in unquote(unquote(user))):
        return "", rest
    return user, rest[ats[-1].end() :]


def _split(text: str, mark: re.Pattern[str]) -> tuple[str, str, str]:
    found = mark.search(text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")


def _hidden_query(query: str) -> str:
    """Return a query without values that may be secrets, and without what follows `#`."""
    parts = _PARAMETER.split(query.partition("#")[0])
    return "".join(part if i % 2 else _hidden_parameter(part) for i, part in enumerate(parts))


def _hidden_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not equals:
        return name if _HARMLESS.fullmatch(name) and not _SECRET_NAME.fullmatch(name) else HIDDEN if name else ""
    if len(name) > 64 or not re.fullmatch(r"[\w.\-\[\]]*", name):
        return HIDDEN
    if name.lower() in _KNOWN:
        return parameter if re.fullmatch(r"[\w.\-;%/]*", value) else f"{name}={HIDDEN}"
    if not value or (_HARMLESS.fullmatch(value) and not _SECRET_NAME.fullmatch(name)):
        return parameter
    return f"{name}={HIDDEN}"
