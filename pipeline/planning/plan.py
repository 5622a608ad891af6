"""Before a job runs: what it will meet and how long it will take, from a sample of its rows."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

import torch

from pipeline.cluster.actor_pool import Pool, fit_pool, one_machine
from pipeline.common.errors import ConfigError
from pipeline.config.job import JobConfig
from pipeline.planning.estimate import Estimate, Machines, Pipeline, estimate
from pipeline.planning.trial import Trial, try_out
from pipeline.stages.checkpoints import check_models, fit_inputs
from pipeline.tables.sampling import draw_sample
from pipeline.tables.table import InputTable, open_table


@dataclass(frozen=True)
class Asked:
    """sample: rows to read. actors; gpus, of an actor; cores_per_actor, its own included: the machines to plan for;
    without all three, this one."""

    sample: int = 1000
    seed: int = 0
    actors: int | None = None
    gpus: float | None = None
    cores_per_actor: int | None = None


@dataclass(frozen=True)
class Plan:
    """A sample of a job, and what follows for the whole. estimate: None where the model could not be timed."""

    table: InputTable
    open_seconds: float
    trial: Trial
    pool: Pool
    machines: Machines
    max_error_rate: float
    estimate: Estimate | None

    @property
    def output_bytes(self) -> int:
        """Of the whole job's Parquet files."""
        return round(self.trial.output_bytes / self.trial.rows * self.table.rows)


def make_plan(config: JobConfig, asked: Asked) -> Plan:
    """Read a sample, time it and estimate. Raises ConfigError, and OSError where the table cannot be read."""
    config = fit_inputs(config)
    pool, machines = _machines(config, asked)
    since = time.perf_counter()
    table = open_table(config)
    open_seconds = time.perf_counter() - since
    models = check_models(config)
    if not table.rows:
        raise ConfigError(f"input.path: {config.input.path!r} has no rows that pass: there is nothing to plan")
    sample = draw_sample(table, config, asked.sample, asked.seed)
    runs_here = not pool.gpus or torch.cuda.is_available()
    trial = try_out(sample, table, config, models, pool, runs_here, machines.slots if machines.shared else 0)
    found = None
    if runs_here:
        batch_rows = round(trial.rows / max(1, trial.micro_batches))
        shape = Pipeline(trial.import_seconds, trial.load_seconds, config.batch.window_rows, batch_rows)
        found = estimate(trial.timed, table.rows, shape, machines, asked.seed)
    return Plan(table, open_seconds, trial, pool, machines, config.max_error_rate, found)


def _machines(config: JobConfig, asked: Asked) -> tuple[Pool, Machines]:
    """The pool of actors on the machines that are asked for, or on this one. Raises ConfigError."""
    gpus = config.actors.gpus if asked.gpus is None else asked.gpus
    if gpus == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # as Ray does for actors without GPUs
    own_cores, own_gpus = os.cpu_count() or 1, torch.cuda.device_count()
    if (asked.actors, asked.gpus, asked.cores_per_actor) == (None, None, None):
        try:  # a local Ray is started with one core more than there are
            pool, slots, cores = fit_pool(config, one_machine(own_cores + 1, own_gpus)), own_cores + 1, own_cores
        except ConfigError as error:
            raise ConfigError(f"{error}; to plan for other machines, ask for their actors, GPUs and cores") from None
    else:
        count = asked.actors or config.actors.count or 1
        each = asked.cores_per_actor or max(2, own_cores // max(1, own_gpus if gpus else 1))
        actors = config.actors.model_copy(update={"count": count, "gpus": gpus or 0.0})
        slots = cores = count * each
        nodes = one_machine(cores, math.ceil(count * (gpus or 0.0)))
        pool = fit_pool(config.model_copy(update={"actors": actors}), nodes)
    return pool, Machines(pool.count, pool.cpus, slots - pool.count * pool.cpus, cores)
