"""`vilt demo`: a table of drawn scenes, some of them broken, scored and answered with the shipped model."""

from __future__ import annotations

import io
import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from jobs.commands.batch import format_summary
from jobs.console.log import log_to_stderr
from jobs.demo import questions, scenes
from jobs.demo.s3_server import S3Server
from pipeline import JobConfig, Summary, run
from pipeline.cluster.session import ray_session

MODEL = "zoo://scenes"
CAPTIONS = 4  # of each scene, one of them true
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("image", pa.binary()),
        ("captions", pa.list_(pa.string())),
        ("true_caption", pa.string()),
        ("question", pa.string()),
        ("true_answer", pa.string()),
    ]
)


def run_demo_on_s3(rows: int) -> None:
    """The demo on an S3 server that runs only meanwhile. Raises FileNotFoundError where none is installed."""
    with TemporaryDirectory(prefix="vilt-s3-") as folder:
        server = S3Server(Path(folder))
        try:
            server.start()
            os.environ.update(server.environment())
            fsspec.filesystem("s3").makedirs("demo", exist_ok=True)
            print(f"an S3 server of its own: {server.endpoint}\n", flush=True)
            run_demo("s3://demo", rows)
        finally:
            server.kill()


def run_demo(folder: str, rows: int) -> None:
    """Draw, score, answer, and print what came out. Files of an earlier demo in `folder` are replaced."""
    table = f"{folder}/table/scenes.parquet"
    write_table(table, rows)
    print(f"{rows} drawn scenes with captions and questions, eight rows broken on purpose: {table}\n", flush=True)
    with ray_session(), log_to_stderr("text"):
        scored = _run("score", "captions", table, folder)
        print(f"vilt score\n{format_summary(scored)}\n{_show_scores(scored)}", flush=True)
        answered = _run("answer", "question", table, folder)
        print(f"\nvilt answer\n{format_summary(answered)}\n{_show_answers(answered)}")


def write_table(path: str, rows: int, seed: int = 7) -> None:
    """The table of the demo: one Parquet file of `SCHEMA`."""
    rng = Random(seed)
    table = [_row(i, rng) for i in range(rows)]
    for row, broken in zip(rng.sample(table, 8), _broken(table[0]["image"]), strict=True):
        row.update(broken)
    with fsspec.open(path, "wb", auto_mkdir=True) as file:
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), file)


def _row(row_id: int, rng: Random) -> dict[str, Any]:
    scene = scenes.random_scene(rng)
    truth = scenes.caption(scene.things)
    captions = [truth, *scenes.false_captions(scene.things, CAPTIONS - 1, rng)]
    _, question, answer = questions.ask(scene, rng)
    return {
        "id": row_id,
        "image": scenes.encode(scenes.draw(scene, rng), rng),
        "captions": rng.sample(captions, CAPTIONS),
        "true_caption": truth,
        "question": question,
        "true_answer": answer,
    }


def _broken(good: bytes) -> list[dict[str, Any]]:
    """What goes wrong with rows in real tables."""
    strip = io.BytesIO()
    Image.new("RGB", (900, 30), "gray").save(strip, "PNG")
    return [
        {"image": good[: len(good) // 2]},
        {"image": good[: len(good) // 3]},
        {"image": b"<html><body>404 Not Found</body></html>"},
        {"image": b""},
        {"image": None},
        {"image": strip.getvalue()},
        {"captions": None, "question": None},
        {"captions": ["", " "], "question": "  "},
    ]


def _run(task: str, text: str, table: str, folder: str) -> Summary:
    values = {
        "input": {"path": table, "text": text, "id": "id"},
        "model": MODEL,
        "output": {"path": f"{folder}/{task}s", "overwrite": True},
    }
    return run(JobConfig.parse(task, values))  # type: ignore[arg-type]


def _read(folder: str) -> pd.DataFrame:
    filesystem, path = fsspec.core.url_to_fs(folder)
    return pq.read_table(path, filesystem=filesystem).to_pandas()


def _show_scores(summary: Summary) -> str:
    out = _read(summary.output)
    whole = out[out.error.isna()]
    best = whole.loc[whole.groupby("row_id").score.idxmax()]
    best = best.assign(true=(best.captions == best.true_caption).map({True: "yes", False: "no"}))
    shown = best.head(8)[["row_id", "score", "true", "captions"]].rename(columns={"captions": "best caption"})
    wrong = out[out.error.notna()].drop_duplicates("row_id").head(8)[["row_id", "error", "error_detail"]]
    share = f"{(best.true == 'yes').mean():.1%} of {len(best)} scenes"
    return (
        f"\nthe best of {CAPTIONS} captions is the true one for {share}:\n"
        f"{_text(shown)}\n\nrejected rows:\n{_text(wrong)}"
    )


def _show_answers(summary: Summary) -> str:
    out = _read(summary.output)
    whole = out[out.error.isna()]
    right = (whole.answer == whole.true_answer).mean()
    shown = whole.head(8)[["row_id", "question", "true_answer", "answer", "answer_score"]]
    return f"\nright answers: {right:.1%} of {len(whole)}\n{_text(shown)}"


def _text(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, max_colwidth=90, float_format=lambda x: f"{x:.3f}")
