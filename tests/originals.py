"""Checkpoints of the original project, made of random models in transformers."""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
import transformers

from tests.parity.models import randomise

NAMES = (  # published -> original
    (r"embeddings\.text_embeddings\.", "text_embeddings."),
    (r"embeddings\.token_type_embeddings\.", "token_type_embeddings."),
    (r"embeddings\.patch_embeddings\.projection\.", "transformer.patch_embed.proj."),
    (r"embeddings\.cls_token", "transformer.cls_token"),
    (r"embeddings\.position_embeddings", "transformer.pos_embed"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.", r"transformer.blocks.\1.norm1."),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.", r"transformer.blocks.\1.norm2."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"transformer.blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"transformer.blocks.\1.mlp.fc1."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"transformer.blocks.\1.mlp.fc2."),
    (r"layernorm\.", "transformer.norm."),
)
HEADS = 4


class Kind(NamedTuple):
    """One of the original project's files: the class it is published as, and what is special in it."""

    published: str
    classifier: str = ""
    config: dict[str, int] = {}  # noqa: RUF012
    has_itm: bool = False


KINDS = {
    "pretraining": Kind("ViltForMaskedLM", has_itm=True),
    "vqa": Kind("ViltForQuestionAnswering", "vqa_classifier", {"num_labels": 7}),
    "nlvr2": Kind("ViltForImagesAndTextClassification", "nlvr2_classifier", {"num_images": 2, "num_labels": 2,
                                                                              "modality_type_vocab_size": 3}),
    "retrieval": Kind("ViltForImageAndTextRetrieval", has_itm=True),  # COCO and F30K
}  # fmt: skip


def original_state(model: torch.nn.Module, kind: Kind) -> OrderedDict[str, torch.Tensor]:
    """The tensors of a published model, by their original names."""
    state = {name.removeprefix("vilt."): tensor for name, tensor in model.state_dict().items()}
    out: OrderedDict[str, torch.Tensor] = OrderedDict()
    for name, tensor in state.items():
        if name == "mlm_score.decoder.bias":  # the same as mlm_score.bias
            continue
        if match := re.fullmatch(r"encoder\.layer\.(\d+)\.attention\.attention\.query\.(\w+)", name):
            parts = [state[name.replace("query", part)] for part in ("query", "key", "value")]
            out[f"transformer.blocks.{match[1]}.attn.qkv.{match[2]}"] = torch.cat(parts)
        elif ".attention.attention." not in name:
            original = re.sub(r"^classifier\.", f"{kind.classifier}.", name)
            for pattern, replacement in NAMES:
                original = re.sub(f"^{pattern}", replacement, original)
            out[original] = tensor
    out["text_embeddings.position_ids"] = torch.arange(model.config.max_position_embeddings)[None]
    if kind.has_itm:
        out["itm_score.fc.weight"], out["itm_score.fc.bias"] = torch.ones(2, model.config.hidden_size), torch.ones(2)
    return out


def random_model(name: str, seed: int = 0, **config: int) -> tuple[torch.nn.Module, dict[str, int]]:
    """A random published model for an original file, and the original config of such a model."""
    told = {
        "vocab_size": 60, "max_text_len": 40, "hidden_size": 32, "num_heads": HEADS, "num_layers": 2, "mlp_ratio": 2,
        "image_size": 96, "patch_size": 16, "max_image_len": 200,
    }  # fmt: skip
    shape = {
        "vocab_size": 60, "max_position_embeddings": 40, "hidden_size": 32, "num_attention_heads": HEADS,
        "num_hidden_layers": 2, "intermediate_size": 64, "image_size": 96, "patch_size": 16,
    }  # fmt: skip
    kind = KINDS[name]
    values = {**shape, **kind.config, **config}
    return randomise(getattr(transformers, kind.published)(transformers.ViltConfig(**values)), seed), told


def save(path: Path, state: Any, told: dict[str, Any] | None, **more: Any) -> None:
    """Write a file as Lightning does, with an object of a class that is gone when the file is read."""
    module = ModuleType("gone")

    class Callback:
        def __init__(self) -> None:
            self.best = 0.5

    class Hyper(dict[str, Any]):
        pass

    for cls in (Callback, Hyper):
        cls.__module__, cls.__qualname__ = "gone", cls.__name__
        setattr(module, cls.__name__, cls)
    sys.modules["gone"] = module
    content = {"state_dict": state, "callbacks": {Callback: {"mode": Callback()}}, "epoch": 3, **more}
    weights = next(iter(state.values()))
    content["optimizer_states"] = [{"state": {0: {"exp_avg": torch.zeros_like(weights)}}}]
    if told is not None:
        content["hyper_parameters"] = Hyper(config=told)
    try:
        torch.save(content, path)
    finally:
        del sys.modules["gone"]


def largest_difference(ours: Callable[..., Any], theirs: Callable[..., Any], inputs: dict[str, torch.Tensor]) -> float:
    """Between the logits of two models."""
    with torch.inference_mode():
        return (ours(**inputs).logits - theirs(**inputs).logits).abs().max().item()


def inputs_for(model: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch of two texts with images: two images a text where the model reads so many."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    images = (2, 2, 3, 96, 128) if config.num_images == 2 else (2, 3, 96, 128)
    return {
        "input_ids": torch.randint(0, config.vocab_size, (2, 9), generator=generator),
        "pixel_values": torch.randn(images, generator=generator),
    }
