"""Compiled loops: made when called, and where nothing can be kept on disk too."""

import subprocess
import sys
from typing import Any

import numpy as np

from vilt.common.compiled import compiled

LOOP = "def total(x):\n    s = 0.0\n    for i in range(len(x)):\n        s += x[i]\n    return s\n"


def test_code_that_cannot_be_kept_on_disk() -> None:
    names: dict[str, Any] = {}
    exec(LOOP, names)  # of no file, so there is no place beside it
    loop = compiled(names["total"])
    assert loop(np.arange(5.0)) == 10.0
    assert loop(np.arange(3, dtype=np.float32)) == 3.0


def test_who_compiles_nothing_loads_no_compiler() -> None:
    code = "import sys, vilt; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
