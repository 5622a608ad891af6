"""What is fuzzed: each target takes bytes and says what came of them; anything that is no plain refusal is a fault."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROWS = [{"text": f'a "{i}" é', "image": f"{i}.png", "n": i, "deep": [{"a": [i, None]}], "x": i / 3} for i in range(6)]
IMAGES = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 1_000_000
CHECKPOINT_FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors")
CONFIG = b"""# a job
input: {path: table/, image: image, text: caption, allow: ["https://images.example.com/"]}
model: &m zoo://scenes
output:
  path: "out/"
  overwrite: true
limits: {image_bytes: 1000, fetch_seconds: 1.5}
batch: {<<: {window_rows: 7}, tokens: 512}
storage: {key: a, secret: b, endpoint_url: "http://127.0.0.1:1"}
"""
URIS = [
    b"a/b c.jpg",
    b"../../etc/passwd",
    b"file:///etc/passwd",
    b"https://me:secret@images.example.com/a%2e%2e/b.jpg?X-Amz-Signature=abc#frag",
    b"http://[::ffff:127.0.0.1]:80/x",
    b"s3://bucket//a/../b::zip://c",
    b"data:image/png;base64,iVBORw0KGgo=",
    b"memory://a/b|||x",
    "https://\u2488.example/\u202e".encode(),
]


class Target(NamedTuple):
    """Good inputs, and what is done with damaged ones: it returns an outcome, or raises if it is at fault."""

    originals: Callable[[], list[bytes]]
    attempt: Callable[[bytes], str]


def json_lines() -> list[bytes]:
    plain = "\n".join(map(json.dumps, ROWS)).encode()
    return [plain, plain.replace(b"\n", b"\r\n") + b"\n", json.dumps(ROWS[0], ensure_ascii=False).encode()]


def csv() -> list[bytes]:
    return [b'image,text\na.png,"a ""red"" star"\nb.png,"two\nlines"\n', b"text\r\na\r\n\r\nb\r\n"]


def tars() -> list[bytes]:
    return [_tar(kind) for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)]


def _tar(kind: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for i in range(3):
            for name, data in (("png", b"x" * 30), ("txt", b"a star"), ("json", json.dumps(ROWS[i]).encode())):
                stem = "ü" * 60 if i == 2 and kind != tarfile.USTAR_FORMAT else "k"
                info = tarfile.TarInfo(f"d/{stem}{i}.{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def parquets() -> list[bytes]:
    table, files = pa.Table.from_pylist(ROWS), []
    for settings in (
        {},
        {"compression": "zstd", "data_page_version": "2.0"},
        {"compression": "gzip", "row_group_size": 2},
    ):
        sink = io.BytesIO()
        pq.write_table(table, sink, **settings)
        files.append(sink.getvalue())
    return files


def images() -> list[bytes]:
    picture, files = Image.effect_noise((48, 40), 80).convert("RGB"), []
    for kind in IMAGES:
        for settings in ({}, {"progressive": True, "compression": "tiff_lzw", "lossless": True}):
            buffer = io.BytesIO()
            picture.save(
                buffer, kind, **{**settings, **({"exif": b"Exif\0\0" + b"II*\0" * 9} if kind == "JPEG" else {})}
            )
            files.append(buffer.getvalue())
    return files


def try_rows(known: Any, data: bytes) -> str:
    """Scan and parse a file of rows: what was counted is read, and only the scan may refuse the file."""
    from pipeline.common.columns import UNREAD
    from pipeline.common.errors import ConfigError
    from pipeline.common.parsers import PARSER_ERRORS, parser_fault
    from pipeline.tables.format import OpenOptions

    options = OpenOptions(row_bytes=20_000, image_bytes=1000)
    try:
        scan = known.scan(lambda: io.BytesIO(data), options)
        schema, _ = known.unify(["a"], [scan])
    except (ConfigError, *PARSER_ERRORS) as error:
        assert parser_fault(error), "a fault has a text"
        return "refused"
    rows = unread = 0
    for table in known.parse(io.BytesIO(data), schema, options):
        table.select(schema.names).validate(full=False)
        rows += table.num_rows
        unread += len(table[UNREAD].drop_null()) if UNREAD in table.column_names else 0
    assert rows == scan.rows, f"{scan.rows} rows were counted and {rows} read"
    return "unread" if unread else "read"


def try_parquet(data: bytes) -> str:
    from pipeline.common.errors import ConfigError
    from pipeline.common.row_ranges import RowSet
    from pipeline.tables.reading import read_plan
    from pipeline.tables.table import open_table

    path = work_folder() / "t.parquet"
    path.write_bytes(data)
    try:
        table = open_table(_job(str(path)))
        plan = read_plan(table, 100)
        rows = sum(part.num_rows for one in table.unread(RowSet.none()) for part in one.read(plan))
    except ConfigError as error:
        assert "\n" not in str(error)
        return "refused"
    assert rows == table.rows
    return "read"


@cache
def work_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _job(path: str) -> Any:
    from pipeline import JobConfig

    values = {"input": {"path": path, "allow": ["https://*"]}, "model": "zoo://scenes", "output": {"path": "/out"}}
    return JobConfig.parse("score", values)


def try_image(data: bytes) -> str:
    from vilt.processing.errors import ImageError
    from vilt.processing.image_files.decoding import decode, decode_pixels, read_size

    try:
        height, width = read_size(data, MAX_PIXELS)
        picture = decode(data, MAX_PIXELS)
    except ImageError as error:
        assert error.detail
        return str(error.reason)
    assert (picture.mode, picture.size) == ("RGB", (width, height))
    assert decode_pixels(data, MAX_PIXELS, exif_orientation=True) is not None
    return "picture"


def try_config(data: bytes) -> str:
    from pipeline import ConfigError, JobConfig

    path = work_folder() / "job.yaml"
    path.write_bytes(data)
    outcomes = []
    for overrides in ([], [f"tokenizer={data.decode(errors='replace')}"]):
        try:
            JobConfig.load("score", str(path), overrides)
        except ConfigError as error:
            assert "\n" not in str(error), error
            assert len(str(error)) < 3000, "a message is no copy of the file"
            outcomes.append("refused")
        else:
            outcomes.append("read")
    return ", ".join(outcomes)


def try_uri(data: bytes) -> str:
    from pipeline.common.redaction import redacted_text
    from pipeline.common.uris import normal
    from pipeline.images.fetch import Fetcher

    uri = data.decode(errors="surrogateescape")
    redacted_text(uri, uri)
    found = Fetcher("/nowhere", _job("/nowhere"))._image_or_uri(uri)
    if isinstance(found, str):
        full = normal(found)
        assert full.startswith(("/nowhere/", "https://")), found
    return "uri" if isinstance(found, str) else "image" if isinstance(found, bytes) else found.reason


def checkpoints() -> list[bytes]:
    """The files of a small checkpoint, and one of the original project."""
    import torch

    from tests.vilt.checkpoints import hostile
    from tests.vilt.checkpoints.changes import lightning

    folder = hostile.write_checkpoint(work_folder() / "checkpoint")
    state = {"a.b": torch.zeros(2, 3), "c": torch.ones(4, dtype=torch.bfloat16)}
    original = lightning(state, hyper_parameters={"config": {"num_heads": 2}})
    return [*((folder / name).read_bytes() for name in CHECKPOINT_FILES), original]


def try_checkpoint(data: bytes) -> str:
    """Try bytes in the place of each file."""
    from tests.vilt.checkpoints import hostile
    from vilt.common.errors import CheckpointError

    folder = work_folder() / "checkpoint"
    paths = [work_folder() / "x.ckpt"] if data.startswith(b"PK") else [folder / name for name in CHECKPOINT_FILES]
    outcomes = []
    for path in paths:
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        try:
            hostile.read(path if path.suffix == ".ckpt" else folder)
        except (CheckpointError, FileNotFoundError) as error:
            assert "\n" not in str(error), error
            outcomes.append("refused")
        else:
            outcomes.append("read")
        finally:
            if before is not None:
                path.write_bytes(before)
    return ", ".join(sorted(set(outcomes)))


def _rows_of(name: str) -> Callable[[bytes], str]:
    def attempt(data: bytes) -> str:
        from pipeline.tables.registry import format_named

        return try_rows(format_named(name), data)

    return attempt


TARGETS = {
    "jsonl": Target(json_lines, _rows_of("jsonl")),
    "csv": Target(csv, _rows_of("csv")),
    "tar": Target(tars, _rows_of("webdataset")),
    "parquet": Target(parquets, try_parquet),
    "images": Target(images, try_image),
    "config": Target(lambda: [CONFIG], try_config),
    "checkpoints": Target(checkpoints, try_checkpoint),
    "uris": Target(lambda: URIS, try_uri),
}
