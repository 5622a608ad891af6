"""The registered table formats. A new format is one line here."""

from __future__ import annotations

from pipeline.common.errors import ConfigError
from pipeline.tables.format import TableFormat
from pipeline.tables.formats.arrow.format import ArrowFormat, SavedDatasetFormat
from pipeline.tables.formats.csv.format import CsvFormat, TsvFormat
from pipeline.tables.formats.delta.format import DeltaFormat
from pipeline.tables.formats.iceberg.format import IcebergFormat
from pipeline.tables.formats.jsonl.format import JsonLinesFormat
from pipeline.tables.formats.lance.format import LanceFormat
from pipeline.tables.formats.parquet.format import ParquetFormat
from pipeline.tables.formats.path_lists import PathListFormat
from pipeline.tables.formats.pictures import ImageFolderFormat, PictureFormat
from pipeline.tables.formats.unreadable import HUDI
from pipeline.tables.formats.webdataset.format import WebDatasetFormat

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
