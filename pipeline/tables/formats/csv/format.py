"""CSV tables."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.common.errors import ConfigError, first_line
from pipeline.tables.format import OpenOptions
from pipeline.tables.formats import row_format
from pipeline.tables.formats.csv.long_lines import LongLines
from pipeline.tables.formats.csv.quotes import QuoteCheck, check_quotes
from pipeline.tables.formats.lookalikes import HEAD_BYTES, lookalike
from pipeline.tables.formats.row_format import OpenFile, RowFormat, Scan, unread_row

SHOWN_CHARACTERS = 80  # of a first line, in a message
LAST_ROW = "\x01the last row\x01"  # added after the end of a file while it is scanned: is it a row of its own?


class CsvFormat(RowFormat):
    """CSV. Values are strings, exactly as they stand in the file ("007" stays "007"), but for ids that are integers.

    Commas, double quotes, a header line, or the names in `input.column_names`; quoted values may hold line ends and, as
    two, quotes. An empty value is an empty string. A line of more than 16 MiB is a row that is not read; a row of more
    than 16 MiB with line ends in it refuses the file, since after a quote that is never closed no row is sure.
    """

    name = "csv"
    extensions = (".csv", ".csv.gz")
    delimiter = ","
    layout_keys = ("column_names", "quotes")
    hint = "; if its files have no header line, name their columns in input.column_names, as in [text, image]"

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Read the header, then parse all rows. See `RowFormat`."""
        layout = self._layout(options)
        names = self._names(file, layout)
        quotes = QuoteCheck(self.delimiter) if layout.quoted else None
        try:
            scan = self._scan_rows(file, options, names, quotes)
        except ValueError:  # perhaps because of a quote, which says more
            self._check_quotes(file, layout, quotes)
            raise
        self._check_quotes(file, layout, quotes)
        return scan

    def _names(self, file: OpenFile, layout: Layout) -> list[str]:
        """Return the names of the columns. Raises ValueError if the first line can hold none."""
        with file() as opened:
            head = opened.read(HEAD_BYTES)
            if what := lookalike(head):
                raise ValueError(f"it is {what}")
            lines = LongLines(opened, layout.quoted, layout.names is None, head=head)
            blocks = _Blocks(lines)
            while blank := blocks.is_blank():
                if not lines.next_segment():
                    break
                blocks = _Blocks(lines)
            names: list[str] = list(layout.names or ()) if blank else _open(blocks, pa.schema([]), layout).schema.names
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns are named {twice!r}")
        if len(names) == 1 and layout.names is None:
            self._check_delimiter(names[0])
        return names

    def _check_delimiter(self, line: str) -> None:
        """Raise ValueError if the one name in the first line is several, with something else between them."""
        other = next((mark for mark in (",", "\t", ";", "|") if mark != self.delimiter and mark in line), None)
        if other:
            format_of = {",": "csv", "\t": "tsv"}
            if other in format_of:
                hint = f"name the file .{format_of[other]}, or set input.format={format_of[other]}"
            else:
                hint = "save it with commas, or with tabs as .tsv"
            raise ValueError(
                f"its first line, {line[:SHOWN_CHARACTERS]!r}, has {other!r} between names, not {self.delimiter!r}: "
                f"{hint}"
            )

    def _check_quotes(self, file: OpenFile, layout: Layout, quotes: QuoteCheck | None) -> None:
        """Raise ValueError if a quote stands where it makes a value wrong."""
        if quotes and quotes.suspicious:
            with file() as opened:
                check_quotes(opened, self.delimiter, layout.names is None)

    def _scan_rows(self, file: OpenFile, options: OpenOptions, names: list[str], quotes: QuoteCheck | None) -> Scan:
        layout, schema = self._layout(options), pa.schema([(name, pa.string()) for name in names])
        end = self.delimiter.join(LAST_ROW for _ in names)
        rows, last, numbers = 0, schema.empty_table(), options.id_column in names
        try:
            with file() as opened:
                lines = LongLines(opened, layout.quoted, layout.names is None, quotes)
                while True:
                    for batch in _open(_Blocks(lines, f"\n{end}\n".encode()), schema, layout):
                        self._check(batch, rows, options)
                        rows, last = rows + batch.num_rows, batch if batch.num_rows else last
                        numbers = numbers and _are_integers(batch[options.id_column])
                    if any(last[name][-1].as_py() != LAST_ROW for name in names):
                        raise ValueError(f"a quote in row {rows:,} is never closed: all that follows it is one value")
                    if not lines.next_segment():
                        break  # the row after each other segment counts for the line that is passed over
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):  # pyarrow's word for what no block holds
                raise
            raise ValueError(
                f"a row after row {rows:,} has more than {row_format.BLOCK_BYTES:,} bytes, or a quote in it is never "
                "closed; rows of CSV may have so many, those of JSON lines limits.row_bytes: write the table so, or as "
                "Parquet"
            ) from None
        return Scan(_with_ids(schema, options.id_column) if numbers else schema, rows - 1)

    def unify(self, paths: Sequence[str], scans: Sequence[Scan]) -> tuple[pa.Schema, dict[str, str]]:
        """Check that all files have the same columns; ids are strings if they are in one file."""
        first = scans[0].schema
        for path, scan in zip(paths, scans, strict=True):
            if set(scan.schema.names) != set(first.names):
                raise ConfigError(
                    f"input.path: {path!r} has the columns {', '.join(scan.schema.names)}, "
                    f"but {paths[0]!r} has {', '.join(first.names)}"
                )
        return next((scan.schema for scan in scans if pa.int64() not in scan.schema.types), first), {}

    def parse(self, file: IO[bytes], columns: pa.Schema, options: OpenOptions) -> Iterator[pa.Table]:
        """Parse block by block. See `RowFormat`."""
        layout = self._layout(options)
        lines = LongLines(file, layout.quoted, layout.names is None)
        while True:
            blocks = _Blocks(lines)
            if not blocks.is_blank():
                for batch in _open(blocks, columns, layout):
                    yield pa.Table.from_batches([batch])
            if lines.failure:
                yield unread_row(columns, lines.failure)
            if not lines.next_segment():
                return

    def quoted(self, options: OpenOptions) -> bool:
        """Return whether double quotes enclose values."""
        return options.quotes is not False

    def _layout(self, options: OpenOptions) -> Layout:
        return Layout(self.delimiter, self.quoted(options), options.column_names)

    def _check(self, batch: pa.RecordBatch, first: int, options: OpenOptions) -> None:
        """Check values while they are scanned; first: number of the first row of the batch. Raises ValueError."""
        if first == 0 and batch.num_rows and options.column_names is not None:
            cells = [str(column[0].as_py()).strip().lower() for column in batch.columns]
            if cells == [name.lower() for name in options.column_names]:
                raise ValueError("its first line names the columns: leave input.column_names out")


