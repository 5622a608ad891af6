"""Faults that pass: each lets a command fail once, and checks that the same command then ends well."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from deltalake.exceptions import CommitFailedError
from fsspec.implementations.local import LocalFileSystem

from jobs.commands import init as init_command
from jobs.commands import plan as plan_command
from jobs.console.command import Outcome, run_command
from pipeline.cluster import session
from pipeline.common.errors import (
    BusyError,
    RayFailedError,
    RowsLostError,
    StorageFailedError,
    TooManyErrorsError,
)
from pipeline.common.row_ranges import RowSet
from pipeline.config.evaluate import EvaluateConfig
from pipeline.config.filter import FilterConfig
from pipeline.evaluation import evaluate as evaluation
from pipeline.evaluation.output import Output
from pipeline.filtering import copied_table
from pipeline.filtering import filter_table as filters
from pipeline.filtering.selection import Selection
from pipeline.reindexing.table_folder import TableFolder
from pipeline.results.delta import table as delta_table
from pipeline.results.file_footer import ResultFile
from pipeline.results.output_folder import OutputFolder
from pipeline.results.result_parts import ResultParts
from tests.foreign.test_filter import MADE, results, table
from tests.pipeline.reindexing.world import World


class Once:
    """A function that fails once, and then does what it did before."""

    def __init__(self, before: Callable[..., Any], fault: BaseException | Callable[..., Any]) -> None:
        self.before, self.fault, self.failed = before, fault, False

    def __call__(self, *args: Any, **keys: Any) -> Any:
        if self.failed:
            return self.before(*args, **keys)
        self.failed = True
        if isinstance(self.fault, BaseException):
            raise self.fault
        return self.fault(*args, **keys)


def once(patch: pytest.MonkeyPatch, owner: Any, name: str, fault: BaseException | Callable[..., Any]) -> None:
    """Let a function of a module or class fail once."""
    failing = Once(getattr(owner, name), fault)
    patch.setattr(owner, name, (lambda *args, **keys: failing(*args, **keys)) if isinstance(owner, type) else failing)


AWAY = OSError(errno.ENOSPC, "no space left on device")  # not tried again at once, and passes when somebody makes room


def check_reindexed(here: World, error: type[Exception], match: str) -> None:
    """Check that the first run fails, and the next one, of the same command, makes the table."""
    with pytest.raises(error, match=match):
        here.run()
    here.run()
    assert here.held() == here.expected()
    assert here.run() is None


def storage_away_at_the_commit(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del tmp_path
    once(monkeypatch, TableFolder, "write_lists", AWAY)
    check_reindexed(small_world, StorageFailedError, "the storage failed: .*run the same command to resume")
    assert small_world.runs == 1, "what was read is not read again"


def another_commit_was_first(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del tmp_path
    module = delta_table
    create, made = module.create_table_with_add_actions, list[object]()

    def failing(*args: Any, **keys: Any) -> None:
        made.append(args)
        if len(made) == 2:  # the first is the rehearsal's
            raise CommitFailedError("a concurrent transaction")
        create(*args, **keys)

    monkeypatch.setattr(module, "create_table_with_add_actions", failing)
    check_reindexed(small_world, BusyError, r"the commit was refused, .*run it again")


def files_are_not_listed_yet(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del tmp_path
    once(monkeypatch, TableFolder, "adds", lambda *_: [])
    check_reindexed(small_world, RowsLostError, "the files hold other rows than were written; run it again")


def a_part_of_a_table_is_gone(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del tmp_path
    score = World.score_rows
    once(monkeypatch, World, "score_rows", lambda *args: score(*args)[:0])
    check_reindexed(small_world, RowsLostError, "3 rows in, 0 rows out.* run the same command again to finish what is")


def a_part_of_a_job_is_gone(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder of a job: a part that a run has written is not there when it is audited, and is there later."""
    del small_world, monkeypatch
    parts = ResultParts(OutputFolder(LocalFileSystem(), str(tmp_path), {}))
    parts.parts = [ResultFile(name="part-0.parquet", complete=RowSet.of_range(0, 2), rows=2)]
    with pytest.raises(RowsLostError, match=r"3 rows in, 2 rows out.* run the same command again to finish what is"):
        parts.audit(3)
    parts.parts.append(ResultFile(name="part-1.parquet", complete=RowSet.of_range(2, 3), rows=1))
    parts.audit(3)


