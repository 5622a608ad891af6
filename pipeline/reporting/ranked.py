"""Look up what a rank job found: the best images of some texts, and the best texts of some images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.common.columns import ROW_ID, ROW_KEY, TEXT_TRUNCATED
from pipeline.common.errors import ConfigError
from pipeline.common.row_ids import json_id, shown_id
from pipeline.config.input import InputConfig
from pipeline.config.storage import StorageConfig
from pipeline.reporting.overview import RANKED_IMAGES, TRUNCATED, Overview
from pipeline.results.loading import BEST_TEXTS, first_of
from pipeline.tables.lookup import find_ids, read_rows
from pipeline.tables.reading import read_columns
from pipeline.tables.table import TableFiles, open_files

RANKED_TEXTS, TEXT_ID, BEST_IMAGES = "texts", "text_id", "best_images"
WINDOW_ROWS = 2**14
TEXTS_SHOWN = 12
MOST_BEST = 5  # images of a text, and texts of an image


@dataclass(frozen=True)
class RankedText:
    """A text with its best images.

    Attributes:
        text_id: Its id, as text.
        text: The text.
        kind: The key of its images in `Overview.examples`.
    """

    text_id: str
    text: str
    kind: str


@dataclass(frozen=True)
class Ranked:
    """Texts and images of a rank job, each with its best.

    Attributes:
        texts: Some texts: evenly from the one with the best image down to the one whose best image is the worst.
        best_texts: Key of an image in the results -> its best texts, each with its score.
        truncated: Id and text of some texts of which the model read the beginning alone.
    """

    texts: list[RankedText] = field(default_factory=list)
    best_texts: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    truncated: list[tuple[str, str]] = field(default_factory=list)


def look_at_ranked(view: Overview, storage: StorageConfig) -> Ranked:
    """Look up texts and images in the output of a rank job, and add the images to `view.examples`.

    Args:
        view: The output; of another job there is nothing to look up.
        storage: How to reach it.
    """
    if not view.is_rank or view.table is None:
        return Ranked()
    uri = f"{view.uri.removesuffix(f'/{RANKED_IMAGES}')}/{RANKED_TEXTS}"
    try:
        table = open_files(InputConfig(path=uri, format="parquet"), storage)
    except ConfigError:  # a table of images without one of texts
        return Ranked()
    chosen, truncated = _choose(table)
    best_texts = _best_texts(view, view.table, table)
    rows = read_rows(table, [*chosen, *truncated], [TEXT_ID, "text", BEST_IMAGES])
    texts = _add_images(view, view.table, [rows[key] for key in chosen])
    return Ranked(texts, best_texts, [(shown_id(rows[key][TEXT_ID]), str(rows[key]["text"])) for key in truncated])


def _choose(table: TableFiles) -> tuple[list[int], list[int]]:
    """Return the keys of the texts to show, and of some that were truncated."""
    names = [name for name in (BEST_IMAGES, TEXT_TRUNCATED) if name in table.schema.names]
    scores, keys, truncated = [np.empty(0)], [np.empty(0, np.int64)], list[int]()
    for rows in read_columns(table, names, WINDOW_ROWS):
        here = rows[ROW_KEY].to_numpy()
        best = first_of(rows[BEST_IMAGES], "score").cast(pa.float64()).to_numpy()
        finite = np.isfinite(best)
        scores.append(best[finite])
        keys.append(here[finite])
        if TEXT_TRUNCATED in names and len(truncated) < TRUNCATED:
            lost = rows[TEXT_TRUNCATED].fill_null(False).to_numpy()
            truncated += here[lost][: TRUNCATED - len(truncated)].tolist()
    every, of = np.concatenate(keys), np.concatenate(scores)
    order = every[np.lexsort((every, -of))]
    at = np.unique(np.linspace(0, len(order) - 1, min(TEXTS_SHOWN, len(order))).round().astype(int))
    return order[at].tolist(), truncated


def _add_images(view: Overview, table: TableFiles, rows: list[dict[str, Any]]) -> list[RankedText]:
    """Add the best images of texts to the examples."""
    best = [(row[BEST_IMAGES] or [])[:MOST_BEST] for row in rows]
    keys = find_ids(table, ROW_ID, [image[ROW_ID] for images in best for image in images])
    out = []
    for number, (row, images) in enumerate(zip(rows, best, strict=True)):
        kind = f"text {number}"
        view.examples[kind] = [
            {ROW_ID: json_id(image[ROW_ID]), "row_key": keys[image[ROW_ID]], "score": image["score"]}
            for image in images
            if image[ROW_ID] in keys
        ]
        out.append(RankedText(shown_id(row[TEXT_ID]), str(row["text"]), kind))
    return out


def _best_texts(view: Overview, table: TableFiles, texts: TableFiles) -> dict[int, list[tuple[str, str]]]:
    """Return the best texts of the images that are examples."""
    keys = [row["row_key"] for rows in view.examples.values() for row in rows]
    found = {key: (row[BEST_TEXTS] or [])[:MOST_BEST] for key, row in read_rows(table, keys, [BEST_TEXTS]).items()}
    at = find_ids(texts, TEXT_ID, [text[TEXT_ID] for best in found.values() for text in best])
    rows = read_rows(texts, list(at.values()), ["text"])
    return {
        key: [(f"{text['score']:.4g}", str(rows[at[text[TEXT_ID]]]["text"])) for text in best if text[TEXT_ID] in at]
        for key, best in found.items()
    }
