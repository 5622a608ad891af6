"""The GPU kit, at a test's size on the CPU: every section runs, and one that fails does not take the others along."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as kit
from benchmarks.gpu.report import Report


def test_all_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["gpu", "--tiny", "--device", "cpu", "--seconds", "1e9"])
    kit.main()
    told = (tmp_path / "gpu.md").read_text()
    assert "0 failed or left out" in told
    for heading in ("## Rates", "## Kernels", "## Parity", "## Copies"):
        assert heading in told
    exact = [line.split(" | ") for line in told.splitlines() if " | float32 | " in line]
    families, tasks = exact[:3], exact[3:]  # the CPU beside itself
    assert [float(cells[3]) for cells in families] == [0.0] * 3
    assert {cells[0]: float(cells[2]) for cells in tasks} == {
        f"| {task}": 0.0 for task in ("rank", "answer", "reason", "fill", "tag", "embed")
    }


def test_a_failure_is_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(torch.device("cpu"), True, 60)

    def fail(_: Report) -> None:
        raise RuntimeError("no such kernel\nand more")

    report.section("first", "First", fail, 0)
    report.section("second", "Second", lambda report: report.say("went on"), 0)
    report.section("third", "Third", fail, 61)
    report.finish()
    told = capsys.readouterr().out
    assert "went on" in told
    assert "- first: RuntimeError: no such kernel\n" in told
    assert "- third: left out, 60 s left and it takes 61" in told
    assert "Traceback" in told


def test_without_a_gpu_only_the_tiny_part(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu"])
    with pytest.raises(SystemExit):
        kit.main()
    assert "no GPU: torch sees none; --tiny runs a small part on the CPU" in capsys.readouterr().err
