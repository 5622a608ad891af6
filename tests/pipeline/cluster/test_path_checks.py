"""A job that other machines take part in: the cluster it names, and the folders that they must see."""

import os
from pathlib import Path

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.cluster.nodes import Node, running_nodes
from pipeline.cluster.path_checks import check_reach, local_paths, other_machines, with_absolute_models
from pipeline.cluster.session import connect


def config(model: str) -> JobConfig:
    return JobConfig.parse("score", {"input": {"path": "i"}, "model": model, "output": {"path": "o"}})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a folder `model`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()


def test_only_local_folders_are_asked_for() -> None:
    assert local_paths(config("zoo://scenes"), "s3://bucket/table", "/out/_progress") == {
        "/out/_progress": "output.path"
    }
    assert local_paths(config("model"), "/table", "s3://b/o") == {
        "/table": "input.path",
        os.path.abspath("model"): "model",
    }


def test_a_relative_model_is_the_drivers() -> None:
    assert with_absolute_models(config("model")).model == os.path.abspath("model")
    assert with_absolute_models(config("s3://bucket/model")).model == "s3://bucket/model"
    assert with_absolute_models(config("owner/name")).model == "hf://owner/name"
    assert local_paths(config("owner/name"), "s3://b/t", "s3://b/o") == {}


@pytest.mark.usefixtures("ray_cluster")
def test_a_folder_that_a_node_does_not_have(tmp_path: Path) -> None:
    nodes = running_nodes().now
    assert other_machines(nodes) == []
    assert other_machines([*nodes, Node(8, id="x", address="10.0.0.9")]) == [Node(8, id="x", address="10.0.0.9")]
    check_reach({str(tmp_path): "input.path"}, nodes)
    line = "^model: '/nowhere/model' is not on node .* of the cluster, only where the job was started; give s3://"
    with pytest.raises(ConfigError, match=line):
        check_reach({str(tmp_path): "input.path", "/nowhere/model": "model"}, nodes)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster at '127.0.0.1:1': .*refused"),
        ("host", "no Ray cluster at 'host': Invalid address format"),
        ("ray://host:10001", "is for submitting jobs; start the command on a node of the cluster"),
    ],
)
def test_no_cluster(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^ray.address: .*{message}"):
        connect(address)
