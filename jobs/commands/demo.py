"""`vilt demo`: a table of drawn scenes, some of them broken, scored and answered with the shipped model."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pandas as pd
import pyarrow as pa
from rich.console import RenderableType

from jobs.console.command import Outcome
from jobs.console.tables import columns, lines, print_result, stacked
from jobs.console.text import visible
from jobs.demo.s3_server import S3Server
from jobs.demo.table import CAPTIONS, write_table
from jobs.reports.summary import summary_table, summary_values
from pipeline import ConfigError, JobConfig, Summary, run
from pipeline.cluster.session import ray_session
from pipeline.common.background import meanwhile
from pipeline.common.tasks import Task
from pipeline.config.storage import StorageConfig
from pipeline.results.result_table import result_files
from pipeline.tables.reading import read_columns
from vilt.common.counts import counted

MODEL = "zoo://scenes"
SHOWN = 8  # rows of each table
READ_ROWS = 2**16


def run_demo_on_s3(rows: int) -> Outcome:
    """Run the demo on an S3 server that is started for it.

    Raises:
        ConfigError: If no server is installed.
    """
    with TemporaryDirectory(prefix="vilt-s3-") as folder:
        server = S3Server(Path(folder))
        try:
            try:
                server.start()
            except FileNotFoundError as error:
                raise ConfigError(str(error)) from None
            os.environ.update(server.environment())
            fsspec.filesystem("s3").makedirs("demo", exist_ok=True)
            print(visible(f"an S3 server for the demo: {server.endpoint}"), end="\n\n", flush=True)
            return run_demo("s3://demo", rows)
        finally:
            server.kill()


def run_demo(folder: str, rows: int) -> Outcome:
    """Draw a table, score and answer it; files of an earlier demo in `folder` are replaced.

    What was drawn and scored is printed on the way; the answers are the outcome.
    """
    table = f"{folder}/table/scenes.parquet"
    with ExitStack() as stack:
        with meanwhile(lambda: _draw(table, rows)):
            stack.enter_context(ray_session())
        scored = _run("score", "captions", table, folder)
        print_result(stacked([lines("vilt score"), summary_table(scored), *_scores(scored), lines("")]))
        answered = _run("answer", "question", table, folder)
        text = stacked([lines("vilt answer"), summary_table(answered), *_answers(answered)])
    return Outcome(text, {"score": summary_values(scored), "answer": summary_values(answered)})


def _draw(table: str, rows: int) -> None:
    """Write the table, and import torch, which takes a second or two."""
    write_table(table, rows)
    what = f"{counted(rows, 'drawn scene')} with captions and questions, eight rows broken on purpose: {table}"
    print(visible(what), end="\n\n", flush=True)
    import torch

    assert torch


def _run(task: Task, text: str, table: str, folder: str) -> Summary:
    values = {
        "input": {"path": table, "text": text, "id": "id"},
        "model": MODEL,
        "output": {"path": f"{folder}/{task}s", "overwrite": True, "report": False},
        "max_error_rate": 1,  # eight rows of a small table are broken on purpose
    }
    return run(JobConfig.parse(task, values))


def _read(folder: str) -> pd.DataFrame:
    table = result_files(folder, StorageConfig())
    frame: pd.DataFrame = pa.concat_tables(read_columns(table, table.schema.names, READ_ROWS)).to_pandas()
    return frame


def _scores(summary: Summary) -> list[RenderableType]:
    """Return what came out of scoring: the best caption of each scene, and the rejected rows."""
    out = _read(summary.output)
    whole = out[out.error.isna()]
    best = whole.loc[whole.groupby("row_id").score.idxmax()]
    best = best.assign(true=(best.captions == best.true_caption).map({True: "yes", False: "no"}))
    shown = best[["row_id", "score", "true", "captions"]].rename(columns={"captions": "best caption"})
    wrong = out[out.error.notna()].drop_duplicates("row_id")[["row_id", "error", "error_detail"]]
    share = f"{(best.true == 'yes').mean():.1%} of {counted(len(best), 'scene')}"
    title = lines("", f"the best of {CAPTIONS} captions is the true one for {share}:")
    return [title, _table(shown), lines("", "rejected rows:"), _table(wrong)]


def _answers(summary: Summary) -> list[RenderableType]:
    """Return what came out of answering."""
    out = _read(summary.output)
    whole = out[out.error.isna()]
    right = (whole.answer == whole.true_answer).mean()
    shown = whole[["row_id", "question", "true_answer", "answer", "answer_score"]]
    return [lines("", f"right answers: {right:.1%} of {len(whole)}"), _table(shown)]


def _table(frame: pd.DataFrame) -> RenderableType:
    rows = frame.head(SHOWN).itertuples(index=False)
    cells = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row] for row in rows]
    numbers = {i for i, kind in enumerate(frame.dtypes) if kind.kind in "if"}
    return columns(list(frame.columns), cells, numbers)
