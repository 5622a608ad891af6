"""The table of tasks: what each adds to a row, and which head of a checkpoint it needs. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from pipeline.common.columns import DETAIL, ERROR, IMAGE_VERSION, NEGATIVE_SCORES, ROW_ID, TEXT_INDEX, TEXT_TRUNCATED

Task = Literal["score", "answer", "fill", "reason", "tag", "embed", "classify", "rank"]
TASK_NAMES: tuple[Task, ...] = get_args(Task)


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
        ranked_by: The column by which rows are filtered, sorted and drawn in reports, as larger is better; "" if none.
        outcome: The column that reports count and show as what came of a row; "" if none.
        keeps_list: Whether a column holds the `top_k` best.
    """

    help: str
    verb: str
    columns: tuple[str, ...]
    head: str
    published: Published | None = None
    ranked_by: str = ""
    outcome: str = ""
    keeps_list: bool = False


TASKS: dict[Task, TaskSpec] = {
    "score": TaskSpec(
        "Score how well each text of a table fits its image.",
        "scored",
        ("score",),
        "score",
        Published("hf://dandelin/vilt-b32-finetuned-coco"),
        ranked_by="score",
    ),
    "answer": TaskSpec(
        "Answer the question of each row about its image.",
        "answered",
        ("answer", "answer_score", "answers"),
        "answer",
        Published("hf://dandelin/vilt-b32-finetuned-vqa"),
        ranked_by="answer_score",
        outcome="answer",
        keeps_list=True,
    ),
    "fill": TaskSpec(
        "Fill every [MASK] of each text, most certain first.",
        "filled",
        ("filled_text", "fills"),
        "fill",
        Published("hf://dandelin/vilt-b32-mlm"),
    ),
    "reason": TaskSpec(
        "Classify each text about its two or more images.",
        "reasoned",
        ("label", "label_score"),
        "reason",
        ranked_by="label_score",
        outcome="label",
    ),
    "tag": TaskSpec("Classify every token of each text.", "tagged", ("tags",), "tag"),
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
        ranked_by="label_score",
        outcome="label",
        keeps_list=True,
    ),
    "rank": TaskSpec(
        "Score every text of one table with every image of another; keep the best of each.",
        "ranked",
        ("best_texts", "candidates"),
        "score",
        keeps_list=True,
    ),
}

KEEP_LISTS: tuple[Task, ...] = tuple(name for name, spec in TASKS.items() if spec.keeps_list)
# Of several tasks in one job the first of these that it made counts.
SCORE_COLUMNS = tuple(dict.fromkeys(spec.ranked_by for spec in TASKS.values() if spec.ranked_by))
OUTCOME_COLUMNS = tuple(dict.fromkeys(spec.outcome for spec in TASKS.values() if spec.outcome))
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
