"""Random ViT and VisualBERT models in transformers, for comparing with ours."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
import transformers

Tensors = dict[str, torch.Tensor]


def _shape(rng: Random) -> dict[str, Any]:
    """What both have in common."""
    heads = rng.choice((1, 2, 3, 4))
    return {
        "hidden_size": heads * rng.choice((8, 16, 24)),
        "num_hidden_layers": rng.randint(1, 4),
        "num_attention_heads": heads,
        "intermediate_size": rng.randint(16, 96),
        "hidden_act": rng.choice(("gelu", "relu", "gelu_new")),
        "layer_norm_eps": rng.choice((1e-12, 1e-6)),
        "initializer_range": 0.2,
        "hidden_dropout_prob": 0.1,  # in eval mode nothing may come of it
        "attention_probs_dropout_prob": 0.1,
        "num_labels": rng.randint(2, 20),
        "attn_implementation": "eager",  # the other one adds a head mask to the scores, in place of a product
    }


def random_vit(rng: Random, **fixed: object) -> transformers.ViTConfig:
    patch = rng.choice((4, 8, 16))
    values = {
        **_shape(rng),
        "patch_size": patch,
        "image_size": patch * rng.randint(2, 6),
        "num_channels": rng.choice((1, 3)),
        "qkv_bias": rng.random() < 0.5,
        "encoder_stride": patch,
    }
    return transformers.ViTConfig(**{**values, **fixed})


def random_pixels(config: transformers.ViTConfig, rng: Random, batch: int) -> Tensors:
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    size = (batch, config.num_channels, config.image_size, config.image_size)
    return {"pixel_values": torch.randn(size, generator=generator)}


def random_masked_patches(config: transformers.ViTConfig, batch: int) -> torch.Tensor:
    return torch.rand(batch, (config.image_size // config.patch_size) ** 2) < 0.5


def random_visual_bert(rng: Random, **fixed: object) -> transformers.VisualBertConfig:
    values = {
        **_shape(rng),
        "vocab_size": rng.randint(50, 200),
        "visual_embedding_dim": rng.randint(4, 40),
        "max_position_embeddings": rng.choice((16, 40)),
        "type_vocab_size": rng.choice((2, 3)),
        "special_visual_initialize": rng.random() < 0.5,
        "pad_token_id": rng.choice((0, 1)),
    }
    return transformers.VisualBertConfig(**{**values, **fixed})


def random_regions(config: transformers.VisualBertConfig, rng: Random, batch: int) -> Tensors:
    """Padded texts and regions of mixed lengths and numbers, with every documented input of the model."""
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    lengths = [rng.randint(2, config.max_position_embeddings) for _ in range(batch)]
    counts = [rng.randint(1, 9) for _ in range(batch)]
    longest, most = max(lengths), max(counts)

    def below(high: int, *size: int, low: int = 0) -> torch.Tensor:
        return torch.randint(low, high, size, generator=generator)

    return {
        "input_ids": below(config.vocab_size, batch, longest),
        "attention_mask": (torch.arange(longest) < torch.tensor(lengths)[:, None]).long(),
        "token_type_ids": below(config.type_vocab_size, batch, longest),
        "position_ids": below(config.max_position_embeddings, batch, longest),
        "visual_embeds": torch.randn(batch, most, config.visual_embedding_dim, generator=generator),
        "visual_attention_mask": (torch.arange(most) < torch.tensor(counts)[:, None]).long(),
        "visual_token_type_ids": below(config.type_vocab_size, batch, most),
        "image_text_alignment": below(min(lengths), batch, most, rng.randint(1, 3), low=-1),
    }


def random_choices(config: transformers.VisualBertConfig, rng: Random, batch: int, choices: int) -> Tensors:
    """The same with a dimension of choices; an alignment stays flat, as transformers takes it."""
    flat = random_regions(config, rng, batch * choices)
    return {
        name: value if name == "image_text_alignment" else value.unflatten(0, (batch, choices))
        for name, value in flat.items()
    }
