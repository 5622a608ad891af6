"""The pipeline with 1 to 16 actors, by simulation: `python -m benchmarks.scaling`.

A stub takes the place of the model: it sleeps for a known time a pair, so that 16 actors need no 16 GPUs. Reading,
decoding, Ray, the writing and the publishing are the real ones, on a cluster on this machine that claims enough cores,
without its dashboard. What is lost against the stub's own rate is what the pipeline costs. Time counts from the first
micro-batch that any actor takes to the last that is done. With `--decoded` a process decodes each picture once, so that
little but dispatch is left: on a real cluster decoding has cores of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.cluster_utils import Cluster

from benchmarks import machine
from benchmarks.cores import Cores
from benchmarks.scale import write_table
from pipeline import JobConfig, run
from pipeline.common.columns import PAIR, ROW_ID
from pipeline.common.ray_compat import IDLE_MILLISECONDS, IDLE_VARIABLE
from pipeline.config.resources import BLOCK_BYTES
from pipeline.stages.batch_stats import BatchStats
from pipeline.stages.preprocess import Preprocess
from pipeline.stages.preprocessors import preprocessor_of
from vilt.inference.pairs import ImageRows


class Stub:
    """An actor without a model. Leaves a file with the begin and the end of each of its micro-batches."""

    def __init__(self, config: JobConfig, **_: Any) -> None:
        self.seconds = float(Path(config.output.path).with_name("seconds_per_pair").read_text())
        self.log = Path(config.output.path).with_name("log") / f"{time.time_ns()}"

    def __call__(self, batches: pa.Table) -> pa.Table:
        from pipeline.stages.micro_batch import MicroBatch

        begin, out = time.time(), []
        for batch in MicroBatch.from_arrow(batches, ImageRows(3 * 32 * 32)):
            rows, pairs = batch.rows, len(batch.pairs)
            time.sleep(self.seconds * pairs)
            rows = rows.drop_columns([name for name in rows.column_names if name.startswith(PAIR)])
            rows = rows.append_column("score", pc.cast(rows[ROW_ID], pa.float32(), safe=False))
            stats = BatchStats(pairs=pairs, precision="none", device="stub")
            out.append(stats.attach(rows))
            with self.log.open("a") as log:
                log.write(f"{begin} {time.time()} {pairs}\n")
            begin = time.time()
        return pa.concat_tables(out)


class Decoded(Preprocess):
    """Decodes each picture once in a process, as if they came decoded."""

    def __call__(self, windows: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yield micro-batches."""
        preprocessor = preprocessor_of(self.config)
        if not hasattr(preprocessor.patches_of_bytes, "cache_info"):
            for name in ("patches_of_bytes", "grid_of_bytes"):
                setattr(preprocessor, name, cache(getattr(preprocessor, name)))
        yield from super().__call__(windows)


def measure(
    table: str, folder: Path, actors: int, seconds_per_pair: float, block_bytes: int
) -> tuple[int, float, float, Counter[str]]:
    """Run the job: pairs, seconds from the first micro-batch to the last; with all actors there pairs a second, and
    milliseconds of CPU time a pair, by kind of process."""
    (folder / "log").mkdir(parents=True)
    (folder / "seconds_per_pair").write_text(str(seconds_per_pair))
    values = {
        "input": {"path": table},
        "model": "zoo://scenes",
        "output": {"path": str(folder / "out"), "report": False, "rows_per_file": 500},
        "actors": {"count": actors, "cpus": 1},
        "batch": {"window_rows": 128, "tokens": 512, "block_bytes": block_bytes},
    }
    with Cores() as cores:
        run(JobConfig.parse("score", values))
    batches = [
        [float(word) for word in line.split()]
        for log in (folder / "log").iterdir()
        for line in log.read_text().splitlines()
    ]
    starts = [float(log.read_text().split()[0]) for log in (folder / "log").iterdir()]
    begin, end = min(b for b, _, _ in batches), max(e for _, e, _ in batches)
    full = max(starts)
    ends = [max(float(line.split()[1]) for line in log.read_text().splitlines()) for log in (folder / "log").iterdir()]
    over = min(ends)  # from then on there is not work for all
    done = sum(pairs for b, _, pairs in batches if full <= b < over)
    cpu = cores.between(full, over)
    each = Counter({kind: 1000 * seconds / done for kind, seconds in cpu.items()})
    return int(sum(pairs for _, _, pairs in batches)), end - begin, done / (over - full), each


def main(actors: list[int], seconds: float, decoders: int, each: float, block_bytes: int, decoded: bool) -> None:
    """Print the table."""
    folder = Path(tempfile.mkdtemp())
    os.environ.setdefault(IDLE_VARIABLE, IDLE_MILLISECONDS)  # as the image of configs/deploy has it
    print(f"{machine.describe()}; a pair takes {each * 1000:.0f} ms, decoding has {decoders} cores, ", end="")
    print(f"blocks have {block_bytes:,} bytes{', pictures come decoded' if decoded else ''}\n")
    print("| actors | pairs | pairs/s | efficiency | with all actors there | efficiency | CPU ms a pair | cores |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    dataflow = import_module("pipeline.scoring.dataflow")
    dataflow.PredictActor = Stub  # type: ignore[attr-defined]
    if decoded:
        dataflow.Preprocess = Decoded  # type: ignore[attr-defined]
    for count in actors:
        table = str(folder / f"table{count}")
        write_table(table, round(count * seconds / each))
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": count + decoders, "include_dashboard": False}
        )
        ray.init(address=cluster.address, logging_level="warning")
        pairs, taken, strong, cpu = measure(table, folder / str(count), count, each, block_bytes)
        ray.shutdown()
        cluster.shutdown()
        ideal = count / each
        rate = pairs / taken
        print(
            f"| {count} | {pairs:,} | {rate:.1f} | {rate / ideal:.2f} | {strong:.1f} | {strong / ideal:.2f} |",
            f"{cpu.total():.1f} | {cpu.total() * strong / 1000:.2f} |",
            ", ".join(f"{kind} {spent:.2f}" for kind, spent in cpu.most_common()),
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=40.0, help="of work for each actor")
    parser.add_argument("--decoders", type=int, default=2, help="cores for reading and decoding")
    parser.add_argument("--pair", type=float, default=0.2, help="seconds that a pair takes")
    parser.add_argument("--block-bytes", type=int, default=BLOCK_BYTES, help="batch.block_bytes")
    parser.add_argument("--decoded", action="store_true", help="decode each picture once a process")
    given = parser.parse_args()
    main(given.actors, given.seconds, given.decoders, given.pair, given.block_bytes, given.decoded)
