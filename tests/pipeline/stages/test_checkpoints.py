"""Checkpoints that cannot be read: one line, with what may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.common.tasks import TASKS
from pipeline.stages.checkpoints import open_checkpoints
from vilt.models.family import ModelFamily
from vilt.models.registry import families


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("zoo://scnes", "; did you mean zoo://scenes? the models that ship are zoo://scenes"),
        ("zoo://x", "; the models that ship are zoo://scenes"),
        (
            "dandelin/vilt-b32-mlm",
            "no config.json in 'dandelin/vilt-b32-mlm': no such folder here, and the repository "
            "'dandelin/vilt-b32-mlm' of the hub is not in its cache, and is not asked for: HF_HUB_OFFLINE is set",
        ),
        ("dandelin/vilt-b32-finetuned-coc", "; did you mean hf://dandelin/vilt-b32-finetuned-coco?"),
        ("hf://dandelin/vilt-b32-fintuned-vqa", "; did you mean hf://dandelin/vilt-b32-finetuned-vqa?"),
        ("dandelin/vilt-b32-finetuned-nlvr2", ": HF_HUB_OFFLINE is set"),  # which is there, too
        ("models/vqs", "; did you mean models/vqa?"),
        ("model/vqa", ": HF_HUB_OFFLINE is set"),
        ("/nowhere/at/all", "no config.json in '/nowhere/at/all': no such folder"),
        ("three/parts/here", "no config.json in 'three/parts/here': no such folder"),
    ],
)
def test_the_line_says_what_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, end: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "vqa").mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no waiting for a network
    config = JobConfig.parse("score", {"input": {"path": "in"}, "model": model, "output": {"path": "out"}})
    with pytest.raises(ConfigError) as caught:
        open_checkpoints(config)
    assert str(caught.value).startswith("model: ")
    assert str(caught.value).endswith(end)
    assert "\n" not in str(caught.value)


def test_an_existing_folder_is_not_taken_for_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    config = JobConfig.parse("score", {"input": {"path": "in"}, "model": "owner/name", "output": {"path": "out"}})
    with pytest.raises(ConfigError, match=r"no config\.json in 'owner/name': the folder has no such file$"):
        open_checkpoints(config)


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_a_family_names_the_tasks_whose_heads_its_predictor_has(family: ModelFamily) -> None:
    """It does so in its own line, since the predictor is imported with torch; both follow the table of tasks."""
    heads = {*family.predictor_class.task_heads, "embed"}
    assert {*family.tasks} == {name for name, task in TASKS.items() if task.head in heads}
