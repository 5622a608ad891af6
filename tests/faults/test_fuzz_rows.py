"""Hostile rows: nulls, wrong bytes, strings that are no UTF-8. Each pair leaves once, with tokens or with a reason.

`FUZZ_CASES` sets how many tables are tried.
"""

import io
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import JobConfig
from pipeline.common.columns import DETAIL, ERROR, PAIR, ROW_ID, TEXT_INDEX
from pipeline.common.error_codes import REASONS
from pipeline.stages.micro_batch import MicroBatch
from pipeline.stages.preprocess import Preprocess
from pipeline.tables.column_checks import check_columns
from tests.conftest import png
from tests.faults.test_fuzz_images import mutated
from vilt.inference.pairs import ImageRows

pytestmark = pytest.mark.quick
TABLES = int(os.environ.get("FUZZ_CASES", "300")) // 10
GOOD = [png(64, 48, color) for color in ("red", "green", "blue")]
TEXTS = [b"a red star", b"", b" \n", b"\xff\xfe", b"\xed\xa0\x80", b"x" * 5000, "\u202e\u0000é🟥".encode(), b"a"]
URIS = [b"a.png", b"none.png", b"../x", b"/etc/passwd", b"\xff", b"", b"s3://", b"://", b"http://[::1/x", b"a\0b"]


def images(rng: random.Random, rows: int, kind: str) -> pa.Array:
    """A column of one of the three kinds: bytes, URIs, structs of both."""
    data = [rng.choice((*GOOD, mutated(GOOD[0], rng), rng.randbytes(20), None)) for _ in range(rows)]
    uris = pa.array([rng.choice((*URIS, None)) for _ in range(rows)], pa.binary()).view(pa.string())
    if kind == "uris":
        return uris
    if kind == "bytes":
        return pa.array(data, rng.choice((pa.binary(), pa.large_binary())))
    mask = pa.array([rng.random() < 0.2 for _ in range(rows)])
    return pa.StructArray.from_arrays([pa.array(data, pa.binary()), uris], ["bytes", "path"], mask=mask)


def texts(rng: random.Random, rows: int, lists: bool) -> pa.Array:
    def strings(count: int) -> pa.Array:
        return pa.array([rng.choice((*TEXTS, None)) for _ in range(count)], pa.binary()).view(pa.string())

    if not lists:
        return strings(rows)
    lengths = [rng.choice((None, 0, 1, 2, 5)) for _ in range(rows)]
    offsets: list[int | None] = []
    total = 0
    for length in lengths:
        offsets.append(None if length is None else total)
        total += length or 0
    return pa.ListArray.from_arrays(pa.array([*offsets, total], pa.int32()), strings(total))


def through_parquet(table: pa.Table) -> pa.Table:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return pq.read_table(buffer)


@pytest.mark.parametrize("kind", ["bytes", "uris", "structs"])
@pytest.mark.parametrize("lists", [False, True])
def test_every_pair_leaves_once(tmp_path: Path, kind: str, lists: bool) -> None:
    (tmp_path / "a.png").write_bytes(GOOD[0])
    values: dict[str, Any] = {"input": {"path": str(tmp_path), "id": "n"}, "model": "zoo://scenes"}
    config = JobConfig.parse("score", {**values, "output": {"path": "/nowhere"}})
    seen: Counter[str] = Counter()
    for case in range(TABLES):
        rng = random.Random(f"{kind} {lists} {case}")
        rows = rng.choice((1, 3, 20))
        columns = {"n": pa.array(range(rows)), "image": images(rng, rows, kind), "text": texts(rng, rows, lists)}
        window = through_parquet(pa.table(columns))
        preprocess = Preprocess(config, str(tmp_path), check_columns(window.schema, config), 2048, 1)
        left: Counter[tuple[int, int | None]] = Counter()
        for table in preprocess.map_batch(window):
            for batch in MicroBatch.from_arrow(table, ImageRows(3 * 32 * 32)):
                count_pairs(batch, left, seen, lists)
        lengths = window["text"].combine_chunks()
        for row in range(rows):
            many = len(lengths[row].values or []) if lists and lengths[row].is_valid else 0
            expected = [(row, i) for i in range(many)] if lists and many else [(row, None)]
            assert [left.pop(pair, 0) for pair in expected] == [1] * len(expected), (case, row)
        assert not left, case
    assert len(seen) >= 5, "the rows are not hostile enough"


def count_pairs(batch: MicroBatch, left: Counter[tuple[int, int | None]], seen: Counter[str], lists: bool) -> None:
    """Count the rows of a micro-batch, and check that each has a pair of its own or a reason."""
    ids, errors, details, pairs = (batch.rows[name].to_pylist() for name in (ROW_ID, ERROR, DETAIL, f"{PAIR}0"))
    places = batch.rows[TEXT_INDEX].to_pylist() if lists else [None] * len(ids)
    assert sorted(pair for pair in pairs if pair >= 0) == list(range(len(batch.pairs)))
    for row, place, error, detail, pair in zip(ids, places, errors, details, pairs, strict=True):
        left[row, place] += 1
        seen[error or "scored"] += 1
        assert (error is None) == (pair >= 0)
        assert error is None or (error in REASONS and detail)
