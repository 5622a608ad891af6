"""The whole job, `vilt score` with one GPU: its rate, how busy the GPU is, and what decoding takes. Needs Ray."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks import coco
from benchmarks.gpu import data
from benchmarks.gpu.report import Report

SAMPLE_MS = 100  # between two readings of how busy the GPU is


def run(report: Report) -> None:
    """Run the job over two sizes of table; what lies between them has no start and no end in it."""
    try:
        import ray  # noqa: F401
    except ImportError:
        report.say("", "Left out: there is no Ray.")
        return
    place, folder = tempfile.mkdtemp(), data.checkpoint("vilt", report.tiny)
    few, many = (20, 60) if report.tiny else (6_000, 24_000)
    _decoding(report, folder)
    report.attempt("actor", lambda: _actor(report, folder))
    report.table(
        "`vilt score`",
        "texts an image",
        "pairs",
        "pairs/s",
        "in the model, s",
        "GPU busy",
        "micro-batches",
        "their fill",
    )
    short = _job(report, place, folder, few, 1)
    long = _job(report, place, folder, many, 1)
    _job(report, place, folder, few, 10)
    report.say("", f"Between the first two: {(many - few) / (long - short):,.0f} pairs/s.")


def _decoding(report: Report, folder: str) -> None:
    """Print what one core decodes, and how many bytes of a pair cross the object store."""
    import pyarrow as pa

    from pipeline.stages.micro_batch import MicroBatch
    from vilt.models.registry import open_preprocessor

    preprocessor = open_preprocessor(folder)
    files, texts = coco.pictures(8 if report.tiny else 64), coco.texts(8 if report.tiny else 64)
    preprocessor.pairs(files[:4], texts[:4])  # type: ignore[attr-defined]
    started = time.perf_counter()
    pairs = preprocessor.pairs(files, texts)  # type: ignore[attr-defined]
    rate = len(files) / (time.perf_counter() - started)
    row = MicroBatch(pa.table({"row_id": np.arange(len(files))}), pairs).to_arrow()
    report.say(
        "",
        f"One core turns {rate:,.0f} JPEG files of {np.mean([*map(len, files)]) / 1e3:.0f} kB a second into patches; "
        f"{row.nbytes / len(files) / 1e3:,.0f} kB of a pair cross the object store.",
    )


def _actor(report: Report, folder: str) -> None:
    """Print what an actor takes for a micro-batch, Ray and decoding left out, and how much of it the model takes."""
    import pyarrow as pa

    from pipeline import JobConfig
    from pipeline.common.columns import DETAIL, ERROR, PAIR, ROW_ID
    from pipeline.stages.micro_batch import MicroBatch
    from pipeline.stages.predict import PredictActor

    budget = 512 if report.tiny else 65536
    started = time.perf_counter()
    values = {"input": {"path": "pairs.parquet"}, "model": folder, "output": {"path": "out"}}
    actor = PredictActor(JobConfig.parse("score", values), 4)
    loading = time.perf_counter() - started
    report.say("", f"An actor loads its checkpoint in {loading:.1f} s, torch imported already.")
    report.table("an actor alone, texts an image", "first micro-batch, s", "later ones, ms", "pairs/s")
    for texts in (1, 10):
        pairs = data.inputs("vilt", 6 if report.tiny else 960, report.tiny)
        if texts > 1:
            pairs = data.inputs("vilt", len(pairs) // texts + 1, report.tiny, texts)
        blocks = []
        for part in data.micro_batches(pairs, budget):
            names = {ROW_ID: [str(i) for i in range(len(part))], f"{PAIR}0": np.arange(len(part))}
            rows = pa.table({**names, **{name: pa.nulls(len(part), pa.string()) for name in (ERROR, DETAIL)}})
            blocks.append((len(part), MicroBatch(rows, part).to_arrow()))
        times = []
        for _ in range(1 if report.tiny else 8):
            for _, block in blocks:
                started = time.perf_counter()
                actor(block)
                times.append(time.perf_counter() - started)
        later = times[len(blocks) :] or times
        each = float(np.median(later))
        report.row(texts, f"{times[0]:.1f}", f"{each * 1e3:.1f}", f"{np.mean([n for n, _ in blocks]) / each:,.0f}")


def _job(report: Report, place: str, folder: str, count: int, texts: int) -> float:
    """Run one job, print its row; return the seconds of its flow."""
    from pipeline import JobConfig
    from pipeline import run as run_job
    from pipeline.cluster.session import ray_session

    table = _write_table(f"{place}/{count}-{texts}", count, texts)
    values = {
        "input": {"path": table},
        "model": folder,
        "output": {"path": f"{place}/out{count}-{texts}", "report": False},
    }
    started = time.perf_counter()
    readings: list[float] = []
    with ray_session():
        with _busy() as readings:
            summary = run_job(JobConfig.parse("score", values))
        spilled = _spilled()
    busy = [share for share in readings if share]
    report.row(
        f"{summary.lineage.get('vilt.precision')}",
        texts,
        f"{summary.scored:,} of {count * texts:,}",
        f"{summary.pairs_per_second:,.0f}",
        f"{summary.model_seconds:.1f} of {summary.seconds:.1f} ({time.perf_counter() - started:.1f} with all starts)",
        f"{mean(busy):.0f}% over {len(busy) * SAMPLE_MS / 1e3:.1f} s" if busy else "not read",
        summary.micro_batches,
        f"{summary.batch_fill:.0%}",
    )
    print(f"The object store: {spilled}")
    return summary.seconds


def _write_table(folder: str, count: int, texts: int) -> str:
    """Write a Parquet table of JPEG files, with one text a row or a list of several; return its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    Path(folder).mkdir(parents=True)
    files, words = coco.pictures(min(count, 130)), coco.texts(count * texts)
    of_row = [words[i : i + texts] for i in range(0, len(words), texts)] if texts > 1 else words
    table = pa.table({"image": [files[i % len(files)] for i in range(count)], "text": of_row})
    pq.write_table(table, f"{folder}/pairs.parquet", row_group_size=100)
    return f"{folder}/pairs.parquet"


def _spilled() -> str:
    """Return what Ray says of its object store, in one line."""
    with suppress(Exception):  # a private call, of interest only
        from ray._private.internal_api import memory_summary

        lines = memory_summary(stats_only=True).splitlines()
        return "; ".join(line.strip() for line in lines if "MiB" in line)
    return ""


@contextmanager
def _busy() -> Iterator[list[float]]:
    """Collect how busy the GPU is, in percent, from the machine's own tool; nothing where that is missing."""
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        readings = Path(folder, "readings")
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"-lms={SAMPLE_MS}"]
        try:
            with readings.open("w") as out:
                reader = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        except OSError:
            yield found
            return
        try:
            yield found
        finally:
            reader.terminate()
            reader.wait()
            found += [float(line) for line in readings.read_text().split() if line.replace(".", "").isdigit()]
