"""Which of Ray's lines a person does not see."""

import pytest

from jobs.console.noise import is_noise, without_colors

NOISE = """
2026-11-26 01:24:39,408	WARNING authentication_token_setup.py:85 -- Token authentication is enabled
2026-11-26 01:25:14,453	INFO streaming_executor.py:215 -- Starting execution of Dataset dataset_1_0
[2026-11-26 01:25:14,490 E 18205 18205] core_worker.cc:2465: Actor with class name: 'MapWorker'
2026-11-26 01:25:14,493	INFO __init__.py:69 -- [dataset]: A new progress UI is available. To enable, set `ray.data
2026-11-26 18:03:04,842	WARNING __init__.py:28 -- Progress bars disabled. To enable, set `ray.data.DataContext.get
(raylet) [2026-11-26 01:25:14,490 W 18205 18205] local_object_manager.cc:245: Spilled 2000 MiB
"""
NEWS = """
UserWarning: The given NumPy array is not writable
2026-11-26 01:25:14,453	WARNING worker.py:215 -- The object store is nearly full
2026-11-26 01:25:14,453	ERROR streaming_executor.py:215 -- an error
(MapWorker(MapBatches(ViltActor)) pid=71) Traceback (most recent call last):
a.parquet: TimeoutError: trying again in 2 s
"""


@pytest.mark.parametrize("line", ["", *NOISE.strip().splitlines()])
def test_noise(line: str) -> None:
    assert is_noise(line)


@pytest.mark.parametrize("line", NEWS.strip().splitlines())
def test_what_may_matter_is_shown(line: str) -> None:
    assert not is_noise(line)


def test_colors() -> None:
    assert without_colors("\x1b[36m(raylet)\x1b[0m \x1b[?25lx") == "(raylet) x"
