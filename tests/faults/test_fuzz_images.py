"""Hostile image files: a picture or an `ImageError`, nothing else, in bounded memory and time.

They are decoded in a process of their own, which a fault of a decoder's C code would end. `FUZZ_CASES` sets how many
files of each format are tried.
"""

import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vilt.processing.errors import ImageError
from vilt.processing.image_files.decoding import decode, read_size

pytestmark = pytest.mark.quick
CASES = int(os.environ.get("FUZZ_CASES", "300"))
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 2_000_000
MEMORY = 1.5 * 2**30  # bytes that the process may grow by
SECONDS = 10.0  # for one file, on a busy machine
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 20_000, 60_000)


def originals(kind: str, rng: random.Random) -> list[bytes]:
    """Good files of a format, in several of its flavours."""
    noise = np.frombuffer(rng.randbytes(48 * 40 * 3), np.uint8).reshape(40, 48, 3)
    picture = Image.fromarray(noise)
    plain = picture.resize((64, 48))
    flavours: dict[str, list[dict[str, object]]] = {
        "JPEG": [{}, {"progressive": True}, {"quality": 5, "subsampling": 2}],
        "PNG": [{}, {"compress_level": 0}],
        "WEBP": [{}, {"lossless": True}, {"save_all": True, "append_images": [plain.resize((48, 40))]}],
        "GIF": [{}, {"save_all": True, "append_images": [picture.rotate(90)] * 3}],
        "BMP": [{}],
        "TIFF": [{"compression": c} for c in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")],
    }
    modes = {"JPEG": ["RGB", "L", "CMYK"], "PNG": ["RGB", "RGBA", "P", "L", "1", "I;16"], "BMP": ["RGB", "L", "1", "P"]}
    files = []
    for mode in modes.get(kind, ["RGB"]):
        for settings in flavours[kind]:
            buffer = io.BytesIO()
            picture.convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, kind, **settings)
            files.append(buffer.getvalue())
    if kind == "TIFF":
        buffer = io.BytesIO()
        picture.save(buffer, kind, save_all=True, append_images=[plain, picture])
        files.append(buffer.getvalue())
    return files


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A damaged copy: bytes changed, numbers replaced by extreme ones, parts cut, repeated or swapped."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(min(len(out), rng.choice((32, 200, len(out))))) if out else 0
        how = rng.randrange(7)
        if how == 0 and out:
            out[place] ^= 1 << rng.randrange(8)
        elif how == 1 and out:
            out[place] = rng.randrange(256)
        elif how == 2:
            width, order = rng.choice("BHI"), rng.choice("<>")
            value = rng.choice(INTERESTING) & (256 ** struct.calcsize(width) - 1)
            out[place : place + struct.calcsize(width)] = struct.pack(order + width, value)
        elif how == 3:
            del out[rng.randrange(len(out) + 1) :]
        elif how == 4:
            del out[place : place + rng.randrange(1, 40)]
        elif how == 5:
            out[place:place] = out[place : place + rng.randrange(1, 200)] * rng.choice((1, 3, 50))
        else:
            out[place:place] = rng.randbytes(rng.randrange(1, 20))
    return bytes(out)


def try_one(data: bytes) -> str:
    """ "picture" or the reason. Raises AssertionError for anything else that comes out."""
    try:
        height, width = read_size(data, MAX_PIXELS)
        picture = decode(data, MAX_PIXELS)
    except ImageError as error:
        assert "\n" not in str(error) or error.detail, error
        return error.reason
    assert picture.mode == "RGB"
    assert picture.size == (width, height)
    assert picture.width * picture.height <= MAX_PIXELS
    return "picture"


def fuzz(kind: str, cases: int, current: Path) -> dict[str, object]:
    """Try `cases` files; the one being tried is in the file `current`."""
    rng = random.Random(f"{kind} {cases}")
    files = originals(kind, rng)
    counts: dict[str, int] = {}
    slowest = 0.0
    for data in files:
        assert try_one(data) == "picture", f"a good {kind}"
    for _ in range(cases):
        data = mutated(rng.choice(files), rng)
        current.write_bytes(data)
        began = time.monotonic()
        found = try_one(data)
        slowest = max(slowest, time.monotonic() - began)
        counts[found] = counts.get(found, 0) + 1
    return {"counts": counts, "slowest": slowest}


def main(current: Path, cases: int) -> None:
    """Fuzz every format and print what was found, as JSON."""
    Image.init()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: dict[str, object] = {kind: fuzz(kind, cases, current) for kind in FORMATS}
    found["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024
    print(json.dumps(found))


def test_damaged_files(tmp_path: Path) -> None:
    current = tmp_path / "current"
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", __name__, str(current), str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{current} ended the process with {done.returncode}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    print(found)
    assert found.pop("grown") < MEMORY
    for kind, result in found.items():
        assert sum(result["counts"].values()) == CASES
        assert len(result["counts"]) > 1, f"{kind}: the files are not damaged enough, or too much"
        assert result["slowest"] < SECONDS


def frames(kind: str, count: int) -> bytes:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (300, 200), "red")
    picture.save(buffer, kind, save_all=True, append_images=[Image.new("RGB", (300, 200), "blue")] * count)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_many_frames_the_first_counts(kind: str) -> None:
    picture = decode(frames(kind, 200), 60_000)
    assert picture.size == (300, 200)
    red, _, blue = picture.getpixel((5, 5))  # type: ignore[misc]
    assert red > 200 > blue


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n",
        b"\0\0\1\0\1\0\0\0\0\0\1\0\x20\0" + struct.pack("<II", 60, 22),  # ICO: a PNG of any size may follow
        b"%PDF-1.4\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
    ],
)
def test_formats_that_run_programs_or_hide_pictures_are_not_opened(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert caught.value.reason == "image_unsupported"


def test_a_bomb_is_not_decoded() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind in ("PNG", "GIF", "TIFF"):
        buffer = io.BytesIO()
        Image.new("1", (9000, 9000)).save(buffer, kind, **({"compression": "group4"} if kind == "TIFF" else {}))
        with pytest.raises(ImageError, match="image_bomb: 9000x9000 pixels, more than the 2000000 allowed"):
            decode(buffer.getvalue(), MAX_PIXELS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, "decoded, each is 243 MB"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
