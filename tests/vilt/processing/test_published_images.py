"""The published API of image processors, line by line on ours and on transformers'; see test_published_api.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.vilt.processing.files import noise
from vilt import ViltImageProcessor, ViTImageProcessor

Line = Callable[[Any], Any]

RGB, WIDE = noise(60, 90), noise(64, 120, 1)
FIRST = RGB.transpose(2, 0, 1)
FOUR = np.dstack([RGB, RGB[..., 0]])
IMAGES: dict[str, Line] = {
    "model_input_names": lambda p: p.model_input_names,
    "is_fast": lambda p: p.is_fast,
    "to_dict": lambda p: {k: v for k, v in p.to_dict().items() if "processor" not in k},
    "to_json_string": lambda p: json.loads(p.to_json_string()).keys() - {"image_processor_type"},
    "from_dict": lambda p: p.from_dict(p.to_dict(), do_resize=False).do_resize,
    "from_dict, unused": lambda p: p.from_dict(p.to_dict(), return_unused_kwargs=True, other=3, do_resize=False)[1],
    "rescale": lambda p: p.rescale(RGB, 1 / 255),
    "rescale, moved": lambda p: p.rescale(RGB, 0.5, data_format="channels_first"),
    "normalize": lambda p: p.normalize(RGB, 0.5, [0.1, 0.2, 0.3]),
    "normalize floats": lambda p: p.normalize(RGB.astype(np.float64) / 255, [0.5] * 3, [0.5] * 3),
    "normalize channels first": lambda p: p.normalize(FIRST, [0.1, 0.2, 0.3], [0.5] * 3, data_format="channels_last"),
    "call": lambda p: dict(p(RGB, return_tensors="np")),
    "call channels first": lambda p: dict(p(FIRST, return_tensors="pt")),
    "call without steps": lambda p: dict(p(RGB, do_resize=False, do_rescale=False, do_normalize=False)),
    "call in another format": lambda p: dict(p(RGB, data_format="channels_last", return_tensors="np")),
    "4 channels": lambda p: dict(
        p(FOUR, input_data_format="channels_last", image_mean=[0.1] * 4, image_std=[0.5] * 4, return_tensors="np")
    ),
    "4 channels, one number": lambda p: dict(
        p(FOUR, input_data_format="channels_last", image_mean=0, image_std=0.5, return_tensors="np")
    ),
    "4 channels first": lambda p: dict(
        p(np.moveaxis(FOUR, 2, 0), input_data_format="channels_first", image_mean=[0.1] * 4, image_std=[0.5, 1, 1, 1])
    ),
    "1 channel": lambda p: dict(
        p(RGB[..., :1], input_data_format="channels_last", image_mean=[0.5], image_std=[0.5], return_tensors="np")
    ),
    "5 channels, not resized": lambda p: dict(
        p(np.dstack([RGB, RGB[..., :2]]), input_data_format="channels_last", image_mean=[0.5] * 5, image_std=[0.5] * 5,
          do_resize=False, return_tensors="np")
    ),
}  # fmt: skip
VILT: dict[str, Line] = {
    **IMAGES,
    "resize": lambda p: p.resize(RGB, {"shortest_edge": 64}, size_divisor=16),
    "resize, moved": lambda p: p.resize(FIRST, {"shortest_edge": 64}, data_format="channels_last", resample=2),
    "resize floats": lambda p: p.resize(RGB / 255, {"shortest_edge": 64}),
    "pad": lambda p: dict(p.pad([RGB, WIDE])),
    "pad to tensors": lambda p: dict(p.pad([RGB, WIDE], return_tensors="pt")),
    "pad with a value": lambda p: dict(p.pad([RGB, WIDE], constant_values=7, return_pixel_mask=False)),
    "pad channels first": lambda p: dict(p.pad([FIRST, WIDE.transpose(2, 0, 1)], data_format="channels_last")),
    "several": lambda p: dict(p([RGB, WIDE], return_tensors="np")),
    "pad_and_return_pixel_mask": lambda p: p.from_dict(p.to_dict(), pad_and_return_pixel_mask=False).do_pad,
}
VIT: dict[str, Line] = {
    **IMAGES,
    "resize": lambda p: p.resize(RGB, {"height": 32, "width": 48}),
    "resize, first": lambda p: p.resize(FIRST, {"height": 32, "width": 48}, resample=3),
    "several": lambda p: dict(p([RGB, WIDE], return_tensors="pt")),
}


def same(got: Any, expected: Any) -> bool:
    """Equal in kind and value, floats to rounding."""
    if isinstance(expected, np.ndarray | torch.Tensor):
        got, wanted = np.asarray(got), np.asarray(expected)
        return got.dtype == wanted.dtype and got.shape == wanted.shape and np.allclose(got, wanted, atol=1e-6)
    if isinstance(expected, Mapping):
        return set(got) == set(expected) and all(same(got[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple) and not all(isinstance(value, int | str) for value in expected):
        return len(got) == len(expected) and all(map(same, got, expected))
    return bool(got == expected)


@pytest.mark.parametrize("line", VILT)
def test_vilt_image_processor(line: str) -> None:
    got, expected = VILT[line](ViltImageProcessor()), VILT[line](transformers.ViltImageProcessor())
    assert same(got, expected), (got, expected)


@pytest.mark.parametrize("line", VIT)
def test_vit_image_processor(line: str) -> None:
    got, expected = VIT[line](ViTImageProcessor()), VIT[line](transformers.ViTImageProcessor())
    assert same(got, expected), (got, expected)
