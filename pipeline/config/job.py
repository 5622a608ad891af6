"""The file of a job over a table, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pipeline.common.errors import ConfigError
from pipeline.common.tasks import KEEP_LISTS, TASK_NAMES, Task, added_columns
from pipeline.config.base import Section, read_values
from pipeline.config.input import NOT_HASHED, InputConfig
from pipeline.config.limits import LimitsConfig
from pipeline.config.negatives import check_negatives
from pipeline.config.output import OutputConfig
from pipeline.config.output_checks import check_files, check_output, check_shard
from pipeline.config.resources import ActorsConfig, BatchConfig, RayConfig
from pipeline.config.storage import StorageConfig
from pipeline.config.texts import TextsConfig

Precision = Literal["auto", "float32", "bfloat16", "int8", "float8"]
MAX_ERROR_RATE = "share of rejected rows, 0 to 1, beyond which the job ends; judged from 1,000 rows on, and at the end"
DECODE = (
    "how JPEGs are decoded; fast: those of twice the model's size and more at a half, a quarter or an eighth of their "
    "own, in less time, to scores that differ slightly (benchmarks/README.md)"
)
PRECISION = "numbers that the model computes with; auto: bfloat16 if the device is fast in it, else float32"


class JobConfig(Section):
    """The file of a job. It names `tasks`, or one `task`; a command other than `vilt run` sets it."""

    tasks: list[Task] = Field(min_length=1, description="list of what to do: " + ", ".join(TASK_NAMES))
    input: InputConfig
    texts: TextsConfig | None = Field(None, description="table of texts that `rank` reads with every image")
    model: str | dict[Task, str] = Field(
        description="checkpoint: a folder, s3://..., hf://owner/name or zoo://scenes; or one for each task"
    )
    output: OutputConfig
    max_error_rate: float = Field(0.05, ge=0, le=1, description=MAX_ERROR_RATE)
    top_k: int = Field(
        5,
        ge=1,
        description="answers or classes that are kept of a row; of `rank` the best texts of an image, and images of a "
        "text",
    )
    negatives: list[str] | None = Field(
        None,
        description="texts that `score` reads with each image as well, as [a watermark, an advertisement]; their "
        "scores are the column negative_scores, which keep.beats of `vilt filter` compares",
    )
    precision: Precision = Field("auto", description=PRECISION)
    decode: Literal["exact", "fast"] = Field("exact", description=DECODE)
    tokenizer: str | None = Field(None, description="folder of a tokenizer; default: the checkpoint's own")
    actors: ActorsConfig = ActorsConfig()
    limits: LimitsConfig = LimitsConfig()
    batch: BatchConfig = BatchConfig()
    storage: StorageConfig = StorageConfig()
    ray: RayConfig = RayConfig()

    @field_validator("negatives")
    @classmethod
    def _negatives_are_texts(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else check_negatives("negatives", value)

    @model_validator(mode="before")
    @classmethod
    def _one_task_is_a_list_of_one(cls, values: Any) -> Any:
        if isinstance(values, dict) and "task" in values:
            if "tasks" in values:
                raise ValueError("task: give either task or tasks")
            values = {**values, "tasks": [values["task"]]}
            del values["task"]
        if isinstance(values, dict) and "tasks" not in values:
            raise ValueError(
                f"tasks: missing; add `task: score` to the file (or {', '.join(TASK_NAMES[1:])}), or name it on the "
                "command line, as in `vilt score` and `vilt plan --task score`"
            )
        return values

    @model_validator(mode="after")
    def _output_fits(self) -> Self:
        check_output(self.output, self.input, self.adds_to_input)
        check_files(self.output, self.input, self.tasks, self.adds_to_input)
        check_shard(self.output, self.input, self.tasks)
        return self

    @model_validator(mode="after")
    def _tasks_fit_together(self) -> Self:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks: {', '.join(self.tasks)}: name each once")
        if "reason" in self.tasks and len(self.tasks) > 1:
            raise ValueError("tasks: reason reads several images a row; run it in a job of its own")
        if "rank" in self.tasks and (len(self.tasks) > 1 or self.texts is None):
            raise ValueError("texts: missing; rank reads a table of texts with every image, in a job of its own")
        if self.texts and self.tasks != ["rank"]:
            raise ValueError(f"texts: only rank reads it; {self.tasks[0]} reads the texts in input.text")
        if self.texts and "text" in self.input.model_fields_set and self.input.text is not None:
            raise ValueError(f"input.text: {self.input.text!r}, but rank reads the texts in texts.text: leave it out")
        if self.top_k != type(self).model_fields["top_k"].default and not {*KEEP_LISTS} & {*self.tasks}:
            raise ValueError(
                f"top_k: {self.top_k}, but {', '.join(self.tasks)} keeps no list of the best: leave it out"
            )
        if self.negatives and "score" not in self.tasks:
            raise ValueError(f"negatives: only score reads them; the job is of {', '.join(self.tasks)}")
        for key, value in (("model", self.model), ("input.text", self.input.text)):
            if isinstance(value, dict) and set(value) != set(self.tasks):
                raise ValueError(f"{key}: names {', '.join(value)}; the tasks are {', '.join(self.tasks)}")
        return self

    @model_validator(mode="after")
    def _columns_fit_the_tasks(self) -> Self:
        if self.texts and self.texts.candidates:
            self._ids_are_there(self.texts)
        if self.input.features_mask and not self.input.features:
            raise ValueError("input.features_mask: given without input.features, the column that it belongs to")
        if isinstance(self.input.image, list) and self.tasks != ["reason"]:
            raise ValueError(f"input.image: {self.input.image} are several columns; {self.tasks[0]} reads one image")
        return self

    def _ids_are_there(self, texts: TextsConfig) -> None:
        """Raise ValueError if candidates name rows by ids that no column holds."""
        by_id = texts.candidates
        images = isinstance(by_id, str) or (by_id is not None and by_id.images.path is not None)
        of_texts = isinstance(by_id, str) or (by_id is not None and by_id.texts.path is not None)
        if (images and self.input.id is None) or (of_texts and texts.id is None):
            raise ValueError("texts.candidates: names texts and images by their ids; set texts.id and input.id")

    @property
    def image_columns(self) -> list[str]:
        """Return the columns that hold images: one; for `reason` one for each image; none if regions are read."""
        image = self.input.image
        return image if isinstance(image, list) else [] if image is None else [image]

    @property
    def region_columns(self) -> list[str]:
        """Return the columns of region features and their mask, if there are any."""
        return [name for name in (self.input.features, self.input.features_mask) if name is not None]

    @property
    def text_columns(self) -> list[str]:
        """Return the distinct columns that hold texts, in the order of the tasks; none if images alone are read."""
        if self.texts_in_columns:
            return self.input.text_names
        texts = (self.text_of(task) for task in self.tasks if task != "rank")
        return list(dict.fromkeys(text for text in texts if text is not None))

    @property
    def texts_in_columns(self) -> bool:
        """Return whether a row has its texts in several columns: each becomes a row of results, as those of a list."""
        return isinstance(self.input.text, list)

    def text_of(self, task: Task) -> str | None:
        """Return the column of texts that a task reads; of several, which all tasks read, the first."""
        text = self.input.text[task] if isinstance(self.input.text, dict) else self.input.text
        return text[0] if isinstance(text, list) else text

    @property
    def models(self) -> dict[str, list[Task]]:
        """Return the distinct checkpoints, and the tasks of each."""
        found: dict[str, list[Task]] = {}
        for task in self.tasks:
            found.setdefault(self.model[task] if isinstance(self.model, dict) else self.model, []).append(task)
        return found

    @property
    def added_columns(self) -> list[str]:
        """Return the columns that the job adds, in the order in which they are written."""
        return added_columns(self.tasks, bool(self.negatives), self.input.verify is not None)

    @property
    def adds_to_input(self) -> bool:
        """Return whether the results become columns of the input table itself, a Lance dataset."""
        return self.output.format == "lance" and self.output.path.rstrip("/") == self.input.path.rstrip("/")

    @property
    def in_input_order(self) -> bool:
        """Return whether results have the order and the files of the input."""
        return self.output.join or self.output.format == "webdataset" or self.adds_to_input

    @property
    def sha256(self) -> str:
        """Return a hash of every key that can change a result; where a job runs and how it is batched cannot."""
        free = dict.fromkeys(("output", "max_error_rate", "actors", "batch", "storage", "ray"), True)
        return self.sha256_without({**free, "input": NOT_HASHED})

    @classmethod
    def load(cls, task: Task | None, path: str, overrides: Sequence[str] = ()) -> JobConfig:
        """Read a YAML file and apply `key=value` overrides, as in `input.path=s3://bucket/table`.

        Args:
            task: What to do; None if the file says it.
            path: The file.
            overrides: `key=value`, with dots in keys and YAML as values.

        Raises:
            ConfigError: The file cannot be read, or has an unknown key, a missing key or a wrong value.
        """
        return cls.parse(task, read_values(path, overrides), path)

    @classmethod
    def parse(cls, task: Task | None, values: Mapping[str, Any], source: str = "config") -> JobConfig:
        """Return a config from plain values.

        Args:
            task: What to do; None if the values say it.
            values: Keys and values, as YAML has them.
            source: What the line of an error begins with.

        Raises:
            ConfigError: A key is unknown or missing, or a value is wrong.
        """
        if task:
            said = values.get("tasks", values.get("task", task))
            if said not in (task, [task]):
                raise ConfigError(f"{source}: tasks: {said!r}, but the command is {task}: use `vilt run`")
            values = {key: value for key, value in values.items() if key != "task"} | {"tasks": [task]}
        return cls.checked(values, source)
