"""Questions and answers in the layout of VQAv2. A file is read whole."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.common.errors import ConfigError
from pipeline.config.storage import StorageConfig
from pipeline.evaluation.layouts import Annotation, Annotations, Questions, check_once, parse, read_file


@dataclass(frozen=True)
class VqaSet:
    """Questions about images.

    Attributes:
        question_ids: The file's numbers of the questions.
        questions: The questions.
        image_ids: The file's number of each question's image.
        images: The name of each question's image.
        truths: question_id -> its annotation; None if there is no file of annotations.
    """

    question_ids: list[int]
    questions: list[str]
    image_ids: list[int]
    images: list[str]
    truths: dict[int, Annotation] | None


def read_vqa(questions: str, annotations: str | None, image_name: str, storage: StorageConfig) -> VqaSet:
    """Read a file of questions in the layout of VQAv2, and the annotations of these questions.

    Args:
        questions: The file of questions.
        annotations: The file of annotations; it may hold those of other questions too.
        image_name: See `VqaConfig`; `test-dev2015` has the images of `test2015`.
        storage: How to reach s3://.

    Raises:
        ConfigError: A file cannot be read or has another layout, or a question has no annotation.
    """
    content = parse(Questions, read_file(questions, "vqa.questions", storage), "vqa.questions", questions)
    rows = content["questions"]
    ids = [row["question_id"] for row in rows]
    check_once(ids, "question_id", "vqa.questions", questions)
    truths = None if annotations is None else _read_truths(annotations, questions, ids, storage)
    subtype = content.get("data_subtype", "").replace("test-dev", "test")
    names = [image_name.format(subtype=subtype, image_id=row["image_id"]) for row in rows]
    return VqaSet(ids, [row["question"] for row in rows], [row["image_id"] for row in rows], names, truths)


def _read_truths(path: str, questions: str, ids: list[int], storage: StorageConfig) -> dict[int, Annotation]:
    """Return question_id -> its annotation, of all questions of the file with answers."""
    content = parse(Annotations, read_file(path, "vqa.annotations", storage), "vqa.annotations", path)
    truths = {row["question_id"]: row for row in content["annotations"] if row["answers"]}
    missing = [number for number in ids if number not in truths]
    if missing:
        raise ConfigError(
            f"vqa.annotations: {path!r} has no answers to {len(missing):,} of the {len(ids):,} questions of "
            f"{questions!r}, question_id {missing[0]} among them"
        )
    return truths
