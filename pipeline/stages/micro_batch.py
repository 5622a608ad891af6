"""A micro-batch: one Ray row that carries the rows, the patches and the token ids of one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from vilt.processing.grids import Grid

if TYPE_CHECKING:
    from vilt.inference.packing import ImageRows, Pairs

BATCH = pa.schema(
    [
        ("rows", pa.large_binary()),  # IPC stream of a table: user columns, row_id, text_index, error, pairs
        ("patches", pa.large_binary()),  # the images' rows, see `vilt.inference.packing.Pairs`, in C order
        ("grids", pa.list_(pa.int32())),  # rows, cols of each image in turn
        ("token_ids", pa.list_(pa.int32())),  # all texts end to end
        ("text_lengths", pa.list_(pa.int32())),  # one a pair
        ("image_index", pa.list_(pa.int32())),  # one a pair
        ("image_types", pa.list_(pa.int32())),  # modality of each image
    ]
)


@dataclass
class MicroBatch:
    """A micro-batch in memory: `rows` with their errors, and the pairs that `__pair0`, `__pair1`, ... point into."""

    rows: pa.Table
    pairs: Pairs

    def to_arrow(self) -> pa.Table:
        """One row of schema `BATCH`."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.rows.schema) as writer:
            writer.write_table(self.rows)
        pairs = self.pairs
        values = {
            "rows": _binary(sink.getvalue()),
            "patches": _binary(pa.py_buffer(np.ascontiguousarray(pairs.patches))),
            "grids": _list(np.array(pairs.grids, dtype=np.int32).ravel()),
            "token_ids": _list(pairs.token_ids),
            "text_lengths": _list(pairs.text_lengths),
            "image_index": _list(pairs.image_index),
            "image_types": _list(pairs.image_types),
        }
        return pa.table(values, schema=BATCH)

    @classmethod
    def from_arrow(cls, table: pa.Table, rows: ImageRows) -> Iterator[MicroBatch]:
        """The micro-batches of a table of schema `BATCH`; pixels are views into its buffers, not copies.

        rows: what the model reads of an image.
        """
        from vilt.inference.packing import Pairs  # and torch, which not all who know the schema need

        for batch in table.to_batches():
            for i in range(batch.num_rows):
                value = {name: batch.column(name)[i] for name in BATCH.names}
                grids = _numpy(value["grids"]).reshape(-1, 2)
                patches = np.frombuffer(value["patches"].as_buffer(), rows.dtype).reshape(-1, rows.width)
                pairs = Pairs(
                    _numpy(value["token_ids"]),
                    _numpy(value["text_lengths"]),
                    patches,
                    [Grid(int(r), int(c)) for r, c in grids],
                    _numpy(value["image_index"]),
                    _numpy(value["image_types"]),
                    rows.cls,
                )
                with pa.ipc.open_stream(value["rows"].as_buffer()) as reader:
                    yield cls(reader.read_all(), pairs)


def _binary(data: pa.Buffer) -> pa.Array:
    """A large_binary array of one value, without a copy."""
    offsets = pa.py_buffer(np.array([0, data.size], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _list(values: np.ndarray) -> pa.Array:
    """A list<int32> array of one value."""
    inner = pa.array(values.astype(np.int32, copy=False))
    return pa.ListArray.from_arrays(pa.array([0, len(inner)], pa.int32()), inner)


def _numpy(value: pa.ListScalar) -> np.ndarray:
    return value.values.to_numpy(zero_copy_only=False).astype(np.int64)


STATS_TYPE = pa.struct(
    [
        ("pairs", pa.int64()),
        ("tokens", pa.int64()),
        ("seconds", pa.float64()),  # in the model
        ("grids", pa.list_(pa.string())),  # of each image, as "4x6"
        ("precision", pa.string()),
        ("device", pa.string()),
    ]
)
