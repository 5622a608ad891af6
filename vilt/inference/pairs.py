"""Image-text pairs before packing: token ids and image rows end to end, without padding. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from vilt.processing.grids import Grid

MIN_THREAD_TOKENS = 512  # fewer are not worth a thread of their own


class ImageRows(NamedTuple):
    """The rows that a model reads of an image: pixels of patches for ViLT and ViT, features of regions for VisualBERT.

    Attributes:
        width: Numbers of a row.
        dtype: Their type.
        cls: Whether an image [CLS] stands before the rows in the sequence.
    """

    width: int
    dtype: Any = np.uint8
    cls: bool = True

    @property
    def bytes(self) -> int:
        """Return the bytes of a row."""
        return self.width * np.dtype(self.dtype).itemsize


@dataclass
class Pairs:
    """Image-text pairs before packing. Several pairs may read one image; a text may have no tokens, for ViT.

    Attributes:
        token_ids: int64 (sum of text lengths,), the texts end to end.
        text_lengths: int64 (n,).
        patches: (sum of grid sizes, width), the rows of the images end to end: uint8 patches, see
            `vilt.processing.resample.patchify`, or float32 features of regions.
        grids: The grid of each image, in the order of `patches`; 1 x their number for regions.
        image_index: int64 (n,), the image that each pair reads.
        image_types: int64 (images,), the modality of each: 1, or i for the i-th image of a text that reads several.
        image_cls: Whether an image [CLS] stands before each image's rows.
    """

    token_ids: np.ndarray
    text_lengths: np.ndarray
    patches: np.ndarray
    grids: Sequence[Grid]
    image_index: np.ndarray
    image_types: np.ndarray = None  # type: ignore[assignment]
    image_cls: bool = True

    def __post_init__(self) -> None:
        if self.image_types is None:
            self.image_types = np.ones(len(self.grids), np.int64)

    def __len__(self) -> int:
        return len(self.text_lengths)

    @property
    def grid_sizes(self) -> np.ndarray:
        """Return the patches of each image, int64 (images,)."""
        return np.array([grid.patches for grid in self.grids], dtype=np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """Return the tokens of each pair, int64 (n,): its text, the image [CLS] if there is one, the image's rows."""
        return self.text_lengths + self.image_cls + self.grid_sizes[self.image_index]

    def with_texts(
        self, token_ids: np.ndarray, text_lengths: np.ndarray, text_index: np.ndarray, image_index: np.ndarray
    ) -> Pairs:
        """Return the images with other texts: pair i is text `text_index[i]` of these and image `image_index[i]`."""
        lengths = text_lengths[text_index]
        ids = token_ids[spans(starts(text_lengths)[text_index], lengths)]
        return replace(self, token_ids=ids, text_lengths=lengths, image_index=image_index)

    def windows(self, token_budget: int) -> Iterator[tuple[np.ndarray, Pairs]]:
        """Yield the pairs in the order of their images, in parts of at most `token_budget` tokens.

        A pair that is longer than that is a part by itself. The rows of a part's images are a view, not a copy.

        Yields:
            The positions of a part's pairs, int64, and the part with the images that its pairs read.
        """
        order = np.argsort(self.image_index, kind="stable")
        ends = np.cumsum(self.lengths[order])
        first_row, begin = np.append(0, np.cumsum(self.grid_sizes)), 0
        while begin < len(order):
            before = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, before + token_budget, "right")))
            chosen = order[begin:end]
            first, last = int(self.image_index[chosen[0]]), int(self.image_index[chosen[-1]]) + 1
            lengths = self.text_lengths[chosen]
            yield (
                chosen,
                Pairs(
                    self.token_ids[spans(starts(self.text_lengths)[chosen], lengths)],
                    lengths,
                    self.patches[first_row[first] : first_row[last]],
                    self.grids[first:last],
                    self.image_index[chosen] - first,
                    self.image_types[first:last],
                    self.image_cls,
                ),
            )
            begin = end

    def split_by_length(
        self, token_budget: int, chosen: np.ndarray | None = None, threads: int = 1
    ) -> list[np.ndarray]:
        """Split pairs, in order of length, into parts for forward passes.

        Args:
            token_budget: Most tokens of a part; a pair that is longer is a part by itself.
            chosen: int64, the positions of the pairs to split; default: all.
            threads: So many parts run at a time: they are made to end at about the same time.

        Returns:
            The positions of the pairs of each part, int64.
        """
        lengths = self.lengths
        chosen = np.arange(len(self)) if chosen is None else chosen
        order = chosen[np.lexsort((self.image_index[chosen], lengths[chosen]))]
        ends = _part_ends(lengths[order].tolist(), token_budget, threads)
        return np.split(order, ends)


def _part_ends(lengths: list[int], token_budget: int, threads: int) -> list[int]:
    """Return where the parts of pairs of these lengths end, but for the last; see `Pairs.split_by_length`."""
    left = sum(lengths)  # tokens of this part and those to come
    parts = min(-(-left // (threads * token_budget)) * threads, left // MIN_THREAD_TOKENS) if threads > 1 else 0
    ends: list[int] = []
    begin = total = 0
    for position, length in enumerate(lengths):
        shares = parts - len(ends)
        has_its_share = shares > 0 and total + length / 2 > left / shares
        if position > begin and (has_its_share or total + length > token_budget):
            ends.append(position)
            begin, left, total = position, left - total, 0
        total += length
    return ends


def starts(lengths: np.ndarray) -> np.ndarray:
    """Return where each of several runs laid end to end begins: [3, 1, 2] -> [0, 3, 4]."""
    return np.cumsum(lengths) - lengths


def spans(begin: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the indices begin[i] .. begin[i] + lengths[i] - 1 for every i, end to end."""
    return np.arange(lengths.sum()) + np.repeat(begin - starts(lengths), lengths)