class TsvFormat(CsvFormat):
    """Values between tabs, as Conceptual Captions has them. Values are strings, as in CSV.

    A header line, or the names in `input.column_names`. Double quotes are characters, unless `input.quotes` is true; a
    file with values that begin with one is refused until `input.quotes` says which.
    """

    name = "tsv"
    extensions = (".tsv", ".tsv.gz")
    delimiter = "\t"

    def quoted(self, options: OpenOptions) -> bool:
        """Return whether double quotes enclose values."""
        return options.quotes is True

    def scan(self, file: OpenFile, options: OpenOptions) -> Scan:
        """Parse all rows. See `CsvFormat`."""
        try:
            return super().scan(file, options)
        except pa.ArrowInvalid as error:
            if options.quotes is not None or '"' not in str(error):
                raise
            quotes = "if double quotes enclose values, as pandas writes them, set input.quotes=true"
            raise ValueError(f"{first_line(error)}; {quotes}") from None

    def _check(self, batch: pa.RecordBatch, first: int, options: OpenOptions) -> None:
        super()._check(batch, first, options)
        if options.quotes is not None:
            return
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(column.type):
                opens = pc.starts_with(column.cast(pa.binary()), '"').to_numpy(zero_copy_only=False)
                if opens.any():
                    raise ValueError(
                        f"{name!r} of row {first + int(opens.argmax()) + 1:,} begins with a double quote: set "
                        "input.quotes=true if quotes enclose values, as pandas writes them, or false if they are "
                        "characters of the value"
                    )


class Layout(NamedTuple):
    """How values stand in a file; names: the columns, None if the first line has them."""

    delimiter: str
    quoted: bool
    names: tuple[str, ...] | None


def _are_integers(ids: pa.Array) -> bool:
    """Return whether all ids stand as int64 would be written; "007" does not, and an empty one is null."""
    ids = ids.filter(pc.and_(pc.not_equal(ids, ""), pc.not_equal(ids, LAST_ROW)))
    if not pc.all(pc.match_substring_regex(ids, "^(0|-?[1-9][0-9]{0,18})$"), min_count=0).as_py():
        return False
    try:
        ids.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond 64 bits
        return False
    return True


def _with_ids(schema: pa.Schema, id_column: str | None) -> pa.Schema:
    """Return the columns with ids that are integers."""
    return pa.schema([field.with_type(pa.int64()) if field.name == id_column else field for field in schema])


def _open(blocks: _Blocks, columns: pa.Schema, layout: Layout) -> pa.csv.CSVStreamingReader:
    """Return a reader of rows.

    Args:
        blocks: The file.
        columns: The columns to read; all if there are none.
        layout: How values stand in it.
    """
    return pa.csv.open_csv(
        blocks,
        read_options=pa.csv.ReadOptions(block_size=row_format.BLOCK_BYTES, column_names=layout.names),
        parse_options=pa.csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char='"' if layout.quoted else False,
            double_quote=layout.quoted,
            newlines_in_values=layout.quoted,
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=columns, include_columns=columns.names, check_utf8=False, strings_can_be_null=False
        ),
    )


class _Blocks(io.RawIOBase):
    """A segment of a file and some bytes after it, in blocks that never end between CR and LF.

    pyarrow drops an LF at the start of a block if the block before ended with CR, also within quotes.
    """

    def __init__(self, lines: LongLines, end: bytes = b"") -> None:
        """Describe what to read.

        Args:
            lines: The file.
            end: Bytes to read after those of the segment.
        """
        self.lines, self.held, self.end = lines, b"", end

    def is_blank(self) -> bool:
        """Return whether there is nothing but blank lines before a line that is passed over."""
        while not self.held.strip(b"\r\n"):
            self.held = self.lines.read(row_format.BLOCK_BYTES)
            if not self.held:
                return self.lines.failure is not None or not self.lines.first
        return False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if 0 < size <= len(self.held):
            block, self.held = self.held[:size], self.held[size:]
        else:
            most = size if size > 0 else row_format.BLOCK_BYTES
            block, self.held = self.held + self.lines.read(most - len(self.held)), b""
        if not block:
            block, self.end = self.end[:size] if size > 0 else self.end, self.end[size:] if size > 0 else b""
        if block.endswith(b"\r") and len(block) > 1:
            block, self.held = block[:-1], block[-1:] + self.held
        return block
