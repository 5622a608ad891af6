"""How many rows of a Parquet file fit into memory, where values may stand in a dictionary once and in many rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.parquet.guarded_file import chunks_of
from pipeline.storage.parquet.page_headers import ChunkPages


def stored_bytes(group: pq.RowGroupMetaData, names: Collection[str]) -> int:
    """Return the bytes of some columns of a row group, unpacked as the footer says or as stored, if these are more."""
    return sum(max(c.total_uncompressed_size, c.total_compressed_size) for c in chunks_of(group, names))


def rows_within(
    group: pq.RowGroupMetaData, names: Collection[str], pages: Sequence[ChunkPages], most_bytes: int, most_rows: int
) -> int:
    """Return how many rows of a row group to read at a time, at least one.

    Args:
        group: What the footer says of the row group.
        names: The columns to read.
        pages: Their pages, as far as they are known.
        most_bytes: Most bytes of the rows, by the footer and the headers of the pages.
        most_rows: Most rows.
    """
    size = max(stored_bytes(group, names), sum(one.size for one in pages))
    of_row = sum(one.per_value * one.values for one in pages) / max(1, group.num_rows)
    repeated = sum(one.repeated for one in pages)
    by_size = most_bytes * group.num_rows // max(1, size)
    return max(1, min(most_rows, by_size, most_bytes // max(1, repeated), int(most_bytes // max(1, of_row))))


def batch_bytes(batch: pa.RecordBatch) -> int:
    """Return the bytes of a batch; if pyarrow cannot tell, as 22 cannot for views, those of all buffers behind it."""
    try:
        return int(batch.nbytes)
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return int(batch.get_total_buffer_size())
