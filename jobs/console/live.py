"""The live line of a job in a terminal: how far it is, how fast, how long it still takes, and what limits it."""

from __future__ import annotations

import logging
from collections import deque
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from jobs.console.noise import is_noise, without_colors
from jobs.console.text import visible
from vilt.common.counts import counted

HIDDEN_LINES = 200  # of Ray's, the last of which are kept for the log file of an unexpected error
hidden_lines: deque[str] = deque(maxlen=HIDDEN_LINES)


class LiveHandler(logging.Handler):
    """Shows events `progress` as one line that changes in place, and warnings and errors above it."""

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self.console = Console(file=out, highlight=False, markup=False, emoji=False)
        self.progress: Progress | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Show an event."""
        event, fields = getattr(record, "event", "warning"), getattr(record, "fields", {})
        try:
            if event == "job_started":
                self._show(0.0, visible(record.getMessage()))
            elif event == "progress":
                self._show(fields.get("share", 0.0), visible(describe(fields)))
            elif event == "job_finished":
                self._stop()
            elif record.levelno >= logging.WARNING:
                self._print(self.format(record))
        except Exception:
            self.handleError(record)

    def show_foreign_line(self, line: str) -> None:
        """Show what another program, Ray for one, has written to stderr, unless it is noise."""
        text = without_colors(line).rstrip()
        if is_noise(text):
            hidden_lines.append(text)
        else:
            self._print(visible(text))

    def close(self) -> None:
        """Remove the live line."""
        self._stop()
        super().close()

    def _print(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    def _show(self, share: float, text: str) -> None:
        """Show the live line; begin it if there is none."""
        if self.progress is None:
            self.progress = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=20),
                TextColumn("{task.description}", markup=False),
                console=self.console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.progress.add_task(text, total=1.0)
            self.progress.start()
        self.progress.update(self.progress.task_ids[0], completed=share, description=text)

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def describe(fields: dict[str, Any]) -> str:
    """Return what the live line says of an event `progress`."""
    left = fields.get("seconds_left")
    parts = [
        f"{fields.get('rows_done', 0):,} of {counted(fields.get('rows', 0), 'row')}",
        f"{fields.get('rate', 0):,.1f} {fields.get('unit', 'rows')}/s",
        *([f"{_duration(left)} left"] if left is not None else []),
        *([f"{fields['rejected']:,} rejected"] if fields.get("rejected") else []),
        *([f"limited by {fields['limiting']}"] if fields.get("limiting") else []),
    ]
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
