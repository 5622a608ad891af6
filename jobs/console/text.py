"""Text from data, made safe for a terminal, a text log and JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.common.visible_text import visible as visible


def json_line(values: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON in ASCII; numbers that are not finite become null, as JSON has none."""
    return json.dumps(_finite(values), allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_finite(one) for one in value]
    return value
