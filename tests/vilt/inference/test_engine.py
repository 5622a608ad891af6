"""`Engine`: heads are filled, and what a GPU does otherwise gives the same, on the CPU in its place."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.gpu import data
from vilt.inference import engine as engine_module
from vilt.inference.embeddings import FilledRows
from vilt.inference.gpu.fused import FusedEncoder

CPU = torch.device("cpu")


def test_every_head_of_a_checkpoint_is_filled() -> None:
    """VisualBERT's answer and reason read the same tensors when the config names neither."""
    folder = data.checkpoint("visual_bert", True)
    config = Path(folder, "config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"architectures": None}))
    first, second = (data.open_as(folder, CPU, "float32") for _ in range(2))
    assert {"answer", "reason"} <= set(first.heads)
    pairs = data.inputs("visual_bert", 4, True)
    for task in first.heads:
        assert np.array_equal(first.of_pairs(task, pairs), second.of_pairs(task, pairs))
    tensors = load_file(Path(folder, "model.safetensors"))
    for task in ("answer", "reason"):
        for name, tensor in first.heads[task].state_dict().items():
            assert torch.equal(tensor, tensors[f"cls.{name}"])


@pytest.mark.parametrize("kind", data.TASKS)
@pytest.mark.parametrize(("precision", "close"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_windows_and_encoders_of_a_gpu(
    kind: str, precision: str, close: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pairs = data.checkpoint(kind, True), data.inputs(kind, 6, True, texts=1 if kind == "vit" else 2)
    expected = data.open_as(folder, CPU, "float32").of_pairs(data.TASKS[kind], pairs)
    monkeypatch.setattr(engine_module, "is_gpu", lambda _: True)
    engine = data.open_as(folder, CPU, precision)
    assert isinstance(engine.projection, FilledRows)
    assert isinstance(engine.model.encoder, FusedEncoder) == (precision == "bfloat16")
    engine.passes.tokens = 2 * int(pairs.lengths.max())  # of one window
    assert len([*pairs.windows(engine.passes.tokens)]) > 2
    assert np.abs(engine.of_pairs(data.TASKS[kind], pairs) - expected).max() < close
