"""The table of tasks: what each adds to a row, and which head of a checkpoint it needs. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from pipeline.common.columns import DETAIL, ERROR, IMAGE_VERSION, NEGATIVE_SCORES, ROW_ID, TEXT_INDEX, TEXT_TRUNCATED

Task = Literal["score", "answer", "fill", "reason", "tag", "embed", "classify", "rank"]
TASK_NAMES: tuple[Task, ...] = get_args(Task)
KEEP_LISTS: tuple[Task, ...] = ("answer", "classify", "rank")  # of the `top_k` best


class Published(NamedTuple):
    """A published checkpoint that `vilt init` writes into the file of a job.

    Attributes:
        model: Its URI.
        reads_texts: Whether it reads a text with each image.
    """

    model: str
    reads_texts: bool = True


@dataclass(frozen=True)
class TaskSpec:
    """One task.

    Attributes:
        help: What the command of this name does, for `vilt --help`.
        verb: What was done to a row, for summaries and reports.
        columns: Names of the columns that the task adds, in the order in which they are written.
        head: The head of the checkpoint that the task reads.
        published: A checkpoint that does it; None: `vilt init` writes no file for the task.
        classes: Parts of the names of the published classes of models that have the head; none if all have it.
    """

    help: str
    verb: str
    columns: tuple[str, ...]
    head: str
    published: Published | None = None
    classes: tuple[str, ...] = ()


TASKS: dict[Task, TaskSpec] = {
    "score": TaskSpec(
        "Score how well each text of a table fits its image.",
        "scored",
        ("score",),
        "score",
        Published("hf://dandelin/vilt-b32-finetuned-coco"),
        ("Retrieval",),
    ),
    "answer": TaskSpec(
        "Answer the question of each row about its image.",
        "answered",
        ("answer", "answer_score", "answers"),
        "answer",
        Published("hf://dandelin/vilt-b32-finetuned-vqa"),
        ("QuestionAnswering",),
    ),
    "fill": TaskSpec(
        "Fill every [MASK] of each text, most certain first.",
        "filled",
        ("filled_text", "fills"),
        "fill",
        Published("hf://dandelin/vilt-b32-mlm"),
        ("MaskedLM", "PreTraining"),
    ),
    "reason": TaskSpec(
        "Classify each text about its two or more images.",
        "reasoned",
        ("label", "label_score"),
        "reason",
        classes=("ImagesAndTextClassification", "VisualReasoning"),
    ),
    "tag": TaskSpec("Classify every token of each text.", "tagged", ("tags",), "tag", classes=("TokenClassification",)),
    "embed": TaskSpec(
        "Write the pooled vector of each image and text, or of each image (ViT).",
        "embedded",
        ("embedding",),
        "embed",
        Published("hf://google/vit-base-patch16-224-in21k", reads_texts=False),
    ),
    "classify": TaskSpec(
        "Classify each image (ViT).",
        "classified",
        ("label", "label_score", "labels"),
        "classify",
        Published("hf://google/vit-base-patch16-224", reads_texts=False),
        ("ImageClassification",),
    ),
    "rank": TaskSpec(
        "Score every text of one table with every image of another; keep the best of each.",
        "ranked",
        ("best_texts", "candidates"),
        "score",
        classes=("Retrieval",),
    ),
}

PUBLISHED: dict[Task, Published] = {name: spec.published for name, spec in TASKS.items() if spec.published}


def added_columns(tasks: Sequence[Task], negatives: bool = False, versions: bool = False) -> list[str]:
    """Return the columns that a job adds, in the order in which they are written.

    Args:
        tasks: The tasks of the job.
        negatives: Whether `score` reads negatives as well.
        versions: Whether the versions of images are kept (`input.verify`).
    """
    made = [name for task in tasks for name in TASKS[task].columns]
    if negatives and "score" in tasks:
        made.insert(made.index("score") + 1, NEGATIVE_SCORES)
    return [ROW_ID, TEXT_INDEX, TEXT_TRUNCATED, *made, *([IMAGE_VERSION] if versions else []), ERROR, DETAIL]


def result_columns(tasks: Sequence[Task], negatives: bool = False) -> list[str]:
    """Return the columns of the result of a row that is known by its place: what a job adds, but for the ids."""
    return [name for name in added_columns(tasks, negatives) if name not in (ROW_ID, TEXT_INDEX)]
