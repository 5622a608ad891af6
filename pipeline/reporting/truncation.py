"""Show texts of which the model read the beginning alone, and where it stopped."""

from __future__ import annotations

import bisect
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.common.errors import ConfigError, first_line
from pipeline.common.redaction import redacted
from pipeline.common.row_ids import shown_id
from pipeline.config.job import JobConfig
from pipeline.config.storage import StorageConfig
from pipeline.reporting.access import Access
from pipeline.reporting.overview import Overview
from pipeline.reporting.pictures import contents_of, key_of
from pipeline.reporting.ranked import Ranked
from pipeline.stages.preprocessors import preprocessor_of
from pipeline.storage.filesystem import storage_errors
from vilt.common.errors import CheckpointError

MOST_TEXT = 20_000  # characters of a text that are looked at
READ_SHOWN, LOST_SHOWN = 240, 240  # characters
_SHIPPED = re.compile(r"zoo://[\w\-]+")
IsTruncated = Callable[[str], bool]


@dataclass(frozen=True)
class TruncatedText:
    """A text of which the model read the beginning alone.

    Attributes:
        row_id: Of its row, or of the text itself for a rank job.
        read: The whole words that the model read, or of them the last; the text if it is not known where it stopped.
        lost: The rest, or the beginning of it; empty if that is not known.
    """

    row_id: str
    read: str
    lost: str


def truncated_texts(
    view: Overview, ranked: Ranked, storage: StorageConfig, access: Access
) -> tuple[list[TruncatedText], str]:
    """Return some of the texts that lost their end, and why more cannot be shown, "" if nothing is left out.

    Args:
        view: The output.
        ranked: What a rank job found.
        storage: How to reach s3://.
        access: What may be opened: the table for its texts, the checkpoint for its tokenizer.
    """
    texts, note = ranked.truncated, ""
    if view.truncated:
        try:
            found = contents_of(view, view.truncated, storage, access, images=False)
            texts = [(shown_id(row["row_id"]), text) for row in view.truncated for text in found[key_of(row)].texts]
        except (ConfigError, *storage_errors()) as error:
            return [], f"The texts are left out: {first_line(error)}"
    texts = [(row_id, text[:MOST_TEXT]) for row_id, text in texts if isinstance(text, str) and text]
    if not texts:
        return [], note
    is_truncated, note = _tokenizer(view, storage, access)
    if is_truncated is None:
        return [TruncatedText(row_id, _beginning(text, READ_SHOWN + LOST_SHOWN), "") for row_id, text in texts], note
    split = ((row_id, text, words_read(text, is_truncated)) for row_id, text in texts)
    shown = [
        TruncatedText(row_id, _end(text[:at], READ_SHOWN), _beginning(text[at:], LOST_SHOWN))
        for row_id, text, at in split
        if at < len(text)  # of several columns of texts one may have been read whole
    ]
    return shown, note


def words_read(text: str, is_truncated: IsTruncated) -> int:
    """Return how many characters of a text its longest beginning has that ends with a word and is read whole."""
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    if not ends or not is_truncated(text):
        return len(text)
    number = bisect.bisect_left(ends, True, key=lambda end: is_truncated(text[:end]))
    return ends[number - 1] if number else 0


def _tokenizer(view: Overview, storage: StorageConfig, access: Access) -> tuple[IsTruncated | None, str]:
    """Return whether a text loses its end, as a function; or None, and why it is not known."""
    model = view.summary["lineage"].get("vilt.model", "")
    config = view.summary.get("config") or {}
    tokenizer = config.get("tokenizer")
    needed = [uri for uri in (model, tokenizer) if isinstance(uri, str) and not _SHIPPED.fullmatch(uri)]
    refused = [uri for uri in needed if not access.permits_checkpoint(uri)]
    if refused:
        names = " ".join(f"--allow {shlex.quote(redacted(uri))}" for uri in refused)
        return None, f"Where each text was cut, its tokenizer tells; to read that, repeat the command with {names}"
    values = {"tasks": ["score"], "input": {"path": "none"}, "output": {"path": "other"}, "tokenizer": tokenizer}
    try:
        job = JobConfig.checked({**values, "model": model, "storage": storage.model_dump()})
        preprocessor = preprocessor_of(job)
        preprocessor.tokens(["a"])
    except (ConfigError, CheckpointError, ValueError, KeyError, json.JSONDecodeError, *storage_errors()) as error:
        return None, f"Where each text was cut is not shown: {first_line(error)}"

    def is_truncated(text: str) -> bool:
        return bool(preprocessor.tokens([text])[2][0])

    return is_truncated, ""


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _end(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[-most:]}"
