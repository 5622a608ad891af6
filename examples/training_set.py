"""Score a table, keep the pairs that fit, and read them as training examples: `python examples/training_set.py`."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator

import pyarrow.dataset as ds
from PIL import Image

from jobs.demo.table import write_table
from pipeline import JobConfig, run
from pipeline.config.filter import FilterConfig
from pipeline.filtering.filter_table import filter_table


def examples(folder: str) -> Iterator[tuple[Image.Image, str]]:
    """Yield each kept row as a decoded picture and its true caption, a record batch in memory at a time."""
    for batch in ds.dataset(folder, format="parquet").to_batches(columns=["image", "true_caption"]):
        for row in batch.to_pylist():
            yield Image.open(io.BytesIO(row["image"])).convert("RGB"), row["true_caption"]


def main() -> None:
    """Draw a table, run both jobs, and read the result."""
    with tempfile.TemporaryDirectory() as folder:
        write_table(f"{folder}/table/scenes.parquet", rows=40)
        table = {"path": f"{folder}/table", "id": "id"}

        job = {
            "input": {**table, "text": "true_caption"},
            "model": "zoo://scenes",
            "output": {"path": f"{folder}/scores"},
            "max_error_rate": 0.2,  # eight of the rows are broken on purpose
        }
        summary = run(JobConfig.parse("score", job))
        print(f"{summary.scored} of {summary.rows_in} rows scored, rejected: {summary.rejected}")

        keep = {
            "input": table,
            "scores": f"{folder}/scores",
            "keep": {"top": 0.5, "where": "error IS NULL"},
            "output": {"path": f"{folder}/good"},
        }
        kept = filter_table(FilterConfig.checked(keep))
        print(f"{kept.kept} of {kept.rows_in} rows kept, the lowest score is {kept.lowest_kept:.2f}")

        pairs = list(examples(f"{folder}/good/kept"))
        assert len(pairs) == kept.kept
        print(f"the first of {len(pairs)} training examples: {pairs[0][0].size}, {pairs[0][1]!r}")


if __name__ == "__main__":
    main()
