"""Datasets of the Hugging Face hub, from a stand-in server: which commit is read, and which files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.utils._http
import pyarrow as pa
import pytest
from huggingface_hub import HfFileSystem

from pipeline.tables.table import open_table
from tests.pipeline.tables.hub_server import Hub, parquet_bytes, serve
from tests.pipeline.tables.reading import config, refusal, texts_of


def some(*numbers: int) -> pa.Table:
    texts = [str(number) for number in numbers]
    return pa.table({"image": [f"{text}.png" for text in texts], "text": texts})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    _close_clients()
    with serve(hub, "owner/name") as endpoint:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        HfFileSystem.clear_instance_cache()
        yield hub
    HfFileSystem.clear_instance_cache()
    _close_clients()


def _close_clients() -> None:
    """Close the hub's HTTP clients, which keep for their life whether they are offline."""
    utils = huggingface_hub.utils._http
    (utils.close_session if hasattr(utils, "close_session") else utils.reset_sessions)()


def test_a_dataset_is_read_at_one_commit(hub: Hub, tmp_path: Path) -> None:
    first = hub.push({"data/train-0.parquet": parquet_bytes(some(0, 1), tmp_path), "README.md": b"# name"})
    table = open_table(config("hf://datasets/owner/name"))
    assert (table.version, [opened.name for opened in table.files]) == (f"revision {first}", ["data/train-0.parquet"])
    assert texts_of("hf://datasets/owner/name") == ["0", "1"]
    second = hub.push({"data/train-0.parquet": parquet_bytes(some(2, 1), tmp_path)})
    assert texts_of("hf://datasets/owner/name/data") == texts_of("hf://datasets/owner/name@main") == ["2", "1"]
    assert texts_of("hf://datasets/owner/name", version=first) == ["0", "1"]
    assert texts_of(f"hf://datasets/owner/name@{second}/data/*.parquet") == ["2", "1"]
    now = open_table(config("hf://datasets/owner/name"))
    assert now.files[0].name == table.files[0].name
    assert now.fingerprint != table.fingerprint, "of the same size, and another content"


def test_what_is_no_dataset(hub: Hub) -> None:
    assert hub
    assert "is no dataset; write hf://datasets/owner/name" in refusal("hf://owner/name")
    assert "cannot read 'hf://datasets/owner/other'" in refusal("hf://datasets/owner/other")
    assert "names a revision, too; leave one of them out" in refusal("hf://datasets/owner/name@main", version="main")
    assert "has revisions; name one in input.version" in refusal("hf://datasets/owner/name", timestamp="2026-01-01")
