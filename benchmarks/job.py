"""The whole job over a table of JPEG files, and what one would run otherwise: `python -m benchmarks.job [--pairs 800]`.

ViLT-B/32 with random weights. Beside the job: a loop that calls the `Predictor`, and transformers' model and processor
in Ray Data's `map_batches` with an actor. Rates of the last two begin when the model is loaded.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
import transformers
from PIL import Image

from benchmarks import coco, machine
from benchmarks.model import make_checkpoint, published_processor
from pipeline import JobConfig, run
from pipeline.cluster.session import ray_session
from vilt import Predictor


class Published:
    """transformers in an actor, as its documentation has it; the time at which each batch was done goes along."""

    def __init__(self, folder: str) -> None:
        self.processor = published_processor(folder)
        self.model = transformers.ViltForImageAndTextRetrieval.from_pretrained(folder).eval()
        torch.set_num_threads(2)

    @torch.inference_mode()
    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        started = time.time()
        pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in batch["image"]]
        inputs = self.processor(pictures, list(batch["text"]), padding=True, return_tensors="pt")
        scores = self.model(**inputs).logits[:, 0].numpy()
        return {"score": scores, "seconds": np.array([time.time() - started] + [0.0] * (len(scores) - 1))}


def write_table(folder: str, count: int) -> str:
    os.makedirs(folder, exist_ok=True)
    files = coco.pictures(min(count, 130))
    table = pa.table({"image": [files[i % len(files)] for i in range(count)], "text": coco.texts(count)})
    pq.write_table(table, f"{folder}/pairs.parquet", row_group_size=100)
    return f"{folder}/pairs.parquet"


def job_seconds(folder: str, place: str, count: int) -> tuple[float, float]:
    """Seconds of the job over so many pairs, without and with the start of Ray."""
    table = write_table(f"{place}/{count}", count)
    values = {"input": {"path": table}, "model": folder, "output": {"path": f"{place}/out{count}", "report": False}}
    started = time.perf_counter()
    summary = run(JobConfig.parse("score", values))
    return summary.seconds, time.perf_counter() - started


def main(count: int, few: int) -> None:
    folder, _ = make_checkpoint()
    place = tempfile.mkdtemp()
    table = write_table(f"{place}/loop", count)
    print(f"{machine.describe()}\n")
    print("| whole job | pairs | precision | pairs/s | of the loop |")
    print("| --- | --- | --- | --- | --- |")
    predictor = Predictor.from_pretrained(folder)
    columns = pq.read_table(table).to_pydict()
    predictor.score(columns["image"][:20], columns["text"][:20])
    started = time.perf_counter()
    predictor.score(columns["image"], columns["text"])
    precision = predictor.precision
    bare = count / (time.perf_counter() - started)
    del predictor
    print(f"| a loop over the `Predictor` | {count:,} | {precision} | {bare:.2f} | 100% |", flush=True)
    short, _ = job_seconds(folder, place, count // 4)
    seconds, whole = job_seconds(folder, place, count)
    steady = (count - count // 4) / (seconds - short)
    print(f"| `vilt score`, once it runs | {count:,} | {precision} | {steady:.2f} | {steady / bare:.0%} |")
    print(f"| the same, with all starts | {count:,} | {precision} | {count / whole:.2f} | {count / whole / bare:.0%} |")
    with ray_session():
        rows = ray.data.read_parquet(table).limit(few).repartition(target_num_rows_per_block=8).materialize()
        scored = rows.map_batches(
            Published,
            fn_constructor_args=(folder,),
            batch_size=8,
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=2,
        )
        theirs = few / sum(row["seconds"] for row in scored.take_all())
    print(f"| transformers in Ray Data, batches of 8 | {few:,} | float32 | {theirs:.2f} | {theirs / bare:.0%} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1600)
    parser.add_argument("--few", type=int, default=120)
    given = parser.parse_args()
    main(given.pairs, given.few)
