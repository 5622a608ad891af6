"""Every text with every image, against the same pairs one table row each: `python -m benchmarks.rank [--side 40]`.

ViLT-B/32 with random weights; seconds of the whole flow, the loading of the model included.
"""

from __future__ import annotations

import argparse
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import coco, machine
from benchmarks.model import make_checkpoint
from pipeline import JobConfig, run
from pipeline.cluster.session import ray_session
from pipeline.ranking.rank import rank


def main(side: int) -> None:
    model, _ = make_checkpoint()
    place = tempfile.mkdtemp()
    images, texts = coco.pictures(side), coco.texts(side)
    pq.write_table(pa.table({"image": images}), f"{place}/images.parquet")
    pq.write_table(pa.table({"text": texts}), f"{place}/texts.parquet")
    rows = {"image": [image for image in images for _ in texts], "text": texts * side}
    pq.write_table(pa.table(rows), f"{place}/rows.parquet", row_group_size=100)

    def config(task: str, table: str, **keys: object) -> JobConfig:
        output = {"path": f"{place}/{task}", "report": False}
        return JobConfig.parse(
            task,  # type: ignore[arg-type]
            {"input": {"path": f"{place}/{table}.parquet"}, "model": model, "output": output, **keys},
        )

    print(f"{machine.describe()}\n\n{side} images x {side} texts\n")
    print("| way | pairs | seconds | pairs/s |")
    print("| --- | --- | --- | --- |")
    with ray_session():
        for name, summary in (
            ("`vilt score`, a row for each pair", run(config("score", "rows"))),
            ("`vilt rank`", rank(config("rank", "images", texts={"path": f"{place}/texts.parquet"}))),
        ):
            print(
                f"| {name} | {summary.pairs:,} | {summary.seconds:.1f} | {summary.pairs_per_second:.2f} |", flush=True
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=40)
    main(parser.parse_args().side)
