"""Encoded bytes, arrays and pictures -> RGB pictures, or the reason why not."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

ImageInput = Image.Image | np.ndarray | bytes
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
# Not all that Pillow knows: some of its readers start other programs (EPS), or open a picture inside the picture
# (ICO, ICNS), whose size nobody has checked.
MAX_PIXELS = 178_956_970  # twice Pillow's warning threshold: where Pillow itself calls a picture a bomb

_TURNS = {  # EXIF orientation -> what sets the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """An image that cannot be scored: `reason` is one of a short list, `detail` says more.

    Reasons: image_corrupt, image_truncated, image_unsupported, image_bomb (too many pixels), image_aspect.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def read_size(data: bytes, max_pixels: int = MAX_PIXELS, exif_orientation: bool = False) -> tuple[int, int]:
    """Height and width in pixels that `decode` gives, from the header alone. Raises `ImageError`."""
    picture = _open(data, max_pixels)
    turned = exif_orientation and _orientation(picture) >= 5
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def decode(data: bytes, max_pixels: int = MAX_PIXELS, exif_orientation: bool = False) -> Image.Image:
    """Encoded bytes -> RGB picture, as `to_rgb`; of an animation the first frame. Raises `ImageError`.

    The number of pixels is checked from the header, before any is decoded. A picture whose data end early is an
    error, never half a picture.
    """
    picture = _open(data, max_pixels)
    try:
        return to_rgb(picture, exif_orientation)
    except ImageError:
        raise
    except Exception as error:  # decoders raise many types on hostile data
        text = f"{type(error).__name__}: {error}"
        cut = "truncated" in text.lower() or "unexpected end" in text.lower() or isinstance(error, EOFError)
        raise ImageError("image_truncated" if cut else "image_corrupt", text) from None


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning: `max_pixels` decides
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("image_bomb", str(error)) from None
    except UnidentifiedImageError:
        kind = f"{len(data)} bytes are no image format that is known" if data else "the image is empty: 0 bytes"
        raise ImageError("image_unsupported", kind) from None
    except Exception as error:  # parsers raise many types on hostile headers
        raise ImageError("image_corrupt", f"{type(error).__name__}: {error}") from None
    if picture.width * picture.height > max_pixels:
        size = f"{picture.width}x{picture.height} pixels"
        raise ImageError("image_bomb", f"{size}, more than the {max_pixels} allowed")
    return picture


def to_rgb(image: ImageInput, exif_orientation: bool = False) -> Image.Image:
    """A picture, a uint8 array (H, W, 3), (H, W, 4) or (H, W), or encoded bytes -> RGB picture. Raises `ImageError`.

    8-bit modes become RGB as Pillow converts them: transparency is dropped, palettes are looked up. Of 16-bit greys
    the high byte counts, as of every other 16-bit picture; Pillow would make all above 255 white. Pictures of floats
    or 32-bit integers have no known white and are an error.

    exif_orientation: set a picture with an EXIF orientation tag upright. The published processor does not, nor did
    the training of the published checkpoints.
    """
    if isinstance(image, bytes):
        return decode(image, exif_orientation=exif_orientation)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
            raise ImageError(
                "image_unsupported",
                f"an array of {image.dtype} and shape {image.shape}; an image is uint8 (H, W, 3), (H, W, 4) or (H, W)",
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise ImageError(
            "image_unsupported", f"a {type(image).__name__}; an image is a PIL image, a uint8 array or encoded bytes"
        )
    turn = _TURNS.get(_orientation(image)) if exif_orientation else None
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        image = _high_byte(image)
    image = image if image.mode == "RGB" else image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
        image.info = {}  # the tag with it: a picture is turned once
    return image


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation, 1 to 8, as far as the header tells; 1, upright, where it is missing or unreadable."""
    if picture.format == "TIFF":  # Pillow itself sets these upright
        return 1
    try:
        # Not `picture.getexif()`: of a PNG that decodes the whole picture, to look for EXIF at its end.
        value = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
    except Exception:  # EXIF is whatever a camera wrote; the pixels are as good without it
        return 1
    return value if value in _TURNS else 1


def _high_byte(picture: Image.Image) -> Image.Image:
    """A picture of 16-bit greys, as mode I;16 or I, -> mode L. Raises `ImageError` where the values are no such."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
        seen = f"pixels of mode {picture.mode} from {values.min():g} to {values.max():g}"
        raise ImageError("image_unsupported", f"{seen}; integers of 8 or 16 bits are read")
    return Image.fromarray((values >> 8).astype(np.uint8))
