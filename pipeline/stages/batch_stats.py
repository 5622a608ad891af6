"""The figures of a micro-batch, on their way from the actor to the file that its rows are written to.

They travel in the hidden column `__stats`, which holds them on one row of each micro-batch and null on the others: the
rows of a micro-batch stay together up to the file, whose footer adds the figures up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from pipeline.common.columns import STATS
from pipeline.stages.micro_batch import MicroBatch

STATS_TYPE = pa.struct(
    [
        ("pairs", pa.int64()),
        ("tokens", pa.int64()),
        ("seconds", pa.float64()),  # in the model
        ("grids", pa.list_(pa.string())),  # of each image, as "4x6"
        ("precision", pa.string()),
        ("device", pa.string()),
        ("began", pa.float64()),  # when the model began, seconds since 1970
        ("input_rows", pa.int64()),
        ("reading", pa.float64()),
        ("fetching", pa.float64()),
        ("decoding", pa.float64()),
        ("image_bytes", pa.list_(pa.int64())),  # of each image, encoded
        ("pair_tokens", pa.list_(pa.int64())),  # of each pair
    ]
)


@dataclass(frozen=True)
class BatchStats:
    """Counts and times of one micro-batch.

    Attributes:
        pairs: Pairs that the model read.
        tokens: Tokens that the model read.
        seconds: Seconds in the model.
        grids: The patch grid of each image, as "4x6".
        precision: As "bfloat16".
        device: As "cuda:0".
        began: When the model began, seconds since 1970.
        input_rows: Rows of the input.
        reading: Seconds that reading its rows took.
        fetching: Seconds that fetching its images by URI took.
        decoding: Seconds that decoding its images and building its pairs took.
        image_bytes: Encoded size of each image.
        pair_tokens: Tokens of each pair; empty when ranking, where an image has thousands of pairs.
    """

    pairs: int = 0
    tokens: int = 0
    seconds: float = 0.0
    grids: list[str] = field(default_factory=list)
    precision: str = ""
    device: str = ""
    began: float = 0.0
    input_rows: int = 0
    reading: float = 0.0
    fetching: float = 0.0
    decoding: float = 0.0
    image_bytes: list[int] = field(default_factory=list)
    pair_tokens: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, batch: MicroBatch, with_pair_tokens: bool = True) -> BatchStats:
        """Return what is known of a micro-batch before the model reads it."""
        lengths = batch.pairs.lengths
        return cls(
            **asdict(batch.prepared),
            pairs=len(batch.pairs),
            tokens=int(lengths.sum()),
            grids=[f"{grid.rows}x{grid.cols}" for grid in batch.pairs.grids],
            pair_tokens=lengths.tolist() if with_pair_tokens else [],
        )

    def attach(self, rows: pa.Table) -> pa.Table:
        """Return the rows of the micro-batch, one at least, with the column `__stats`."""
        return rows.append_column(STATS, pa.array([asdict(self)] + [None] * (rows.num_rows - 1), STATS_TYPE))

    @classmethod
    def read(cls, tables: Iterable[pa.Table]) -> list[BatchStats]:
        """Return the figures of every micro-batch in tables with the column `__stats`."""
        return [cls(**value) for table in tables for value in table[STATS].drop_null().to_pylist()]
