"""VQAv2: accuracy of answers to questions about images, as the official evaluator computes it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipeline.config.evaluate import BootstrapConfig, EvaluateConfig
from pipeline.evaluation.answers import Answers, JobTable, checked, read_answers, run_job
from pipeline.evaluation.layouts import Submitted, parse, read_file
from pipeline.evaluation.metrics import Metric, share
from pipeline.evaluation.output import Measured, Output, absolute
from pipeline.evaluation.vqa_accuracy import accuracy
from pipeline.evaluation.vqa_files import VqaSet, read_vqa
from pipeline.stages.checkpoints import check_models, open_checkpoints


class Vqa:
    """VQAv2, or any set of questions in its layout."""

    def __init__(self, config: EvaluateConfig, output: Output) -> None:
        """Read all files but the images, and check the model.

        Raises:
            ConfigError: Something is missing or does not fit.
        """
        assert config.vqa
        self.config, self.section, self.output = config, config.vqa, output
        section = self.section
        self.set = read_vqa(section.questions, section.annotations, section.image_name, config.storage)
        if section.model is not None:
            job = config.job("answer", section.model, output.uri, path=section.questions, text="question")
            check_models(job, open_checkpoints(job))

    def measure(self) -> Measured:
        """Answer if a model is given, then measure; write the file to submit if the config says so or has no truths."""
        answers = self._answers()
        metrics = [] if self.set.truths is None else vqa_metrics(self.set, answers.given, self.config.bootstrap)
        files = []
        if self.section.submission or self.set.truths is None:
            rows = [{"question_id": i, "answer": answers.given.get(i, "")} for i in self.set.question_ids]
            files.append(self.output.write("vqa/submission.json", json.dumps(rows).encode()))
        missing = len(self.set.question_ids) - len(answers.given) - sum(answers.rejected.values())
        return Measured("vqa", metrics, answers.rejected, missing, answers.lineage, files)

    def _answers(self) -> Answers:
        section, storage = self.section, self.config.storage
        known = set(self.set.question_ids)
        if section.model is not None:
            assert section.images is not None
            images = absolute(section.images, "vqa.images", storage)
            columns = {
                "question_id": self.set.question_ids,
                "image": [f"{images}/{name}" for name in self.set.images],
                "question": self.set.questions,
            }
            table = self.output.write_table("vqa/questions", pa.table(columns))
            inputs = {"path": table, "text": "question", "id": "question_id", "allow": [images]}
            job = JobTable("answer", section.model, inputs, "question_id", "answer")
            return run_job(self.config, job, f"{self.output.uri}/vqa/answers")
        assert section.results is not None
        if section.results.endswith(".json"):
            rows = parse(Submitted, read_file(section.results, "vqa.results", storage), "vqa.results", section.results)
            pairs = [(row["question_id"], row["answer"]) for row in rows]
            return checked(pairs, section.results, "vqa.results", "question_id", known)
        return read_answers(section.results, "vqa.results", ("question_id", "answer"), storage, known)


def vqa_metrics(questions: VqaSet, given: Mapping[object, str], bootstrap: BootstrapConfig) -> list[Metric]:
    """Return the accuracy over all questions and by type of answer, with intervals by image.

    A question without an answer is wrong.
    """
    assert questions.truths is not None
    truths = [questions.truths[i] for i in questions.question_ids]
    values = np.array(
        [
            accuracy(given[i], [answer["answer"] for answer in truth["answers"]]) if i in given else 0.0
            for i, truth in zip(questions.question_ids, truths, strict=True)
        ]
    )
    images, types = np.array(questions.image_ids), np.array([truth["answer_type"] for truth in truths])
    resamples, seed = bootstrap.resamples, bootstrap.seed
    metrics = [share("accuracy", values, images, "questions", resamples, seed)]
    for kind in sorted(set(types)):
        chosen = types == kind
        metrics.append(share(f"accuracy, {kind}", values[chosen], images[chosen], "questions", resamples, seed))
    return metrics
