"""Which columns of a table hold the image, the text and the id: a guess from its first rows, with what it rests on."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from pipeline.common import uris
from pipeline.common.error_codes import Failure, values_or_failures
from pipeline.common.row_ids import id_type, ids_of
from pipeline.common.tasks import Task
from pipeline.tables.formats.pictures import is_picture as has_picture_name
from pipeline.tables.reading import read_columns
from pipeline.tables.schemas import decoded, is_bytes, is_bytes_or_path, is_list, is_text
from pipeline.tables.table import TableFiles
from vilt.common.counts import counted
from vilt.processing.errors import ImageError
from vilt.processing.image_files.decoding import read_size

SAMPLE_ROWS = 64
MOST_HOSTS = 3  # of pictures' URLs; with more of them every public host is allowed
PICTURE_NAMES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "url", "uri", "file_name", "path")
QUESTION_NAMES = ("question", "query", "prompt")
TEXT_NAMES = ("caption", "text", "txt", "sentence", "alt", "description", "title", "prompt", "question")
ID_NAMES = (
    "id",
    "uid",
    "uuid",
    "guid",
    "key",
    "__key__",
    "image_id",
    "item_id",
    "row_id",
    "sha256",
    "hash",
    "md5",
    "sku",
)
LEAST_IDS, LONGEST_ID = 8, 100  # rows, characters: of a column that is taken for ids by its values alone
MASK = "[MASK]"
MOST_SHOWN = 60  # characters of a text


class Guess(NamedTuple):
    """A column, and what speaks for it in words."""

    column: str
    why: str


@dataclass(frozen=True)
class ColumnGuess:
    """The columns of a table that seem to hold the image, the text and the id.

    Attributes:
        image: The column of images; None if there is none.
        text: The column of texts; None if there is none.
        id: The column of ids; None if there is none.
        allow: Prefixes of URIs below which the images are, outside of the table's own folder.
    """

    image: Guess | None
    text: Guess | None
    id: Guess | None
    allow: list[str]


def guess_columns(table: TableFiles, task: Task) -> ColumnGuess:
    """Guess what the columns of a table are, from its first rows.

    Args:
        table: The table.
        task: What is to be done with it: `answer` reads questions, `fill` texts with a mask.

    Raises:
        OSError: A file cannot be read.
    """
    columns = _first_rows(table)
    image = _best(columns, _image_evidence, PICTURE_NAMES)
    others = {name: values for name, values in columns.items() if image is None or name != image.column}
    names = (*QUESTION_NAMES, *TEXT_NAMES) if task == "answer" else TEXT_NAMES
    text = _best(others, _mask_evidence if task == "fill" else _text_evidence, names)
    named = {name: values for name, values in columns.items() if name.lower() in ID_NAMES or name.endswith("_id")}
    rest = {name: values for name, values in others.items() if text is None or name != text.column}
    id_ = _best(named, _id_evidence, ID_NAMES) or _best(rest, _key_evidence, ID_NAMES)
    allow = [] if image is None else _prefixes([*_texts(columns[image.column])], table.base)
    return ColumnGuess(image, text, id_, allow)


def _first_rows(table: TableFiles) -> dict[str, pa.ChunkedArray]:
    """Return the first rows of a table, by column."""
    windows, count = [table.schema.empty_table()], 0
    for window in read_columns(table, table.schema.names, SAMPLE_ROWS):
        windows.append(window.select(table.schema.names))
        count += window.num_rows
        if count >= SAMPLE_ROWS:
            break
    rows = pa.concat_tables(windows, promote_options="permissive").slice(0, SAMPLE_ROWS)
    return dict(zip(rows.column_names, rows.columns, strict=True))


class _Evidence(NamedTuple):
    """The fitness of a column for a use: the greater rank wins, then the better name, then the greater weight."""

    rank: int
    weight: float
    why: str


def _best(
    columns: dict[str, pa.ChunkedArray],
    evidence_of: Callable[[pa.ChunkedArray], _Evidence | None],
    names: Sequence[str],
) -> Guess | None:
    """Return the column that is best for a use, the first of equal ones; None if none is good for it."""
    found = [(name, evidence) for name, values in columns.items() if (evidence := evidence_of(values)) is not None]
    if not found:
        return None
    name, evidence = max(found, key=lambda one: (one[1].rank, -_name_order(one[0], names), one[1].weight))
    return Guess(name, evidence.why)


def _name_order(name: str, names: Sequence[str]) -> float:
    """Return the number of the first name in a list that a column has, in singular or plural, or has as a part."""
    lower = name.lower()
    for i, known in enumerate(names):
        if lower in (known, f"{known}s"):
            return i
    return next((i + 0.5 for i, known in enumerate(names) if known in lower), len(names))


def _image_evidence(values: pa.ChunkedArray) -> _Evidence | None:
    """Return how many values are images: bytes before structs, and these before URIs."""
    kind = decoded(values.type)
    given = [value for value in _values(values) if value is not None]
    if not given:
        return None
    if is_bytes(kind):
        count, rank, what = sum(map(_is_picture, given)), 3, "encoded images"
    elif is_bytes_or_path(kind):
        count, rank, what = sum(_is_picture(one["bytes"]) or _is_uri(one["path"]) for one in given), 2, "{bytes, path}"
    elif is_text(kind):
        count, rank, what = sum(map(_is_uri, given)), 1, "URIs of images"
    else:
        return None
    if 2 * count <= len(given):
        return None
    return _Evidence(rank, count, f"{what} in {count} of the first {counted(len(values), 'row')}")


def _is_picture(value: Any) -> bool:
    try:
        return value is not None and min(read_size(bytes(value))) > 0
    except ImageError:
        return False


def _is_uri(value: Any) -> bool:
    """Return whether a text is the URI of a picture: its path ends as theirs do, or it is a data URI."""
    if not isinstance(value, str):
        return False
    if value[:11].lower() == "data:image/":
        return True
    path = urlsplit(value).path if "://" in value else value
    return has_picture_name(path)


def _text_evidence(values: pa.ChunkedArray) -> _Evidence | None:
    """Return how many words the texts of a column have, if they are texts that a person would write."""
    texts = [text for text in _texts(values) if text.strip()]
    if not texts or any(map(_is_uri, texts)) or any("://" in text.split()[0] for text in texts):
        return None
    words = sum(len(text.split()) for text in texts) / len(texts)
    shortened = texts[0] if len(texts[0]) <= MOST_SHOWN else f"{texts[0][:MOST_SHOWN]}..."
    lists = "lists of texts" if is_list(values.type) else "texts"
    return _Evidence(int(words >= 2), words, f"{lists}, {words:.1f} words on average, as in {shortened!r}")


def _mask_evidence(values: pa.ChunkedArray) -> _Evidence | None:
    count = sum(MASK in text for text in _texts(values))
    return _Evidence(1, count, f"{count} of its first texts have a {MASK}") if count else None


def _id_evidence(values: pa.ChunkedArray) -> _Evidence | None:
    """Return what speaks for ids, if each stands in one row of the sample."""
    if id_type(values.type) is None or values.null_count or not len(values):
        return None
    if len(ids_of(values).unique()) < len(values):
        return None
    return _Evidence(1, 0.0, f"{values.type}, different in all of the first {counted(len(values), 'row')}")


def _key_evidence(values: pa.ChunkedArray) -> _Evidence | None:
    """Return what speaks for ids in a column of another name: one word in each row, different in all, and no URI."""
    if not is_text(decoded(values.type)) or len(values) < LEAST_IDS:
        return None
    for text in _values(values):
        if text is None or len(text) > LONGEST_ID or len(text.split()) != 1 or "://" in text or _is_uri(text):
            return None
    return _id_evidence(values)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column; None for one that is not UTF-8."""
    found = [value for chunk in column.chunks for value in values_or_failures(chunk, "text_invalid")]
    return [None if isinstance(value, Failure) else value for value in found]


def _texts(values: pa.ChunkedArray) -> Iterator[str]:
    """Yield the texts of a column: of lists each of theirs, of {bytes, path} the paths."""
    for value in _values(values):
        for one in value if isinstance(value, list) else [value]:
            text = one.get("path") if isinstance(one, dict) else one
            if isinstance(text, str):
                yield text


def _prefixes(found: Sequence[str], base: str) -> list[str]:
    """Return the prefixes that must be allowed to read some URIs.

    Args:
        found: The URIs or paths of images.
        base: The URI of the table's folder, below which all is allowed.
    """
    remote = [uri for uri in found if "://" in uri and not uri.startswith(uris.as_prefix(base))]
    roots = sorted({"/".join(uri.split("/")[:3]) + "/" for uri in remote})
    if len(roots) > MOST_HOSTS and all(uris.scheme(root) in uris.WEB for root in roots):
        roots = ["https://*"] + (["http://*"] if any(uris.scheme(root) == "http" for root in roots) else [])
    local = [path for path in found if path.startswith("/") and not path.startswith(uris.as_prefix(base))]
    return roots + ([uris.as_prefix(os.path.commonpath([os.path.dirname(path) for path in local]))] if local else [])
