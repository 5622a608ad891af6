"""ViLT-B/32 beside ONNX Runtime and OpenVINO; a whole job beside Ray Data and Daft: `python -m benchmarks.peers`.

It needs the extra `bench`. The encoder reads 8 sequences of 205 tokens. Of the peers it is transformers' encoder alone,
exported; ours is the whole model, embeddings and head included. Each runs as its documentation advises for one request
at a time: ONNX Runtime with all optimizations, its dynamic int8 with 8-bit weights and a scale a channel, OpenVINO with
the hint LATENCY. Rows take turns; the least time of several runs. A whole job is a process of its own, from start to
end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks import machine
from benchmarks.job import write_table
from benchmarks.model import OURS, make_checkpoint
from vilt import Predictor

SEQUENCES, TOKENS, WIDTH = 8, 205, 768
RAY_DATA = """
import sys, ray
from benchmarks.job import Published
ray.init(num_cpus=3, include_dashboard=False)
rows = ray.data.read_parquet(sys.argv[1]).repartition(target_num_rows_per_block=8)
actors = ray.data.ActorPoolStrategy(size=1)
rows.map_batches(Published, fn_constructor_args=(sys.argv[2],), batch_size=8, compute=actors, num_cpus=2).write_parquet(
    sys.argv[3]
)
"""
DAFT = """
import sys, daft, numpy as np
from benchmarks.job import Published
@daft.cls(max_concurrency=1)
class Model:
    def __init__(self, folder): self.model = Published(folder)
    @daft.method.batch(return_dtype=daft.DataType.float32(), batch_size=8)
    def score(self, image, text):
        return self.model({"image": image.to_pylist(), "text": text.to_pylist()})["score"]
rows = daft.read_parquet(sys.argv[1])
rows.with_column("score", Model(sys.argv[2]).score(rows["image"], rows["text"])).write_parquet(sys.argv[3])
"""
OURS_JOB = """
import sys
from pipeline import JobConfig, run
output = {"path": sys.argv[3], "report": False}
values = {"input": {"path": sys.argv[1]}, "model": sys.argv[2], "output": output, "precision": "float32"}
if __name__ == "__main__": run(JobConfig.parse("score", values))
"""
Forward = Callable[[], object]


class Encoder(torch.nn.Module):
    """transformers' encoder without a mask: all tokens are real."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = model.vilt.encoder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.encoder(x, return_dict=False)[0]
        return out


def encoders(folder: str, model: torch.nn.Module, place: str) -> dict[str, Forward]:
    """Every way to compute the encoder, by its name in the table."""
    import onnxruntime
    import openvino
    from onnxruntime.quantization import QuantType, quantize_dynamic

    encoder, x = Encoder(model).eval(), torch.randn(SEQUENCES, TOKENS, WIDTH)
    exported, integers = f"{place}/encoder.onnx", f"{place}/int8.onnx"
    torch.onnx.export(encoder, (x,), exported, input_names=["x"], dynamo=False)
    quantize_dynamic(exported, integers, per_channel=True, weight_type=QuantType.QInt8)
    threads = torch.get_num_threads()

    def of_onnx(path: str) -> Forward:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x.numpy()})

    core = openvino.Core()
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(core.read_model(exported), "CPU", hints)

    @torch.inference_mode()
    def of_transformers() -> object:
        return encoder(x)

    rows: dict[str, Forward] = {
        f"transformers {transformers.__version__}, float32": of_transformers,
        f"OpenVINO {openvino.__version__.partition('-')[0]}, float32": lambda: compiled([x.numpy()]),
        f"ONNX Runtime {onnxruntime.__version__}, float32": of_onnx(exported),
        f"ONNX Runtime {onnxruntime.__version__}, dynamic int8": of_onnx(integers),
    }
    return rows | {f"ours, {precision}, the whole model": ours(folder, precision) for precision in OURS}


def ours(folder: str, precision: str) -> Forward:
    """Our model over pairs of `TOKENS` tokens: 12 x 16 patches, their [CLS], and a text."""
    predictor = Predictor.from_pretrained(folder, precision=precision)
    pixels = np.random.default_rng(0).integers(0, 256, (384, 512, 3), dtype=np.uint8)
    text = " ".join(f"word{i}" for i in range(TOKENS - 193 - 2))
    pairs = predictor.preprocessor.pairs([Image.fromarray(pixels)] * SEQUENCES, [text] * SEQUENCES)
    assert list(pairs.lengths) == [TOKENS] * SEQUENCES, "as many tokens as the peers read"
    return lambda: predictor.logits("score", predictor.pooled(pairs))


def print_encoders(folder: str, model: torch.nn.Module, place: str, runs: int) -> None:
    """Measure and print the encoders: by the clock, and by the cores' time, which other programs disturb less."""
    rows = encoders(folder, model, place)
    clock, cores = dict.fromkeys(rows, float("inf")), dict.fromkeys(rows, float("inf"))
    for _ in range(runs + 1):  # the first warms up, and is seldom the least
        for name, forward in rows.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            forward()
            clock[name] = min(clock[name], time.perf_counter() - started)
            cores[name] = min(cores[name], time.process_time() - cpu_started)
    first = next(iter(rows))
    print("| encoder, 8 x 205 tokens | pairs/s | times | pairs a second of a core | times |")
    print("| --- | --- | --- | --- | --- |")
    for name in rows:
        rates = (f"{SEQUENCES / one[name]:.2f} | {one[first] / one[name]:.2f}" for one in (clock, cores))
        print(f"| {name} | {' | '.join(rates)} |", flush=True)


def print_jobs(folder: str, place: str, pairs: int, runs: int) -> None:
    """Measure and print whole jobs over so many pairs, from the start of a process to its end."""
    table = write_table(f"{place}/table", pairs)
    codes = {"ours, float32": OURS_JOB, "Ray Data with transformers": RAY_DATA, "Daft with transformers": DAFT}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for number in range(runs):
        for index, (name, code) in enumerate(codes.items()):
            script = Path(place, f"job{index}.py")
            script.write_text(code)
            before, started = os.times(), time.perf_counter()
            command = [sys.executable, str(script), table, folder, f"{place}/out{index}-{number}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = os.times()
            cores = after.children_user + after.children_system - before.children_user - before.children_system
            seconds[name].append((time.perf_counter() - started, cores))
    print(f"\n| whole job, {pairs} pairs | seconds, each run | least | seconds of the driver's cores, least |")
    print("| --- | --- | --- | --- |")
    for name, measured in seconds.items():
        each = ", ".join(f"{one:.1f}" for one, _ in measured)
        print(f"| {name} | {each} | {min(one for one, _ in measured):.1f} | {min(c for _, c in measured):.1f} |")


def main(runs: int, pairs: int, jobs: int) -> None:
    folder, model = make_checkpoint()
    print(f"{machine.describe()}\n")
    with tempfile.TemporaryDirectory() as place:
        if runs:
            print_encoders(folder, model, place, runs)
        if jobs:
            print_jobs(folder, place, pairs, jobs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each encoder; 0: none")
    parser.add_argument("--pairs", type=int, default=24, help="of a whole job")
    parser.add_argument("--jobs", type=int, default=3, help="runs of each whole job; 0: none")
    given = parser.parse_args()
    main(given.runs, given.pairs, given.jobs)
