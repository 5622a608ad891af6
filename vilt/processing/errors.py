"""The one error of this room: an image that cannot be read, with a reason."""

from __future__ import annotations


class ImageError(ValueError):
    """An image that cannot be scored.

    Attributes:
        reason: One of image_corrupt, image_truncated, image_unsupported, image_bomb (too many pixels), image_slow (made
            to take long) and image_aspect.
        detail: What exactly is wrong, in one line.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class EndsEarlyError(Exception):
    """A walk through a file's structure has reached the end of the data before the end of the structure."""


def too_slow(limit: int, what: str) -> ImageError:
    """Return the error of a file that holds more than `limit` of something, and would take long to decode for that."""
    return ImageError(
        "image_slow", f"more than {limit} {what}: decoding would take long, and no honest file has so many"
    )
