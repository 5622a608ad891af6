"""`python -m tests.fuzz.child TARGET SECONDS SEED FILE`: fuzz one target in this process, within limits of its own.

FILE holds the input that is being tried: after a crash, the one that crashed. Prints JSON: outcome -> how often.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import mutated
from tests.fuzz.table_targets import ALL_TARGETS

MEMORY = 8 * 2**30  # bytes of addresses, of which libraries take some gigabytes when they are imported
GROWTH = 2**30  # bytes in memory, beyond those of the good inputs
SECONDS = 20.0  # of a core, for one input
ROUND = 200  # inputs between two looks at the clock


def fuzz(name: str, seconds: float, first_seed: int, current: Path) -> dict[str, object]:
    """Try inputs for some seconds."""
    target, outcomes = ALL_TARGETS[name], Counter[str]()
    originals = target.originals()
    for data in originals:
        outcomes[f"good: {target.attempt(data)}"] += 1
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    end, number = time.monotonic() + seconds, first_seed

    def attempt(data: bytes) -> None:
        nonlocal slowest
        if time.monotonic() > end:
            return
        current.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        began = time.process_time()
        try:
            outcomes[target.attempt(data)] += 1
        except BaseException:
            print(traceback.format_exc()[-3000:], file=sys.stderr, flush=True)
            os._exit(1)  # the input is in the file; hypothesis would print all of it
        slowest = max(slowest, time.process_time() - began)

    quiet = settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() < end:
        seed(number)(quiet(given(mutated(originals))(attempt)))()
        number += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < GROWTH, f"{grown >> 20} MiB more than for good inputs"
    return {"outcomes": dict(outcomes.most_common()), "slowest": round(slowest, 2), "grown_mib": grown >> 20}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps(fuzz(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))), flush=True)
    os._exit(0)  # threads of libraries in Rust may take long to end
