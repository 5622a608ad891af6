"""CPU seconds of this process and of all that it has started, by kind, as they were at any time of a run.

A worker process of Ray takes the name of what it runs, which may change from task to task: what a process has spent
since the last look counts for the name that it has now.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PERIOD = 0.5  # seconds between two looks
KINDS = {  # beginning of a process's name -> kind
    "ray::MapWorker": "actors",
    "ray::Read": "reading",
    "ray::Write": "writing",
    "ray::RunMonitor": "counts",
    "ray::IDLE": "idle",
    "ray::DashboardAgent": "ray",
    "ray::RuntimeEnvAgent": "ray",
    "ray::": "ray data",  # its actors
    "python": "starting",
}
DAEMONS = ("log_monitor", "dashboard", "runtime_env", "monitor.py")  # in the command line of a Python process
WORKERS = ("actors", "reading", "writing", "counts", "idle", "ray data", "starting")  # kinds of worker processes


class Cores:
    """Looks at the processes again and again while it is open. What that takes is left out."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, Counter[str]]] = []
        self._total: Counter[str] = Counter()
        self._latest: dict[tuple[int, str], float] = {}  # process -> its seconds at the last look
        self._looking = 0.0  # seconds of the thread that looks
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
        """Return kind -> CPU seconds from one time to another: "driver", "ray" (daemons), those of `WORKERS`."""
        return _at(self.seen, end) - _at(self.seen, begin)

    def _run(self) -> None:
        while not self._over.wait(PERIOD):
            begin = time.thread_time()
            self._look()
            self._looking += time.thread_time() - begin

    def _look(self) -> None:
        for pid, started, name, seconds in _descendants(os.getpid()):
            spent = seconds - self._latest.get((pid, started), 0.0)
            self._latest[pid, started] = seconds
            if spent:
                self._total[_kind(pid, name)] += spent  # type: ignore[assignment]
        total = self._total.copy()
        total["driver"] -= self._looking  # type: ignore[assignment]
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
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if words[0].startswith("ray::"):
            name = words[0]
        elif name.startswith("python") and any(daemon in word for word in words[1:4] for daemon in DAEMONS):
            return "ray"
    return next((kind for begin, kind in KINDS.items() if name.startswith(begin)), "ray")


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
