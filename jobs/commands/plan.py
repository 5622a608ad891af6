"""`vilt plan`: what a job will meet, and how long it will take, from a sample of its rows."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jobs.console.exits import ended
from pipeline import ConfigError, JobConfig
from pipeline.common.error_codes import REASONS
from pipeline.common.errors import StorageFailedError, first_line
from pipeline.common.tasks import Task
from pipeline.planning.estimate import Estimate
from pipeline.planning.plan import Plan, PlanRequest, make_plan
from pipeline.planning.sampling import SPLITS
from pipeline.planning.trial import Trial
from pipeline.storage.filesystem import STORAGE_ERRORS, open_fsspec, write_whole

Z = 1.96  # standard deviations of a 95 % interval


@dataclass(frozen=True)
class Options:
    """How to tell the plan. price: an hour, of an actor with its GPUs and cores. out: file for the picture."""

    price: float | None = None
    as_json: bool = False
    out: str | None = None


def plan_file(task: Task | None, path: str, overrides: Sequence[str], request: PlanRequest, options: Options) -> int:
    """Plan the job that a YAML file describes and print what came out; the exit code."""

    def job() -> str:
        config = JobConfig.load(task, path, overrides)
        try:
            plan = make_plan(config, request)
        except STORAGE_ERRORS as error:
            raise StorageFailedError(f"the storage failed: {first_line(error)}") from None
        if options.out is not None:
            _write_picture(plan, options.out, config)
        if options.as_json:
            return json.dumps({**to_dict(plan), "seed": request.seed, "cost": _cost(plan, options.price)})
        return to_text(plan, request.seed, options.price)

    return ended(job)


def to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values; bytes, seconds, shares of 1."""
    trial, table = plan.trial, plan.table
    return {
        "rows": table.rows,
        "files": len(table.files),
        "bytes": sum(one.file.size for one in table.files),
        "sample": {
            "rows": trial.rows,
            "pairs": trial.pairs,
            "rejected": dict(trial.rejected.most_common()),
            "grids": {f"{grid.rows}x{grid.cols}": count for grid, count in trial.grids.most_common()},
            "image_bytes": _quantiles(trial.image_bytes),
            "tokens": _quantiles(trial.tokens),
            "micro_batches": trial.micro_batches,
            "batch_fill": round(trial.batch_fill, 4),
            "seconds_per_row": {stage: one.per_row for stage, one in trial.timings.items()},
            "precision": trial.precision,
        },
        "machines": {**asdict(plan.machines), "gpus": plan.pool.gpus * plan.pool.count},
        "estimate": plan.estimate and asdict(plan.estimate),
        "output_bytes": plan.estimate and plan.output_bytes,
    }


def to_text(plan: Plan, seed: int, price: float | None) -> str:
    """The plan as lines for a person."""
    trial, table = plan.trial, plan.table
    size = sum(one.file.size for one in table.files)
    wrong = sum(trial.rejected.values())
    low, high = _wilson(wrong, trial.pairs)
    pieces = sum(len(one.splits) for one in table.files)
    pairs = "" if trial.pairs == trial.rows else f" ({trial.pairs:,} pairs)"
    grids = sum(trial.grids.values())
    common = ", ".join(f"{g.rows}x{g.cols} {n / grids:.0%}" for g, n in trial.grids.most_common(5))
    lines = [
        f"table       {table.rows:,} rows in {len(table.files):,} files, {_size(size)}; "
        f"opened in {plan.prepare_seconds:.1f} s",
        f"sample      {trial.rows:,} rows{pairs} of {min(pieces, SPLITS):,} of {pieces:,} pieces, seed {seed}",
        f"rejected    {wrong:,} of {trial.pairs:,}, {wrong / trial.pairs:.1%} (95 %: {low:.1%} to {high:.1%})",
        *(f"  {count:>7,}  {reason}: {REASONS[reason]}" for reason, count in trial.rejected.most_common()),
    ]
    if low > plan.max_error_rate:
        lines.append(
            f"            more than max_error_rate, {plan.max_error_rate:.0%}: the job would end with exit code 3"
        )
    if len(trial.tokens):
        lines += [
            f"images      {_range(trial.image_bytes, _size)}",
            f"grids       {len(trial.grids)} different; {common}",
            f"tokens      {_range(trial.tokens, lambda n: f'{n:,.0f}')} a pair",
            f"batches     {trial.batch_fill:.0%} full, of {plan.pool.tokens:,} tokens",
        ]
    for stage, one in trial.timings.items():
        how = {"decoding": " on one core", "model": f" on {_actor(plan)}, {trial.precision}"}.get(stage, "")
        lines.append(f"{stage:<11} {1000 * one.per_row:.2f} ms a row{how}")
    if plan.estimate is None:
        return "\n".join([*lines, "model       not timed: the job asks for GPUs, and this machine has none"])
    return "\n".join([*lines, *_estimate_lines(plan, plan.estimate, price)])


