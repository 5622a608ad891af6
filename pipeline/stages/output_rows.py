"""The rows of the output on their way through preprocessing: one for each row of a window, or each text of its list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa

from pipeline.common.columns import DETAIL, ERROR, PAIR, TEXT_INDEX, TEXT_TRUNCATED, TEXTS, UNREAD
from pipeline.common.error_codes import Failure
from pipeline.config.job import JobConfig
from pipeline.config.limits import LimitsConfig
from pipeline.stages.text_values import text_values
from pipeline.tables.row_id_column import with_row_id
from pipeline.tables.schemas import decoded, is_list, is_text
from vilt.inference.preprocessor import AnyPreprocessor
from vilt.processing.grids import Grid

Text = str | Failure
NO_TEXT = " "  # stands for the text of a row whose texts come from elsewhere


@dataclass
class OutputRow:
    """One row of the output. Every text of the row is read with every image of the row.

    Attributes:
        window_row: The row of the window that it comes from.
        text_index: The position of its text in the window row's list; None if the column holds no lists.
        texts: One text for each text column, or the reason why it cannot be read.
        raw_text: The text as the list holds it, for the output.
        images: Indices among the distinct images of the window.
        token_ids: int64 ids of each text; None for a text that is not read.
        grids: The patch grid of each image.
        image_tokens: Tokens of all images.
        truncated: Whether the model reads the beginning of a text alone; None if it reads none.
        failure: The reason why nothing can be read for the row.
    """

    window_row: int
    text_index: int | None
    texts: list[Text]
    raw_text: str | None = None
    images: list[int] = field(default_factory=list)
    token_ids: list[np.ndarray | None] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    image_tokens: int = 0
    truncated: bool | None = None
    failure: Failure | None = None

    @property
    def tokens(self) -> int:
        """Return how many tokens the model will read for the row's pairs."""
        return self.tokens_with([ids for ids in self.token_ids if ids is not None])

    def tokens_with(self, texts: Sequence[np.ndarray]) -> int:
        """Return how many tokens the model will read of these texts, as int64 ids, with the row's images."""
        return sum(map(len, texts)) * len(self.grids) + len(texts) * self.image_tokens

    @property
    def reported_failure(self) -> Failure | None:
        """Return what `error` and `error_detail` say: the row's failure, else that of its first bad text."""
        return self.failure or next((text for text in self.texts if isinstance(text, Failure)), None)


@dataclass(frozen=True)
class TextColumns:
    """The columns of texts that a job reads; none if it reads images alone, or its texts come from elsewhere.

    Attributes:
        names: The columns.
        are_lists: Whether the one column holds lists of texts, each of which becomes a row.
        are_rows: Whether each of several columns becomes a row.
    """

    names: Sequence[str]
    are_lists: bool
    are_rows: bool = False


def without_unread(window: pa.Table) -> tuple[pa.Table, dict[int, Failure]]:
    """Return a window without the column `__unread`, and row -> why it could not be read."""
    if UNREAD not in window.column_names:
        return window, {}
    found = enumerate(window[UNREAD].to_pylist())
    return window.drop_columns([UNREAD]), {row: Failure(**failure) for row, failure in found if failure}


def expand_texts(
    window: pa.Table,
    text_columns: list[str],
    limits: LimitsConfig,
    failures: Mapping[int, Failure],
    are_rows: bool = False,
) -> list[OutputRow]:
    """Return the output rows of a window: one for each row, or one for each text of its list; at least one.

    Args:
        window: The rows.
        text_columns: The columns of texts.
        limits: What a row may hold.
        failures: Row -> why it is not read; it is one row of the output.
        are_rows: Whether each of several columns becomes a row.
    """
    if not text_columns:
        return [OutputRow(row, None, [NO_TEXT]) for row in range(window.num_rows)]
    columns = [text_values(window[name], limits) for name in text_columns]
    rows: list[OutputRow] = []
    for window_row, values in enumerate(zip(*columns, strict=True)):
        if window_row in failures:
            count = 1 if are_rows else len(text_columns)
            rows.append(OutputRow(window_row, None, [failures[window_row]] * count))
        elif are_rows:
            named = _texts_of_columns(text_columns, values)
            rows += [OutputRow(window_row, index, [text]) for index, text in enumerate(named)]
        elif isinstance(values[0], list):  # lists come from one column alone
            rows += _rows_of_list(window_row, values[0])
        else:
            rows.append(OutputRow(window_row, None, _texts_of_columns(text_columns, values)))
    for row in rows:
        if all(isinstance(text, Failure) for text in row.texts):
            row.failure = row.reported_failure
    return rows


def _rows_of_list(window_row: int, texts: list[str | Failure | None]) -> list[OutputRow]:
    if not texts:
        return [OutputRow(window_row, None, [Failure("text_empty", "the list of texts is empty")])]
    return [
        OutputRow(window_row, index, [_text_or_failure(text)], None if isinstance(text, Failure) else text)
        for index, text in enumerate(texts)
    ]


