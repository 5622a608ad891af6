"""Plan a job: what it will meet and how long it will take, from a sample of its rows."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace

from pipeline.cluster.actor_pool import Pool, fit_pool, one_machine
from pipeline.cluster.nodes import Nodes, running_nodes
from pipeline.cluster.session import ray_session
from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig
from pipeline.planning.estimate import Estimate, Machines, estimate
from pipeline.planning.memory import Memory, bound_memory
from pipeline.planning.rank_sample import sample_pairs
from pipeline.planning.sampling import draw_sample
from pipeline.planning.search import Search, time_search
from pipeline.planning.trial import Trial, try_out
from pipeline.scoring.dataflow import Run
from pipeline.scoring.outputs import output_text
from pipeline.scoring.prepare import PreparedJob, prepare
from pipeline.tables.table import InputTable

SIZES = (1, 8, 64)  # actors, that a rank job is estimated for


@dataclass(frozen=True)
class PlanRequest:
    """The sample and the machines to plan for.

    Without actors, gpus and cores_per_actor they are the Ray that the job would run on.

    Attributes:
        sample: Rows to read; of a rank job about so many pairs.
        seed: The seed of the sample.
        actors: Actors of the cluster to plan for.
        gpus: GPUs of an actor.
        cores_per_actor: Cores for each actor, its own included.
    """

    sample: int = 1000
    seed: int = 0
    actors: int | None = None
    gpus: float | None = None
    cores_per_actor: int | None = None

    @property
    def names_machines(self) -> bool:
        """Return whether it asks for other machines than those at hand."""
        return (self.actors, self.gpus, self.cores_per_actor) != (None, None, None)


@dataclass(frozen=True)
class Plan:
    """A sample of a job, and what follows for the whole.

    Attributes:
        table: The input.
        prepare_seconds: Time to open the table and the checkpoints.
        trial: What the sample showed.
        pool: The actors of the job.
        memory: The most that its processes should hold.
        machines: What it will run on.
        max_error_rate: The job's error budget.
        estimate: None if the model could not be timed here.
        output: What the job writes, in words, if it is not Parquet files alone.
        output_bytes: Size of what the whole job writes: Parquet files, and copies of the input's files.
        pairs: Of a rank job, the pairs that it reads; None of another.
        texts: Of a rank job, how many texts each image of the sample was read with.
        at_sizes: Of a rank job, what it takes on so many actors.
        verify_images: With `input.verify`, the most images that each reindex asks for.
        search: Of a rank job with a first stage, the search, which counts as a part of the start.
    """

    table: InputTable
    prepare_seconds: float
    trial: Trial
    pool: Pool
    memory: Memory
    machines: Machines
    max_error_rate: float
    estimate: Estimate | None
    output: str
    output_bytes: int
    pairs: int | None = None
    texts: int = 1
    at_sizes: dict[int, Estimate] = field(default_factory=dict)
    verify_images: int = 0
    search: Search | None = None

    @property
    def pairs_per_second(self) -> float:
        """Return how many pairs a second one actor reads in a rank job; 0 if the model was not timed."""
        model = self.trial.timings.get("model")
        return self.pairs / self.table.rows / model.per_row if self.pairs and model and model.per_row else 0.0


def make_plan(config: JobConfig, request: PlanRequest) -> Plan:
    """Run a sample through the job's own flow, and estimate the whole job.

    Args:
        config: The job.
        request: What to plan for.

    Raises:
        ConfigError: The config is wrong, the table is empty, or the actors do not fit.
        OSError: The table cannot be read.
    """
    return plan_job(prepare(config), request)


def plan_job(job: PreparedJob, request: PlanRequest) -> Plan:
    """Run a sample of a prepared job through its flow, and estimate the whole job; raises as `make_plan`.

    A rank job is sampled by pairs: each image of the sample is read with some of the texts, and the time of the model
    is that of as many pairs as an image has in the job.
    """
    if not job.table.rows:
        raise ConfigError(f"input.path: {job.config.input.path!r} has no rows that pass: there is nothing to plan")
    output = output_text(job)
    rows, pairs, tried = request.sample, None, job
    if job.texts:
        pairs = sample_pairs(job.texts, job.table.rows, request.sample, request.seed)
        rows, tried = pairs.images, replace(job, texts=pairs.texts)
    texts = len(pairs.texts.ids) if pairs else 1
    sample = draw_sample(job.table, rows, request.seed)
    with ray_session(job.config.ray.address):
        nodes = running_nodes()
        pool, machines = _machines(job.config, request, nodes, texts)
        with_model = pool.gpus <= max(node.gpus for node in nodes.now)
        run = Run(tried, _pool_here(pool, nodes, request.names_machines), f"plan-{os.getpid()}")
        trial = try_out(run, sample, with_model)
    if pairs and with_model:
        trial.timings["model"] = trial.timings["model"].scaled(pairs.share)
    search = time_search(job.texts, job.table.rows) if job.texts else None
    start = trial.start_seconds + (search.seconds if search else 0.0)
    all_scores = pairs.share if pairs and pairs.texts.all_scores else 1.0
    found = estimate(trial.timings, job.table.rows, start, machines, request.seed) if with_model else None
    sizes = {count: _of_actors(machines, count) for count in SIZES} if pairs and found else {}
    copied = sum(one.file.size for one in job.table.files) if job.config.output.format == "webdataset" else 0
    return Plan(
        table=job.table,
        prepare_seconds=job.seconds,
        trial=trial,
        pool=pool,
        memory=_memory(job, pool, trial),
        machines=machines,
        max_error_rate=job.config.max_error_rate,
        estimate=found,
        output=output,
        output_bytes=round(trial.output_bytes / trial.rows * job.table.rows * all_scores) + copied,
        pairs=pairs.pairs if pairs else None,
        texts=texts,
        at_sizes={
            count: estimate(trial.timings, job.table.rows, start, some, request.seed) for count, some in sizes.items()
        },
        verify_images=_verify_images(job),
        search=search,
    )


def _verify_images(job: PreparedJob) -> int:
    """Return the most images that each reindex asks for: all of the share, if no two rows have the same one."""
    spec = job.config.input
    return math.ceil(spec.verify_share * job.table.rows * len(job.config.image_columns)) if spec.verify else 0


def _memory(job: PreparedJob, pool: Pool, trial: Trial) -> Memory:
    images = trial.image_bytes
    mean, largest = (float(images.mean()), int(images.max())) if len(images) else (0.0, 0)
    return bound_memory(job.config, pool, mean, largest)


def _of_actors(machines: Machines, actors: int) -> Machines:
    """Return machines of the same kind with so many actors."""
    factor = actors / machines.actors
    slots, cores = max(1, round(machines.slots * factor)), max(1, round(machines.cores * factor))
    return Machines(actors, machines.threads, slots, cores)


def _machines(config: JobConfig, request: PlanRequest, nodes: Nodes, texts: int) -> tuple[Pool, Machines]:
    """Return the pool of actors and the machines: those that are asked for, or those of the running Ray."""
    if not request.names_machines:
        try:
            pool = fit_pool(config, nodes, texts)
        except ConfigError as error:
            raise ConfigError(f"{error}; to plan for other machines, ask for their actors, GPUs and cores") from None
        cores = min(nodes.cores, os.cpu_count() or 1) if len(nodes.now) == 1 else nodes.cores
        return pool, Machines(pool.count, pool.cpus, max(1, nodes.cores - pool.count * pool.cpus), cores)
    gpus = (config.actors.gpus if request.gpus is None else request.gpus) or 0.0
    count = request.actors or config.actors.count or 1
    cores_per_actor = request.cores_per_actor or max(2, nodes.cores // max(1, int(nodes.gpus) if gpus else 1))
    cores = count * cores_per_actor
    actors = config.actors.model_copy(update={"count": count, "gpus": gpus, "min": None, "max": None})
    pool = fit_pool(config.model_copy(update={"actors": actors}), one_machine(cores, math.ceil(count * gpus)), texts)
    return pool, Machines(pool.count, pool.cpus, cores - pool.count * pool.cpus, cores)


def _pool_here(pool: Pool, nodes: Nodes, elsewhere: bool) -> Pool:
    """Return the pool that runs the sample: the job's own, or one actor of it as far as the running Ray has room."""
    if not elsewhere:
        return pool
    cpus = max(1, min(pool.cpus, max(node.cores for node in nodes.now) - 1))
    return replace(pool, count=1, least=None, cpus=cpus, decode_on=None)