def _estimate_lines(plan: Plan, found: Estimate, price: float | None) -> list[str]:
    machines = plan.machines
    slowest, *others = sorted(found.rates.items(), key=lambda item: item[1])
    faster = ", ".join(f"{name} {rate:,.0f}" for name, rate in others)
    here = os.cpu_count() or 1
    lines = [
        f"machines    {machines.actors:,} x {_actor(plan)} for the model, {machines.slots:,} more to read and decode"
        f"{f', on {machines.cores:,} cores' if machines.shared else ''}",
        f"limit       {found.limit}: {slowest[1]:,.0f} rows/s; the others allow {faster}",
        f"cores       {found.cores_per_actor:.1f} for each {'GPU' if plan.pool.gpus else 'actor'}, its own included, "
        "and decoding keeps up with the model",
        f"time        {_duration(found.seconds)} ({_duration(found.low)} to {_duration(found.high)}), of which "
        f"{_duration(found.start)} to start",
    ]
    if machines.threads > here:
        lines.append(
            f"note        the model was timed on the {here} cores of this machine, for want of {machines.threads}"
        )
    if cost := _cost(plan, price):
        value, low, high = (f"{cost[name]:,.3g}" for name in ("value", "low", "high"))
        lines.append(f"cost        {value} ({low} to {high}) at {price:g} an hour for each actor")
    return [*lines, f"output      {_size(plan.output_bytes)}"]


def _actor(plan: Plan) -> str:
    gpus = f"{plan.pool.gpus:g} GPU and " if plan.pool.gpus else ""
    return f"{gpus}{plan.pool.cpus} {'core' if plan.pool.cpus == 1 else 'cores'}"


def _cost(plan: Plan, price: float | None) -> dict[str, float] | None:
    found = plan.estimate
    if price is None or found is None:
        return None
    hourly = price * plan.machines.actors / 3600
    return {"value": found.seconds * hourly, "low": found.low * hourly, "high": found.high * hourly}


def _wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, square = count / total, Z * Z / total
    middle, half = share + square / 2, Z * np.sqrt(share * (1 - share) / total + square / (4 * total))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def _quantiles(values: np.ndarray) -> dict[str, float]:
    names = {"mean": values.mean(), "p5": np.quantile(values, 0.05), "p50": np.median(values)} if len(values) else {}
    return {k: float(v) for k, v in names.items()} | ({"p95": float(np.quantile(values, 0.95))} if len(values) else {})


def _range(values: np.ndarray, show: Callable[[float], str]) -> str:
    found = _quantiles(values)
    return f"{show(found['mean'])} on average, {show(found['p5'])} to {show(found['p95'])} (5 % to 95 %)"


def _size(count: float) -> str:
    """Bytes, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _write_picture(plan: Plan, path: str, config: JobConfig) -> None:
    filesystem, where = open_fsspec(path, "--out", config.storage)
    try:
        write_whole(filesystem, where, to_png(plan.trial))
    except STORAGE_ERRORS as error:
        raise ConfigError(f"--out: cannot write {path!r}: {first_line(error)}") from None


def to_png(trial: Trial) -> bytes:
    """How many images have which grid, and how many pairs how many tokens."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.add_subplot(121), figure.add_subplot(122)
    grids = sorted(trial.grids.items(), key=lambda item: (item[0].patches, item[0]))
    left.bar([f"{grid.rows}x{grid.cols}" for grid, _ in grids], [count for _, count in grids])
    left.tick_params(axis="x", rotation=90, labelsize=7)
    left.set_title("grids: rows x columns of patches", loc="left")
    left.set_ylabel("images")
    right.hist(trial.tokens, bins=40)
    right.set_title("tokens of a pair, text and image", loc="left")
    right.set_ylabel("pairs")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
