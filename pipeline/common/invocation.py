"""The command that a person has run, as summaries and reports show it: without secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextvars import ContextVar

from pipeline.common.redaction import HIDDEN, redacted, redacted_text

LONGEST_COMMAND = 4000  # characters
_COMMAND = ContextVar("command", default="")
_SECRET_KEY = re.compile(r"storage(?:\.(?:key|secret|token))?|(?:.*\.)?(?:key|secret|token|password)", re.IGNORECASE)
_ELSEWHERE = re.compile(r"\$\{[^}]*\}|\{(?:env|file):[^,{}]*\}")  # says where a secret is, and not what


def set_command(words: Sequence[str]) -> None:
    """Say which command this process runs; a program that calls the pipeline itself has none.

    Args:
        words: The name of the program and its arguments.
    """
    _COMMAND.set(shown_command(words))


def command() -> str:
    """Return the command that this process runs, without secrets; "" if it is not known."""
    return _COMMAND.get()


def shown_command(words: Sequence[str]) -> str:
    """Return a command as a person may repeat it in a shell, without credentials and secrets.

    Args:
        words: The name of the program and its arguments, `key=value` among them.
    """
    line = shlex.join(_shown(word) for word in words)
    return line if len(line) <= LONGEST_COMMAND else f"{line[:LONGEST_COMMAND]}..."


def _shown(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and _SECRET_KEY.fullmatch(key):
        return word if _ELSEWHERE.fullmatch(value) else f"{key}={HIDDEN}"
    if equals and re.search(r"\b(?:key|secret|token|password)\b[\"']?\s*:", value, re.IGNORECASE):
        return f"{key}={HIDDEN}"  # a section in YAML
    return f"{key}={redacted_text(redacted(value))}" if equals and "://" not in key else redacted_text(redacted(word))
