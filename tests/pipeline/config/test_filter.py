"""The file of `vilt filter`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import ConfigError
from pipeline.config.filter import FilterConfig, KeepConfig

GOOD = {"input": {"path": "in/"}, "scores": "scores/", "keep": {"top": 0.5}, "output": {"path": "out/"}}
RUN = {"task": "score", "model": "zoo://scenes"}


def with_run(**keys: Any) -> dict[str, Any]:
    return {**{key: value for key, value in GOOD.items() if key != "scores"}, "run": {**RUN, **keys}}


@pytest.mark.parametrize(
    ("answer", "words"),
    [(True, ["yes"]), (False, ["no"]), (2, ["2"]), ("red", ["red"]), ([True, 2, "red"], ["yes", "2", "red"])],
)
def test_answers_are_words(answer: Any, words: list[str]) -> None:
    assert KeepConfig.checked({"answer": answer}).answer == words


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({}, "keep: holds no condition; give one or several of where, min_score, top, answer, unique"),
        ({"texts": "mean"}, "keep: holds no condition; give one or several of where, min_score, top, answer, unique"),
        ({"answer": []}, "keep.answer: an empty list keeps nothing; name the answers to keep"),
        ({"by": "x", "min_score": 1}, "keep.by: given without keep.top, the share to keep of each group"),
        ({"top": 1.5}, "top: 1.5 is wrong; input should be less than or equal to 1"),
        ({"min_score": float("nan")}, "min_score: nan is wrong; input should be a finite number"),
        ({"top": 0.5, "texts": "all"}, "texts: 'all' is wrong; input should be 'best', 'worst' or 'mean'"),
    ],
)
def test_conditions_that_are_wrong(keep: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeepConfig.checked(keep, "file")
    assert str(caught.value) == f"file: {message}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {**GOOD, "run": RUN},
            "scores, run: both are given; name the results of an earlier job, or what to run, in one of them",
        ),
        (
            {**GOOD, "scores": None},
            "scores, run: neither is given; name the results of an earlier job, or what to run, in one of them",
        ),
        (
            {**with_run(), "allow_changed": True},
            "allow_changed: true, though the scores come from run, which reads the table as it is now",
        ),
        (with_run(input={"path": "x"}), "run.input: the filter's own section 'input' counts; leave it out here"),
        (with_run(top_k=3), "run.top_k: 3, but score keeps no list of the best: leave it out"),
        (with_run(top_k=0), "run.top_k: 0 is wrong; input should be greater than or equal to 1"),
        (
            {**GOOD, "output": {"path": "in/out"}},
            "output.path: 'in/out' is in the input's folder 'in/', where the next run would read it: choose another",
        ),
        (
            {**GOOD, "output": {"path": "in"}},
            "output.path: 'in' is in the input's folder 'in/', where the next run would read it: choose another",
        ),
        ({**GOOD, "output": {"path": "scores"}}, "output.path: 'scores' holds scores 'scores/': choose another folder"),
        ({**GOOD, "scores": "out/kept"}, "output.path: 'out/' holds scores 'out/kept': choose another folder"),
        (
            {**GOOD, "input": {"path": "out/dropped/a"}},
            "output.path: 'out/' holds input.path 'out/dropped/a': choose another folder",
        ),
    ],
)
def test_files_that_are_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FilterConfig.checked(values, "file")
    assert str(caught.value) == f"file: {message}"


def test_a_key_of_the_scoring_job_that_is_misspelt() -> None:
    message = r"^config: run\.modl: unknown key; did you mean 'model'\? the keys here are input, texts, model,"
    with pytest.raises(ConfigError, match=message):
        FilterConfig.checked(with_run(modl="x"))


def test_changed_tables_need_ids() -> None:
    with pytest.raises(ConfigError, match=r"^config: allow_changed: true, but without input\.id the rows are known by"):
        FilterConfig.checked({**GOOD, "allow_changed": True})
    FilterConfig.checked({**GOOD, "allow_changed": True, "input": {"path": "in/", "id": "n"}})


def test_folders_with_names_that_begin_alike_differ() -> None:
    FilterConfig.checked({**GOOD, "output": {"path": "in-filtered/"}, "scores": "in-filtered-scores/"})
    FilterConfig.checked({**GOOD, "scores": "out/scores"})


def test_the_scoring_job() -> None:
    config = FilterConfig.checked(
        {**with_run(precision="int8"), "ray": {"address": "auto"}, "input": {"path": "in/", "id": "n"}}
    )
    job = config.scoring_job(overwrite=True)
    assert (job.output.path, job.output.overwrite, job.precision, job.tasks) == ("out/scores", True, "int8", ["score"])
    assert (job.input, job.ray, job.storage) == (config.input, config.ray, config.storage)


def test_the_hash_is_of_what_decides_which_rows_are_kept() -> None:
    first = FilterConfig.checked(GOOD).sha256
    free: list[dict[str, Any]] = [{"output": {"path": "o"}}, {"storage": {"anon": True}}]
    bound: list[dict[str, Any]] = [{"keep": {"top": 0.4}}, {"scores": "s"}, {"input": {"path": "in/", "id": "n"}}]
    assert {FilterConfig.checked({**GOOD, **keys}).sha256 for keys in free} == {first}
    assert len({first, *(FilterConfig.checked({**GOOD, **keys}).sha256 for keys in bound)}) == 4
    on_ray = FilterConfig.checked({**with_run(), "ray": {"address": "x"}})
    assert on_ray.sha256 == FilterConfig.checked(with_run()).sha256


def test_a_file_with_overrides(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("input: {path: in/}\nscores: s\nkeep: {top: 0.1}\noutput: {path: out/}\n")
    config = FilterConfig.load(str(tmp_path / "f.yaml"), ["keep.top=0.3", "keep.answer=no"])
    assert (config.keep.top, config.keep.answer) == (0.3, ["no"])
