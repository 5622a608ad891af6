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
    """A cache that holds `someone/model`, as huggingface_hub lays it out."""
    repository = tmp_path / "models--someone--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    write_checkpoint(repository / "snapshots" / COMMIT, "ViltForQuestionAnswering", seed=5)
    return tmp_path


def test_a_model_from_the_cache(cache: Path) -> None:
    options = {"cache_dir": str(cache), "local_files_only": True}
    ours = vilt.ViltForQuestionAnswering.from_pretrained("someone/model", **options)
    theirs = transformers.ViltForQuestionAnswering.from_pretrained("someone/model", **options)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert ours.config._commit_hash == theirs.config._commit_hash == COMMIT
    assert ours.name_or_path == theirs.name_or_path == "someone/model"
    assert vilt.ViltConfig.from_pretrained("hf://someone/model", **options).num_labels == ours.config.num_labels


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
        ("owner/name/sub", False),
        ("./owner/name", False),
        ("/owner/name", False),
        ("s3://bucket/key", False),
        ("runs/last.ckpt", False),
    ],
)
def test_names_of_repositories(name: str, expected: bool) -> None:
    assert is_repository(name) is expected
