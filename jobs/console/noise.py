"""Which lines of Ray are of no use to a person."""

from __future__ import annotations

import re

COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NOISE = re.compile(
    "|".join(
        (
            r"\[\d{4}-\d\d-\d\d [\d:,]+ [A-Z] \d+ \d+\] ",  # C++: core_worker, raylet; all of it is in Ray's own logs
            r"^\d{4}-\d\d-\d\d [\d:,]+\s+(INFO|DEBUG) \S+:\d+ -- ",  # Python
            r"authentication_token_setup|[Aa]uthentication token",
            r"progress UI is available|enable_rich_progress_bars|Progress bars disabled",
        )
    )
)


def without_colors(line: str) -> str:
    """Return a line without the escapes that colour it or move the cursor."""
    return COLORS.sub("", line)


def is_noise(line: str) -> bool:
    """Return whether a line, without colours, is one of Ray's that a person need not see."""
    return not line.strip() or NOISE.search(line) is not None
