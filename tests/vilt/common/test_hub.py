"""Repositories of the hub, from its cache: what huggingface_hub has downloaded before, without a network."""

from pathlib import Path

import pytest
import torch
import transformers

import vilt
from tests.parity.checkpoints import write_checkpoint
from vilt.common.hub import is_repository
from vilt.common.storage import as_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that holds `someone/model` and `old-model`, as huggingface_hub lays them out."""
    for name, seed in (("models--someone--model", 5), ("models--old-model", 6)):
        (tmp_path / name / "refs").mkdir(parents=True)
        (tmp_path / name / "refs" / "main").write_text(COMMIT)
        write_checkpoint(tmp_path / name / "snapshots" / COMMIT, "ViltForQuestionAnswering", seed=seed)
    return tmp_path


def test_a_model_from_the_cache(cache: Path) -> None:
    options = {"cache_dir": str(cache), "local_files_only": True}
    ours = vilt.ViltForQuestionAnswering.from_pretrained("someone/model", **options)
    theirs = transformers.ViltForQuestionAnswering.from_pretrained("someone/model", **options)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert ours.config._commit_hash == theirs.config._commit_hash == COMMIT
    assert ours.name_or_path == theirs.name_or_path == "someone/model"
    assert vilt.ViltConfig.from_pretrained("hf://someone/model", **options).num_labels == ours.config.num_labels


def test_a_name_without_an_owner(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of this name comes first, as in transformers."""
    options = {"cache_dir": str(cache), "local_files_only": True}
    monkeypatch.chdir(cache)
    for seed in (6, 7):  # the hub's, then a local folder's
        loaded = [one.ViltForQuestionAnswering.from_pretrained("old-model", **options) for one in (vilt, transformers)]
        weights = [model.vilt.pooler.dense.weight for model in loaded]
        assert torch.equal(*weights)
        if seed == 6:
            write_checkpoint(cache / "old-model", "ViltForQuestionAnswering", seed=7)
            first = weights[0]
    assert first.shape != weights[0].shape or not torch.equal(first, weights[0])


def test_what_is_not_in_the_cache_is_one_line(cache: Path) -> None:
    options = {"cache_dir": str(cache), "local_files_only": True}
    with pytest.raises(FileNotFoundError, match=r"no config\.json in 'someone/else': no such folder here, and the rep"):
        vilt.ViltForQuestionAnswering.from_pretrained("someone/else", **options)
    with pytest.raises(ValueError, match="a repository of the hub is only read here"):
        as_folder("someone/model", options).write("x", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dandelin/vilt-b32-mlm", True),
        ("hf://owner/name@v1/sub/folder", True),
        ("bert-base-uncased", True),
        ("hf://bert-base-uncased", True),
        ("some model", False),
        ("a.ckpt", False),
        (".", False),
        ("owner/name/sub", False),
        ("./owner/name", False),
        ("/owner/name", False),
        ("s3://bucket/key", False),
        ("runs/last.ckpt", False),
    ],
)
def test_names_of_repositories(name: str, expected: bool) -> None:
    assert is_repository(name) is expected
