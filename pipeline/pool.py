"""How large: the actors, their share of the machine, and the micro-batches they take."""

from __future__ import annotations

from dataclasses import dataclass

import ray

from pipeline.config import JobConfig
from pipeline.sections import ConfigError

CORES_PER_ACTOR = 8  # beyond this, one CPU actor's threads wait for each other
CPU_TOKENS, GPU_TOKENS = 16_384, 65_536  # of a micro-batch
CPU_ROWS, GPU_ROWS = 2_000, 100_000  # of a file of results: minutes of work, which a stop can cost


@dataclass(frozen=True)
class Pool:
    """Actors, the cores and GPUs of each, the tokens of a micro-batch, and the rows of a file of results."""

    count: int
    cpus: int
    gpus: float
    tokens: int
    rows_per_file: int


def plan_pool(config: JobConfig, texts: int = 1) -> Pool:
    """The pool that the config asks for; where it is silent, what fits the running Ray. Raises ConfigError.

    texts: that each row is read with.
    """
    has = ray.cluster_resources()
    return fit_pool(config, int(has.get("CPU", 1)), has.get("GPU", 0.0), texts)


def fit_pool(config: JobConfig, cores: int, all_gpus: float, texts: int = 1) -> Pool:
    """As `plan_pool`, for a Ray of this size.

    With GPUs, one actor each. Without, an eighth of the cores (one at least) stays free for reading and decoding,
    and the others are shared among actors of about `CORES_PER_ACTOR`.
    """
    wanted = config.actors
    gpus = wanted.gpus if wanted.gpus is not None else float(all_gpus >= 1)
    usable = cores - max(1, cores // CORES_PER_ACTOR)
    count = wanted.count or max(1, int(all_gpus / gpus) if gpus else usable // CORES_PER_ACTOR)
    cpus = wanted.cpus or (1 if gpus else max(1, usable // count))
    if count * gpus > all_gpus:
        raise ConfigError(f"actors: {count} actors of {gpus:g} GPUs need more than the {all_gpus:g} that Ray has")
    if count * cpus >= cores:
        raise ConfigError(
            f"actors: {count} actors of {cpus} cores leave none for reading and decoding; Ray has {cores} cores"
        )
    tokens = config.batch.tokens or (GPU_TOKENS if gpus else CPU_TOKENS)
    rows = config.output.rows_per_file or -(-(GPU_ROWS if gpus else CPU_ROWS) // texts)
    return Pool(count, cpus, gpus, max(1, tokens // texts), rows)
