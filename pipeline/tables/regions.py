"""The features of images' regions, which VisualBERT reads instead of images.

One column holds lists of regions, each a list of numbers; another one may say which regions are real. Each row gives
the bytes of its real regions, or the reason why there are none.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.common.error_codes import Failure
from pipeline.common.errors import ConfigError

Regions = bytes | Failure  # float32 (regions, width), in C order


def check_features(field: pa.Field, mask: pa.Field | None) -> None:
    """Check the types of the columns of features and of the mask. Raises ConfigError."""
    if not (_is_list(field.type) and _is_list(field.type.value_type) and _is_number(field.type.value_type.value_type)):
        raise ConfigError(
            f"input.features: column {field.name!r} is {field.type}; region features are lists of regions, each a list "
            "of floats"
        )
    if mask is not None and not (_is_list(mask.type) and _is_flag(mask.type.value_type)):
        raise ConfigError(f"input.features_mask: column {mask.name!r} is {mask.type}; a mask is a list of 0 and 1")


def regions_of_rows(features: pa.ChunkedArray, mask: pa.ChunkedArray | None, width: int) -> list[list[Regions]]:
    """Return the regions of each row, as a list of one.

    Args:
        features: The column of features.
        mask: The column that says which regions are real; None: all.
        width: Features of a region, as the model reads them.
    """
    column = _one_array(features)
    outer = column.values if _is_list(column.type) else column
    rows, regions = _spans(column), _spans(outer)
    numbers = outer.values
    values = numbers.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)  # null: not a number
    known = outer.is_valid().to_numpy(zero_copy_only=False)
    masks = [None] * len(column) if mask is None else mask.to_pylist()
    out: list[list[Regions]] = []
    for i, valid in enumerate(column.is_valid().to_pylist()):
        if not valid:
            out.append([Failure("regions_null", "the features are null")])
            continue
        begin, end = rows[0][i], rows[1][i]
        here = slice(begin, end)
        if not known[here].all():
            out.append([Failure("regions_null", f"region {int(np.argmin(known[here]))} is null")])
            continue
        out.append([_regions(values, regions[0][here], regions[1][here], masks[i], mask is not None, width)])
    return out


def _regions(
    values: np.ndarray, begins: np.ndarray, ends: np.ndarray, mask: list[float] | None, masked: bool, width: int
) -> Regions:
    """Return the regions of one row; region i is `values[begins[i] : ends[i]]`."""
    widths = ends - begins
    if (widths != width).any():
        wrong = int(np.argmax(widths != width))
        return Failure("regions_shape", f"region {wrong} has {widths[wrong]} features; the model reads {width}")
    found = values[begins[0] : ends[-1]].reshape(-1, width) if len(begins) else values[:0].reshape(0, width)
    if masked:
        if mask is None or None in mask or len(mask) != len(found):
            said = "null" if mask is None else f"{len(mask)} numbers, or nulls"
            return Failure("regions_shape", f"the mask is {said}; there are {len(found)} regions")
        found = found[np.array(mask, dtype=bool)]
    if not len(found):
        return Failure("regions_empty", "the row has no region" if not masked else "the mask leaves no region")
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        return Failure("regions_not_finite", f"region {int(np.argmin(finite))} of those read holds a null or no number")
    return found.tobytes()


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return all chunks as one array that begins at its first value."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _spans(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return where each list of an array begins and ends in its `values`, int64."""
    if pa.types.is_fixed_size_list(array.type):
        begins = (np.arange(len(array), dtype=np.int64) + array.offset) * array.type.list_size
        return begins, begins + array.type.list_size
    offsets = array.offsets.to_numpy().astype(np.int64)
    return offsets[:-1], offsets[1:]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_flag(kind: pa.DataType) -> bool:
    return _is_number(kind) or bool(pa.types.is_boolean(kind))
