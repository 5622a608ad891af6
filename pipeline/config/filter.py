"""The file of `vilt filter`: a table, its scores, and which rows to keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pipeline.config.base import Section, read_values
from pipeline.config.input import NOT_HASHED, InputConfig
from pipeline.config.job import JobConfig
from pipeline.config.negatives import check_negatives
from pipeline.config.resources import RayConfig
from pipeline.config.storage import StorageConfig

KEPT, DROPPED, SCORES, KEYS = "kept", "dropped", "scores", "keys"  # folders below the output
NEGATIVE_SCORE = "negative_score"  # column of the kept and the dropped rows: the highest score of the texts to beat
Sort = Literal["score", "row_id"]
_CONDITIONS = ("where", "min_score", "beats", "top", "answer", "unique")
_FILTER_KEYS = ("input", "output", "storage", "ray")  # keys that `run` takes from the sections of the filter


class BeatsConfig(Section):
    """Texts that a row's own text must beat."""

    texts: list[str] = Field(
        description="texts that are read with each image, as [a watermark, an advertisement]; a row is kept if its "
        "own score is at least the highest of theirs and the margin"
    )
    margin: float = Field(0.0, allow_inf_nan=False, description="how much higher the own score must be, in logits")

    @field_validator("texts")
    @classmethod
    def _texts_are_texts(cls, value: list[str]) -> list[str]:
        return check_negatives("keep.beats.texts", value)


class KeepConfig(Section):
    """Conditions on the results of a row. A row is kept if all of them hold."""

    where: str | None = Field(None, description="SQL condition on the columns of the results, as DuckDB evaluates it")
    min_score: float | None = Field(None, allow_inf_nan=False, description="lowest score that is kept")
    beats: BeatsConfig | None = Field(
        None, description="texts that the own text must beat by a margin: {texts: [a watermark], margin: 1.0}"
    )
    top: float | None = Field(
        None, gt=0, le=1, description="share of the rows with a score that is kept, best first, rounded half up"
    )
    by: str | None = Field(None, description="column of the results: `top` is the share of each of its values")
    answer: list[str] | None = Field(None, description="answers that are kept")
    score: str | None = Field(
        None,
        description="column of numbers to compare; default: the score, answer_score or label_score that the job made",
    )
    unique: str | None = Field(
        None,
        description="column of the table that holds images: of the rows that meet all other conditions and have the "
        "same bytes there, the best is kept, and of equal scores the smallest row_id",
    )
    texts: Literal["best", "worst", "mean"] = Field(
        "best", description="what counts of a row with several texts: its best or worst result, or its mean score"
    )

    @field_validator("answer", mode="before")
    @classmethod
    def _answers_are_strings(cls, value: Any) -> Any:
        """Return answers as words: YAML reads `no` as a boolean and `2` as a number."""
        words = {True: "yes", False: "no"}
        values = value if isinstance(value, list) else [value]
        return [words[v] if isinstance(v, bool) else str(v) if isinstance(v, int) else v for v in values]

    @model_validator(mode="after")
    def _some_condition(self) -> Self:
        if all(getattr(self, name) is None for name in _CONDITIONS):
            raise ValueError(f"keep: holds no condition; give one or several of {', '.join(_CONDITIONS)}")
        if self.answer == []:
            raise ValueError("keep.answer: an empty list keeps nothing; name the answers to keep")
        if self.by is not None and self.top is None:
            raise ValueError("keep.by: given without keep.top, the share to keep of each group")
        return self


class FilterOutput(Section):
    """Where the kept rows go, and the list of the others."""

    path: str = Field(description="folder for kept/, dropped/ and _summary.json: a local path or s3://...")
    overwrite: bool = Field(False, description="replace what an earlier run wrote there")
    report: bool = Field(True, description="write _report.html")
    scores: bool = Field(
        False,
        description="add the columns row_id and score, which decided, to the kept rows; for tars they cannot be added",
    )
    sort: Sort | None = Field(
        None,
        description="put the kept rows of all files in one order, in files of about 64 MiB: `score`, highest first, "
        "and of equal scores the smallest row_id first; or `row_id`; not for tars; default: the order and files of "
        "the table",
    )
    keys: str | None = Field(
        None,
        description="column of the table whose values in the kept rows are written to keys/keys.parquet; and, if each "
        "is 32 hexadecimal digits, to keys/keys.npy, sorted, as DataComp's resharder reads them",
    )