def a_table_that_cannot_be_read_back(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del tmp_path
    here, module = small_world, delta_table
    check, checked = module._check, list[object]()

    def failing(*args: Any) -> None:
        checked.append(args)
        if len(checked) == 2:  # the first is the rehearsal's
            raise ValueError("the log is not there yet")
        check(*args)

    monkeypatch.setattr(module, "_check", failing)
    with pytest.raises(RowsLostError, match=r"cannot be read back: .*remove the table's folder and run it again"):
        here.run()
    shutil.rmtree(here.folder / "out")
    here.run()
    assert here.held() == here.expected()


def pictures_come_later(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Most rows have no image yet: nothing is committed, and the next run reads them again."""
    del monkeypatch, tmp_path
    here = small_world
    here.config = here.config.model_copy(update={"max_error_rate": 0.05})
    here.put("b", [(4, "late"), (5, "late"), (6, "gone")])
    here.up = False
    for _ in range(2):
        with pytest.raises(TooManyErrorsError, match=r"3 of 6 pairs were rejected.* as row 4: .*run the same command"):
            here.run()
    here.up = True
    with pytest.raises(TooManyErrorsError, match=r"1 of 6 pairs"):
        here.run()
    here.config = here.config.model_copy(update={"max_error_rate": 0.2})
    here.run()
    assert here.held() == here.expected()


def filter_config(folder: Path) -> FilterConfig:
    table(folder)
    results(folder, "score", score=MADE)
    values = {
        "input": {"path": f"{folder}/table", "id": "id"},
        "scores": f"{folder}/scores",
        "keep": {"min_score": 0.15},
        "output": {"path": f"{folder}/out"},
    }
    return FilterConfig.checked(values)


def no_space_for_a_filter(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    config = filter_config(tmp_path)
    once(monkeypatch, copied_table, "copy_files", AWAY)
    with pytest.raises(
        StorageFailedError, match=r"the storage failed: .*copied files are kept: run the same command to resume"
    ):
        filters.filter_table(config)
    assert filters.filter_table(config).kept == 3


def a_table_that_changes_under_a_filter(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    config, decide = filter_config(tmp_path), Selection.decide
    file = tmp_path / "table" / "a.parquet"
    whole = file.read_bytes()

    def changed(*args: Any) -> None:
        decide(*args)
        pq.write_table(pq.read_table(file).slice(0, 2), file)

    once(monkeypatch, Selection, "decide", changed)
    with pytest.raises(RowsLostError, match=r"4 rows in, .* run the same command again"):
        filters.filter_table(config)
    file.write_bytes(whole)
    config = config.model_copy(update={"allow_changed": True})  # the file is as it was, but for the time of its change
    assert filters.filter_table(config).kept == 3


def a_busy_machine(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world, tmp_path
    started: list[object] = []
    faults = iter([Exception("the node timed out")] * session.START_ATTEMPTS)

    def init(**options: object) -> None:
        if fault := next(faults, None):
            raise fault
        started.append(options)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:6379"))
    monkeypatch.setattr("pipeline.cluster.session._Started.address", None)  # that of the other tests comes back
    with pytest.raises(RayFailedError, match="run the same command again"):
        session.start_local(1)
    session.start_local(1)
    assert started


def storage_away_for_a_plan(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    file = tmp_path / "job.yaml"
    file.write_text(f"input: {{path: {tmp_path}/in}}\nmodel: zoo://scenes\noutput: {{path: {tmp_path}/out}}\n")
    monkeypatch.setattr(plan_command, "make_plan", lambda *_: SimpleNamespace())
    monkeypatch.setattr(plan_command, "plan_table", lambda *_: "planned")
    monkeypatch.setattr(plan_command, "plan_values", lambda *_: {})
    once(monkeypatch, plan_command, "make_plan", AWAY)

    def plan() -> Outcome:
        return plan_command.plan_file("score", str(file), (), SimpleNamespace(seed=0), plan_command.Options())  # type: ignore[arg-type]

    with pytest.raises(StorageFailedError, match="run the same command again"):
        plan()
    assert plan().text == "planned"


def storage_away_for_a_first_look(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    pq.write_table(pa.table({"image": ["a.png"], "text": ["a"]}), tmp_path / "table.parquet")
    once(monkeypatch, init_command, "guess_columns", AWAY)

    def look() -> Outcome:
        return init_command.write_config("score", str(tmp_path / "table.parquet"), (), str(tmp_path / "job.yaml"))

    with pytest.raises(StorageFailedError, match="run the same command again"):
        look()
    assert look().values["rows"] == 1  # type: ignore[call-overload]


def storage_away_for_an_evaluation(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    module = evaluation
    answers, questions = tmp_path / "answers.parquet", tmp_path / "questions.json"
    pq.write_table(pa.table({"question_id": [1], "answer": ["yes"]}), answers)
    questions.write_text('{"data_subtype": "x", "questions": [{"question_id": 1, "image_id": 1, "question": "q"}]}')
    annotated = {"question_id": 1, "image_id": 1, "answer_type": "yes/no", "answers": [{"answer": "yes"}] * 10}
    (tmp_path / "annotations.json").write_text(f'{{"annotations": [{annotated!r}]}}'.replace("'", '"'))
    values = {
        "output": {"path": f"{tmp_path}/out"},
        "vqa": {
            "questions": str(questions),
            "annotations": f"{tmp_path}/annotations.json",
            "results": str(answers),
        },
    }
    config = EvaluateConfig.checked(values)
    once(monkeypatch, Output, "write", AWAY)
    with pytest.raises(StorageFailedError, match="run the same command again"):
        module.evaluate(config)
    assert (tmp_path / "out").exists()
    module.evaluate(config)
    assert (tmp_path / "out" / "evaluation.json").exists()


def an_unexpected_error(small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del small_world
    monkeypatch.chdir(tmp_path)
    assert run_command(Once(lambda: Outcome("done", {}), RuntimeError("a worker of another job was in the way"))) == 1
    job = Once(lambda: Outcome("done", {}), KeyboardInterrupt())
    assert run_command(job) == 130
    assert run_command(job) == 0


Case = Callable[[World, pytest.MonkeyPatch, Path], None]
CASES: dict[str, list[Case]] = {
    "pipeline/scoring/run.py storage_failures": [storage_away_at_the_commit],
    "pipeline/monitoring/error_budget.py verdict_line": [pictures_come_later],
    "pipeline/results/delta/table.py commit": [another_commit_was_first],
    "pipeline/results/delta/table.py _undo": [a_table_that_cannot_be_read_back],
    "pipeline/reindexing/commit.py commit": [files_are_not_listed_yet],
    "pipeline/results/staging.py audit": [a_part_of_a_table_is_gone],
    "pipeline/results/result_parts.py audit": [a_part_of_a_job_is_gone],
    "pipeline/filtering/filter_table.py _run_and_publish": [no_space_for_a_filter],
    "pipeline/filtering/copied_table.py _check_rows": [a_table_that_changes_under_a_filter],
    "pipeline/cluster/session.py _init_local": [a_busy_machine],
    "pipeline/evaluation/evaluate.py evaluate": [storage_away_for_an_evaluation],
    "jobs/console/command.py end_with_error": [an_unexpected_error],
    "jobs/console/command.py <module>": [an_unexpected_error],
}
