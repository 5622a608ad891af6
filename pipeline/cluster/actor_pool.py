"""How large: the actors, their share of the machines, and the micro-batches they take."""

from __future__ import annotations

from dataclasses import dataclass

import ray.data

from pipeline.cluster.nodes import Node, Nodes, decode_selector, running_nodes
from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig

CORES_PER_ACTOR = 8  # beyond this, one CPU actor's threads wait for each other
CPU_TOKENS, GPU_TOKENS = 16_384, 65_536  # of a micro-batch
CPU_ROWS, GPU_ROWS = 2_000, 100_000  # of a file of results: minutes of work, which a stop can cost


@dataclass(frozen=True)
class Pool:
    """Actors, the cores and GPUs of each, the tokens of a micro-batch, and the rows of a file of results.

    least: of an elastic pool, the actors to begin with and to be content with; `count` is then the most. decode_on: the
    label selector of the tasks that read and decode; None: any node.
    """

    count: int
    cpus: int
    gpus: float
    tokens: int
    rows_per_file: int
    least: int | None = None
    decode_on: dict[str, str] | None = None

    @property
    def strategy(self) -> ray.data.ActorPoolStrategy:
        """As Ray Data takes it."""
        if self.least is None:
            return ray.data.ActorPoolStrategy(size=self.count)
        return ray.data.ActorPoolStrategy(min_size=self.least, max_size=self.count)


def plan_pool(config: JobConfig, texts: int = 1) -> Pool:
    """The pool that the config asks for; where it is silent, what fits the running Ray. Raises ConfigError.

    texts: that each row is read with.
    """
    return fit_pool(config, running_nodes(), texts)


def fit_pool(config: JobConfig, nodes: Nodes, texts: int = 1) -> Pool:
    """As `plan_pool`, for a Ray of these nodes.

    With GPUs, one actor each. Without, an eighth of the cores (one at least) stays free for reading and decoding,
    and the others are shared among actors of about `CORES_PER_ACTOR`.
    """
    wanted = config.actors
    gpus = wanted.gpus if wanted.gpus is not None else float(nodes.gpus >= 1)
    asked = wanted.max or wanted.count
    cpus = wanted.cpus or (1 if gpus else _cores_of_actor(nodes, asked))
    places = sum(node.actors(cpus, gpus) for node in nodes.now)
    count = asked or max(1, places if gpus else min(places, _usable(nodes) // cpus))
    least = (wanted.min or 1) if wanted.max else count
    selector = decode_selector(config.ray.decode_on, nodes) if gpus or config.ray.decode_on else {}
    _check(nodes, least, cpus, gpus, bool(selector and gpus))
    if config.precision == "float8" and not gpus:
        raise ConfigError("precision: float8 is for GPUs, and the actors have none; int8 and auto are for CPUs")
    if config.precision == "int8" and gpus:
        raise ConfigError("precision: int8 is for CPUs, and the actors have GPUs; float8 and auto are for these")
    tokens = config.batch.tokens or (GPU_TOKENS if gpus else CPU_TOKENS)
    rows = config.output.rows_per_file or -(-(GPU_ROWS if gpus else CPU_ROWS) // texts)
    return Pool(count, cpus, gpus, max(1, tokens // texts), rows, least if wanted.max else None, selector or None)


def _usable(nodes: Nodes) -> int:
    """Cores that need not stay free for reading and decoding."""
    return nodes.cores - max(1, nodes.cores // CORES_PER_ACTOR)


def _cores_of_actor(nodes: Nodes, count: int | None) -> int:
    """The cores of an actor without GPUs: the largest share with which all actors find a place on the nodes."""
    each = max(1, min(CORES_PER_ACTOR, max((node.cores for node in nodes.now), default=1)))
    count = count or max(1, min(_usable(nodes) // each, sum(node.actors(each, 0) for node in nodes.now)))
    shares = range(max(1, _usable(nodes) // count), 1, -1)
    return next((share for share in shares if sum(node.actors(share, 0) for node in nodes.now) >= count), 1)


def _check(nodes: Nodes, count: int, cpus: int, gpus: float, apart: bool) -> None:
    """Raises ConfigError where so many actors can never be. apart: reading and decoding has nodes of its own."""
    size = f"{gpus:g} GPUs" if gpus else f"{cpus} cores"
    can_have = nodes.can_have("GPU")
    if count * gpus > can_have:
        raise ConfigError(f"actors: {count} actors of {size} need more than the {can_have:g} that Ray has")
    if nodes.can_have("CPU") > nodes.cores or nodes.can_have("GPU") > nodes.gpus:
        return  # of the nodes that an autoscaler brings the sizes are not known
    places = sum(node.actors(cpus, gpus) for node in nodes.now)
    if not apart and count * cpus >= nodes.cores:
        raise ConfigError(
            f"actors: {count} actors of {cpus} cores leave none for reading and decoding; Ray has {nodes.cores} cores"
        )
    if places < count:
        both = f"{gpus:g} GPUs and {cpus} cores" if gpus else size
        raise ConfigError(f"actors: {count} actors of {both} do not fit; the nodes of Ray have room for {places}")


def one_machine(cores: int, gpus: float) -> Nodes:
    """A Ray of one node."""
    return Nodes([Node(cores, gpus)], {})
