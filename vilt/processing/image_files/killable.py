"""Decoding with a deadline, in a process that the kernel ends if it takes longer or fails.

Headers tell how long most files take. They do not of formats whose decoders do work that no header counts, nor of
pictures so large that minutes may pass; and decoders in C cannot be interrupted.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from typing import IO

from PIL import Image

from vilt.processing.errors import ImageError

REQUEST = struct.Struct(">QQ?d")  # bytes of the file, most pixels, whether to set it upright, seconds
PICTURE, ERROR = b"P", b"E"
DECODER = "vilt.processing.image_files.decoder_process"
SIZE = struct.Struct(">II")  # of a picture: width and height; of an error: bytes of its reason and of its detail
_decoder: tuple[int, subprocess.Popen[bytes]] | None = None  # of the process with this id
_lock = threading.Lock()


def decode_within(data: bytes, max_pixels: int, exif_orientation: bool, seconds: float) -> Image.Image:
    """Decode to an RGB picture, as `vilt.processing.image_files.decoding.decode` does.

    Raises:
        ImageError: As `decode` does; with image_slow if it takes more than `seconds`, with image_corrupt if the decoder
            ends the process.
    """
    with _lock:
        process = _running()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(REQUEST.pack(len(data), max_pixels, exif_orientation, seconds))
            process.stdin.write(data)
            process.stdin.flush()
            return _answer(process.stdout)
        except (BrokenPipeError, EOFError):
            code = process.wait()
        if code == -signal.SIGPROF:
            raise ImageError(
                "image_slow", f"decoding took more than {seconds:g} seconds of a core (limits.decode_seconds)"
            )
        raise ImageError("image_corrupt", f"the decoder failed: its process ended with {code}")


def _running() -> subprocess.Popen[bytes]:
    """Return the decoding process of this process; start one if there is none."""
    global _decoder
    if _decoder is None or _decoder[0] != os.getpid() or _decoder[1].poll() is not None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        process = subprocess.Popen(
            [sys.executable, "-m", DECODER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        _decoder = os.getpid(), process
    return _decoder[1]


def _answer(file: IO[bytes]) -> Image.Image:
    """Return the picture that the process sends. Raises ImageError, or EOFError if it ends before."""
    kind = _read(file, 1)
    first, second = SIZE.unpack(_read(file, SIZE.size))
    if kind == ERROR:
        raise ImageError(_read(file, first).decode(), _read(file, second).decode())
    return Image.frombytes("RGB", (first, second), _read(file, 3 * first * second))


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
