"""Repositories of the hub, from its cache: what huggingface_hub has downloaded before, without a network."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import transformers
from huggingface_hub import utils

import vilt
from tests.parity.checkpoints import write_checkpoint
from vilt.common.hub import PROBES, is_repository
from vilt.common.storage import as_folder

TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"
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


class Hub(BaseHTTPRequestHandler):
    """A hub that has no repository."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the address of the hub."""

    def set_endpoint(url: str) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + TEMPLATE)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", url + TEMPLATE, raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("vilt.common.hub.PROBE_PAUSE", 0.01)
        utils.reset_sessions()  # one that was opened while the hub was off stays so

    return set_endpoint


def test_a_hub_out_of_reach_is_not_asked_again_and_again(cache: Path, endpoint: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        tries: list[None] = []

        def hang_up() -> None:
            while True:
                server.accept()[0].close()
                tries.append(None)

        threading.Thread(target=hang_up, daemon=True).start()
        endpoint(f"http://{address}")
        with pytest.raises(FileNotFoundError, match=f"'someone/els' of the hub is not in its cache, and {address} ca"):
            vilt.ViltConfig.from_pretrained("someone/els", cache_dir=str(cache))
        assert len(tries) == PROBES  # and not six for each of three files, with pauses of 23 s
        assert vilt.ViltConfig.from_pretrained("someone/model", cache_dir=str(cache)).num_labels  # of the cache


def test_a_hub_that_lacks_the_repository(cache: Path, endpoint: Callable[[str], None]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(FileNotFoundError, match=r"no such folder here, and 127.* has no repository 'someone/els'"):
            vilt.ViltConfig.from_pretrained("someone/els", cache_dir=str(cache))
        with pytest.raises(FileNotFoundError, match=r"no config.json in 'hf://a/b': 127.* has no repository 'a/b', or"):
            vilt.ViltConfig.from_pretrained("hf://a/b", cache_dir=str(cache))
        server.shutdown()
    assert any("/a/b/resolve/main/config.json" in path for path in Hub.asked)
