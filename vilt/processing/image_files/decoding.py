"""Encoded bytes, arrays and pictures -> RGB pictures, or the reason why not."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from vilt.processing.errors import EndsEarlyError
from vilt.processing.errors import ImageError as ImageError  # where most look for it
from vilt.processing.image_files import containers, jpeg, jpeg2000, png, pnm, tiff
from vilt.processing.image_files.killable import decode_within

ImageInput = Image.Image | np.ndarray | bytes
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
# Not all that Pillow knows: some of its readers start other programs (EPS), or open a picture inside the picture
# (ICO, ICNS), whose size nobody has checked.
MAX_PIXELS = 178_956_970  # twice Pillow's warning threshold: where Pillow itself calls a picture a bomb
COSTLY = ("TIFF", "JPEG2000", "AVIF")  # no header tells how long they take
COSTLY_PIXELS = 2**25  # which other formats decode in a second or less

_TURNS = {  # EXIF orientation -> what sets the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_size(data: bytes, max_pixels: int = MAX_PIXELS, exif_orientation: bool = False) -> tuple[int, int]:
    """Return the height and width in pixels that `decode` gives, from the header alone.

    Raises:
        ImageError: The header cannot be read, or tells of more than `max_pixels`.
    """
    header = _plain_jpeg(data, exif_orientation)
    if header:
        _check_pixels(header.width, header.height, max_pixels)
        return header.height, header.width
    picture = _open(data, max_pixels)
    turned = exif_orientation and _orientation(picture) >= 5
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def decode(data: bytes, max_pixels: int = MAX_PIXELS, exif_orientation: bool = False) -> Image.Image:
    """Decode encoded bytes to an RGB picture, as `to_rgb`; of an animation the first frame.

    The number of pixels is checked from the header, before any is decoded. A picture whose data end early is an
    error, never half a picture.

    Raises:
        ImageError: The bytes are no picture that is read, or a damaged one.
    """
    pixels = decode_pixels(data, max_pixels, exif_orientation, tagged=True)
    return pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)


def decode_pixels(
    data: bytes,
    max_pixels: int = MAX_PIXELS,
    exif_orientation: bool = False,
    tagged: bool = False,
    smallest: tuple[int, int] | None = None,
    seconds: float | None = None,
) -> Image.Image | np.ndarray:
    """Decode to what takes least time to resize.

    Args:
        data: The encoded bytes.
        max_pixels: The most pixels that are decoded.
        exif_orientation: Set the picture upright, as `to_rgb` does.
        tagged: Leave files that may have an EXIF orientation to Pillow, which keeps the tag with the picture.
        smallest: Height and width that are enough: JPEGs of twice that and more are decoded at a half, a quarter or an
            eighth of their size, in less time, to other pixels.
        seconds: Most seconds for a file that no header tells the time of; it is decoded in a process of its own then.
            None: as long as it takes.

    Returns:
        An RGB picture, or uint8 (H, W, 3). The pixels are the same.

    Raises:
        ImageError: As `decode` does.
    """
    header = _plain_jpeg(data, exif_orientation or tagged)
    if header:
        _check_pixels(header.width, header.height, max_pixels)
        pixels = jpeg.decode_rgb(data, header, jpeg.shrink_to(header, smallest))
        if pixels is not None:
            return pixels
    picture = _open(data, max_pixels)
    if seconds is not None and (picture.format in COSTLY or picture.width * picture.height > COSTLY_PIXELS):
        return decode_within(data, max_pixels, exif_orientation, seconds)
    try:
        return to_rgb(_scaled_pnm(data) or picture, exif_orientation)
    except ImageError as error:
        if error.reason == "image_unsupported" and containers.ends_early(data):  # what is missing may be what matters
            raise ImageError("image_truncated", error.detail) from None
        raise
    except Exception as error:  # decoders raise many types on hostile data
        raise ImageError(_reason(error, data), f"{type(error).__name__}: {error}") from None


def _plain_jpeg(data: bytes, untagged: bool) -> jpeg.Header | None:
    """Return the header of a JPEG that every decoder reads alike, and that has no orientation if `untagged`."""
    if not data.startswith(jpeg.START):
        return None
    try:
        header = jpeg.read_header(data)
    except EndsEarlyError:
        return None
    return header if header.usual and header.height and header.width and not (untagged and header.tagged) else None


def _scaled_pnm(data: bytes) -> Image.Image | None:
    """Return the picture of a PGM or PPM whose white is not 255 or 65535, None of others."""
    header = pnm.read_header(data) if pnm.is_pnm(data) else None
    return pnm.decode(data, header) if header else None


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header."""
    containers.check(data)
    if data.startswith(png.START):
        data = png.without_texts(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning: `max_pixels` decides
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("image_bomb", str(error)) from None
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Exception as error:  # parsers raise many types on hostile headers
        raise ImageError(_reason(error, data), f"{type(error).__name__}: {error}") from None
    _check_pixels(picture.width, picture.height, max_pixels)
    return picture


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise `ImageError` with image_bomb for more than `max_pixels`."""
    if width * height > max_pixels:
        raise ImageError("image_bomb", f"{width}x{height} pixels, more than the {max_pixels} allowed")


def _reason(error: Exception, data: bytes) -> str:
    """Return the reason that a decoder's error stands for."""
    text = str(error).lower()
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError | EndsEarlyError):
        return "image_truncated"
    if text.startswith("unsupported bmp"):
        return "image_unsupported"
    return "image_truncated" if containers.ends_early(data) else "image_corrupt"


