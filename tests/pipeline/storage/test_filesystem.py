"""The config's section `storage`: it reaches every process, and no secret of it reaches a log, an error or a file."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml

from jobs.demo.s3_server import S3_KEY, S3_SECRET
from pipeline import ConfigError, JobConfig
from pipeline.storage.filesystem import storage_options
from vilt.common.folder import ZOO

BAD_SECRET = "hunter2-hunter2-hunter2"
GOOD = {"input": {"path": "in/"}, "model": "m", "output": {"path": "out/", "report": False}}


def storage(**keys: Any) -> Any:
    return JobConfig.parse("score", {**GOOD, "storage": keys}).storage


def test_options_are_for_s3_only() -> None:
    section = storage(key="k", secret="s", token="t", endpoint_url="http://h:1", region="eu-west-1")
    names = {"key": "k", "secret": "s", "token": "t", "endpoint_url": "http://h:1"}
    connections = {"config_kwargs": {"max_pool_connections": 64}}
    assert storage_options("s3://b/x", section) == {
        **names,
        "client_kwargs": {"region_name": "eu-west-1"},
        **connections,
    }
    assert storage_options("s3://b/x", storage(anon=True)) == {"anon": True, **connections}
    for uri in ("/data/x", "hf://owner/name", "zoo://scenes", "https://h/x"):
        assert storage_options(uri, section) == {}
    assert storage_options("s3://b/x", storage()) == connections


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"key": "k"}, "storage.secret: missing, though storage.key is set"),
        ({"secret": BAD_SECRET}, "storage.key: missing, though storage.secret is set"),
        ({"token": BAD_SECRET}, "storage.token: set without storage.key"),
        ({"key": "k", "secret": BAD_SECRET, "anon": True}, "storage.anon: true, though storage.key is set"),
        ({"key": "k", "secret": [BAD_SECRET]}, "storage.secret: the value is wrong; input should be a valid string"),
        ({"key": "k", "secret": 12345678}, "storage.secret: the value is wrong"),
        ({"secert": BAD_SECRET}, "storage.secert: unknown key; did you mean 'secret'?"),
    ],
)
def test_wrong_sections(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        storage(**keys)
    assert message in str(caught.value)
    assert BAD_SECRET not in str(caught.value)
    assert "12345678" not in str(caught.value)


def test_faults_of_yaml_do_not_show_the_line(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(f'storage:\n  secret: "{BAD_SECRET}\n')
    with pytest.raises(ConfigError, match="not YAML: found unexpected end of stream in line 3") as caught:
        JobConfig.load("score", str(file))
    assert BAD_SECRET not in str(caught.value)
    file.write_text(yaml.safe_dump(GOOD))
    for override in (f'storage.secret="{BAD_SECRET}', f"storage={BAD_SECRET}", f"model.secret={BAD_SECRET}"):
        with pytest.raises(ConfigError) as caught:
            JobConfig.load("score", str(file), [override])
        assert BAD_SECRET not in str(caught.value)


def test_a_config_does_not_show_its_secrets() -> None:
    config = JobConfig.parse("score", {**GOOD, "storage": {"key": "AKIA123", "secret": BAD_SECRET, "token": "TOKEN7"}})
    for text in (repr(config), str(config), config.model_dump_json(), repr(config.storage)):
        assert not any(secret in text for secret in ("AKIA123", BAD_SECRET, "TOKEN7"))
    assert config.sha256 == JobConfig.parse("score", GOOD).sha256


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for Ray's sessions and their logs, with a path that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def vilt(ray_folder: Path, tmp_path: Path) -> Callable[[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """Run `vilt score` as a person does: in a process, and in a Ray, that know of no S3 server."""

    def score(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "job.yaml"
        file.write_text(yaml.safe_dump(values))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_ADDRESS"))}
        env |= {"RAY_TMPDIR": str(ray_folder), "AWS_EC2_METADATA_DISABLED": "true"}
        command = [sys.executable, "-m", "jobs.cli", "score", str(file)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)

    return score


def fill_bucket(endpoint: str, bucket: str, rows: list[dict[str, Any]]) -> s3fs.S3FileSystem:
    """A table of URIs, its images and a model on the server."""
    s3 = s3fs.S3FileSystem(endpoint_url=endpoint, key=S3_KEY, secret=S3_SECRET)
    s3.mkdir(bucket)
    for i, row in enumerate(rows):
        s3.pipe_file(f"{bucket}/images/{i}.img", row["image"])
        row["image"] = f"s3://{bucket}/images/{i}.img"
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    s3.pipe_file(f"{bucket}/pairs/a.parquet", table.getvalue())
    s3.put(str(ZOO / "scenes"), f"{bucket}/model", recursive=True)
    return s3


def test_no_secret_is_left_anywhere(
    s3_server: str,
    tmp_path: Path,
    ray_folder: Path,
    vilt: Callable[[dict[str, Any]], subprocess.CompletedProcess[str]],
    scene_rows: Callable[[int], list[dict[str, Any]]],
) -> None:
    s3 = fill_bucket(s3_server, "credentials", scene_rows(12))
    values: dict[str, Any] = {
        "input": {"path": "s3://credentials/pairs", "text": "caption", "allow": ["s3://credentials/images"]},
        "model": "s3://credentials/model",
        "output": {"path": "s3://credentials/scores", "report": False},
        "storage": {"endpoint_url": s3_server, "key": S3_KEY, "secret": S3_SECRET, "region": "us-east-1"},
    }
    good = vilt(values)
    assert good.returncode == 0, good.stderr
    assert "scored      12" in good.stdout

    values["storage"]["secret"] = BAD_SECRET
    refused = vilt(values)
    assert refused.returncode == 2
    cause = "The request signature we calculated does not match the signature you provided"
    assert refused.stderr.startswith(f"model: cannot use 's3://credentials/model': {cause}")
    assert refused.stderr.count("\n") == 1

    s3.get("credentials/pairs/a.parquet", str(tmp_path / "table" / "a.parquet"))
    local = {**values["input"], "path": str(tmp_path / "table")}
    values |= {
        "input": local,
        "model": "zoo://scenes",
        "output": {"path": str(tmp_path / "out"), "report": False},
        "max_error_rate": 1,
    }
    forbidden = vilt(values)
    assert forbidden.returncode == 0, forbidden.stderr
    assert pq.read_table(tmp_path / "out")["error"].to_pylist() == ["image_forbidden"] * 12

    s3.get("credentials/scores", str(tmp_path / "scores"), recursive=True)
    places = [*(tmp_path / "scores").iterdir(), *(tmp_path / "out").iterdir(), *ray_folder.rglob("*")]
    files = [place for place in places if place.is_file()]
    assert any(file.suffix == ".parquet" for file in files)
    assert sum(file.suffix in (".log", ".err", ".out") for file in files) > 10, (
        "Ray's logs are where they are looked for"
    )
    texts = {str(file): file.read_bytes() for file in files}
    texts |= {"output": (good.stdout + good.stderr + forbidden.stdout + forbidden.stderr + refused.stderr).encode()}
    for footer in (tmp_path / "scores").glob("*.parquet"):
        texts[f"footer of {footer}"] = json.dumps(
            {k.decode(): v.decode() for k, v in pq.read_metadata(footer).metadata.items()}
        ).encode()
    found = [name for name, text in texts.items() for s in (S3_SECRET, BAD_SECRET) if s.encode() in text]
    assert not found
