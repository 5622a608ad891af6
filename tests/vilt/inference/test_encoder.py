"""The encoder of the fast path, beside the published layers that it is built from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.gpu.data import TINY
from vilt import ViltConfig, ViltModel, VisualBertConfig, VisualBertModel, ViTConfig, ViTModel
from vilt.inference.backbone import Backbone
from vilt.inference.encoder import activation_of
from vilt.inference.packing import Sequences
from vilt.models.vilt.fast import FastVilt
from vilt.models.visual_bert.fast import FastVisualBert
from vilt.models.vit.fast import FastViT

LENGTH = 7
FAMILIES = [
    (ViltConfig, ViltModel, FastVilt),
    (ViTConfig, ViTModel, FastViT),
    (VisualBertConfig, VisualBertModel, FastVisualBert),
]


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "gelu_python", "relu", "relu6", "quick_gelu", "prelu", "replaced"])
@pytest.mark.parametrize(("config", "make", "fast"), FAMILIES)
def test_layers_compute_what_the_published_ones_do(
    act: str, config: Callable[..., object], make: Callable[..., nn.Module], fast: Callable[..., Backbone]
) -> None:
    """PReLU has weights that are trained; people also replace activations in a model's tree."""
    torch.manual_seed(0)
    model = make(config(**TINY, hidden_act="gelu" if act == "replaced" else act)).eval()
    for layer in model.encoder.layer:
        if act == "replaced":
            layer.intermediate.intermediate_act_fn = nn.Softplus()
        for p in layer.parameters():
            nn.init.normal_(p, std=0.3)
    x = torch.randn(LENGTH, TINY["hidden_size"])
    with torch.inference_mode():
        expected = model.encoder(x[None])[0][0]
        got = fast(model).encoder(x, Sequences(np.array([LENGTH]), "cpu"))
    assert torch.allclose(got, expected, atol=1e-5)


def test_activations_are_copies() -> None:
    module = nn.PReLU()
    copy = activation_of(module)
    assert isinstance(copy, nn.PReLU)
    copy.bfloat16()
    assert module.weight.dtype == torch.float32
    assert module.weight.requires_grad
