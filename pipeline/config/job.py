"""What the YAML file of a job over a table may say, checked before anything starts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from typing_extensions import Self

from pipeline.common import uris
from pipeline.common.errors import ConfigError
from pipeline.common.tasks import TASK_NAMES, Task
from pipeline.config.base import Section, read_values
from vilt.processing.decoding import MAX_PIXELS


class InputConfig(Section):
    """The table to read, and which of its columns are what."""

    path: str = Field(description="file, folder or glob: a local path or s3://...")
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
    id: str | None = Field(None, description="integer column that becomes row_id; default: a hash of file and place")
    columns: list[str] | None = Field(None, description="columns to carry into the output; default: all")
    format: str | None = Field(None, description="table format; default: what the file names' extensions say")
    filter: str | None = Field(None, description="rows to take: source == 'coco' and width > 100 (Parquet only)")
    allow: list[str] = Field(
        [], description="more URI prefixes that images may be read from; https://* is every public host"
    )
    allow_private: bool = Field(False, description="let http(s):// prefixes be at private addresses")

    @model_validator(mode="after")
    def _places_are_urls(self) -> Self:
        for key, place in (("path", self.path), *(("allow", prefix) for prefix in self.allow)):
            try:
                uris.normal(place)
            except ValueError as error:
                raise ValueError(f"input.{key}: {uris.shown(place)!r} cannot be used: {error}") from None
        return self

    @model_validator(mode="after")
    def _prefixes_match_something(self) -> Self:
        for prefix in self.allow:
            if not uris.scheme(prefix) and not prefix.startswith("/"):
                raise ValueError(
                    f"input.allow: {prefix!r} is relative; the table's folder is allowed anyway; to allow another "
                    f"folder give its whole path, as in {os.path.abspath(prefix)!r}"
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
        return self

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


class OutputConfig(Section):
    """Where the results go."""

    path: str = Field(description="folder for the Parquet files: a local path or s3://...")
    overwrite: bool = Field(False, description="replace what an earlier run wrote there")
    keep_image: bool = Field(False, description="carry the image column into the output")
    report: bool = Field(True, description="write _report.html")
    format: Literal["parquet", "delta"] = Field("parquet", description="files, or a Delta Lake table of them")
    retention_days: float | None = Field(
        None, ge=0, description="how long earlier versions of a Delta table stay; default: forever"
    )
    retry_errors: int | None = Field(
        None, ge=0, description="how many later runs try a row of a Delta table again whose error may pass; default: 10"
    )
    rows_per_file: int | None = Field(
        None, ge=1, description="write a file, from which a stopped job goes on, once so many rows are ready"
    )


class ActorsConfig(Section):
    """The pool that hosts the model: of a fixed size, or growing and shrinking between `min` and `max`."""

    count: int | None = Field(None, ge=1, description="actors; default: one a GPU, else one for every 8 cores")
    min: int | None = Field(None, ge=1, description="least actors to work with; default: 1")
    max: int | None = Field(None, ge=1, description="most actors, where their number follows the work and the cluster")
    gpus: float | None = Field(None, ge=0, description="GPUs an actor; default: 1 where Ray has GPUs, else 0")
    cpus: int | None = Field(None, ge=1, description="cores an actor; default: 1 with a GPU, else a share of all")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.max is None and self.min is not None:
            raise ValueError("actors.min: set without actors.max; give both, or actors.count")
        if self.max is not None and self.count is not None:
            raise ValueError("actors.count: set beside actors.max; a pool has one size, or a least and a most")
        if self.max is not None and self.max < (self.min or 1):
            raise ValueError(f"actors.max: {self.max} is less than actors.min, which is {self.min}")
        if self.gpus is not None and self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"actors.gpus: {self.gpus:g} is no share of one GPU, and no whole number of them")
        return self


class LimitsConfig(Section):
    """What an image may cost. Larger ones are rejected with a reason."""

    image_bytes: int = Field(64 * 2**20, ge=1, description="most bytes of an encoded image")
    image_pixels: int = Field(MAX_PIXELS, ge=1, description="most pixels of a decoded image")
    fetch_seconds: float = Field(30.0, gt=0, description="most seconds to fetch an image, repetitions included")


class BatchConfig(Section):
    """How rows are put together."""

    window_rows: int = Field(512, ge=1, description="rows that are bucketed together")
    tokens: int | None = Field(None, ge=256, description="tokens of a micro-batch; default: 16384, with GPUs 65536")


class StorageConfig(Section):
    """How to reach s3://, for input, output, model and images, on every machine. Where a key is left out, the usual
    environment variables, files and instance credentials decide."""

    endpoint_url: str | None = Field(None, description="the server, where it is not AWS")
    key: SecretStr | None = Field(None, description="access key id")
    secret: SecretStr | None = Field(None, description="secret access key")
    token: SecretStr | None = Field(None, description="session token of temporary credentials")
    region: str | None = Field(None, description="region of the buckets")
    anon: bool = Field(False, description="read public buckets without credentials")

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.key is None) != (self.secret is None):
            missing, given = ("key", "secret") if self.key is None else ("secret", "key")
            raise ValueError(f"storage.{missing}: missing, though storage.{given} is set")
        if self.token is not None and self.key is None:
            raise ValueError("storage.token: set without storage.key and storage.secret, to which it belongs")
        if self.anon and self.key is not None:
            raise ValueError("storage.anon: true, though storage.key is set; leave one of them out")
        return self


class RayConfig(Section):
    """Which Ray to use."""

    address: str | None = Field(None, description="a running cluster; default: RAY_ADDRESS, else a local one")
    decode_on: Literal["cpu_nodes", "all_nodes"] | None = Field(
        None, description="where to read and decode; default: on nodes without GPUs, where the cluster has such cores"
    )


class JobConfig(Section):
    """A whole job file. `tasks`, or one `task`; set by the command, unless that is `vilt run`."""

    tasks: list[Task] = Field(min_length=1, description="list of what to do: " + ", ".join(TASK_NAMES))
    input: InputConfig
    texts: TextsConfig | None = Field(None, description="section 'texts', of `rank`")
    model: str | dict[Task, str] = Field(
        description="checkpoint: a folder, s3://..., hf://owner/name or zoo://scenes; or one for each task"
    )
    output: OutputConfig
    max_error_rate: float = Field(0.05, ge=0, le=1, description="share of rejected rows, judged from 1,000 rows on")
    top_k: int = Field(5, ge=1, description="answers kept; of `rank` the best of each text and image")
    precision: Literal["auto", "float32", "bfloat16", "int8", "float8"] = "auto"
    tokenizer: str | None = Field(None, description="folder of a tokenizer; default: the checkpoint's own")
    actors: ActorsConfig = ActorsConfig()
    limits: LimitsConfig = LimitsConfig()
    batch: BatchConfig = BatchConfig()
    storage: StorageConfig = StorageConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="before")
    @classmethod
    def _one_task_is_a_list_of_one(cls, values: Any) -> Any:
        if isinstance(values, dict) and "task" in values:
            if "tasks" in values:
                raise ValueError("task: give either task or tasks")
            values = {**values, "tasks": [values["task"]]}
            del values["task"]
        return values

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Self:
        if f"{self.output.path.rstrip('/')}/".startswith(f"{self.input.path.rstrip('/')}/"):
            raise ValueError(
                f"output.path: {self.output.path!r} is in the input's folder {self.input.path!r}, where the next run "
                "would read it: choose another"
            )
        if self.output.retention_days is not None and self.output.format != "delta":
            raise ValueError("output.retention_days: earlier versions are kept with output.format=delta only")
        if self.output.retry_errors is not None and self.output.format != "delta":
            raise ValueError(
                "output.retry_errors: counted in Delta tables only; leave it out, and use --retry-errors, or set "
                "output.format=delta"
            )
        if "rank" in self.tasks and self.output.format == "delta":
            raise ValueError("output.format: 'delta', but rank writes two tables of Parquet files: use `vilt rank`")
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks: {', '.join(self.tasks)}: name each once")
        if "reason" in self.tasks and len(self.tasks) > 1:
            raise ValueError("tasks: reason reads several images a row; run it in a job of its own")
        if "rank" in self.tasks and (len(self.tasks) > 1 or self.texts is None):
            raise ValueError("texts: missing; rank reads a table of texts with every image, in a job of its own")
        if self.texts and self.tasks != ["rank"]:
            raise ValueError(f"texts: only rank reads it; {self.tasks[0]} reads the texts in input.text")
        if self.texts and self.texts.candidates and (self.texts.id is None or self.input.id is None):
            raise ValueError("texts.candidates: names texts and images by their ids; set texts.id and input.id")
        if self.input.features_mask and not self.input.features:
            raise ValueError("input.features_mask: given without input.features, the column that it belongs to")
        if isinstance(self.input.image, list) and self.tasks != ["reason"]:
            raise ValueError(f"input.image: {self.input.image} are several columns; {self.tasks[0]} reads one image")
        for key, value in (("model", self.model), ("input.text", self.input.text)):
            if isinstance(value, dict) and set(value) != set(self.tasks):
                raise ValueError(f"{key}: names {', '.join(value)}; the tasks are {', '.join(self.tasks)}")
        return self

    @property
    def image_columns(self) -> list[str]:
        """The columns that hold images: one, for `reason` one for each image, none where regions are read."""
        image = self.input.image
        return image if isinstance(image, list) else [] if image is None else [image]

    @property
    def region_columns(self) -> list[str]:
        """The columns of region features and their mask, where there are any."""
        return [name for name in (self.input.features, self.input.features_mask) if name is not None]

    @property
    def text_columns(self) -> list[str]:
        """The distinct columns that hold texts, in the order of the tasks; none where images alone are read."""
        texts = (self.text_of(task) for task in self.tasks if task != "rank")
        return list(dict.fromkeys(text for text in texts if text is not None))

    def text_of(self, task: Task) -> str | None:
        """The column of texts that a task reads."""
        return self.input.text[task] if isinstance(self.input.text, dict) else self.input.text

    @property
    def models(self) -> dict[str, list[Task]]:
        """The distinct checkpoints and what each does."""
        found: dict[str, list[Task]] = {}
        for task in self.tasks:
            found.setdefault(self.model[task] if isinstance(self.model, dict) else self.model, []).append(task)
        return found

    @property
    def sha256(self) -> str:
        """Hash of every key that can change a result; where it runs and how it is batched cannot."""
        free = {"output", "max_error_rate", "actors", "batch", "storage", "ray"}
        return hashlib.sha256(json.dumps(self.model_dump(exclude=free), sort_keys=True).encode()).hexdigest()

    @classmethod
    def load(cls, task: Task | None, path: str, overrides: Sequence[str] = ()) -> JobConfig:
        """Read a YAML file and apply `key=value` overrides, as in `input.path=s3://bucket/table`.

        task: what to do; None where the file says it.

        Raises ConfigError for an unreadable file, an unknown key, a missing key or a wrong type.
        """
        return cls.parse(task, read_values(path, overrides), path)

    @classmethod
    def parse(cls, task: Task | None, values: Mapping[str, Any], source: str = "config") -> JobConfig:
        """A config from plain values. Raises ConfigError."""
        if task:
            said = values.get("tasks", values.get("task", task))
            if said not in (task, [task]):
                raise ConfigError(f"{source}: tasks: {said!r}, but the command is {task}: use `vilt run`")
            values = {key: value for key, value in values.items() if key != "task"} | {"tasks": [task]}
        return cls.checked(values, source)
