"""A budget of bytes that images share while they are fetched."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

UNLIMITED = 2**62


@dataclass
class Budget:
    """Bytes that images may take, counted before they are read and corrected when they are there.

    Attributes:
        left: Bytes.
        needed: URIs that are read in any case.
        closed: Whether an image did not fit: none of those after it is begun.
    """

    left: int = UNLIMITED
    needed: Collection[str] = ()
    closed: bool = False

    def begins(self, uri: str) -> bool:
        """Return whether to begin with a URI."""
        return not self.closed or uri in self.needed


@dataclass
class Claim:
    """The bytes of one image within a budget.

    Attributes:
        budget: The budget.
        uri: The image.
        size: Bytes.
        version: The version of the image, as it was when it began to be read; None if it is not known.
    """

    budget: Budget
    uri: str
    size: int = field(default=0, init=False)
    version: str | None = field(default=None, init=False)

    def grow(self, size: int) -> bool:
        """Claim `size` bytes in all; return False if the budget does not hold them."""
        more = size - self.size
        if more > 0:
            if more > self.budget.left and self.uri not in self.budget.needed:
                self.budget.closed = True
                return False
            self.set(size)
        return True

    def set(self, size: int) -> None:
        """Count `size` bytes, no more and no fewer."""
        self.budget.left -= size - self.size
        self.size = size
