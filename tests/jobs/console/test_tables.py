"""Tables for a terminal: the right widths, no markup, plain text that stays the same."""

import pytest
from rich.cells import cell_len

from jobs.console.tables import columns, counts, facts, lines, print_result, stacked, to_text

WIDE = "画像と文章"


def test_plain_text() -> None:
    content = stacked(
        [
            lines("title"),
            facts([("rows in", "20"), ("a longer name", "x" * 200)]),
            counts([(8, "image_null"), (1_234_567, "text_null")]),
        ]
    )
    assert to_text(content) == (
        f"title\nrows in        20\na longer name  {'x' * 200}\n        8  image_null\n1,234,567  text_null"
    )


def test_names_are_equally_wide_in_tables_of_their_own() -> None:
    assert to_text(facts([("a", "1")])) == "a           1"
    assert to_text(stacked([facts([("a", "1")]), facts([("b", "2")])], gap=True)) == "a           1\n\nb           2"


def test_wide_characters_and_emoji_take_two_cells() -> None:
    text = to_text(columns(["id", "caption", "n"], [["1", WIDE, "10"], ["2", "\N{THUMBS UP SIGN}x", "9"]], {2}))
    assert text.splitlines() == ["id  caption      n", f"1   {WIDE}  10", f"2   \N{THUMBS UP SIGN}x{' ' * 10}9"]


@pytest.mark.parametrize("width", [20, 40, 79])
def test_the_widest_columns_are_cut_to_the_terminal(width: int) -> None:
    rows = [["17", WIDE * 20, "short"], ["18", "a" * 99, "short"]]
    shown = to_text(columns(["id", "text", "end"], rows, indent=2), width).splitlines()
    assert len(shown) == 3
    assert all(cell_len(line) <= width for line in shown)
    assert all(line.endswith("short") and "…" in line for line in shown[1:])
    assert [line.split()[0] for line in shown] == ["id", "17", "18"]


def test_values_continue_on_the_next_line_or_are_cut() -> None:
    assert to_text(facts([("name", "x" * 30)]), 20) == f"name        {'x' * 8}\n" + "\n".join(
        f"            {'x' * count}" for count in (8, 8, 6)
    )
    assert to_text(facts([("name", "x" * 30)], cut=True), 20) == f"name        {'x' * 7}…"


def test_data_is_neither_markup_nor_emoji_nor_escapes() -> None:
    text = to_text(stacked([lines("[red]x[/red] :smile: \x1b[31m\n"), facts([("[bold]", "[link=x]")])]))
    assert text == "[red]x[/red] :smile: \\x1b[31m\\n\n[bold]      [link=x]"


def test_without_a_terminal_the_output_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(facts([("rows in", "x" * 300)]))
    assert capsys.readouterr().out == f"rows in     {'x' * 300}\n"
