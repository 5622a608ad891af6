"""Where the events of a job go: to stderr, as lines for a person, as one live line, or as one JSON object an event."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import IO, Literal

from jobs.console.exit_codes import FAILED
from jobs.console.text import json_line, visible
from pipeline.common.redaction import redacted_text, redacted_values

Log = Literal["text", "verbose", "json"]
LOGGER = logging.getLogger("pipeline")  # of pipeline.monitoring.events, which is not imported: `vilt --help` is quick
MODELS = logging.getLogger("vilt")  # whose warnings name what checkpoints hold
EVENT_KEYS = ("time", "level", "event", "message")  # of each line of JSON; no field of an event replaces them
CHILD_SECONDS = 0.2  # to wait for what other processes still write

LineSink = Callable[[str], None]


@contextmanager
def log_to_stderr(log: Log) -> Iterator[None]:
    """Send the events of jobs to stderr while the context is open.

    Args:
        log: "text": progress and warnings as lines, in a terminal one live line; of Ray's own lines those that matter,
            and the last ones if the command fails. "verbose": lines, and all that Ray writes. "json": each event as a
            JSON object on a line of its own. Nothing else reaches stderr then: what others write there, Ray's own
            processes included, becomes events `warning`, and an exception an event `failed` and exit code 1.
    """
    if log == "json":
        with _json_log():
            yield
    elif log == "text" and sys.stderr.isatty():
        with _live_log():
            yield
    elif log == "text":
        with _text_log():
            yield
    else:
        handler = logging.StreamHandler()
        handler.addFilter(is_for_people)
        with _handled(handler, TextFormatter()):
            yield


@contextmanager
def _text_log() -> Iterator[None]:
    from jobs.console.ray_lines import filtered_stderr

    failed = []

    def shown(record: logging.LogRecord) -> bool:
        if event_of(record) == "failed" and getattr(record, "fields", {}).get("exit_code") == FAILED.code:
            failed.append(record)
        return is_for_people(record)

    with _stderr() as out:
        handler = logging.StreamHandler(out if _is_descriptor_2(sys.stderr) else None)
        handler.addFilter(shown)
        with filtered_stderr() as ending, _handled(handler, TextFormatter()):
            yield
            ending.failed = bool(failed)


@contextmanager
def _json_log() -> Iterator[None]:
    with _stderr() as out, _handled(logging.StreamHandler(out), JsonFormatter()), _captured_stderr(_warn):
        try:
            yield
        except Exception as error:
            text = " ".join(f"{type(error).__name__}: {error}".split())
            fields = {"exit_code": 1, "traceback": traceback.format_exc()}
            LOGGER.error("%s", text, extra={"event": "failed", "fields": fields})
            raise SystemExit(1) from None


@contextmanager
def _live_log() -> Iterator[None]:
    from jobs.console.live import LiveHandler

    with _stderr() as out:
        handler = LiveHandler(out)
        try:
            with _handled(handler, TextFormatter()), _captured_stderr(handler.show_foreign_line):
                yield
        finally:
            handler.close()


def is_for_people(record: logging.LogRecord) -> bool:
    """Return whether a person reads this event; the others are for programs."""
    return record.levelno >= logging.WARNING or event_of(record) == "progress"


def event_of(record: logging.LogRecord) -> str:
    """Return the name of the event that a log record carries."""
    return str(getattr(record, "event", "warning"))


class TextFormatter(logging.Formatter):
    """Formats progress with the time and every other event as it is, each on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        text = visible(redacted_text(record.getMessage()))
        return f"{datetime.now():%H:%M:%S} {text}" if event_of(record) == "progress" else text


class JsonFormatter(logging.Formatter):
    """Formats an event as an object of time (ISO 8601, UTC), level, event, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        values = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event_of(record),
            "message": redacted_text(record.getMessage()),
        }
        fields = getattr(record, "fields", {})
        shown = {key: redacted_values(value) for key, value in fields.items() if key not in EVENT_KEYS}
        return json_line({**values, **shown})


@contextmanager
def _handled(handler: logging.Handler, formatter: logging.Formatter) -> Iterator[None]:
    """Send the events to this handler alone while the context is open."""
    handler.setFormatter(formatter)
    before = [(logger, logger.level, logger.propagate) for logger in (LOGGER, MODELS)]
    for logger, _, _ in before:
        logger.addHandler(handler)
        logger.propagate = False
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _is_descriptor_2(stream: IO[str]) -> bool:
    """Return whether a stream is the stderr of the process, and nothing that a program has put in its place."""
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):
        return False


@contextmanager
def _stderr() -> Iterator[IO[str]]:
    """Open a second handle of what stderr is now."""
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace") as out:
        yield out


@contextmanager
def _captured_stderr(sink: LineSink) -> Iterator[None]:
    """Pass what this process and its children write to descriptor 2 to a sink, line by line, while it is open."""
    real = os.dup(2)
    read_end, write_end = os.pipe()
    os.dup2(write_end, 2)
    os.close(write_end)
    thread = threading.Thread(target=_read_lines, args=(read_end, sink), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        os.close(real)
        thread.join(CHILD_SECONDS)  # a child may still hold the pipe


def _read_lines(read_end: int, sink: LineSink) -> None:
    """Read until no process holds the other end of the pipe."""
    with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            sink(line)


def _warn(line: str) -> None:
    from jobs.console.noise import without_colors

    if text := without_colors(line).strip():
        LOGGER.warning("%s", text, extra={"event": "warning", "fields": {"source": "stderr"}})
