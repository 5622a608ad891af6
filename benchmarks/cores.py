"""CPU seconds of this process and of all that it has started, by kind, as they were at any time of a run."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PERIOD = 0.2  # seconds between two looks


class Cores:
    """Looks at the processes again and again while it is open."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Counter[str]]] = []
        self._latest: dict[tuple[int, str], tuple[str, float]] = {}  # a process that has ended keeps its seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Cores:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def between(self, begin: float, end: float) -> Counter[str]:
        """Return kind -> CPU seconds from one time to another: driver, ray (its daemons), workers."""
        return _at(self.seen, end) - _at(self.seen, begin)

    def _run(self) -> None:
        while not self._over.wait(PERIOD):
            self._look()

    def _look(self) -> None:
        for pid, started, name, seconds in _descendants(os.getpid()):
            self._latest[pid, started] = (_kind(pid, name), seconds)
        total: Counter[str] = Counter()
        for kind, seconds in self._latest.values():
            total[kind] += seconds  # type: ignore[assignment]
        self.seen.append((time.time(), total))


def _at(seen: list[tuple[float, Counter[str]]], when: float) -> Counter[str]:
    """Return the seconds of each kind at a time, between two looks in proportion."""
    after = next((index for index, (at, _) in enumerate(seen) if at >= when), len(seen) - 1)
    (t0, first), (t1, second) = seen[max(0, after - 1)], seen[after]
    share = min(1.0, max(0.0, (when - t0) / (t1 - t0))) if t1 > t0 else 1.0
    return Counter({kind: first[kind] + share * (second[kind] - first[kind]) for kind in second})


def _kind(pid: int, name: str) -> str:
    if pid == os.getpid():
        return "driver"
    return "workers" if name.startswith(("ray::", "python")) else "ray"


def _descendants(root: int) -> list[tuple[int, str, str, float]]:
    """Return (pid, when it started, name, CPU seconds) of a process and all below it."""
    children: dict[int, list[int]] = {}
    found: dict[int, tuple[int, str, str, float]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                text = (folder / "stat").read_text()
                name, fields = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
                pid = int(folder.name)
                children.setdefault(int(fields[1]), []).append(pid)
                found[pid] = (pid, fields[19], name, (int(fields[11]) + int(fields[12])) / TICKS)
    out, left = [], [root]
    while left:
        pid = left.pop()
        if pid in found:
            out.append(found[pid])
        left += children.get(pid, [])
    return out
