"""Bound the memory of a job's processes, from its config and the rows of a sample."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.cluster.actor_pool import Pool
from pipeline.config.job import JobConfig
from pipeline.scoring.dataflow import ACTOR_MEMORY

PROCESS_BYTES = 400 * 2**20  # of Python with Ray, Arrow and the image libraries
PATCH_BYTES = 3 * 32 * 32  # of a token of an image, as it travels to the actors
WAITING = 2  # micro-batches for each call of an actor: read by it, waiting for it
BEING_MADE = 2  # micro-batches for each actor
FILE_BYTES = 2**29  # of results with their images, before a file is written


@dataclass(frozen=True)
class Memory:
    """The most bytes that processes should hold.

    Attributes:
        read_task: A task that reads and decodes.
        actor: An actor, without its GPU.
        write_task: A task that writes results.
        object_store: Ray's object stores, all together.
    """

    read_task: int
    actor: int
    write_task: int
    object_store: int


def bound_memory(config: JobConfig, pool: Pool, row_bytes: float, largest: int) -> Memory:
    """Return the bounds.

    Args:
        config: The job.
        pool: Its actors.
        row_bytes: Bytes of a row, its image included, on average.
        largest: Bytes of the largest image.
    """
    batch = config.batch
    window = max(min(batch.window_bytes, int(batch.window_rows * row_bytes)), largest)
    micro_batch = max(pool.tokens * PATCH_BYTES, batch.block_bytes)
    carried = window if config.output.keep_image else 0
    block = micro_batch + min(carried, largest + 2**22)
    return Memory(
        read_task=PROCESS_BYTES + 2 * window + 2 * micro_batch,
        actor=ACTOR_MEMORY + (1 + pool.calls) * block,
        write_task=PROCESS_BYTES + (2 * FILE_BYTES if config.output.keep_image else 0),
        object_store=(WAITING * pool.calls + BEING_MADE) * pool.count * block + 2 * carried,
    )
