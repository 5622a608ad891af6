"""Fast decoding of large JPEGs, beside exact decoding."""

import io

import numpy as np
import pytest
from PIL import Image

from vilt import Predictor
from vilt.inference.preprocessor import ImagePreprocessor
from vilt.models.registry import open_preprocessor
from vilt.processing.image_files.decoding import decode
from vilt.processing.resample import patchify

SIDE = 128  # of the short side of what the shipped model reads


@pytest.fixture
def fast() -> ImagePreprocessor:
    return opened("fast")


def opened(decode_as: str) -> ImagePreprocessor:
    preprocessor = open_preprocessor("zoo://scenes")
    assert isinstance(preprocessor, ImagePreprocessor)
    preprocessor.decode = decode_as  # type: ignore[assignment]
    return preprocessor


def smooth(height: int, width: int, kind: str = "JPEG", **settings: object) -> bytes:
    """A picture that is the same at any size: slopes of colour."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    pixels = np.stack([255 * x, 255 * y, 255 * (1 - x)], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize("size", [(700, 500), (1201, 903), (2000, 3001), (500, 1500)])
def test_large_jpegs_are_decoded_small(
    fast: ImagePreprocessor, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    whole = np.asarray(decode(smooth(*size)))

    def resize(pixels: np.ndarray, height: int, width: int, _: int, patch_size: int) -> np.ndarray:
        decoded.append(pixels.shape[:2])
        return patchify(np.asarray(Image.fromarray(pixels[..., :3]).resize((width, height))), patch_size)

    exact = opened("exact").patches(smooth(*size))
    monkeypatch.setattr("vilt.inference.preprocessor.resample.resize_to_patches", resize)
    patches, grid = fast.patches(smooth(*size))
    assert (patches.shape, grid) == (exact[0].shape, exact[1]), "the grid is that of the whole picture"
    assert np.abs(patches.astype(int) - exact[0]).mean() < 2
    height, width = fast.images.resized(*size)
    [(rows, cols)] = decoded
    assert height <= rows < whole.shape[0]
    assert width <= cols < whole.shape[1]
    shrink = round(whole.shape[0] / rows)
    assert shrink in (2, 4, 8)
    assert (rows, cols) == (-(-size[0] // shrink), -(-size[1] // shrink))
    assert shrink == 8 or 2 * shrink * height > size[0] or 2 * shrink * width > size[1], "as small as it can be"


@pytest.mark.parametrize(
    ("kind", "size", "settings"),
    [
        ("JPEG", (SIDE + 20, SIDE + 30), {}),  # less than twice the size
        ("PNG", (500, 700), {}),
        ("WEBP", (500, 700), {"lossless": True}),
    ],
)
def test_others_are_as_they_were(
    fast: ImagePreprocessor, kind: str, size: tuple[int, int], settings: dict[str, object]
) -> None:
    data = smooth(*size, kind, **settings)
    assert np.array_equal(fast.patches_of_bytes(data), opened("exact").patches_of_bytes(data))
    array = np.asarray(decode(data))
    assert np.array_equal(fast.patches(array)[0], patchify(fast.images.resize(array), fast.patch_size))


def test_fast_and_exact_are_different_settings(fast: ImagePreprocessor) -> None:
    assert fast.settings() != opened("exact").settings()


def test_a_notebook_scores_as_the_job_does(fast: ImagePreprocessor) -> None:
    predictor = Predictor.from_pretrained("zoo://scenes")
    data = [smooth(700, 500), smooth(900, 901)]
    exact = predictor.score(data, ["a red circle"] * 2)
    predictor.preprocessor.decode = "fast"
    scores = predictor.score(data, ["a red circle"] * 2)
    assert np.abs(scores - exact).max() < 0.2
    assert not np.array_equal(scores, exact)
    rows = [fast.patches_of_bytes(one) for one in data]
    pairs = predictor.preprocessor.pairs(data, ["a red circle"] * 2)
    assert np.array_equal(pairs.patches, np.concatenate(rows))
