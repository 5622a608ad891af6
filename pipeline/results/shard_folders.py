"""The output of a job that many runs share: OUT/shard-00003-of-01000/, each the output folder of one shard.

- OUT/shard-.../_shard.json: which part of the table the shard read, and a hash of the listing that it was divided from
- OUT/_summary.json: written by `vilt merge`: all shards are one result, whose files stay where they are
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem

from pipeline.common.errors import ConfigError
from pipeline.config.shard import SHARD_FOLDER, Shard
from pipeline.results.work_folder import JOB, PROGRESS, SUMMARY, WorkFolder, refuse_delta
from pipeline.storage.filesystem import write_whole
from vilt.common.counts import counted

if TYPE_CHECKING:
    from pipeline.tables.division import TablePart

SHARD_FILE = "_shard.json"


def shard_of(name: str) -> Shard | None:
    """Return the shard whose folder has this name; None if it is no such name."""
    match = SHARD_FOLDER.fullmatch(name)
    return Shard(int(match[1]), int(match[2])) if match else None


def shards_in(out: WorkFolder) -> list[Shard]:
    """Return the shards that have a folder in an output, in order."""
    return sorted(shard for name in out.names() if (shard := shard_of(name)))


def write_part(filesystem: AbstractFileSystem, folder: str, part: TablePart) -> None:
    """Write which part of the table the results in a shard's folder are of."""
    write_whole(filesystem, f"{folder}/{SHARD_FILE}", json.dumps(part.to_json()).encode())


def read_part_of_table(folder: WorkFolder) -> TablePart | None:
    """Return what `write_part` wrote; None if it is not there. Raises ValueError or KeyError if it is damaged."""
    from pipeline.tables.division import TablePart

    values = folder.read(SHARD_FILE)
    return None if values is None else TablePart.from_json(values)


def check_out_of_shards(filesystem: AbstractFileSystem, path: str, shard: Shard) -> None:
    """Check that an output holds nothing but shards of the same division.

    Args:
        filesystem: The storage.
        path: The folder OUT.
        shard: The shard that is about to write below it.

    Raises:
        ConfigError: It holds results of another kind, which readers of all files below it would take for one.
    """
    out = WorkFolder(filesystem, path)
    refuse_delta(out)
    names, shards = out.names(), shards_in(out)
    other = next((one for one in shards if one.count != shard.count), None)
    if other is not None:
        raise ConfigError(
            f"output.path: {path!r} holds {other.folder}, a shard of {other.count:,}, and this is one of "
            f"{shard.count:,}: choose another folder, or remove those"
        )
    whole = any(name.endswith(".parquet") for name in names) or (SUMMARY in names and not shards)
    if whole or WorkFolder(filesystem, f"{path}/{PROGRESS}").read(JOB):
        raise ConfigError(
            f"output.path: {path!r} holds a job that was not divided into shards: choose another folder, or remove it"
        )


def withdraw_merged(filesystem: AbstractFileSystem, path: str) -> None:
    """Remove the summary that made all shards one result: one of them is about to change."""
    out = WorkFolder(filesystem, path)
    if SUMMARY in out.names():
        out.remove([SUMMARY])


def merged_files(summary: dict[str, Any]) -> list[str]:
    """Return the files of a summary that `vilt merge` wrote; none if it is another one's."""
    files = [str(name) for name in summary.get("files", [])]
    return [name for name in files if shard_of(name.partition("/")[0])]


def refuse_shards(out: WorkFolder, what: str) -> None:
    """Refuse an output folder that holds shards.

    Args:
        out: The folder.
        what: What was to be done, for the message.

    Raises:
        ConfigError: It does.
    """
    shards = shards_in(out)
    if shards:
        raise ConfigError(
            f"output.path: {out.path!r} holds {counted(len(shards), 'shard')} (input.shard={shards[0]} and others): "
            f"{what}; "
            "to write one result beside them choose another folder, or remove them"
        )


def numbers_text(numbers: list[int]) -> str:
    """Return numbers as schedulers take them for an array: 3,17-20."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
