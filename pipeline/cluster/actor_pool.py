"""The pool of actors that host the model: how many, their share of the machines, the size of micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

import ray.data

from pipeline.cluster.nodes import Node, Nodes, decode_selector, running_nodes
from pipeline.common.errors import ConfigError
from pipeline.common.ray_compat import calls_at_a_time
from pipeline.config.job import JobConfig
from vilt.common.counts import counted

CORES_PER_ACTOR = 8  # beyond this, one CPU actor's threads wait for each other
COPY_THREADS = 4  # of a GPU actor: one alone copies pixels to page-locked memory at a fifth of what the GPU reads
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 16_384, 65_536  # of a micro-batch
CPU_FILE_ROWS, GPU_FILE_ROWS = 2_000, 100_000  # of a file of results: minutes of work, which a stop can cost


@dataclass(frozen=True)
class Pool:
    """The size of a job.

    Attributes:
        count: Actors; of an elastic pool the most.
        cpus: Cores of each.
        gpus: GPUs of each.
        tokens: Most tokens of a micro-batch.
        rows_per_file: Rows of a file of results.
        least: Of an elastic pool, the actors to start with, and enough to go on with; None for a fixed size.
        decode_on: Label selector of the tasks that read and decode; None for any node.
    """

    count: int
    cpus: int
    gpus: float
    tokens: int
    rows_per_file: int
    least: int | None = None
    decode_on: dict[str, str] | None = None

    @property
    def threads(self) -> int:
        """Return the threads of an actor; with a GPU they only copy, for moments, and need no cores of their own."""
        return max(self.cpus, COPY_THREADS) if self.gpus else self.cpus

    @property
    def calls(self) -> int:
        """Return how many calls an actor takes at a time.

        Ray Data runs the model in one thread. With a second call it meanwhile reads the next micro-batch and stores the
        last results, for which a GPU waits else. Where a micro-batch takes seconds, calls that wait for one actor only
        make the end of a job longer.
        """
        return 2 if self.gpus else 1

    @property
    def strategy(self) -> ray.data.ActorPoolStrategy:
        """Return the size as Ray Data takes it."""
        calls = calls_at_a_time(self.calls)
        if self.least is None:
            return ray.data.ActorPoolStrategy(size=self.count, **calls)
        return ray.data.ActorPoolStrategy(min_size=self.least, max_size=self.count, **calls)


def plan_pool(config: JobConfig, texts: int = 1) -> Pool:
    """Return the pool that the config asks for; for what it leaves open, what fits the running Ray.

    Args:
        config: The job.
        texts: How many texts each row is read with.

    Raises:
        ConfigError: The running Ray has no room for it.
    """
    return fit_pool(config, running_nodes(), texts)


def fit_pool(config: JobConfig, nodes: Nodes, texts: int = 1) -> Pool:
    """Return the pool for a Ray of these nodes; see `plan_pool`.

    With GPUs, one actor each. Without, an eighth of the cores (one at least) stays free for reading and decoding,
    and the others are shared among actors of about `CORES_PER_ACTOR`.
    """
    asked = config.actors
    gpus = asked.gpus if asked.gpus is not None else float(nodes.gpus >= 1)
    asked_count = asked.max or asked.count
    cpus = asked.cpus or (1 if gpus else _cores_per_actor(nodes, asked_count))
    room = _room(nodes, cpus, gpus)
    count = asked_count or max(1, room if gpus else min(room, _model_cores(nodes) // cpus))
    least = (asked.min or 1) if asked.max else count
    selector = decode_selector(config.ray.decode_on, nodes) if gpus or config.ray.decode_on else {}
    _check_room(nodes, least, cpus, gpus, decodes_elsewhere=bool(selector and gpus))
    _check_precision(config, gpus)
    tokens = config.batch.tokens or (GPU_BATCH_TOKENS if gpus else CPU_BATCH_TOKENS)
    rows = config.output.rows_per_file or -(-(GPU_FILE_ROWS if gpus else CPU_FILE_ROWS) // texts)
    return Pool(count, cpus, gpus, max(1, tokens // texts), rows, least if asked.max else None, selector or None)


def _room(nodes: Nodes, cpus: int, gpus: float) -> int:
    """Return how many actors of this size fit on the nodes."""
    return sum(node.actors(cpus, gpus) for node in nodes.now)


def _model_cores(nodes: Nodes) -> int:
    """Return the cores that need not stay free for reading and decoding."""
    return nodes.cores - max(1, nodes.cores // CORES_PER_ACTOR)


def _cores_per_actor(nodes: Nodes, count: int | None) -> int:
    """Return the cores of an actor without GPUs: the largest share with which all actors fit on the nodes."""
    each = max(1, min(CORES_PER_ACTOR, max((node.cores for node in nodes.now), default=1)))
    count = count or max(1, min(_model_cores(nodes) // each, _room(nodes, each, 0)))
    shares = range(max(1, _model_cores(nodes) // count), 1, -1)
    return next((share for share in shares if _room(nodes, share, 0) >= count), 1)


def _check_room(nodes: Nodes, count: int, cpus: int, gpus: float, decodes_elsewhere: bool) -> None:
    """Check that so many actors can be there at some time.

    Raises:
        ConfigError: They cannot.
    """
    size = f"{gpus:g} GPUs" if gpus else counted(cpus, "core")
    can_have = nodes.can_have("GPU")
    if count * gpus > can_have:
        raise ConfigError(f"actors: {count} actors of {size} need more than the {can_have:g} that Ray has")
    if nodes.can_have("CPU") > nodes.cores or nodes.can_have("GPU") > nodes.gpus:
        return  # an autoscaler may bring nodes whose sizes are not known
    if not decodes_elsewhere and count * cpus >= nodes.cores:
        raise ConfigError(
            f"actors: {counted(count, 'actor')} of {counted(cpus, 'core')} leave none for reading and decoding; Ray "
            f"has {counted(nodes.cores, 'core')}"
        )
    room = _room(nodes, cpus, gpus)
    if room < count:
        both = f"{gpus:g} GPUs and {counted(cpus, 'core')}" if gpus else size
        raise ConfigError(f"actors: {count} actors of {both} do not fit; the nodes of Ray have room for {room}")


def _check_precision(config: JobConfig, gpus: float) -> None:
    """Check that actors with so many GPUs can compute in the job's precision.

    Raises:
        ConfigError: They cannot.
    """
    if config.precision == "float8" and not gpus:
        raise ConfigError("precision: float8 is for GPUs, and the actors have none; int8 and auto are for CPUs")
    if config.precision == "int8" and gpus:
        raise ConfigError("precision: int8 is for CPUs, and the actors have GPUs; float8 and auto are for these")


def one_machine(cores: int, gpus: float) -> Nodes:
    """Return the nodes of a Ray that has one."""
    return Nodes([Node(cores, gpus)], {})
