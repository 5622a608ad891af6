"""Where the events of a job go: to stderr, as lines for a person or as JSON, one line an event."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import IO, Any, Literal

Log = Literal["text", "json"]
LOGGER = logging.getLogger("pipeline")
SHOWN = {"progress"}  # as text, besides warnings and errors
COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LAST_WORDS = 0.2  # seconds to wait for what other processes still write


@contextmanager
def log_to_stderr(log: Log) -> Iterator[None]:
    """While it is open, the events of jobs go to stderr. With "json" nothing else does: what others write there, Ray's
    own processes included, becomes events `warning`, and an exception that nobody expects `failed` and exit code 1."""
    if log == "text":
        with _handled_by(TextHandler()):
            yield
        return
    with _stderr() as out, _handled_by(JsonHandler(out)), _captured_stderr():
        try:
            yield
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            fields = {"exit_code": 1, "traceback": traceback.format_exc()}
            LOGGER.error(text, extra={"event": "failed", "fields": fields})
            raise SystemExit(1) from None


@contextmanager
def _handled_by(handler: logging.Handler) -> Iterator[None]:
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


class TextHandler(logging.Handler):
    """Progress, with the time, and what is wrong, as it stands."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record, where a person wants to read it."""
        if getattr(record, "event", None) in SHOWN:
            print(f"{datetime.now():%H:%M:%S} {record.getMessage()}", file=sys.stderr, flush=True)
        elif record.levelno >= logging.WARNING:
            print(record.getMessage(), file=sys.stderr, flush=True)


class JsonHandler(logging.Handler):
    """One JSON object a line: time (ISO 8601, UTC), level, event, message, and the event's own fields."""

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self.out = out

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "warning"),
            "message": record.getMessage(),
        }
        self.out.write(json.dumps({**line, **getattr(record, "fields", {})}) + "\n")
        self.out.flush()


@contextmanager
def _stderr() -> Iterator[IO[str]]:
    """Stderr as it is now."""
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w") as out:
        yield out


@contextmanager
def _captured_stderr() -> Iterator[None]:
    """While it is open, what this process and its children write to descriptor 2 is logged instead, a line a record."""
    real = os.dup(2)
    end, begin = os.pipe()
    os.dup2(begin, 2)
    os.close(begin)
    thread = threading.Thread(target=_log_lines, args=(end,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        os.close(real)
        thread.join(LAST_WORDS)  # a child may still hold the pipe


def _log_lines(end: int) -> None:
    """Until nobody holds the other end of the pipe."""
    with os.fdopen(end, errors="replace") as lines:
        for line in lines:
            if text := COLORS.sub("", line).strip():
                LOGGER.warning("%s", text, extra={"event": "warning", "fields": {"source": "stderr"}})
