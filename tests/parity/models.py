"""Random ViLT models in transformers, for comparing with ours."""

from __future__ import annotations

from random import Random

import torch
import transformers


def random_config(rng: Random, **fixed: object) -> transformers.ViltConfig:
    """A small config with every choice that changes the arithmetic drawn at random.

    The published documentation names "selu" too, but transformers 4.56.2 does not know it.
    """
    heads = rng.choice((1, 2, 3, 4))
    patch = rng.choice((8, 16, 32))
    values = {
        "vocab_size": rng.randint(50, 200),
        "type_vocab_size": rng.choice((1, 2)),
        "modality_type_vocab_size": rng.choice((2, 3)),
        "max_position_embeddings": rng.choice((16, 40)),
        "hidden_size": heads * rng.choice((8, 16, 24)),
        "num_hidden_layers": rng.randint(1, 4),
        "num_attention_heads": heads,
        "intermediate_size": rng.randint(16, 96),
        "hidden_act": rng.choice(("gelu", "relu", "gelu_new")),
        "layer_norm_eps": rng.choice((1e-12, 1e-6)),
        "patch_size": patch,
        "image_size": patch * rng.randint(2, 6),
        "qkv_bias": rng.random() < 0.5,
        "initializer_range": 0.2,
        "num_labels": rng.randint(2, 20),
        "tie_word_embeddings": False,
    }
    return transformers.ViltConfig(**{**values, **fixed})


def randomise(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Random values for every parameter, also for those that transformers starts at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def random_inputs(config: transformers.ViltConfig, rng: Random, batch: int) -> dict[str, torch.Tensor]:
    """Padded texts and images of mixed lengths and sizes, as the published processor makes them."""
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    patch = config.patch_size
    lengths = [rng.randint(2, config.max_position_embeddings) for _ in range(batch)]
    sizes = [(patch * rng.randint(1, 7), patch * rng.randint(1, 7)) for _ in range(batch)]
    longest, height, width = max(lengths), max(h for h, _ in sizes), max(w for _, w in sizes)
    pixels = torch.zeros(batch, 3, height, width)
    pixel_mask = torch.zeros(batch, height, width, dtype=torch.int64)
    attention_mask = torch.zeros(batch, longest, dtype=torch.int64)
    for i, (length, (h, w)) in enumerate(zip(lengths, sizes, strict=True)):
        pixels[i, :, :h, :w] = torch.randn(3, h, w, generator=generator)
        pixel_mask[i, :h, :w] = 1
        attention_mask[i, :length] = 1
    return {
        "input_ids": torch.randint(0, config.vocab_size, (batch, longest), generator=generator),
        "token_type_ids": torch.randint(0, config.type_vocab_size, (batch, longest), generator=generator),
        "attention_mask": attention_mask,
        "pixel_values": pixels,
        "pixel_mask": pixel_mask,
    }
