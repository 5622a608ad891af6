"""The precision that a device computes with; what would be slow is said."""

import logging

import pytest
import torch

from vilt.inference import compat, precision
from vilt.inference.precision import resolve_precision

CPU = torch.device("cpu")
AVX2 = frozenset({"avx2"})


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    precision._say_that_it_is_emulated.cache_clear()


def test_bfloat16_that_is_emulated_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compat, "cpu_features", lambda: AVX2)
    with caplog.at_level(logging.WARNING):
        assert [resolve_precision("bfloat16", CPU) for _ in range(3)] == ["bfloat16"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "precision 'bfloat16' is emulated on this CPU, at about a quarter of the speed of 'float32'; "
        "'auto' takes 'float32' here"
    ]
    assert resolve_precision("auto", CPU) == "float32"


def test_bfloat16_that_is_native_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compat, "cpu_features", lambda: AVX2 | {"avx512_bf16"})
    assert resolve_precision("bfloat16", CPU) == resolve_precision("auto", CPU) == "bfloat16"
    assert not caplog.records


def test_int8_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "cpu_features", lambda: AVX2)
    with pytest.raises(ValueError, match="'int8' needs a CPU with AVX-512's VNNI and bfloat16; 'auto' runs anywhere"):
        resolve_precision("int8", CPU)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="precision 'float64' is not one of auto, float32, bfloat16, int8, float8"):
        resolve_precision("float64", CPU)
