"""The registered table formats. A new format is one line here."""

from __future__ import annotations

from pipeline.common.errors import ConfigError
from pipeline.tables.arrow import ArrowFormat, SavedDatasetFormat
from pipeline.tables.csv import CsvFormat, TsvFormat
from pipeline.tables.delta import DeltaFormat
from pipeline.tables.format import TableFormat
from pipeline.tables.iceberg import IcebergFormat
from pipeline.tables.jsonl import JsonLinesFormat
from pipeline.tables.lance import LanceFormat
from pipeline.tables.parquet import ParquetFormat
from pipeline.tables.path_lists import PathListFormat
from pipeline.tables.pictures import ImageFolderFormat, PictureFormat
from pipeline.tables.unreadable import HUDI
from pipeline.tables.webdataset import WebDatasetFormat

FORMATS: list[TableFormat] = [
    ParquetFormat(),
    CsvFormat(),
    TsvFormat(),
    JsonLinesFormat(),
    WebDatasetFormat(),
    ArrowFormat(),
    ImageFolderFormat(),
    PictureFormat(),
    PathListFormat(),
    DeltaFormat(),
    IcebergFormat(),
    HUDI,
    LanceFormat(),
    SavedDatasetFormat(),
]


def format_named(name: str, key: str = "input.format") -> TableFormat:
    """Return a format by its name.

    Args:
        name: The name.
        key: The key of the config that says it.

    Raises:
        ConfigError: There is no such format.
    """
    for known in FORMATS:
        if known.name == name:
            return known
    raise ConfigError(f"{key}: {name!r} is no table format; use {', '.join(known.name for known in FORMATS)}")
