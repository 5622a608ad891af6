"""What commands print, laid out by rich: as wide as the terminal, or plain text that stays the same without one."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobs.console.text import visible

NAME_WIDTH = 10  # characters of the column of names: equal in all output, so that scripts can rely on it
COUNT_WIDTH = 9
UNLIMITED = 100_000  # characters a line without a terminal: nothing is wrapped


def facts(rows: Iterable[tuple[str, str]], cut: bool = False, name_width: int = NAME_WIDTH) -> Table:
    """Lay out names and their values, one a line.

    Args:
        rows: Names and values.
        cut: Cut values that are wider than the terminal, instead of continuing them on the next line.
        name_width: The least width of the column of names, in characters.
    """
    table = _grid()
    table.add_column(min_width=name_width, no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(_cell(name), _cell(value, cut))
    return table


def counts(rows: Iterable[tuple[int, str]], cut: bool = False) -> Table:
    """Lay out numbers, aligned to the right, and what each counts."""
    table = _grid()
    table.add_column(min_width=COUNT_WIDTH, justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for count, meaning in rows:
        table.add_row(f"{count:,}", _cell(meaning, cut))
    return table


def columns(
    header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = (), indent: int = 0
) -> Table:
    """Lay out rows under a header; if they are wider than the terminal, the widest columns are cut.

    Args:
        header: Names of the columns; none for a table without a header.
        rows: Cells, as many in each row.
        numbers: Which columns are aligned to the right.
        indent: Spaces before each line.
    """
    rows = [list(row) for row in rows]
    width = len(header) or (len(rows[0]) if rows else 0)
    table = Table.grid(padding=(0, 2 if width else 0, 0, 0))
    table.show_header = bool(header)
    table.pad_edge = False
    if indent:
        table.add_column(width=indent - 2)
    for i in range(width):
        name = _cell(header[i], cut=True) if header else ""
        table.add_column(name, justify="right" if i in numbers else "left", header_style="bold")
    for row in rows:
        cells = [_cell(cell, cut=True) for cell in row]
        table.add_row(*([""] if indent else []), *cells)
    return table


def lines(*texts: str) -> Group:
    """Lay out texts, each on a line of its own."""
    return Group(*(_cell(text) for text in texts))


def stacked(parts: Iterable[RenderableType], gap: bool = False) -> Group:
    """Lay out parts below each other, with an empty line between them if there is to be a gap."""
    shown = list(parts)
    return Group(*[one for part in shown for one in ("", part)][1:]) if gap else Group(*shown)


def to_text(content: RenderableType, width: int = UNLIMITED) -> str:
    """Render as plain text without colours and without spaces at the ends of lines.

    Args:
        content: What to render.
        width: Cells of the terminal; wide characters of East Asia and emoji take two.
    """
    console = Console(
        file=io.StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(content)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def print_result(content: RenderableType) -> None:
    """Print to stdout: with the terminal's width and styles, or plain and unlimited without a terminal."""
    if sys.stdout.isatty():
        Console(highlight=False, markup=False, emoji=False).print(content)
    else:
        print(to_text(content))


def _grid() -> Table:
    return Table.grid(padding=(0, 2, 0, 0))


def _cell(text: str, cut: bool = False) -> Text:
    return Text(visible(text), no_wrap=True, overflow="ellipsis") if cut else Text(visible(text))
