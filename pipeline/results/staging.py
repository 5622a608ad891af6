"""Results that are written and not yet in the table: a folder of its own, from which the next run goes on.

OUT/parts/TOKEN/part-*.parquet lie where they will stay. A run numbers the files of the input as it finds them: what an
earlier one wrote is read with its numbers, and rows of files that have changed since are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from fsspec import AbstractFileSystem

from pipeline.common.columns import ERROR, ROW_SOURCE
from pipeline.common.errors import RowsLostError
from pipeline.common.row_ranges import ROW_BITS, Places, place_of
from pipeline.results.file_footer import FOOTER, Written, done_places, settle
from pipeline.results.work_folder import WorkFolder, read_part, write_parquet
from pipeline.storage.filesystem import full_uri
from pipeline.tables.table import TableFiles

Source = tuple[str, str]  # the name of a file of the input, and its edition


class Staging:
    """The folder of a run, whose name is its token. parts: its whole files of results. known: places whose results the
    table has already."""

    def __init__(self, filesystem: AbstractFileSystem, folder: str) -> None:
        self.filesystem, self.folder = filesystem, folder
        self.token = folder.rpartition("/")[2]
        self.work = WorkFolder(filesystem, folder)
        self.parts: list[Written] = []
        self.known = Places.none()

    @property
    def uri(self) -> str:
        """The folder."""
        return full_uri(self.filesystem, self.folder)

    @property
    def done(self) -> Places:
        """The rows of the input that need not be read again."""
        return Places.union([done_places(self.parts), self.known])

    def load(self, table: TableFiles) -> None:
        """Take over what earlier runs wrote of the files of `table`; the rest goes."""
        numbers = {(file.name, file.file.version): number for number, file in enumerate(table.files)}
        names = sorted(self.work.names())
        old = [name for name in names if name.startswith("part-")]
        parts = [part for written in self.work.parts(old) for part in self._current(written, numbers)]
        self.parts, bad = settle(parts)
        here = {part.name for part in self.parts}
        self.work.remove({*(part.name for part in bad), *names} - here)

    def discard(self) -> None:
        """Remove what earlier runs wrote."""
        self.work.remove(self.work.names())

    def audit(self, rows: int) -> None:
        """Check that all `rows` rows of the files that were read have results, each once. Raises RowsLostError."""
        good, bad = settle(self.parts)
        written = done_places(good)
        if bad or len(written) + len(self.known) != rows or len(self.done) != rows:
            raise RowsLostError(
                f"{rows} rows in, {len(self.done)} rows out, {len(bad)} files that do not hold together: nothing was "
                "committed; run the same command again to finish what is missing"
            )

    def _current(self, written: Written, numbers: dict[Source, int]) -> list[Written]:
        """The part with the numbers of now. Where some of its files have changed, a copy without their rows."""
        part = renumbered(written, numbers)
        if len(part.editions) == len(written.editions):
            return [part]
        table, lineage = read_part(self.filesystem, f"{self.folder}/{written.name}")
        table = table.filter(is_of(table, numbers))
        if not table.num_rows:
            return []
        errors = pc.value_counts(table[ERROR].drop_null()).to_pylist()
        part = replace(
            part,
            name=f"part-rest-{written.name.removeprefix('part-')}",
            rows=table.num_rows,
            errors=Counter({one["values"]: one["counts"] for one in errors}),
        )
        left = {number: source for number, source in written.editions.items() if source in numbers}
        footer = replace(written, name=part.name, rows=part.rows, errors=part.errors, editions=left)  # its own numbers
        metadata = {**lineage, FOOTER: footer.to_json()}
        write_parquet(self.filesystem, f"{self.folder}/{part.name}", [table], metadata)
        return [part]


def renumbered(written: Written, numbers: dict[Source, int]) -> Written:
    """`written` with other numbers of the input's files; without the rows of files that have none."""
    moves = [(old, numbers[source]) for old, source in written.editions.items() if source in numbers]

    def moved(places: Places) -> Places:
        out = []
        for old, new in moves:
            own, shift = places.between(place_of(old), place_of(old + 1)), (new - old) << ROW_BITS
            out.append(Places(own.begins + shift, own.ends + shift))
        return Places.union(out)

    split = {}
    for old, new in moves:
        for place, counts in written.split.items():
            if place >> ROW_BITS == old:
                split[place + ((new - old) << ROW_BITS)] = counts
    return replace(
        written,
        places=moved(written.places),
        split=split,
        retryable=moved(written.retryable),
        editions={new: written.editions[old] for old, new in moves},
    )


def is_of(table: pa.Table, sources: Collection[Source]) -> pa.Array:
    """bool (rows,): which rows of results come from one of these editions."""
    return pc.is_in(source_keys(table), pa.array([source_key(source) for source in sources], pa.string()))


def source_keys(table: pa.Table) -> pa.Array:
    """string (rows,): the `source_key` of the file that each row of results comes from."""
    source = table[ROW_SOURCE].combine_chunks()
    return pc.binary_join_element_wise(source.field("file"), source.field("edition"), "\0")


def source_key(source: Source) -> str:
    """One string, different for each."""
    return "\0".join(source)
