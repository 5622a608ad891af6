"""Divide a table into shards: the same files, or row groups, for the same shard in every run.

By files, balanced by size, each shard opens its files alone. If a table has few files for its shards, their row groups
are divided, and each shard reads all footers. A shard keeps the numbers that files have in the whole table, so that
the row keys of all shards fit together.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.common.row_ranges import RowSet, row_key
from pipeline.config.shard import Shard
from pipeline.tables.file_columns import ListedFiles, listing_hash
from pipeline.tables.format import Listing
from pipeline.tables.input_file import InputFile
from pipeline.tables.opened_table import OpenedFile, Split

FILES_PER_SHARD = 4  # with fewer files for each shard, row groups are divided: files of unequal sizes would not balance


@dataclass(frozen=True)
class TablePart:
    """Which part of a table a shard reads.

    Attributes:
        shard: The shard.
        listing: Hash of the names, sizes and etags of all files of the table.
        unit: What is divided: "files" or "rows".
        assigned: The numbers of the shard's files; or the keys of the rows of its row groups.
        total: How many of these the whole table has.
    """

    shard: Shard
    listing: str
    unit: str
    assigned: RowSet
    total: int

    def to_json(self) -> dict[str, str | int]:
        """Return JSON values."""
        values = {"shard": str(self.shard), "listing": self.listing, "unit": self.unit}
        return {**values, "assigned": self.assigned.encode(), "total": self.total}

    @classmethod
    def from_json(cls, values: dict[str, str | int]) -> TablePart:
        """Return what `to_json` made JSON of. Raises ValueError or KeyError if it is damaged."""
        index, _, count = str(values["shard"]).partition("/")
        assigned = RowSet.decode(str(values["assigned"]))
        return cls(
            Shard(int(index), int(count)), str(values["listing"]), str(values["unit"]), assigned, int(values["total"])
        )


def divides_files(listing: Listing, count: int) -> bool:
    """Return whether `count` shards divide the files of a table, and not their row groups."""
    return not listing.format.divisible or len(listing.files) >= FILES_PER_SHARD * count


def files_of(files: Sequence[InputFile], shard: Shard) -> list[int]:
    """Return the numbers of the files of a shard, ascending."""
    if isinstance(files, ListedFiles):  # sorted by name
        owners = balanced(files.sizes, None, shard.count)
    else:
        owners = balanced([file.size for file in files], [file.name for file in files], shard.count)
    return np.flatnonzero(owners == shard.index).tolist()


def part_of_files(files: Sequence[InputFile], mine: Sequence[int], shard: Shard) -> TablePart:
    """Describe a shard of files. mine: the numbers of the shard's files."""
    return TablePart(shard, listing_hash(files), "files", RowSet.of(np.array(mine, np.int64)), len(files))


def divide_row_groups(opened: Sequence[OpenedFile], shard: Shard) -> tuple[list[OpenedFile], TablePart]:
    """Return the files of a table with the row groups of a shard alone, and which these are."""
    splits = [(number, split) for number, file in enumerate(opened) for split in file.splits]
    names = [f"{opened[number].name} {split.first_row:020d}" for number, split in splits]
    owners = balanced([split.size for _, split in splits], names, shard.count)
    mine = [splits[index] for index in np.flatnonzero(owners == shard.index)]
    keys = [
        RowSet.of_range(row_key(number, split.first_row), row_key(number, split.first_row + split.all_rows))
        for number, split in mine
    ]
    kept: dict[int, list[Split]] = {}
    for number, split in mine:
        kept.setdefault(number, []).append(split)
    files = [replace(file, splits=kept.get(number, [])) for number, file in enumerate(opened)]
    total = sum(split.all_rows for _, split in splits)
    return files, TablePart(shard, listing_hash([one.file for one in opened]), "rows", RowSet.union(keys), total)


def balanced(sizes: Sequence[int] | np.ndarray, names: Sequence[str] | None, count: int) -> np.ndarray:
    """Return the shard of each of some things, int64 (n,): the largest first, each to the shard that has least.

    The same sizes and names give the same shards in every run.

    Args:
        sizes: Bytes of each.
        names: Their order decides between equals; None: they are in the order of their names.
        count: How many shards there are.
    """
    sizes, owners = np.asarray(sizes, np.int64), np.empty(len(sizes), np.int64)
    order = np.arange(len(sizes)) if names is None else np.array(sorted(range(len(sizes)), key=names.__getitem__), int)
    loads = [(0, 0, shard) for shard in range(count)]  # bytes, things, number: a heap, since it is sorted
    for index in order[np.argsort(-sizes[order], kind="stable")]:
        load, things, owner = loads[0]
        owners[index] = owner
        heapq.heapreplace(loads, (load + int(sizes[index]), things + 1, owner))
    return owners
