"""Many pairs -> packed batches: the tokens of many pairs in one matrix, no padding and no masks.

Linear layers and norms run over the whole matrix, and so does attention where there is a kernel for it. Elsewhere
attention runs over pairs of equal length: the pairs are laid out in order of length, so those of one length are one
contiguous slice that views as a dense batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from vilt.inference import attention
from vilt.inference.pairs import Pairs, spans, starts

Put = Callable[[np.ndarray], Tensor]  # an array of rows -> a tensor, which may be on a device
PutAll = Callable[[Sequence[np.ndarray]], list[Tensor]]  # the same for several int64 arrays (n,) at once
# On a CPU the tokens of a batch are filled up to a multiple: kernels are made, and kept, for each number of rows.
ROWS = 64
GPU_ROWS = 2048  # tokens of a batch on a GPU at least: for fewer, kernels sum in another order, and bits would differ


def put_each(arrays: Sequence[np.ndarray], device: torch.device | str = "cpu") -> list[Tensor]:
    """Return each int64 array as a tensor on a device."""
    return [torch.from_numpy(array).to(device) for array in arrays]


def as_tensor(array: np.ndarray) -> Tensor:
    """Return a tensor over the same memory, which may be read-only: it is only ever read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


class Sequences:
    """The layout of sequences end to end on a device: T tokens.

    Tokens after the last sequence belong to none, read none and are read by none.

    Attributes:
        starts: int64 (n,), the row of each sequence's first token.
        ends: int32 (n + 1,), 0 and the row after each sequence's last token.
        runs: (length, sequences of that length that stand together), in order.
        reads: int64 (n,), the row of the token that a head reads.
        longest: The longest sequence.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        device: torch.device | str,
        reads: np.ndarray | None = None,
        put: PutAll | None = None,
    ) -> None:
        """Lay out sequences.

        Args:
            lengths: int64 (n,).
            device: Where the tensors are.
            reads: int64 (n,), which token of each sequence a head reads; default: the first.
            put: int64 arrays -> tensors on the device; default: one copy each.
        """
        first = starts(lengths)
        read = first if reads is None else first + reads
        put = put or partial(put_each, device=device)
        self.starts, self.reads, ends = put([first, read, np.append(0, np.cumsum(lengths))])
        self.ends = ends.to(torch.int32)
        self.runs = [(length, len(list(same))) for length, same in groupby(lengths.tolist())]
        self.longest = max(length for length, _ in self.runs)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
        """Attend within each sequence: (T, heads, d) each -> (T, heads, d)."""
        if not dropout and attention.has_packed(q.device, q.dtype):
            return attention.packed(q, k, v, self.ends, self.ends, (self.longest, self.longest))
        mixed = self._run_by_run(q, k, v, [length for length, _ in self.runs], dropout)
        return torch.cat([*mixed, torch.zeros_like(q[sum(map(len, mixed)) :])])

    def one(self, x: Tensor) -> Tensor:
        """Return the tokens that heads read: (T, D) -> (n, D), in packed order."""
        return x[self.reads]

    def attend_one(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend with one query a sequence: q (n, heads, d), k and v (T, heads, d) -> (n, heads, d)."""
        if attention.has_packed(q.device, q.dtype):
            each = torch.arange(len(q) + 1, dtype=torch.int32, device=q.device)
            return attention.packed(q, k, v, each, self.ends, (1, self.longest))
        return torch.cat(self._run_by_run(q, k, v, [1 for _ in self.runs], 0.0))

    def _run_by_run(self, q: Tensor, k: Tensor, v: Tensor, queries: list[int], dropout: float) -> list[Tensor]:
        """Attend within each run by itself; each sequence of run i has `queries[i]` queries."""
        counts = [count for _, count in self.runs]
        query_rows = [many * count for many, count in zip(queries, counts, strict=True)]
        key_rows = [length * count for length, count in self.runs]
        mixed = []
        parts = (t[: sum(sizes)].split(sizes) for t, sizes in ((q, query_rows), (k, key_rows), (v, key_rows)))
        for count, *qkv in zip(counts, *parts, strict=True):
            q1, k1, v1 = (t.unflatten(0, (count, -1)) for t in qkv)  # (count, length, heads, d)
            mixed.append(attention.same_length(q1, k1, v1, dropout).flatten(0, 1))
        return mixed


class Packed(Sequences):
    """Pairs packed on a device: also the layout of their T tokens.

    Attributes:
        order: numpy int64 (n,), the position of each packed pair, by length.
        text_lengths: numpy int64 (n,), in packed order.
        text_order: int64 (texts,), the index in `pairs.token_ids` of each packed text token.
        token_ids: int64 (texts,), the ids of these tokens.
        positions: int64 (texts,), their positions within their text.
        text_rows: int64 (texts,), their rows among the T.
        image_source: int64, rows of [a CLS for each modality; all images' rows].
        image_rows: int64, the rows among the T that they go to.
        filler: How many of the T tokens, the last ones, belong to no pair.
    """

    def __init__(
        self,
        pairs: Pairs,
        chosen: np.ndarray | None = None,
        device: torch.device | str = "cpu",
        last_word: bool = False,
        put: PutAll | None = None,
    ) -> None:
        """Pack pairs.

        Args:
            pairs: The pairs.
            chosen: int64, the positions of those to pack; default: all.
            device: Where the tensors are.
            last_word: Whether a head reads the last token before each text's [SEP], not the first of the pair.
            put: int64 arrays -> tensors on the device, see `vilt.inference.gpu.transfer`.
        """
        chosen = np.arange(len(pairs)) if chosen is None else chosen
        lengths = pairs.lengths[chosen]
        by_length = np.argsort(lengths, kind="stable")
        self.order, lengths = chosen[by_length], lengths[by_length]
        texts, images = pairs.text_lengths[self.order], pairs.image_index[self.order]
        put = put or partial(put_each, device=device)
        super().__init__(lengths, device, texts - 2 if last_word else None, put)
        on_gpu = torch.device(device).type == "cuda"
        self.filler = max(0, GPU_ROWS - int(lengths.sum())) if on_gpu else int(-lengths.sum() % ROWS)
        self.text_lengths = texts
        first = starts(lengths)
        types, cls = pairs.image_types, int(pairs.image_cls)
        kinds = types.max(initial=1) if cls else 0  # rows of [CLS] before the images' own
        source = spans(starts(pairs.grid_sizes)[images] + kinds - cls, pairs.grid_sizes[images] + cls)
        if cls:
            source[starts(lengths - texts)] = types[images] - 1  # each image's rows open with its modality's [CLS]
        first_token = starts(pairs.text_lengths)[self.order]

        text_order = spans(first_token, texts)
        text_rows = spans(first, texts)
        image_rows = spans(first + texts, lengths - texts)
        positions = spans(np.zeros_like(texts), texts)
        self.text_order, self.token_ids, self.positions, self.text_rows, self.image_source, self.image_rows = put(
            [text_order, pairs.token_ids[text_order], positions, text_rows, source, image_rows]
        )

    def fill(self, text: Tensor, image: Tensor) -> Tensor:
        """Fill the layout: text (texts, D), image (modalities + all rows, D), the [CLS] rows first -> (T, D)."""
        x = text.new_zeros(len(self.text_rows) + len(self.image_rows) + self.filler, text.shape[1])
        x[self.text_rows] = text
        x[self.image_rows] = image[self.image_source]
        return x
