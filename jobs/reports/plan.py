"""The plan of a job: tables for a person, values for programs, a picture of grids and lengths."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import RenderableType

from jobs.console.tables import facts, stacked
from jobs.reports.summary import rejected_table
from pipeline.images.fetch import AT_ONCE
from pipeline.planning.estimate import Estimate
from pipeline.planning.plan import Plan
from pipeline.planning.sampling import SPLITS
from pipeline.planning.trial import Trial
from vilt.common.counts import counted

Z = 1.96  # standard deviations of a 95 % interval
REQUEST_SECONDS = 0.03  # of an object store
Facts = list[tuple[str, str]]


def plan_table(plan: Plan, seed: int, price: float | None) -> RenderableType:
    """Lay out the plan for a person.

    Args:
        plan: The plan.
        seed: Seed of the sample.
        price: Price of an actor with its GPUs and cores, for an hour; None if it is not known.
    """
    trial, table = plan.trial, plan.table
    size = sum(one.file.size for one in table.files)
    wrong = sum(trial.rejected.values())
    low, high = _wilson(wrong, trial.pairs)
    pieces = sum(len(one.splits) for one in table.files)
    pairs = "" if trial.pairs == trial.rows else f" ({counted(trial.pairs, 'pair')})"
    if plan.pairs is not None:
        pairs = f", each with {counted(plan.texts, 'text')},"
    opened = (
        f"{counted(table.rows, 'row')} in {counted(len(table.files), 'file')}, {_size(size)}; opened in "
        f"{plan.prepare_seconds:.1f} s"
    )
    head = [
        ("table", opened),
        (
            "sample",
            f"{counted(trial.rows, 'row')}{pairs} of {min(pieces, SPLITS):,} of {counted(pieces, 'piece')}, "
            f"seed {seed}",
        ),
        *([] if plan.pairs is None else [("pairs", f"{plan.pairs:,}")]),
        ("rejected", f"{wrong:,} of {trial.pairs:,}, {wrong / trial.pairs:.1%} (95 %: {low:.1%} to {high:.1%})"),
    ]
    limit = f"more than max_error_rate, {plan.max_error_rate:.0%}: the job would end with exit code 3"
    more = [("", limit)] if low > plan.max_error_rate else []
    more += [("writes", plan.output)] if plan.output else []
    if plan.verify_images:
        seconds = plan.verify_images / AT_ONCE * REQUEST_SECONDS
        requests = f"{plan.verify_images:,} requests at most in each reindex, a HEAD or what the storage has for it"
        each = f"{REQUEST_SECONDS * 1000:.0f} ms, {AT_ONCE} at once in each process"
        more.append(("verify", f"{requests}: {_duration(seconds)} if one takes {each}"))
    more += _sample_facts(plan)
    if plan.estimate is None:
        more.append(("model", "not timed: the job asks for GPUs, and this machine has none"))
    else:
        more += _estimate_facts(plan, plan.estimate, price)
    return stacked([facts(head), *rejected_table(dict(trial.rejected.most_common())), facts(more)])


def plan_values(plan: Plan, seed: int, price: float | None) -> dict[str, Any]:
    """Return the plan as JSON values; bytes, seconds, shares of 1, and the cost at a price per hour and actor."""
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
        "memory": asdict(plan.memory),
        "machines": {**asdict(plan.machines), "gpus": plan.pool.gpus * plan.pool.count},
        "estimate": plan.estimate and asdict(plan.estimate),
        **_rank_values(plan),
        **({"writes": plan.output} if plan.output else {}),
        "output_bytes": plan.estimate and plan.output_bytes,
        **({"verify_images": plan.verify_images} if plan.verify_images else {}),
        "seed": seed,
        "cost": _cost(plan, price),
    }


def _rank_values(plan: Plan) -> dict[str, Any]:
    """Return what a plan says of a rank job alone."""
    if plan.pairs is None:
        return {}
    sizes = {str(actors): found.seconds for actors, found in plan.at_sizes.items()}
    search = {"search": asdict(plan.search)} if plan.search else {}
    return {"pairs": plan.pairs, "pairs_per_second": plan.pairs_per_second, "seconds_of_actors": sizes, **search}


def _sample_facts(plan: Plan) -> Facts:
    """Return what the sample showed, and the time of each stage."""
    trial, found = plan.trial, []
    if len(trial.tokens):
        grids = sum(trial.grids.values())
        common = ", ".join(f"{g.rows}x{g.cols} {n / grids:.0%}" for g, n in trial.grids.most_common(5))
        found = [
            ("images", _range(trial.image_bytes, _size)),
            ("grids", f"{len(trial.grids)} different; {common}"),
            ("tokens", f"{_range(trial.tokens, lambda n: f'{n:,.0f}')} per pair"),
            ("batches", f"{trial.batch_fill:.0%} full, of {plan.pool.tokens:,} tokens"),
        ]
    memory = plan.memory
    found.append(
        (
            "memory",
            f"at most about {_size(memory.read_task)} a read task, {_size(memory.actor)} an actor, "
            f"{_size(memory.write_task)} a write task, {_size(memory.object_store)} in Ray's object stores",
        )
    )
    for stage, one in trial.timings.items():
        how = {"decoding": " on one core", "model": f" on {_actor(plan)}, {trial.precision}"}.get(stage, "")
        found.append((stage, f"{1000 * one.per_row:.2f} ms per row{how}"))
    return found


def _estimate_facts(plan: Plan, found: Estimate, price: float | None) -> Facts:
    machines, here = plan.machines, os.cpu_count() or 1
    slowest, *others = sorted(found.rates.items(), key=lambda item: item[1])
    faster = ", ".join(f"{name} {rate:,.0f}" for name, rate in others)
    unit = "GPU" if plan.pool.gpus else "actor"
    span = f"{_duration(found.seconds)} ({_duration(found.low)} to {_duration(found.high)})"
    on = f", on {counted(machines.cores, 'core')}" if machines.shared else ""
    pool = f"{machines.actors:,} x {_actor(plan)} for the model, {machines.slots:,} more to read and decode{on}"
    out = [
        ("machines", pool),
        ("limit", f"{found.limit}: {slowest[1]:,.0f} rows/s; the others allow {faster}"),
        (
            "cores",
            f"{found.cores_per_actor:.1f} for each {unit}, its own included, let decoding keep up with the model",
        ),
        ("time", f"{span}, of which {_duration(found.start)} to start"),
    ]
    if one := plan.search:
        vectors = f"{counted(one.images, 'vector')} of {one.length:,} numbers"
        compared = f"{counted(one.texts, 'text')} with {vectors}, in this process"
        out.append(("search", f"{_duration(one.seconds)} of the start: {compared}, {one.n:,} kept of each text"))
    out += _size_facts(plan, unit)
    if machines.threads > here:
        cores = counted(here, "core")
        note = f"the model was timed on the {cores} of this machine; an actor would have {machines.threads}"
        out.append(("note", note))
    if cost := _cost(plan, price):
        value, low, high = (f"{cost[name]:,.3g}" for name in ("value", "low", "high"))
        out.append(("cost", f"{value} ({low} to {high}) at {price:g} per hour and actor"))
    return [*out, ("output", _size(plan.output_bytes))]


def _size_facts(plan: Plan, unit: str) -> Facts:
    """Return how long a rank job takes on some numbers of actors."""
    if not plan.at_sizes:
        return []
    rate = f"{plan.pairs_per_second:,.1f} pairs/s of one {unit}, as measured here"
    times = [
        f"{count:,} {unit}{'s' if count > 1 else ''}: {_duration(found.seconds)}"
        for count, found in plan.at_sizes.items()
    ]
    return [("rate", rate), ("at sizes", "; ".join(times))]


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
    """Return the 95 % interval of a share (Wilson 1927)."""
    share, square = count / total, Z * Z / total
    middle, half = share + square / 2, Z * np.sqrt(share * (1 - share) / total + square / (4 * total))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def _quantiles(values: NDArray[np.int64]) -> dict[str, float]:
    names = {"mean": values.mean(), "p5": np.quantile(values, 0.05), "p50": np.median(values)} if len(values) else {}
    return {k: float(v) for k, v in names.items()} | ({"p95": float(np.quantile(values, 0.95))} if len(values) else {})


def _range(values: NDArray[np.int64], show: Callable[[float], str]) -> str:
    found = _quantiles(values)
    return f"{show(found['mean'])} on average, {show(found['p5'])} to {show(found['p95'])} (5 % to 95 %)"


def _size(count: float) -> str:
    """Return a number of bytes in the unit that reads best, in powers of 1000."""
    if count < 999.5:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:  # which rounds to 1000.0
            return f"{count:.1f} {unit}"
    count /= 1000
    return f"{count:,.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def to_png(trial: Trial) -> bytes:
    """Return a PNG: how many images have which grid, and how many pairs how many tokens."""
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
