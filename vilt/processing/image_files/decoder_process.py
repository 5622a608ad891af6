"""The process that decodes for `killable`; the kernel ends it if a picture takes too long."""

from __future__ import annotations

import signal
import sys
from typing import IO

from vilt.processing.errors import ImageError
from vilt.processing.image_files.decoding import decode
from vilt.processing.image_files.killable import ERROR, PICTURE, REQUEST, SIZE


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        length, max_pixels, exif_orientation, seconds = REQUEST.unpack(head)
        data = requests.read(length)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # of a core; the signal ends the process, in C code, too
        try:
            picture = decode(data, max_pixels, exif_orientation)
            answer = [PICTURE, SIZE.pack(*picture.size), picture.tobytes()]
        except ImageError as error:
            reason, detail = error.reason.encode(), error.detail.encode(errors="replace")
            answer = [ERROR, SIZE.pack(len(reason), len(detail)), reason, detail]
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.writelines(answer)
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