def _texts_of_columns(names: list[str], values: tuple[str | Failure | None, ...]) -> list[Text]:
    """Check the texts of several columns; a failure names its column if there are several."""
    texts = [_text_or_failure(value) for value in values]
    if len(names) == 1:
        return texts
    return [
        Failure(text.reason, f"{name}: {text.detail}") if isinstance(text, Failure) else text
        for name, text in zip(names, texts, strict=True)
    ]


def _text_or_failure(value: str | Failure | None) -> Text:
    if value is None:
        return Failure("text_null", "the text is null")
    if isinstance(value, str) and not value.strip():
        return Failure("text_empty", f"the text is {value!r}")
    return value


def tokenize(rows: list[OutputRow], preprocessor: AnyPreprocessor) -> None:
    """Set `token_ids` of every row, ids for the texts that will be read and None for the others, and `truncated`."""
    texts = [None if row.failure or isinstance(text, Failure) else text for row in rows for text in row.texts]
    ids, lengths, cut = preprocessor.tokens([text or "" for text in texts])
    of_texts = zip(texts, np.split(ids, np.cumsum(lengths)[:-1]), cut.tolist(), strict=False)
    for row in rows:
        own = list(islice(of_texts, len(row.texts)))
        row.token_ids = [ids if text else None for text, ids, _ in own]
        row.truncated = any(lost for _, _, lost in own) if any(text for text, _, _ in own) else None


def negatives_of(preprocessor: AnyPreprocessor, texts: Sequence[str] | None) -> list[np.ndarray]:
    """Return the int64 token ids of each text that is read with every image; none if there are no such texts."""
    if not texts:
        return []
    ids, lengths, _ = preprocessor.tokens(list(texts))
    return np.split(ids, np.cumsum(lengths)[:-1])


def carried_columns(window: pa.Table, config: JobConfig) -> pa.Table:
    """Return the window's columns that go on to the output, and `row_id`; see `carried_names`."""
    rows = with_row_id(window, config.input.id)
    return rows.select(carried_names(rows.schema, config))


def carried_names(schema: pa.Schema, config: JobConfig) -> list[str]:
    """Return which of the columns that are read go on to the output.

    These are the user's columns, without encoded images and regions unless `output.keep_image` asks for them, and
    without those that are read but not listed in `input.columns`. URIs of images stay: they name the image.
    """
    spec = config.input
    bulk = {name for name in (*config.image_columns, *config.region_columns) if not _is_uri(schema, name)}
    read = {*config.image_columns, *config.region_columns, *config.text_columns, spec.id}
    not_listed = read - set(spec.columns) if spec.columns is not None else set()
    dropped = not_listed if config.output.keep_image else not_listed | bulk
    return [name for name in schema.names if name not in dropped]


def _is_uri(schema: pa.Schema, name: str) -> bool:
    """Return whether an image column holds URIs, or lists of them."""
    kind = schema.field(name).type if name in schema.names else pa.null()
    return is_text(decoded(kind.value_type if is_list(kind) else kind))


def to_table(carried: pa.Table, rows: list[OutputRow], pair_index: np.ndarray, texts_of: TextColumns) -> pa.Table:
    """Return the Arrow rows of a micro-batch.

    Args:
        carried: The window's carried columns.
        rows: The output rows of the micro-batch.
        pair_index: int64 (rows, text columns and negatives), the first pair of each text; -1 if the text has none.
        texts_of: Where the texts come from.
    """
    list_column = texts_of.names[0] if texts_of.are_lists else None
    names = carried.column_names
    table = carried.select([name for name in names if name != list_column])  # lest every text repeats the list
    table = table.take(pa.array([row.window_row for row in rows], pa.int64()))
    if list_column is not None and list_column in names:
        raw_texts = pa.array([row.raw_text for row in rows], pa.string())
        table = table.add_column(names.index(list_column), list_column, raw_texts)
    if list_column is not None or texts_of.are_rows:
        table = table.append_column(TEXT_INDEX, pa.array([row.text_index for row in rows], pa.int32()))
    if texts_of.names:
        truncated = [None if row.failure else row.truncated for row in rows]
        table = table.append_column(TEXT_TRUNCATED, pa.array(truncated, pa.bool_()))
    texts = Counter(row.window_row for row in rows)
    table = table.append_column(TEXTS, pa.array([texts[row.window_row] for row in rows], pa.int32()))
    failures = [row.reported_failure or (None, None) for row in rows]
    table = table.append_column(ERROR, pa.array([reason for reason, _ in failures], pa.string()))
    table = table.append_column(DETAIL, pa.array([detail for _, detail in failures], pa.string()))
    for column in range(pair_index.shape[1]):
        table = table.append_column(f"{PAIR}{column}", pa.array(pair_index[:, column], pa.int64()))
    return table