def _unidentified(data: bytes) -> ImageError:
    """Return the error of bytes that Pillow does not open."""
    if not data:
        return ImageError("image_unsupported", "the image is empty: 0 bytes")
    kind = containers.kind_of(data)
    if kind is None:
        return ImageError("image_unsupported", f"{len(data)} bytes are no image format that is known")
    if containers.ends_early(data):
        return ImageError("image_truncated", f"{len(data)} bytes are the beginning of a {kind} file")
    if kind == "TIFF":
        try:
            tiff.check_samples(tiff.read_tags(data))
        except ImageError as error:
            return error
    unread = kind in containers.UNREAD_FORMATS
    what = f"{len(data)} bytes of a {kind} file{', a format' if unread else ' of a kind'} that is not read"
    if kind == "JPEG" and (bits := jpeg.read_header(data).bits) != 8:
        what = f"JPEG of {bits} bits a sample; 8 are read"
    return ImageError("image_unsupported", what)


def to_rgb(image: ImageInput, exif_orientation: bool = False) -> Image.Image:
    """Convert a picture of any kind to RGB.

    8-bit modes become RGB as Pillow converts them: transparency is dropped, palettes are looked up. The high byte of
    16-bit greys counts, as of every other 16-bit picture; Pillow would make all above 255 white. Pictures of floats, of
    signed or of 32-bit integers have no known white and are an error.

    Args:
        image: A picture, a uint8 array (H, W, 3), (H, W, 4) or (H, W), or encoded bytes.
        exif_orientation: Set a picture with an EXIF orientation tag upright. The published processor does not, nor did
            the training of the published checkpoints.

    Raises:
        ImageError: The image is none of these.
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
    tags = _checked_tags(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata that no pixel depends on
        image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        image = _of_16_bits(image, tags)
    if image.mode == "La":
        image = image.convert("LA")
    image = image if image.mode == "RGB" else image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
        image.info = {}  # the tag with it: a picture is turned once
    return image


def _checked_tags(picture: Image.Image) -> tiff.Tags:
    """Return a TIFF's tags; check there and in JPEG 2000 what Pillow passes over. Raises `ImageError`."""
    if picture.format == "TIFF" and hasattr(picture, "tag_v2"):
        tags = tiff.tags_of(picture)
        tiff.check_samples(tags)
        return tags
    file = getattr(picture, "fp", None)
    if picture.format == "JPEG2000" and file is not None and getattr(picture, "tile", None):
        at = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(at)
        try:
            jpeg2000.check(data)
        except EndsEarlyError:
            raise ImageError("image_truncated", "the JPEG 2000 codestream has no end") from None
    return {}


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, as far as the header tells; 1, upright, if it is missing or unreadable."""
    if picture.format == "TIFF":  # Pillow itself sets these upright
        return 1
    try:
        # Not `picture.getexif()`: of a PNG that decodes the whole picture, to look for EXIF at its end.
        value = Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
    except Exception:  # EXIF is whatever a camera wrote; the pixels are as good without it
        return 1
    return value if value in _TURNS else 1


def _of_16_bits(picture: Image.Image, tags: tiff.Tags) -> Image.Image:
    """Return a picture of 16-bit greys in mode L. Raises `ImageError` for values that are none."""
    values = np.asarray(picture)
    scaled = picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM"))
    if not scaled or values.min() < 0 or values.max() > 0xFFFF:
        seen = f"pixels of mode {picture.mode} from {values.min():g} to {values.max():g}"
        raise ImageError("image_unsupported", f"{seen}; integers of 8 or 16 bits are read")
    return Image.fromarray(tiff.to_8_bits(values, tags))
