"""Tables that are printed while they grow, and failures that cost one row or one section."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Report:
    """Collects tables and failures; prints each row as it comes and keeps the Markdown in $OUT where that is set.

    Args:
        device: What is measured.
        tiny: Whether sizes are those of a test.
        seconds: Within how many seconds the whole report is to be done.
    """

    def __init__(self, device: torch.device, tiny: bool, seconds: float) -> None:
        self.device, self.tiny, self.seconds = device, tiny, seconds
        self.started = time.monotonic()
        self.lines: list[str] = []
        self.failures: list[str] = []
        self.traces: list[str] = []
        self.rates: dict[str, float] = {}  # what the device can do at best, FLOP/s or byte/s by name

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.started)

    def say(self, *lines: str) -> None:
        """Print lines and keep them."""
        for line in lines:
            print(line, flush=True)
            self.lines.append(line)

    def table(self, *heads: str) -> None:
        """Begin a table."""
        self.say("", "| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |")

    def row(self, *cells: object) -> None:
        """Add a row."""
        self.say("| " + " | ".join(str(cell) for cell in cells) + " |")

    def section(self, name: str, title: str, run: Callable[[Report], None], needs: float) -> None:
        """Run one section; a failure is told and the next one begins. needs: seconds without which it is left out."""
        if self.left < needs:
            self.failures.append(f"{name}: left out, {self.left:.0f} s left and it takes {needs:.0f}")
            return
        before = time.monotonic()
        self.say("", f"## {title}")
        self.attempt(name, lambda: run(self))
        self.say("", f"({name}: {time.monotonic() - before:.0f} s)")
        self.write()

    def attempt(self, name: str, run: Callable[[], Any]) -> Any:
        """Return what `run` gives, or None where it fails, with the failure kept."""
        try:
            return run()
        except Exception as error:  # whatever it is, the rest of the report must come
            reason = f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            self.failures.append(reason)
            self.traces.append(f"{name}\n{traceback.format_exc()}")
            print(f"FAILED {reason}", flush=True)
            return None
        finally:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def finish(self) -> None:
        """Print what failed, with tracebacks."""
        self.say("", f"{len(self.failures)} failed or left out; {time.monotonic() - self.started:.0f} s in all")
        self.say(*(f"- {failure}" for failure in self.failures))
        for trace in self.traces:
            print(trace, flush=True)
        self.write()

    def write(self) -> None:
        """Write the report into $OUT where that is set."""
        if folder := os.environ.get("OUT"):
            os.makedirs(folder, exist_ok=True)
            Path(folder, "gpu.md").write_text("\n".join(self.lines) + "\n")
            Path(folder, "gpu.json").write_text(json.dumps({"rates": self.rates, "failures": self.failures}))
            Path(folder, "tracebacks.txt").write_text("\n".join(self.traces))
