"""Forward passes over any number of pairs, in batches that fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from vilt.inference.gpu.transfer import Uploader
from vilt.inference.packing import Packed
from vilt.inference.pairs import Pairs
from vilt.inference.threads import side_by_side

CPU_TOKENS, GPU_TOKENS = 3072, 65536  # of one forward pass; a CPU's caches like small ones


class Passes:
    """Runs pairs through a model in packed batches, on a CPU several side by side.

    Attributes:
        tokens: The most of one batch; it falls when there is no memory for so many.
    """

    def __init__(self, device: torch.device, uploader: Uploader) -> None:
        self.device, self.uploader = device, uploader
        self.tokens = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS

    def run(
        self,
        pairs: Pairs,
        images: Tensor,
        read: Callable[[Packed, Tensor], Tensor],
        chosen: np.ndarray | None = None,
        last_word: bool = False,
    ) -> Iterator[tuple[Packed, Tensor]]:
        """Yield packed batches of all pairs, or of those in `chosen`, each with what `read` gives for it, float32.

        Batches that there is no memory for are halved.
        """

        def forward(part: np.ndarray) -> tuple[Packed, Tensor | None]:
            batch = Packed(pairs, part, self.device, last_word, self.uploader.indices)
            try:
                with torch.inference_mode():  # it holds for one thread
                    return batch, read(batch, images).float()
            except (RuntimeError, MemoryError) as error:
                if len(part) == 1 or not _is_out_of_memory(error):
                    raise
                return batch, None

        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        waiting = pairs.split_by_length(self.tokens, chosen, threads)
        while waiting:
            too_large = []
            for batch, values in side_by_side(forward, waiting, threads):
                if values is None:
                    too_large.append(batch.order)
                    self.tokens = min(self.tokens, int(pairs.lengths[batch.order].sum()) // 2)
                else:
                    yield batch, values
            waiting = pairs.split_by_length(self.tokens, np.concatenate(too_large)) if too_large else []


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether a GPU or the host, for which torch has no error of its own, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
