"""What tells two jobs apart, in words: the keys of their configs, or what these name."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.common.redaction import redacted_text
from pipeline.config.input import NOT_HASHED

# Keys that do not make another job: where it runs, and where its results go.
FREE = ("max_error_rate", "actors", "batch", "storage", "ray", "output", *(f"input.{key}" for key in NOT_HASHED))
COUNTED = ("output.keys", "output.sort", "output.scores")  # of `vilt filter`: what it writes
NAMED = {  # key of the identity -> the section of the config that may say it, and what else it means
    "model": ("model", "the weights of the checkpoint have changed"),
    "input": ("input", "the files of the input table have changed"),
    "texts": ("texts", "the table of texts has changed"),
    "scores": ("scores", "the results in `scores` have changed"),
    "shard": ("input", "input.shard is another one"),
}
MOST = 5  # differences that are named
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], identities: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> str:
    """Return what tells a job from an earlier one, as in "input.text was 'a' and is 'b'"; "" if it is not known.

    Args:
        before: The keys that are set in the config of the earlier job, without secrets.
        after: Those of this job.
        identities: What makes each the same job: key -> hash.
    """
    if not (before and after):
        return ""
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = [key for key in {**old, **new} if not _is_free(key) and old.get(key) != new.get(key)]
    found = [f"{key} {_was(old, key)} and {_is(new, key)}" for key in keys]
    for name, (section, text) in NAMED.items():
        changed = name in identities[0] and identities[0][name] != identities[1].get(name)
        if changed and not any(key.partition(".")[0] == section for key in keys):
            found.append(text)
    more = [f"{len(found) - MOST} more"] if len(found) > MOST else []
    return redacted_text(", ".join([*found[:MOST], *more]))


def _was(values: Mapping[str, Any], key: str) -> str:
    return f"was {_SHORT.repr(values[key])}" if key in values else "was not set"


def _is(values: Mapping[str, Any], key: str) -> str:
    return f"is {_SHORT.repr(values[key])}" if key in values else "is not set"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys with dots and their values."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _is_free(key: str) -> bool:
    return key not in COUNTED and any(key == free or key.startswith(f"{free}.") for free in FREE)
