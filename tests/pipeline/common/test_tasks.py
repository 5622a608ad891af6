"""The table of tasks."""

from __future__ import annotations

import pytest

from pipeline.common.tasks import OUTCOME_COLUMNS, SCORE_COLUMNS, TASK_NAMES, TASKS, Task, added_columns
from pipeline.stages.task_columns import COLUMNS_OF
from vilt.models.family import ModelFamily
from vilt.models.registry import families


def test_every_task_has_an_entry_and_no_other() -> None:
    assert tuple(TASKS) == TASK_NAMES
    for spec in TASKS.values():
        assert spec.help.endswith(".")
        assert spec.verb
        assert spec.columns
        assert {spec.ranked_by, spec.outcome} - {""} <= set(spec.columns)
    assert set(COLUMNS_OF) == set(TASKS) - {"rank"}, "rank has a state, and a stage of its own"
    assert (SCORE_COLUMNS[:3], OUTCOME_COLUMNS[:2]) == (("score", "answer_score", "label_score"), ("answer", "label"))


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_every_task_of_a_family_has_a_head_and_every_head_a_task(family: ModelFamily) -> None:
    assert set(family.tasks) <= set(TASKS)
    heads = {TASKS[task].head for task in TASKS if task in family.tasks}
    assert heads == {*family.predictor_class.task_heads, *({"embed"} & heads)}, "`embed` needs no head"


@pytest.mark.parametrize("task", TASK_NAMES)
def test_columns_of_one_task(task: Task) -> None:
    columns = added_columns([task])
    assert columns == ["row_id", "text_index", "text_truncated", *TASKS[task].columns, "error", "error_detail"]
    assert len(set(columns)) == len(columns)


def test_columns_of_several_tasks_are_in_their_order() -> None:
    names = ["row_id", "text_index", "text_truncated", "embedding", "score", "error", "error_detail"]
    assert added_columns(["embed", "score"]) == names
