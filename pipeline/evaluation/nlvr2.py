"""NLVR2: is a sentence true of two images? Accuracy and consistency, as the official script computes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline.common.errors import ConfigError
from pipeline.config.evaluate import BootstrapConfig, EvaluateConfig
from pipeline.evaluation.answers import Answers, JobTable, checked, read_answers, run_job
from pipeline.evaluation.layouts import read_file
from pipeline.evaluation.metrics import Metric, share
from pipeline.evaluation.nlvr2_files import Example, read_nlvr2
from pipeline.evaluation.output import Measured, Output, absolute
from pipeline.stages.checkpoints import check_models, open_checkpoints
from pipeline.storage.filesystem import model_folder
from vilt.models.vilt.configuration import ViltConfig

CLASSES = {"true": True, "false": False}


class Nlvr2:
    """NLVR2."""

    def __init__(self, config: EvaluateConfig, output: Output) -> None:
        """Read the file of sentences, and check the model.

        Raises:
            ConfigError: Something is missing or does not fit.
        """
        assert config.nlvr2
        self.config, self.section, self.output = config, config.nlvr2, output
        self.examples = read_nlvr2(self.section.annotations, config.storage)
        if self.section.model is not None:
            inputs = {"path": self.section.annotations, "image": ["left", "right"], "text": "sentence"}
            job = config.job("reason", self.section.model, output.uri, **inputs)
            check_models(job, open_checkpoints(job))
            labels = ViltConfig.from_pretrained(model_folder(self.section.model, config.storage)).id2label.values()
            if {label.lower() for label in labels} != set(CLASSES):
                raise ConfigError(
                    f"nlvr2.model: {self.section.model!r} has the classes {', '.join(labels)}; expected True and False"
                )

    def measure(self) -> Measured:
        """Run the model if one is given, then measure."""
        answers = self._answers()
        metrics = nlvr2_metrics(self.examples, answers.given, self.config.bootstrap)
        missing = len(self.examples) - len(answers.given) - sum(answers.rejected.values())
        return Measured("nlvr2", metrics, answers.rejected, missing, answers.lineage, [])

    def _answers(self) -> Answers:
        section, storage, examples = self.section, self.config.storage, self.examples
        known = {example.identifier for example in examples}
        if section.model is not None:
            assert section.images is not None
            images = absolute(section.images, "nlvr2.images", storage)
            columns = {
                "identifier": [example.identifier for example in examples],
                "left": [f"{images}/{example.images[0]}" for example in examples],
                "right": [f"{images}/{example.images[1]}" for example in examples],
                "sentence": [example.sentence for example in examples],
            }
            table = self.output.write_table("nlvr2/examples", pa.table(columns))
            inputs = {"path": table, "image": ["left", "right"], "text": "sentence", "allow": [images]}
            job = JobTable("reason", section.model, inputs, "identifier", "label")
            return run_job(self.config, job, f"{self.output.uri}/nlvr2/answers")
        assert section.results is not None
        if section.results.endswith(".csv"):
            return checked(self._read_csv(section.results), section.results, "nlvr2.results", "identifier", known)
        return read_answers(section.results, "nlvr2.results", ("identifier", "label"), storage, known)

    def _read_csv(self, path: str) -> list[tuple[object, str | None]]:
        """Return the identifiers and labels of a file in the layout of the official script."""
        content = read_file(path, "nlvr2.results", self.config.storage).decode(errors="replace")
        rows = [row for row in csv.reader(io.StringIO(content)) if row]
        wrong = next((row for row in rows if len(row) != 2 or row[1].strip().lower() not in CLASSES), None)
        if wrong is not None:
            raise ConfigError(
                f"nlvr2.results: {path!r} has another layout: expected lines of identifier,True or identifier,False, "
                f"found {','.join(wrong):.60}"
            )
        return [(identifier, label.strip()) for identifier, label in rows]


def nlvr2_metrics(examples: list[Example], given: Mapping[object, str], bootstrap: BootstrapConfig) -> list[Metric]:
    """Return accuracy and consistency, with intervals by set of images.

    Consistency, as the official script has it, is the share of sentences that are judged right beside every pair of
    images. An example without an answer is wrong.
    """
    right = np.array([CLASSES.get(given.get(e.identifier, "").lower()) == e.label for e in examples])
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.group, []).append(index)
    sets = np.array([example.image_set for example in examples])
    consistent = np.array([right[indices].all() for indices in groups.values()])
    set_of_group = sets[[indices[0] for indices in groups.values()]]
    resamples, seed = bootstrap.resamples, bootstrap.seed
    return [
        share("accuracy", right.astype(float), sets, "examples", resamples, seed),
        share("consistency", consistent.astype(float), set_of_group, "sentences", resamples, seed),
    ]
