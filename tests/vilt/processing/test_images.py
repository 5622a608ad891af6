"""Decoding and preprocessing, against transformers' processor."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from vilt import ImageError, ViltFeatureExtractor, ViltImageProcessor, ViltImageProcessorFast
from vilt.processing.resample import patchify


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise at two scales: the hardest thing to resize alike."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8))
    return Image.blend(noise, coarse.resize((width, height)), 0.7)


def test_pixels_over_many_sizes_are_those_of_transformers() -> None:
    rng = random.Random(0)
    theirs, ours = transformers.ViltImageProcessor(), ViltImageProcessor()
    worst = 0
    sizes: set[tuple[int, int]] = set()
    while len(sizes) < 320:
        width, height = rng.randint(8, 700), rng.randint(8, 700)
        if max(width, height) <= 20 * min(width, height):
            sizes.add((width, height))
    for seed, (width, height) in enumerate(sorted(sizes)):
        image = picture(width, height, seed)
        expected = theirs(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        got = ours.resize(image).transpose(2, 0, 1)
        assert got.shape == expected.shape
        worst = max(worst, np.abs(got.astype(int) - expected.astype(int)).max())
    assert worst == 0


SETTINGS: list[dict[str, object]] = [
    {"return_tensors": "pt"},
    {"return_tensors": "np", "data_format": "channels_last"},
    {"do_pad": False},
    {"do_resize": False, "return_tensors": "pt"},
    {"do_rescale": False, "do_normalize": False},
    {"do_normalize": False, "rescale_factor": 0.5},
    {"size": {"shortest_edge": 224}, "size_divisor": 16, "resample": 2, "image_mean": [0.1, 0.2, 0.3]},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_batch_is_that_of_transformers(settings: dict[str, object]) -> None:
    images = [picture(640, 480), picture(333, 500, 1), picture(400, 400, 2)]
    same("pictures", images, settings)
    same("arrays", [np.asarray(image) for image in images], settings)
    same(
        "channels first", [torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy()) for image in images], settings
    )
    same("one", images[0], settings)


@pytest.mark.parametrize("settings", [{"do_rescale": False}, {"do_rescale": False, "do_resize": False}])
def test_floats_between_0_and_1_are_those_of_transformers(settings: dict[str, object]) -> None:
    images = [np.asarray(picture(300, 200)) / 255, np.asarray(picture(200, 300)) / 255]
    same("floats", images, settings)
    with pytest.raises(ImageError, match="pixels from 0 to 300"):
        ViltImageProcessor()(np.array([[[0.0, 300.0, 1.0]] * 40] * 40))


def same(what: str, images: object, settings: dict[str, object]) -> None:
    """Our processor and transformers' give the same names, shapes and numbers."""
    expected, got = transformers.ViltImageProcessor()(images, **settings), ViltImageProcessor()(images, **settings)
    assert set(got) == set(expected), what
    for name in got:
        for ours, theirs in zip(got[name], expected[name], strict=True):
            assert ours.dtype == theirs.dtype or not settings.get("return_tensors"), what
            assert np.allclose(np.asarray(ours), np.asarray(theirs), atol=1e-5), (what, name)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA"])
def test_pixels_of_every_mode_are_those_of_transformers(mode: str) -> None:
    """transformers takes RGB and RGBA pictures; of the others what users do before: `image.convert("RGB")`."""
    image = picture(300, 200).convert(mode)
    expected = transformers.ViltImageProcessor()(image.convert("RGB"), return_tensors="np")["pixel_values"]
    assert np.array_equal(ViltImageProcessor()(image, return_tensors="np")["pixel_values"], expected)


@pytest.mark.parametrize("resample", [2, 3])
def test_the_fast_processor_is_near_the_other(resample: int) -> None:
    smooth = [
        picture(640, 480).resize((80, 60)).resize((640, 480)),
        picture(300, 500, 1).resize((30, 50)).resize((300, 500)),
    ]
    plain = {"do_rescale": False, "do_normalize": False, "resample": resample}
    for images in (smooth, [np.asarray(image) for image in smooth], [torch.from_numpy(np.array(i)) for i in smooth]):
        got = ViltImageProcessorFast(**plain)(images, return_tensors="pt")
        expected = ViltImageProcessor(**plain)(images, return_tensors="pt")
        assert got["pixel_values"].shape == expected["pixel_values"].shape
        assert (got["pixel_values"].int() - expected["pixel_values"].int()).abs().max() <= 2
        assert torch.equal(got["pixel_mask"], expected["pixel_mask"])
    listed = ViltImageProcessorFast()(smooth[0], device="cpu", do_convert_rgb=True, disable_grouping=True)
    assert [tensor.dtype for tensor in listed["pixel_values"]] == [torch.float32]
    whole = ViltImageProcessor()(smooth[0], return_tensors="pt")["pixel_values"][0]
    assert (listed["pixel_values"][0] - whole).abs().max() < 0.02
    with pytest.raises(ValueError, match="do_center_crop: whole pictures are read"):
        ViltImageProcessorFast()(smooth[0], do_center_crop=True)


def test_the_feature_extractor_is_the_image_processor() -> None:
    image = picture(100, 80)
    got = ViltFeatureExtractor(size=128)(image, return_tensors="np")["pixel_values"]
    assert np.array_equal(
        got, ViltImageProcessor(size={"shortest_edge": 128})(image, return_tensors="np")["pixel_values"]
    )
    with pytest.raises(TypeError, match="ViltImageProcessor has no setting 'sise'"):
        ViltImageProcessor()(image, sise=3)


def test_patches_are_row_by_row() -> None:
    pixels = np.arange(64 * 96 * 3, dtype=np.uint32).reshape(64, 96, 3)
    flat = patchify(pixels, 32)
    assert flat.shape == (6, 3072)
    assert np.array_equal(flat[4].reshape(32, 32, 3), pixels[32:64, 32:64])


@pytest.mark.parametrize("size", [384, {"shortest_edge": 384}])
def test_older_and_newer_files_load(tmp_path: Path, size: object) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": size, "size_divisor": 32}))
    assert ViltImageProcessor.from_pretrained(str(tmp_path)) == ViltImageProcessor()


def test_what_we_save_loads_in_transformers(tmp_path: Path) -> None:
    ViltImageProcessor(size={"shortest_edge": 128}, image_mean=(0.4, 0.5, 0.6)).save_pretrained(str(tmp_path))
    theirs = transformers.ViltImageProcessor.from_pretrained(tmp_path)
    assert theirs.size == {"shortest_edge": 128}
    assert theirs.image_mean == [0.4, 0.5, 0.6]
