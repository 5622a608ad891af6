"""Sections `input` and `texts`: the tables to read."""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.common import uris
from pipeline.common.redaction import has_credentials, redacted, redacted_values
from pipeline.common.tasks import Task
from pipeline.config.base import Section


class InputConfig(Section):
    """The table to read, and which of its columns are what."""

    path: str = Field(description="file, folder or glob of the table: a local path or s3://...")
    image: str | list[str] | None = Field(
        "image",
        description="column of encoded bytes, of URIs, or of {bytes, path} structs; for `reason` one column for each "
        "image, or one of lists",
    )
    text: str | dict[Task, str] | None = Field(
        "text", description="column of texts, or of lists of texts; or one column of texts for each task"
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
        None, description="columns to carry into the output; default: all, the image only with output.keep_image"
    )
    format: str | None = Field(None, description="table format; default: what the file names' extensions say")
    filter: str | None = Field(
        None,
        description="rows to take of a Parquet table, in SQL as in keep.where: "
        "source = 'coco' AND day >= DATE '2026-01-31'; "
        "columns are compared with numbers, texts, dates and times by =, <>, <, <=, >, >=, BETWEEN, IN, LIKE, IS NULL, "
        "joined by AND, OR, NOT; default: all rows",
    )
    allow: list[str] = Field(
        [],
        description="more prefixes of URIs that images may be read from: /folder/, s3://..., https://...; "
        "https://* is every public host; what is below the table's own folder is allowed without",
    )
    allow_private: bool = Field(False, description="let http(s):// prefixes be at addresses of private networks")

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


class TextsConfig(Section):
    """The texts that `rank` reads with every image."""

    path: str = Field(description="table of texts: a file, folder or glob")
    text: str = Field("text", description="column of texts")
    id: str | None = Field(None, description="integer column that names a text; default: its number in the table")
    format: str | None = Field(None, description="table format; default: what the file names' extensions say")
    candidates: str | None = Field(
        None, description="table of the pairs to read, text_id and image_id; default: every text with every image"
    )
