"""Which version of which file of the input a row is from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.results.row_source import FileVersion, is_from, version_keys
from pipeline.tables.provenance import row_sources


def test_versions() -> None:
    source = row_sources(["a", "a", "b"], ["1 10", "2 10", "1 10"], np.arange(3), np.arange(3))
    table = pa.table({"row_source": source})
    versions = [FileVersion("a", "1 10"), FileVersion("a", "2 10"), FileVersion("b", "1 10")]
    assert (
        version_keys(table).to_pylist()
        == [version.key for version in versions]
        == ["a\x001 10", "a\x002 10", "b\x001 10"]
    )
    assert is_from(table, {FileVersion("a", "2 10"), FileVersion("b", "2 10")}).to_pylist() == [False, True, False]
    assert is_from(table, set()).to_pylist() == [False] * 3
