"""Sections `input` and `texts`: the tables to read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pipeline.common import uris
from pipeline.common.columns import FIXED_TEXT
from pipeline.common.redaction import has_credentials, redacted, redacted_values
from pipeline.common.tasks import Task
from pipeline.config.base import Section
from pipeline.config.shard import check_shard


def common_folder(paths: Sequence[str]) -> str:
    """Return the folder above all of some paths or URIs.

    Raises:
        ValueError: There is none but the root, or the paths are in several storages.
    """
    roots = {"/".join(path.split("/")[:3]) if "://" in path else path[:1].replace("/", "") and "." for path in paths}
    folders = [path.split("/")[:-1] for path in paths]
    shared = folders[0]
    for folder in folders[1:]:
        same = [a == b for a, b in zip(shared, folder, strict=False)]
        shared = shared[: same.index(False) if False in same else len(same)]
    if len(roots) > 1 or (roots == {""} and len(shared) < 2):
        raise ValueError(f"{paths[0]!r} and {paths[-1]!r} have no folder in common; a table is in one folder or bucket")
    return "/".join(shared) or "."


# They change no result, or the fingerprint of the table says the same; a shard has a folder of its own.
NOT_HASHED = {"version", "timestamp", "contact", "shard", "verify_share"}


class InputConfig(Section):
    """The table to read, and which of its columns are what."""

    path: str = Field(
        description="file, folder or glob of the table: a local path, s3://..., hf://datasets/owner/name, or "
        "iceberg://catalog/namespace.table; a list of files is allowed, and {00000..00041}.tar"
    )
    image: str | list[str] | None = Field(
        "image",
        description="column of encoded bytes, of URIs, or of {bytes, path} structs; for `reason` one column for each "
        "image, or one of lists",
    )
    text: str | list[str] | dict[Task, str] | None = Field(
        "text",
        description="column of texts, or of lists of texts; or several columns, [caption, alt], each of whose texts is "
        'read with the image; or one column of texts for each task; or {fixed: "is there a watermark?"}, one text for '
        "all rows",
    )
    features: str | None = Field(
        None, description="column of region features, lists of lists of floats, which VisualBERT reads for an image"
    )
    features_mask: str | None = Field(
        None, description="column of lists of 0 and 1, which regions are real; default: all"
    )
    id: str | None = Field(
        None,
        description="column that becomes row_id, in its type: integers, strings, bytes, UUIDs, decimals, dates or "
        "timestamps; default: a hash of the file's name and the row's number in it",
    )
    columns: list[str] | None = Field(
        None, description="columns to carry into the output; default: all, encoded images only with output.keep_image"
    )
    files: list[str] | None = Field(
        None, description="files of the table, below the folder `path`; a list in `path` becomes this; default: all"
    )
    fixed_text: str | None = Field(
        None, description="the text that `text: {fixed: ...}` gives all rows, as the column `fixed_text`"
    )
    format: str | None = Field(None, description="table format; default: what the file names' extensions say")
    version: int | str | None = Field(
        None, description="version of a Delta, Iceberg (snapshot id) or Lance table to read; default: the latest"
    )
    timestamp: str | None = Field(
        None,
        description="time, in UTC if it names no zone: read the version that a Delta, Iceberg or Lance table had then",
    )
    column_names: list[str] | None = Field(
        None, description="names of the columns of CSV or TSV files that have no header line"
    )
    quotes: bool | None = Field(
        None,
        description="whether double quotes enclose values of CSV and TSV files; default: true for CSV; for TSV false, "
        "and a value that begins with one is an error",
    )
    shard: str | None = Field(
        None,
        description="one of many runs over the table: 3/1000 reads the fourth of 1,000 parts, numbered from 0; "
        "auto/1000 takes the number from SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX or AWS_BATCH_JOB_ARRAY_INDEX, "
        "auto1/1000 from an array of Slurm that begins at 1; results go to OUT/shard-00003-of-01000, and "
        "`vilt merge OUT` makes them one; default: all of the table",
    )
    filter: str | None = Field(
        None,
        description="rows to take of a Parquet, Delta, Iceberg, Lance or Arrow table, in SQL as in keep.where: "
        "source = 'coco' AND day >= DATE '2026-01-31'; "
        "columns are compared with numbers, texts, dates and times by =, <>, <, <=, >, >=, BETWEEN, IN, LIKE, IS NULL, "
        "joined by AND, OR, NOT; default: all rows",
    )
    allow: list[str] = Field(
        [],
        description="more prefixes of URIs that images may be read from: /folder/, s3://..., https://...; "
        "https://* is every public host; what is below the table's own folder is allowed without",
    )
    contact: str | None = Field(
        None,
        pattern=r"^[!-~][ -~]{0,199}$",
        description="address or URL that http(s) hosts are told in the header User-Agent, so that they can reach you",
    )
    robots: bool = Field(
        True,
        description="leave images alone whose hosts say `noai` or `noimageai` in the header X-Robots-Tag; hosts that a "
        "prefix in `allow` names are read all the same",
    )
    verify: Literal["etag"] | None = Field(
        None,
        description="etag: keep in the column image_version which version of its image a row was read with, and let "
        "each `vilt reindex` ask for the versions of all images by URI, so that rows are read again whose image has "
        "changed; default: only files of the table are compared",
    )
    verify_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the rows whose images a `vilt reindex` asks for, other rows each time; with verify",
    )
    allow_private: bool = Field(False, description="let http(s):// prefixes be at addresses of private networks")

    @model_validator(mode="before")
    @classmethod
    def _fixed_text_is_a_column(cls, values: Any) -> Any:
        """Take a text for all rows for a column that holds it."""
        if not isinstance(values, dict):
            return values
        text = values.get("text")
        if isinstance(text, dict) and list(text) == ["fixed"]:
            if not isinstance(text["fixed"], str) or not text["fixed"]:
                raise ValueError(f"input.text: {text!r} is no text for all rows; write it in quotes")
            return {**values, "text": FIXED_TEXT, "fixed_text": text["fixed"]}
        if values.get("fixed_text") is not None and text != FIXED_TEXT:
            raise ValueError("input.fixed_text: give it as text: {fixed: ...}")
        return values

    @model_validator(mode="before")
    @classmethod
    def _list_is_folder_and_files(cls, values: Any) -> Any:
        """Take a list of paths for the folder above all of them, and the files below it."""
        if not isinstance(values, dict) or not isinstance(values.get("path"), list):
            return values
        paths = values["path"]
        if not paths or not all(isinstance(path, str) for path in paths):
            raise ValueError(f"path: {paths!r} is no list of paths")
        if values.get("files") is not None:
            raise ValueError("files: given beside a list in path; name the files in one of them")
        if len(paths) == 1:
            return {**values, "path": paths[0]}
        folder = common_folder(paths)
        below = paths if folder == "." else [path[len(folder) + 1 :] for path in paths]
        return {**values, "path": folder, "files": below}

    @field_validator("timestamp", mode="before")
    @classmethod
    def _time_is_iso(cls, value: Any) -> Any:
        """Return a time, which YAML may have read as such, as a text in ISO 8601; raise ValueError if it is none."""
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            raise ValueError(f"{value!r} is no time; write it as 2026-01-31T12:00:00Z") from None
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).isoformat()

    @field_validator("text")
    @classmethod
    def _columns_are_distinct(cls, value: Any) -> Any:
        """Return the columns of texts; one in a list is that column."""
        if isinstance(value, list):
            if not value or len(set(value)) < len(value):
                raise ValueError(f"input.text: {value!r}: name one column or several, each once")
            return value[0] if len(value) == 1 else value
        return value

    @field_validator("shard")
    @classmethod
    def _shard_is_one(cls, value: str | None) -> str | None:
        return None if value is None else check_shard(value)

    @model_validator(mode="after")
    def _one_version(self) -> Self:
        if self.version is not None and self.timestamp is not None:
            raise ValueError("input.version, input.timestamp: both are given; name the version in one of them")
        return self

    @model_validator(mode="after")
    def _share_is_of_verify(self) -> Self:
        if self.verify is None and self.verify_share != type(self).model_fields["verify_share"].default:
            raise ValueError(f"input.verify_share: {self.verify_share}, but input.verify is not set: leave it out")
        return self

    @property
    def text_names(self) -> list[str]:
        """Return the columns of texts, each once."""
        if isinstance(self.text, dict):
            return list(dict.fromkeys(self.text.values()))
        names = [self.text] if isinstance(self.text, str) else self.text or []
        return list(dict.fromkeys(names))

    @property
    def as_of(self) -> datetime | None:
        """Return the time of `timestamp`; None if there is none."""
        return None if self.timestamp is None else datetime.fromisoformat(self.timestamp)

    @model_validator(mode="after")
    def _paths_are_usable(self) -> Self:
        for key, path in (("path", self.path), *(("allow", prefix) for prefix in self.allow)):
            try:
                uris.normal(path)
            except ValueError as error:
                raise ValueError(f"input.{key}: {redacted(path)!r} cannot be used: {error}") from None
        for prefix in self.allow:
            self._check_prefix(prefix)
        return self

    def _check_prefix(self, prefix: str) -> None:
        if has_credentials(prefix):
            raise ValueError(
                f"input.allow: {redacted(prefix)!r} is given with a password or a token, which rows and results would "
                "name; leave it out, and give keys of s3:// in section `storage`, others in the environment (fsspec "
                "reads FSSPEC_FTP_PASSWORD and the like)"
            )
        if not uris.scheme(prefix) and not prefix.startswith("/"):
            raise ValueError(
                f"input.allow: {prefix!r} matches no image, since it is neither an absolute path nor a URL: write "
                f"{os.path.abspath(prefix)!r}, s3://... or https://...; what is below the table's own folder is "
                "allowed without"
            )
        if uris.is_any_host(prefix):
            if self.allow_private:
                raise ValueError(
                    f"input.allow: {prefix!r} is every public host; with input.allow_private name the servers"
                )
        elif uris.scheme(prefix) in uris.WEB and "*" in prefix:
            raise ValueError(
                f"input.allow: {prefix!r} is taken as it stands, '*' too; give the start of the URLs, or https://* "
                "for every public host"
            )

    def stored(self) -> dict[str, Any]:
        """Return the keys that are set, for summaries and logs of tables: without credentials in URIs."""
        values: dict[str, Any] = redacted_values(self.model_dump(exclude_defaults=True))
        return {**values, "path": redacted(self.path)}

    @model_validator(mode="after")
    def _private_hosts_are_named(self) -> Self:
        if self.allow_private and not any(uris.scheme(prefix) in uris.WEB for prefix in self.allow):
            raise ValueError(
                "input.allow_private: true, but input.allow names no http:// or https:// prefix; "
                "list the internal servers there"
            )
        return self
