"""Two things at once: both are done when the context ends, and no error is lost."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.common.background import Background, imported_meanwhile, meanwhile


def test_both_are_done_at_the_end() -> None:
    begun, done = threading.Event(), list[str]()

    def call() -> None:
        assert begun.wait(60)
        done.append(threading.current_thread().name)

    with meanwhile(call):
        assert not done
        begun.set()  # the call waits for what is done in the context: they run at once
    assert len(done) == 1
    assert done[0] != threading.current_thread().name


def test_a_value_and_an_error_reach_who_asks() -> None:
    assert Background(lambda: 7).result() == 7

    def fail() -> None:
        raise ValueError("wrong weights")

    failing = Background(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong weights"):
            failing.result()
    with pytest.raises(ValueError, match="wrong weights"), meanwhile(fail):
        pass


def test_an_error_in_the_context_is_not_kept_waiting() -> None:
    never = threading.Event()
    with pytest.raises(KeyboardInterrupt), meanwhile(lambda: never.wait(60)):
        raise KeyboardInterrupt
    never.set()


def test_a_module_is_imported_once_its_time_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("soon", "late"):
        (tmp_path / f"imported_{name}.py").write_text("")
    (tmp_path / "imported_broken.py").write_text("raise ValueError")
    with imported_meanwhile("imported_late", 600):
        pass
    with imported_meanwhile("imported_broken", 0), imported_meanwhile("imported_soon", 0):
        for _ in range(1000):
            if "imported_soon" in sys.modules and "imported_broken" not in sys.modules:  # not in the middle of it
                break
            time.sleep(0.01)
    assert "imported_soon" in sys.modules
    assert not {"imported_late", "imported_broken"} & sys.modules.keys()
