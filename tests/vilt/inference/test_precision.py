"""The precision that a device computes with; what would be slow is said."""

import logging
import time
from collections.abc import Callable

import pytest
import torch

from vilt.inference import bfloat16, compat, int8, precision
from vilt.inference.precision import resolve_precision

CPU = torch.device("cpu")
AVX2 = frozenset({"avx2"})


@pytest.fixture(autouse=True)
def _asked_anew() -> None:
    precision._say_that_it_is_emulated.cache_clear()
    precision._say_that_it_is_slow.cache_clear()


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
    monkeypatch.setattr(bfloat16, "pays", lambda: True)
    assert resolve_precision("bfloat16", CPU) == resolve_precision("auto", CPU) == "bfloat16"
    assert not caplog.records


def test_auto_believes_a_measurement_more_than_what_a_cpu_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compat, "cpu_features", lambda: AVX2 | {"avx512_bf16"})
    monkeypatch.setattr(bfloat16, "pays", lambda: False)
    assert resolve_precision("auto", CPU) == "float32"
    assert not caplog.records
    assert [resolve_precision("bfloat16", CPU) for _ in range(3)] == ["bfloat16"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "precision 'bfloat16' is not clearly faster than 'float32' on this CPU, as measured: 'auto' takes 'float32'"
    ]
    monkeypatch.setattr(compat, "cpu_features", lambda: AVX2)
    monkeypatch.setattr(bfloat16, "pays", lambda: pytest.fail("nothing to measure"))
    assert resolve_precision("auto", CPU) == "float32"


def test_what_pays_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With layers in place of the kernels that keep a core busy as long as they would."""

    def busy(layer: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
        pause = seconds[layer.weight.dtype]

        def run(rows: torch.Tensor) -> torch.Tensor:
            until = time.thread_time() + pause
            while time.thread_time() < until:
                pass
            return rows

        return run

    monkeypatch.setattr(bfloat16.linear, "packed", busy)
    for ours, plain, pays in ((0.001, 0.01, True), (0.01, 0.001, False)):
        seconds = {torch.bfloat16: ours, torch.float32: plain}
        bfloat16.pays.cache_clear()
        assert bfloat16.pays() is pays
    bfloat16.pays.cache_clear()


def test_int8_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "weight_bits", lambda: 0)
    with pytest.raises(ValueError, match=r"'int8' needs a CPU on which .* multiplies 8-bit .* 'auto' runs anywhere"):
        resolve_precision("int8", CPU)


@pytest.mark.parametrize("bits", [7, 8])
def test_weights_of_7_bits_are_told(
    bits: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(int8, "weight_bits", lambda: bits)
    precision._say_that_weights_have_7_bits.cache_clear()
    for _ in range(2):
        assert resolve_precision("int8", CPU) == "int8"
    assert [record.getMessage() for record in caplog.records] == [
        "precision 'int8': this CPU has no VNNI, with which sums of 8-bit products are exact; weights have 7 bits here"
    ][: 8 - bits]
    assert precision.shown("int8") == ("int8" if bits == 8 else "int8 of 7-bit weights")
    assert precision.shown("float32") == "float32"
    precision._say_that_weights_have_7_bits.cache_clear()


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="precision 'float64' is not one of auto, float32, bfloat16, int8, float8"):
        resolve_precision("float64", CPU)
