"""`input.shard`: one of many parts of a table, each the work of a run of its own, without a cluster between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.common.errors import ConfigError

MOST_SHARDS = 100_000  # what five digits in the name of a folder tell apart
SHARD_FOLDER = re.compile(r"shard-(\d{5})-of-(\d{5,6})")
_SHARD = re.compile(r"(\d{1,6}|auto1?)/(\d{1,6})")
# Variables in which a scheduler gives each task of an array its number, and whether arrays may begin at 1.
VARIABLES = {"SLURM_ARRAY_TASK_ID": True, "JOB_COMPLETION_INDEX": False, "AWS_BATCH_JOB_ARRAY_INDEX": False}


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` shards; index: 0 to count - 1."""

    index: int
    count: int

    @property
    def folder(self) -> str:
        """Return the name of the shard's folder below `output.path`."""
        return f"shard-{self.index:05d}-of-{self.count:05d}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def check_shard(text: str) -> str:
    """Return the value of `input.shard` as it is given; raise ValueError if it is none."""
    match = _SHARD.fullmatch(text)
    if not match:
        raise ValueError(
            f"input.shard: {text!r} is no shard; write 3/1000 for the fourth of 1,000 (they are numbered from 0), or "
            "auto/1000 to take the number from the scheduler's variable"
        )
    index, count = match[1], int(match[2])
    if not 1 <= count <= MOST_SHARDS:
        raise ValueError(f"input.shard: {text!r}, but a table has 1 to {MOST_SHARDS:,} shards")
    if index.isdigit() and int(index) >= count:
        raise ValueError(f"input.shard: {text!r}, but {count:,} shards are numbered from 0 to {count - 1:,}")
    return text


def resolve_shard(text: str, environment: Mapping[str, str]) -> tuple[Shard, str]:
    """Return the shard that a value of `input.shard` names.

    `auto1/1000` is for arrays of Slurm that begin at 1. Where an array begins is never guessed from the environment:
    when some tasks of an array are submitted again, it no longer tells.

    Args:
        text: The value.
        environment: The variables of the process.

    Returns:
        The shard, and the variable that named it, as `NAME=value`; "" if the value names it itself.

    Raises:
        ConfigError: No variable is set, or its value is out of range.
    """
    index, _, count = check_shard(text).partition("/")
    if index.isdigit():
        return Shard(int(index), int(count)), ""
    found = {name: environment[name] for name in VARIABLES if environment.get(name)}
    if not found:
        raise ConfigError(
            f"input.shard: {text!r}, but none of {', '.join(VARIABLES)} is set; run it as a task of an array, or write "
            f"0/{count}"
        )
    if len(found) > 1:
        both = ", ".join(f"{name}={value}" for name, value in found.items())
        raise ConfigError(
            f"input.shard: {text!r}, but {both} are set; name the one that counts: input.shard=$NAME/{count}"
        )
    (name, value), first = *found.items(), int(index == "auto1")
    if first and not VARIABLES[name]:
        raise ConfigError(
            f"input.shard: {text!r} is for arrays that begin at 1, but {name} begins at 0: write auto/{count}"
        )
    where = f"input.shard: {text!r}, but {name} is {value!r}"
    if not re.fullmatch(r"\d{1,9}", value):
        raise ConfigError(f"{where}, which is no number")
    last = environment.get("SLURM_ARRAY_TASK_MAX", "") if VARIABLES[name] else ""
    number = int(value) - first
    if not 0 <= number < int(count) or (not first and last == count):
        begins = f", or write auto1/{count} for an array that begins at 1" if VARIABLES[name] and not first else ""
        end = f" of an array that ends at {last}" if last else ""
        raise ConfigError(f"{where}{end}; the array must be from {first} to {int(count) - 1 + first}{begins}")
    return Shard(number, int(count)), f"{name}={value}"
