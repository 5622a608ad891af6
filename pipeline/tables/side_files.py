"""Files that img2dataset writes beside a table: one table is meant, and it is clear which."""

from __future__ import annotations

from collections.abc import Sequence

STATS = "_stats.json"


def without_side_files(paths: Sequence[str]) -> list[str]:
    """Return the files that are a table, if a folder is one that img2dataset wrote.

    It writes a shard `00000.tar`, or a folder `00000/` of pictures, or `00000.parquet` with the pictures in it; beside
    it `00000_stats.json`; and beside tars and folders `00000.parquet`, which lists all URLs, those that failed too.
    """
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
