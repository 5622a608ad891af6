"""The table of tasks."""

from __future__ import annotations

import pytest

from pipeline.common.tasks import TASK_NAMES, TASKS, Task, added_columns


def test_every_task_has_an_entry_and_no_other() -> None:
    assert tuple(TASKS) == TASK_NAMES
    for spec in TASKS.values():
        assert spec.help.endswith(".")
        assert spec.verb
        assert spec.columns


@pytest.mark.parametrize("task", TASK_NAMES)
def test_columns_of_one_task(task: Task) -> None:
    columns = added_columns([task])
    assert columns == ["row_id", "text_index", "text_truncated", *TASKS[task].columns, "error", "error_detail"]
    assert len(set(columns)) == len(columns)


def test_columns_of_several_tasks_are_in_their_order() -> None:
    names = ["row_id", "text_index", "text_truncated", "embedding", "score", "error", "error_detail"]
    assert added_columns(["embed", "score"]) == names
