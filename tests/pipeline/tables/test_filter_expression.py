"""`input.filter`: what is understood, by pyarrow and Ray alike, and what is refused."""

import pyarrow as pa
import pytest

from pipeline.tables.filter_expression import Filter

TABLE = pa.table(
    {
        "source": ["coco", "vg", None, "coco", "sbu"],
        "width": pa.array([50, 100, 200, 300, None], pa.int32()),
        "flag": [True, False, None, True, True],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("source == 'coco' and width > 100", [3]),
        ("source != 'coco'", [1, 4]),
        ("100 <= width < 300", [1, 2]),
        ("width > -1 or source is None", [0, 1, 2, 3]),
        ("source is not None", [0, 1, 3, 4]),
        ("source in ['vg', 'sbu']", [1, 4]),
        ("width in [50, 300]", [0, 3]),
        ("not (width > 100)", [0, 1]),
        ("flag and not width > 100", [0]),
        ("flag", [0, 3, 4]),
        ("'coco' == source", [0, 3]),
        (" width\t> 250.5 ", [3]),
    ],
)
def test_rows_that_pass(text: str, rows: list[int]) -> None:
    keep = Filter(text)
    numbered = TABLE.append_column("row", pa.array(range(5)))
    assert numbered.filter(keep.pyarrow())["row"].to_pylist() == rows
    assert set(keep.columns()) <= set(TABLE.column_names)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "width >",
        "width + 1 > 2",
        "1 == 1",
        "5",
        "not 5",
        "width > 100 and 7",
        "source == None",
        "source is 'coco'",
        "source in 'coco'",
        "source in []",
        "'coco' in source",
        "__import__('os').system('true')",
        "source.x == 1",
        "width > 100; source",
        "f'{source}' == 'x'",
        "\0",
    ],
)
def test_what_is_no_filter_is_one_line(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the line is looked at below
        Filter(text)
    assert "\n" not in str(caught.value)
