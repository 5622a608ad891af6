"""Columns of region features: every row's regions, or its own reason."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import ConfigError
from pipeline.common.error_codes import Failure
from pipeline.tables.regions import check_features, regions_of_rows

WIDTH = 3
NUMBERS = st.one_of(st.none(), st.floats(width=32))
ROWS = st.one_of(
    st.none(),
    st.lists(st.lists(st.floats(-9, 9, width=32), min_size=WIDTH, max_size=WIDTH), max_size=4),
    st.lists(st.one_of(st.none(), st.lists(NUMBERS, max_size=WIDTH + 1)), max_size=4),
)
MASKS = st.one_of(st.none(), st.lists(st.sampled_from([0, 1, None]), max_size=4))


def expected(row: list | None, mask: list | None, masked: bool) -> list | str:
    """The rule in plain Python: the real regions, or the reason."""
    if row is None or None in row:
        return "regions_null"
    if any(len(region) != WIDTH for region in row):
        return "regions_shape"
    if masked:
        if mask is None or None in mask or len(mask) != len(row):
            return "regions_shape"
        row = [region for region, real in zip(row, mask, strict=True) if real]
    if not row:
        return "regions_empty"
    finite = all(number is not None and np.isfinite(number) for region in row for number in region)
    return row if finite else "regions_not_finite"


@given(st.lists(st.tuples(ROWS, MASKS), max_size=6), st.booleans(), st.booleans(), st.integers(0, 6))
def test_every_row_has_its_regions_or_its_reason(rows: list, masked: bool, large: bool, cut: int) -> None:
    kind = pa.large_list(pa.large_list(pa.float64())) if large else pa.list_(pa.list_(pa.float32()))
    features = pa.chunked_array([[row for row, _ in rows[:cut]], [row for row, _ in rows[cut:]]], kind).slice(1)
    mask = pa.chunked_array([[mask for _, mask in rows]], pa.list_(pa.int8())).slice(1) if masked else None
    found = regions_of_rows(features, mask, WIDTH)
    assert len(found) == len(rows[1:])
    for [got], (row, own) in zip(found, rows[1:], strict=True):
        wanted = expected(row, own, masked)
        if isinstance(got, Failure):
            assert got.reason == wanted
        else:
            assert np.array_equal(np.frombuffer(got, np.float32).reshape(-1, WIDTH), np.array(wanted, np.float32))


@pytest.mark.parametrize("outer", [-1, 2])
def test_lists_of_fixed_size(outer: int) -> None:
    rows = [[[1, 2, 3], [4, 5, 6]], None, [[7, 8, 9], [0, 1, 2]], [[1, 1, 1], [float("nan")] * 3]]
    features = pa.chunked_array([pa.array(rows, pa.list_(pa.list_(pa.float32(), WIDTH), outer))]).slice(1)
    null, [good], broken = regions_of_rows(features, None, WIDTH)
    assert null == [Failure("regions_null", "the features are null")]
    assert np.frombuffer(good, np.float32).tolist() == [7, 8, 9, 0, 1, 2]
    assert broken == [Failure("regions_not_finite", "region 1 of those read holds a null or no number")]
    assert regions_of_rows(features.slice(1, 1), None, 4) == [
        [Failure("regions_shape", "region 0 has 3 features; the model reads 4")]
    ]
    flags = pa.chunked_array([[[True, True], [False, True], [False]]], pa.list_(pa.bool_()))
    _, [second], short = regions_of_rows(features, flags, WIDTH)
    assert np.frombuffer(second, np.float32).tolist() == [0, 1, 2]
    assert short == [Failure("regions_shape", "the mask is 1 numbers, or nulls; there are 2 regions")]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ((pa.list_(pa.float32()), None), "input.features: column 'f' is list<item: float>; region features are lists"),
        ((pa.binary(), None), "input.features: column 'f' is binary; region features are lists"),
        ((pa.list_(pa.list_(pa.string())), None), "input.features: column 'f' is list<item: list<item: string>>"),
        ((pa.list_(pa.list_(pa.float16())), pa.int8()), "input.features_mask: column 'm' is int8; a mask is a list of"),
    ],
)
def test_columns_of_other_types(kinds: tuple[pa.DataType, pa.DataType | None], message: str) -> None:
    features, mask = kinds
    with pytest.raises(ConfigError) as caught:
        check_features(pa.field("f", features), mask and pa.field("m", mask))
    assert str(caught.value).startswith(message)
