"""The encoders that are made for a GPU, on the CPU: they compute what the published one computes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.gpu import data
from vilt import compiled_encoder
from vilt.compiled_encoder import CompiledEncoder
from vilt.encoder import Encoder
from vilt.engine import Engine
from vilt.fast_encoder import fast_encoder
from vilt.fused import FusedEncoder
from vilt.gpu import GpuOptions
from vilt.graphs import GraphedEncoder, StaticSequences, graph_shape
from vilt.packing import Packed

CPU = torch.device("cpu")


@pytest.fixture(params=data.TASKS)
def batch(request: pytest.FixtureRequest) -> tuple[Engine, Packed, Tensor]:
    """An engine, a packed batch with filler, and what its encoder reads."""
    engine = data.open_as(data.checkpoint(request.param, True), CPU, "float32")
    pairs = data.inputs(request.param, 5, True)
    packed = Packed(pairs)
    assert packed.filler
    with torch.inference_mode():
        return engine, packed, engine.model.embed(packed, engine.embed_images(pairs))


def published(engine: Engine) -> Encoder:
    """The encoder with layers of torch, not of oneDNN, in the place of the engine's."""
    encoder = Encoder(engine.config, engine.config.pre_norm).eval()
    for p in encoder.parameters():
        nn.init.normal_(p, std=0.2)
    return encoder


@pytest.mark.parametrize("make", [lambda e: FusedEncoder(e, dtype=torch.float32), CompiledEncoder])
def test_same_as_published(
    batch: tuple[Engine, Packed, Tensor], make: Callable[[Encoder], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, packed, x = batch
    monkeypatch.setattr(compiled_encoder, "compiled", lambda function: function)
    torch.manual_seed(0)
    encoder = published(engine)
    fast, layouts = make(encoder), [packed] * engine.config.num_hidden_layers
    with torch.inference_mode():
        one, states = encoder.forward_one(x.clone(), packed), encoder(x.clone(), layouts)[-1]
        assert one.std() > 0.1
        assert torch.allclose(fast.forward_one(x.clone(), packed), one, atol=2e-5)
        assert torch.allclose(fast(x.clone(), layouts)[-1][packed.text_rows], states[packed.text_rows], atol=2e-5)


def test_the_encoder_of_the_options() -> None:
    engine = data.open_as(data.checkpoint("vilt", True), CPU, "float32")
    encoder = published(engine)
    assert isinstance(fast_encoder(encoder, "bfloat16", GpuOptions()), FusedEncoder)
    assert isinstance(fast_encoder(encoder, "bfloat16", GpuOptions(graphs=True)), GraphedEncoder)
    assert isinstance(fast_encoder(encoder, "bfloat16", GpuOptions(fused=False, compiled=True)), CompiledEncoder)
    assert fast_encoder(encoder, "bfloat16", GpuOptions(fused=False)) is encoder
    assert fast_encoder(encoder, "float32", GpuOptions()) is encoder
    with pytest.raises(ValueError, match="give one of them"):
        GpuOptions(compiled=True)


@pytest.mark.parametrize(
    ("batch_shape", "shape"),
    [((1, 1, 1), (2048, 64, 64)), ((2049, 65, 206), (4096, 128, 256)), ((65537, 1, 1), None)],
)
def test_shapes_of_graphs(batch_shape: tuple[int, int, int], shape: tuple[int, int, int] | None) -> None:
    assert graph_shape(*batch_shape) == shape


def test_a_graph_holds_fewer_pairs() -> None:
    static = StaticSequences(8, 64, CPU)
    for count in (8, 3):  # the second is to leave nothing of the first
        packed = Packed(data.inputs("vilt", count, True))
        static.load(packed)
        assert torch.equal(static.ends[: count + 1], packed.ends)
        assert (static.ends[count:] == packed.ends[-1]).all()
        assert torch.equal(static.reads[:count], packed.reads)


def test_kept_positions_are_the_same(batch: tuple[Engine, Packed, Tensor]) -> None:
    engine, _, _ = batch
    image = getattr(engine.model, "image", None)
    if image is None:
        pytest.skip("no patches")
    grid = data.inputs(engine.config.model_type, 1, True).grids[0]
    assert image.positions(grid) is image.positions(grid)
    kept = image.positions(grid)
    image.kept = None
    assert torch.equal(image.positions(grid), kept)


def test_every_head_of_a_checkpoint_is_filled() -> None:
    """VisualBERT's answer and reason read the same tensors where the config names neither."""
    folder = data.checkpoint("visual_bert", True)
    first, second = (data.open_as(folder, CPU, "float32") for _ in range(2))
    assert {"answer", "reason"} <= set(first.heads)
    pairs = data.inputs("visual_bert", 4, True)
    for task in first.heads:
        assert np.array_equal(first.of_pairs(task, pairs), second.of_pairs(task, pairs))