class FilterConfig(Section):
    """The file of `vilt filter`."""

    input: InputConfig
    scores: str | None = Field(None, description="folder with the results of an earlier job over the same table")
    run: dict[str, Any] | None = Field(None, description="the job that scores the table first: task, model, ...")
    allow_changed: bool = Field(
        False,
        description="take scores although files of the table have changed since, and trust the ids in input.id",
    )
    keep: KeepConfig
    output: FilterOutput
    storage: StorageConfig = StorageConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _table_is_whole(self) -> Self:
        if self.input.shard is not None:
            raise ValueError(
                "input.shard: a filter decides about all rows together: leave it out, and name in `scores` the folder "
                "that `vilt merge` has made one result"
            )
        return self

    @model_validator(mode="after")
    def _scores_come_from_one_source(self) -> Self:
        if (self.scores is None) == (self.run is None):
            both = "both are given" if self.run is not None else "neither is given"
            raise ValueError(f"scores, run: {both}; name the results of an earlier job, or what to run, in one of them")
        if self.allow_changed and self.run is not None:
            raise ValueError("allow_changed: true, though the scores come from run, which reads the table as it is now")
        if self.allow_changed and self.input.id is None:
            raise ValueError(
                "allow_changed: true, but without input.id the rows are known by their files and row numbers alone, "
                "which a change of the files makes wrong: set input.id, or score the table again"
            )
        if self.scores is not None:
            for key, given, why in (
                ("ray", self.ray != RayConfig(), "nothing runs on Ray"),
                ("input.columns", self.input.columns is not None, "rows are kept with all their columns"),
            ):
                if given:
                    raise ValueError(f"{key}: given, but the scores are there already and {why}: leave the key out")
        for name in _FILTER_KEYS:
            if name in (self.run or {}):
                raise ValueError(f"run.{name}: the filter's own section {name!r} counts; leave it out here")
        if self.run is not None:
            try:
                job = self.scoring_job(overwrite=False)
            except ValueError as error:
                raise ValueError(str(error).replace("run: ", "run.", 1)) from None
            self._check_negatives(job)
        return self

    def _check_negatives(self, job: JobConfig) -> None:
        """Check that the job scores the texts that are to be beaten."""
        if self.keep.beats is None:
            return
        if "score" not in job.tasks:
            raise ValueError(
                f"keep.beats: compares scores, but run is of {', '.join(job.tasks)}: use task: score, or leave it out"
            )
        for text in self.keep.beats.texts:
            if text not in (job.negatives or ()):
                raise ValueError(
                    f"keep.beats.texts: {text!r} is not among run.negatives, the texts that are scored: add it there, "
                    "or leave run.negatives out"
                )

    @model_validator(mode="after")
    def _folders_differ(self) -> Self:
        out = f"{self.output.path.rstrip('/')}/"
        if out.startswith(f"{self.input.path.rstrip('/')}/") and self.input.files is None:
            raise ValueError(
                f"output.path: {self.output.path!r} is in the input's folder {self.input.path!r}, where the next run "
                "would read it: choose another"
            )
        for key, value in (("input.path", self.input.path), ("scores", self.scores or "")):
            folder = f"{value.rstrip('/')}/"
            if folder == out or folder.startswith((f"{out}{KEPT}/", f"{out}{DROPPED}/")):
                raise ValueError(f"output.path: {self.output.path!r} holds {key} {value!r}: choose another folder")
        return self

    def scoring_job(self, overwrite: bool) -> JobConfig:
        """Return the job that `run` describes, over the same table, with its results in OUT/scores.

        Raises:
            ConfigError: It is not one.
        """
        values = {
            **self._negatives(),
            **(self.run or {}),
            "input": self.input.model_dump(exclude_unset=True),
            "output": {"path": f"{self.output.path.rstrip('/')}/{SCORES}", "overwrite": overwrite, "report": False},
            "storage": self.storage.model_dump(),
            "ray": self.ray.model_dump(),
        }
        return JobConfig.parse(None, values, "run")

    def _negatives(self) -> dict[str, Any]:
        """Return the key `negatives` of the scoring job, if it scores and there are texts to beat."""
        tasks = (self.run or {}).get("tasks", [(self.run or {}).get("task")])
        if self.keep.beats is None or not isinstance(tasks, list) or "score" not in tasks:
            return {}
        return {"negatives": self.keep.beats.texts}

    @property
    def sha256(self) -> str:
        """Return a hash of every key that can change which rows are kept; the keys of `run` have their own."""
        free = dict.fromkeys(("run", "allow_changed", "output", "storage", "ray"), True)
        return self.sha256_without({**free, "input": NOT_HASHED})

    @classmethod
    def load(cls, path: str, overrides: Sequence[str] = ()) -> FilterConfig:
        """Read a YAML file and apply `key=value` overrides, as in `keep.top=0.3`.

        Raises:
            ConfigError: The file cannot be read, or a key or value is wrong.
        """
        return cls.checked(read_values(path, overrides), path)
