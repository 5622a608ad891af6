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
from typing import IO, Literal

Log = Literal["text", "json"]
LOGGER = logging.getLogger("pipeline")  # see pipeline.monitoring.events, which is not imported: `vilt --help` is quick
COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LAST_WORDS = 0.2  # seconds to wait for what other processes still write


@contextmanager
def log_to_stderr(log: Log) -> Iterator[None]:
    """While it is open, the events of jobs go to stderr.

    With "json" nothing else does: what others write there, Ray's own processes included, becomes events `warning`, and
    an exception that nobody expects an event `failed` and exit code 1.
    """
    if log == "text":
        handler = logging.StreamHandler()
        handler.addFilter(lambda record: record.levelno >= logging.WARNING or _event(record) == "progress")
        with _handled(handler, TextFormatter()):
            yield
        return
    with _stderr() as out, _handled(logging.StreamHandler(out), JsonFormatter()), _captured_stderr():
        try:
            yield
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            fields = {"exit_code": 1, "traceback": traceback.format_exc()}
            LOGGER.error("%s", text, extra={"event": "failed", "fields": fields})
            raise SystemExit(1) from None


class TextFormatter(logging.Formatter):
    """Progress with the time, all else as it stands."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        text = record.getMessage()
        return f"{datetime.now():%H:%M:%S} {text}" if _event(record) == "progress" else text


class JsonFormatter(logging.Formatter):
    """An object with time (ISO 8601, UTC), level, event, message, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        values = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": _event(record),
            "message": record.getMessage(),
        }
        return json.dumps({**values, **getattr(record, "fields", {})})


def _event(record: logging.LogRecord) -> str:
    return getattr(record, "event", "warning")


@contextmanager
def _handled(handler: logging.Handler, formatter: logging.Formatter) -> Iterator[None]:
    """While it is open, the events go to `handler` alone."""
    handler.setFormatter(formatter)
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
