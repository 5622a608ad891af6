"""The encoders that are made for a GPU, on the CPU: they compute what the published one computes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.gpu import data
from vilt.inference.encoder import Encoder
from vilt.inference.engine import Engine
from vilt.inference.gpu import compiled
from vilt.inference.gpu.compiled import CompiledEncoder
from vilt.inference.gpu.encoder import gpu_encoder
from vilt.inference.gpu.fused import FusedEncoder
from vilt.inference.gpu.graphs import GraphedEncoder, StaticSequences, graph_shape
from vilt.inference.gpu.options import GpuOptions
from vilt.inference.packing import Packed
from vilt.models.vilt.modeling import ViltModel

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
    """The encoder as a GPU gets it, with layers of torch, not of oneDNN, and random weights, norms and biases."""
    return random_encoder(engine, type(engine).model_class(engine.config))


def random_encoder(engine: Engine, model: nn.Module) -> Encoder:
    encoder = engine.build(model).encoder.eval()
    for p in encoder.parameters():
        nn.init.normal_(p, std=0.2)
    return encoder


@pytest.mark.parametrize("make", [lambda e: FusedEncoder(e, dtype=torch.float32), CompiledEncoder])
def test_same_as_published(
    batch: tuple[Engine, Packed, Tensor], make: Callable[[Encoder], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, packed, x = batch
    monkeypatch.setattr(compiled, "compiled", lambda function: function)
    torch.manual_seed(0)
    encoder = published(engine)
    assert_same(make(encoder), encoder, packed, x)


def assert_same(fast: nn.Module, encoder: Encoder, packed: Packed, x: Tensor) -> None:
    with torch.inference_mode():
        one, states = encoder.forward_one(x.clone(), packed), encoder(x.clone(), packed)
        assert one.std() > 0.1
        assert torch.allclose(fast.forward_one(x.clone(), packed), one, atol=2e-5)
        assert torch.allclose(fast(x.clone(), packed)[packed.text_rows], states[packed.text_rows], atol=2e-5)


@pytest.mark.parametrize("make", [lambda e: FusedEncoder(e, dtype=torch.float32), CompiledEncoder])
@pytest.mark.parametrize("act", ["gelu_new", "prelu"])
def test_pruned_heads_and_other_activations(
    act: str, make: Callable[[Encoder], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "compiled", lambda function: function)
    engine = data.open_as(data.checkpoint("vilt", True), CPU, "float32")
    engine.config.hidden_act = act
    torch.manual_seed(0)
    model = ViltModel(engine.config)
    model.prune_heads({0: [1, 2], 1: [0]})
    encoder, pairs = random_encoder(engine, model), data.inputs("vilt", 5, True)
    packed = Packed(pairs)
    with torch.inference_mode():
        x = engine.model.embed(packed, engine.embed_images(pairs))
    assert_same(make(encoder), encoder, packed, x)


def test_activations_with_weights_are_of_the_encoders_dtype() -> None:
    engine = data.open_as(data.checkpoint("vilt", True), CPU, "float32")
    engine.config.hidden_act = "prelu"
    packed = Packed(data.inputs("vilt", 2, True))
    x = torch.randn(len(packed.text_rows) + len(packed.image_rows) + packed.filler, engine.config.hidden_size)
    with torch.inference_mode():
        one = FusedEncoder(published(engine)).forward_one(x.bfloat16(), packed)
    assert one.dtype == torch.bfloat16
    assert one.isfinite().all()


def test_an_encoder_without_layers(batch: tuple[Engine, Packed, Tensor]) -> None:
    _, packed, x = batch
    empty = Encoder([], True)
    for encoder in (empty, FusedEncoder(empty), CompiledEncoder(empty)):
        assert torch.equal(encoder.forward_one(x, packed), x[packed.reads])


def test_the_encoder_of_the_options() -> None:
    engine = data.open_as(data.checkpoint("vilt", True), CPU, "float32")
    encoder = published(engine)
    assert isinstance(gpu_encoder(encoder, "bfloat16", GpuOptions()), FusedEncoder)
    assert isinstance(gpu_encoder(encoder, "bfloat16", GpuOptions(graphs=True)), GraphedEncoder)
    assert isinstance(gpu_encoder(encoder, "bfloat16", GpuOptions(fused=False, compiled=True)), CompiledEncoder)
    assert gpu_encoder(encoder, "bfloat16", GpuOptions(fused=False)) is encoder
    assert gpu_encoder(encoder, "float32", GpuOptions()) is encoder
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
