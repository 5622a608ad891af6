"""Modules whose weights are not drawn."""

import subprocess
import sys

import torch
from torch import nn

from vilt.common.skip_init import SkipInit


def test_nothing_is_drawn() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with SkipInit():
        linear = nn.Linear(3, 5)
        nn.init.normal_(tensor=linear.weight)
        nn.Embedding(7, 3, padding_idx=1)
    assert torch.equal(torch.rand(1), expected), "the generator has not moved"
    assert linear.weight.shape == (5, 3)
    with torch.no_grad():
        assert not torch.equal(nn.init.normal_(linear.weight), torch.zeros(5, 3)), "after it, as before"


def test_a_checkpoint_loads_without_the_compiler() -> None:
    code = "import sys; from vilt import Predictor; Predictor.from_pretrained('zoo://scenes'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch._dynamo", "sympy"} & set(done.stdout.split())
