"""The file of `vilt evaluate`: benchmarks, and how to run the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator
from typing_extensions import Self

from pipeline.common.tasks import KEEP_LISTS, Task
from pipeline.config.base import Section, read_values
from pipeline.config.job import MAX_ERROR_RATE, PRECISION, JobConfig, Precision
from pipeline.config.limits import LimitsConfig
from pipeline.config.resources import ActorsConfig, BatchConfig, RayConfig
from pipeline.config.storage import StorageConfig

BENCHMARKS = ("retrieval", "vqa", "nlvr2")  # sections


class BenchmarkConfig(Section):
    """What every benchmark names: a checkpoint and its images, or results that are there already."""

    model: str | None = Field(None, description="checkpoint: a folder, s3://..., hf://owner/name or zoo://scenes")
    results: str | None = Field(None, description="results to measure, instead of a model")
    images: str | None = Field(None, description="folder of the images: a local path or s3://...")


class RetrievalConfig(BenchmarkConfig):
    """Recall of texts by images and of images by texts, on a split of Karpathy and Fei-Fei."""

    annotations: str = Field(description="file of images and texts: dataset_coco.json or dataset_flickr30k.json")
    split: str = Field("test", description="split of the file, as test or val")


class VqaConfig(BenchmarkConfig):
    """VQAv2, or any set of questions in its layout."""

    questions: str = Field(description="file of questions, as v2_OpenEnded_mscoco_val2014_questions.json")
    annotations: str | None = Field(
        None, description="file of answers, as v2_mscoco_val2014_annotations.json; without: no accuracy"
    )
    image_name: str = Field(
        "COCO_{subtype}_{image_id:012d}.jpg", description="pattern of an image's file name, of {subtype} and {image_id}"
    )
    submission: bool = Field(False, description="write the answers for the evaluation server, with annotations too")

    @model_validator(mode="after")
    def _name_is_a_pattern(self) -> Self:
        try:
            self.image_name.format(subtype="val2014", image_id=42)
        except (ValueError, LookupError, AttributeError) as error:
            raise ValueError(
                f"vqa.image_name: {self.image_name!r} is no pattern ({error!r}); it is made of {{subtype}} and "
                "{image_id}, as in COCO_{subtype}_{image_id:012d}.jpg"
            ) from None
        return self


class Nlvr2Config(BenchmarkConfig):
    """NLVR2: is a sentence true of two images?"""

    annotations: str = Field(description="file of sentences, as dev.json")


class OutputConfig(Section):
    """Where the results go."""

    path: str = Field(description="folder for the results: a local path or s3://...")
    overwrite: bool = Field(False, description="replace what another model or benchmark left there")


class BootstrapConfig(Section):
    """How the 95 % intervals are computed: by the bootstrap."""

    resamples: int = Field(1000, ge=100, description="samples drawn with replacement")
    seed: int = Field(0, ge=0, description="seed of the random numbers")


class EvaluateConfig(Section):
    """The file of `vilt evaluate`: one benchmark or several, and how to run the model."""

    output: OutputConfig
    retrieval: RetrievalConfig | None = None
    vqa: VqaConfig | None = None
    nlvr2: Nlvr2Config | None = None
    bootstrap: BootstrapConfig = BootstrapConfig()
    max_error_rate: float = Field(0.05, ge=0, le=1, description=MAX_ERROR_RATE)
    precision: Precision = Field("auto", description=PRECISION)
    actors: ActorsConfig = ActorsConfig()
    limits: LimitsConfig = LimitsConfig()
    batch: BatchConfig = BatchConfig()
    storage: StorageConfig = StorageConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _benchmarks_are_whole(self) -> Self:
        named = {name: getattr(self, name) for name in BENCHMARKS}
        given = {name: section for name, section in named.items() if section is not None}
        if not given:
            raise ValueError(f"no benchmark: give a section {', '.join(named)}, or several")
        for name, section in given.items():
            if (section.model is None) == (section.results is None):
                raise ValueError(f"{name}.model: give either the model to measure or {name}.results")
            if section.model is not None and section.images is None:
                raise ValueError(f"{name}.images: missing; it is the folder of the images, which the model reads")
            if section.results is not None and section.images is not None:
                raise ValueError(
                    f"{name}.images: given beside {name}.results, which no image is read for: leave it out"
                )
        self._keys_have_a_meaning(all(section.model is None for section in given.values()))
        if self.vqa and self.vqa.results is not None and self.vqa.annotations is None:
            raise ValueError("vqa.annotations: missing; without them there is nothing to measure vqa.results against")
        return self

    def _keys_have_a_meaning(self, no_model: bool) -> None:
        """Raise ValueError for a key that says how a model runs if none does."""
        for key in ("max_error_rate", "precision", "actors", "limits", "batch", "ray") if no_model else ():
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: says how a model runs, but only results are measured: leave the key out")
        if no_model and self.output.overwrite:
            raise ValueError("output.overwrite: true, but results are measured anew by every run: leave the key out")

    @classmethod
    def load(cls, path: str, overrides: Sequence[str] = ()) -> EvaluateConfig:
        """Read a YAML file and apply `key=value` overrides.

        Raises:
            ConfigError: The file cannot be read, or a key or value is wrong.
        """
        return cls.checked(read_values(path, overrides), path)

    def job(self, task: Task, model: str, output: str, **inputs: Any) -> JobConfig:
        """Return the job that runs a model over a table. inputs: the keys of its section `input`."""
        return self._job(task, model, output, {"input": inputs})

    def rank_job(self, model: str, output: str, texts: Mapping[str, Any], **inputs: Any) -> JobConfig:
        """Return the job that reads texts with images.

        Args:
            model: The checkpoint.
            output: The output folder.
            texts: The keys of the section `texts`.
            inputs: The keys of the section `input`.
        """
        return self._job("rank", model, output, {"input": inputs, "texts": texts})

    def _job(self, task: Task, model: str, output: str, tables: Mapping[str, Any]) -> JobConfig:
        shared = {"max_error_rate", "precision", "actors", "limits", "batch", "storage", "ray"}
        values = {
            **tables,
            "model": model,
            "output": {"path": output, "overwrite": self.output.overwrite, "report": False},
            **({"top_k": 1} if task in KEEP_LISTS else {}),
            **self.model_dump(include=shared),
        }
        return JobConfig.parse(task, values)
