"""Files that img2dataset, DataComp and `vilt filter` write beside a table: it is clear which of them are the table."""

from __future__ import annotations

from collections.abc import Sequence

STATS = "_stats.json"
SIZES = "sizes.json"  # beside tars: how many samples each holds, as open_clip reads it


def without_side_files(paths: Sequence[str]) -> list[str]:
    """Return the files that are a table, if a folder is one that img2dataset wrote, or one of shards.

    It writes a shard `00000.tar`, or a folder `00000/` of pictures, or `00000.parquet` with the pictures in it; beside
    it `00000_stats.json`; and beside tars and folders `00000.parquet`, which lists all URLs, those that failed too.
    Beside tars, `sizes.json` says how many samples each holds.
    """
    shards_in = {path.rpartition("/")[0] for path in paths if path.lower().endswith(".tar")}
    sizes = {f"{folder}/{SIZES}" if folder else SIZES for folder in shards_in}
    paths = [path for path in paths if path not in sizes]
    stats = [path for path in paths if path.endswith(STATS)]
    if not stats:
        return list(paths)
    known, folders = set(paths), {path.rpartition("/")[0] for path in paths}
    side: set[str] = set()
    for path in stats:
        shard = path.removesuffix(STATS)
        with_pictures = f"{shard}.tar" in known or shard in folders
        if with_pictures or f"{shard}.parquet" in known:
            side.add(path)
        if with_pictures:
            side.add(f"{shard}.parquet")
    shards = {path.removesuffix(STATS) for path in stats} & folders
    side |= {path for path in paths if path.endswith(".json") and path.rpartition("/")[0] in shards}
    return [path for path in paths if path not in side]


def lists_of_tars(paths: Sequence[str]) -> bool:
    """Return whether each Parquet file has a tar of its name, as the lists of img2dataset without `_stats.json` do."""
    names = [path.rpartition(".") for path in paths]
    tars = {stem for stem, _, end in names if end.lower() == "tar"}
    lists = [stem for stem, _, end in names if end == "parquet"]
    return bool(lists) and tars.issuperset(lists)
