"""A micro-batch: one Ray row that carries the rows, the patches and the token ids of one forward pass.

Ray Data may merge and split blocks, but never a row: that keeps the pairs of a micro-batch together, and pixels cross
the object store once, as uint8, without a copy on the far side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from vilt.inference.pairs import ImageRows, Pairs
from vilt.processing.grids import Grid

PREPARED = pa.struct(
    [
        ("input_rows", pa.int64()),
        ("reading", pa.float64()),
        ("fetching", pa.float64()),
        ("decoding", pa.float64()),
        ("image_bytes", pa.list_(pa.int64())),
    ]
)
BATCH = pa.schema(
    [
        ("rows", pa.large_binary()),  # IPC stream of a table: carried columns, row_id, text_index, error, pair indices
        ("patches", pa.large_binary()),  # the images' rows, see `vilt.inference.packing.Pairs`, in C order
        ("grids", pa.list_(pa.int32())),  # rows and columns of each image in turn
        ("token_ids", pa.list_(pa.int32())),  # all texts end to end
        ("text_lengths", pa.list_(pa.int32())),  # one a pair
        ("image_index", pa.list_(pa.int32())),  # one a pair
        ("image_types", pa.list_(pa.int32())),  # modality of each image
        ("prepared", PREPARED),
    ]
)


@dataclass(frozen=True)
class Prepared:
    """Counts and times of preparing a micro-batch; the same fields as in `pipeline.stages.batch_stats.BatchStats`.

    Attributes:
        input_rows: Rows of the input.
        reading: Seconds, the micro-batch's share of its window's reading.
        fetching: Seconds, the micro-batch's share of its window's fetching.
        decoding: Seconds.
        image_bytes: Encoded size of each image.
    """

    input_rows: int = 0
    reading: float = 0.0
    fetching: float = 0.0
    decoding: float = 0.0
    image_bytes: list[int] = field(default_factory=list)


@dataclass
class MicroBatch:
    """A micro-batch in memory.

    Attributes:
        rows: The rows of the output with their errors, and the columns `__pair0`, `__pair1`, ... that point into
            `pairs`.
        pairs: The pairs that the model reads.
        prepared: What preparing it took.
    """

    rows: pa.Table
    pairs: Pairs
    prepared: Prepared = Prepared()

    def to_arrow(self) -> pa.Table:
        """Return the micro-batch as one row of schema `BATCH`."""
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
            "prepared": pa.array([asdict(self.prepared)], PREPARED),
        }
        return pa.table(values, schema=BATCH)

    @classmethod
    def from_arrow(cls, table: pa.Table, layout: ImageRows) -> Iterator[MicroBatch]:
        """Yield the micro-batches of a table of schema `BATCH`; pixels are views into its buffers, not copies.

        Args:
            table: Rows of schema `BATCH`.
            layout: What the model reads of an image.
        """
        for batch in table.to_batches():
            for i in range(batch.num_rows):
                value = {name: batch.column(name)[i] for name in BATCH.names if name != "patches"}
                grids = _numpy(value["grids"]).reshape(-1, 2)
                pairs = Pairs(
                    token_ids=_numpy(value["token_ids"]),
                    text_lengths=_numpy(value["text_lengths"]),
                    patches=np.frombuffer(_bytes(batch.column("patches"), i), layout.dtype).reshape(-1, layout.width),
                    grids=[Grid(int(r), int(c)) for r, c in grids],
                    image_index=_numpy(value["image_index"]),
                    image_types=_numpy(value["image_types"]),
                    image_cls=layout.cls,
                )
                with pa.ipc.open_stream(value["rows"].as_buffer()) as reader:
                    yield cls(reader.read_all(), pairs, Prepared(**value["prepared"].as_py()))


def _binary(data: pa.Buffer) -> pa.Array:
    """Return a large_binary array of one value, without a copy."""
    offsets = pa.py_buffer(np.array([0, data.size], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _bytes(column: pa.LargeBinaryArray, row: int) -> pa.Buffer:
    """Return the bytes of a row without a copy, which `column[row].as_buffer()` is."""
    _, offsets, data = column.buffers()
    begin, end = np.frombuffer(offsets, np.int64, 2, 8 * (column.offset + row)).tolist()
    return data.slice(begin, end - begin)


def _list(values: np.ndarray) -> pa.Array:
    """Return a list<int32> array of one value."""
    inner = pa.array(values.astype(np.int32, copy=False))
    return pa.ListArray.from_arrays(pa.array([0, len(inner)], pa.int32()), inner)


def _numpy(value: pa.ListScalar) -> np.ndarray:
    return value.values.to_numpy(zero_copy_only=False).astype(np.int64)
