"""Every file in configs/deploy is what its reader takes, and the commands in it are commands of `vilt`."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml
from botocore.validate import ParamValidator
from croniter import croniter
from ray.autoscaler._private.util import fillout_defaults, validate_config

from jobs.cli import app
from jobs.console.exit_codes import BAD_CONFIG, TOO_MANY_ERRORS
from pipeline import JobConfig
from pipeline.config.shard import resolve_shard

DEPLOY = Path(__file__).parents[2] / "configs" / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.suffix not in (".md", ".json"))
HADOLINT = Path(sys.executable).parent / "hadolint"
KUBERNETES = "1.37"
KUBERAY = json.loads((Path(__file__).parent / "kuberay-1.7.0.json").read_text())
COMMAND = re.compile(r"\bvilt,? +([a-z]+)[, ]")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_commands_are_known(path: Path) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    called = {command for line in lines for command in COMMAND.findall(line.replace("bin/vilt", "vilt"))}
    assert called <= known
    assert called or path.name in ("Dockerfile", "prometheus.yml", "ray-cluster.yaml", "vilt-reindex.timer")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_says_at_the_top_what_to_change(path: Path) -> None:
    head = re.match(r"(#.*\n)+", path.read_text())
    assert head
    assert "To change: " in head[0]


def test_ray_up() -> None:
    config = yaml.safe_load((DEPLOY / "ray-cluster.yaml").read_text())
    validate_config(fillout_defaults(config))
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}
    with pytest.raises(jsonschema.ValidationError):
        validate_config(fillout_defaults({**config, "worker_nods": {}}))


def test_cronjob() -> None:
    job = yaml.safe_load((DEPLOY / "cronjob.yaml").read_text())
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert croniter.is_valid(job["spec"]["schedule"])
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**job, "spec": {**job["spec"], "scedule": "@daily"}}, KUBERNETES, strict=True)


def kuberay(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """Check against KubeRay's schema, and the pods against Kubernetes'; the job's groups of nodes."""
    pod = {"PodTemplateSpec": {"type": "object", "required": ["spec"]}}
    schema = {"definitions": {**KUBERAY["definitions"], **pod}, "$ref": f"#/definitions/{resource['kind']}"}
    jsonschema.validate(resource, schema)
    job = resource["spec"].get("jobTemplate", resource["spec"])
    cluster = job.get("rayClusterSpec", job)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        spec = group["template"]["spec"]
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", "spec": spec}, KUBERNETES, strict=True)
    return groups


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycronjob.yaml"])
def test_kuberay(name: str) -> None:
    resource = yaml.safe_load((DEPLOY / name).read_text())
    head, cpu, gpu = kuberay(resource)
    assert head["rayStartParams"] == {"num-cpus": "0"}
    assert "nvidia.com/gpu" not in cpu["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert gpu["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert croniter.is_valid(resource["spec"].get("schedule", "@daily"))
    with pytest.raises(jsonschema.ValidationError):
        kuberay({**resource, "spec": {**resource["spec"], "entrypont": "vilt"}})


def test_a_cluster_of_spot_nodes_whose_head_may_die() -> None:
    cluster, job = yaml.safe_load_all((DEPLOY / "spot.yaml").read_text())
    _, *workers = kuberay(cluster)
    assert "redisAddress" in cluster["spec"]["gcsFaultToleranceOptions"]
    assert all("nodeSelector" in group["template"]["spec"] for group in workers)
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    pod = job["spec"]["template"]["spec"]
    [driver] = pod["containers"]
    assert f"--address={cluster['metadata']['name']}-head-svc:6379 --num-cpus=0" in driver["command"][-1]
    assert "nodeSelector" not in pod, "no spot node"
    final = {BAD_CONFIG.code, TOO_MANY_ERRORS.code}
    assert set(job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]) == final
    with pytest.raises(jsonschema.ValidationError):
        kuberay({**cluster, "spec": {**cluster["spec"], "gcsFaultToleranceOptions": {"redisAdress": "redis:6379"}}})


SHARDS = "input.shard=auto/1000"


def parsed(command: list[str]) -> JobConfig:
    """Parse a `vilt` command as the program does, with the config that the project ships; 'vilt' comes first."""
    assert command[0] == "vilt"
    words = typer.main.get_command(app).commands[command[1]]  # type: ignore[attr-defined]
    given = words.make_context(command[1], list(command[2:])).params
    assert given["as_json"]
    assert list(given["overrides"]) == [SHARDS]  # a tuple in typer 0.19
    return JobConfig.load("score", str(DEPLOY.parent / "score.yaml"), list(given["overrides"]))


def test_indexed_job() -> None:
    job = yaml.safe_load((DEPLOY / "indexed-job.yaml").read_text())
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    spec = job["spec"]
    config = parsed(spec["template"]["spec"]["containers"][0]["args"])
    shard, _ = resolve_shard(str(config.input.shard), {"JOB_COMPLETION_INDEX": str(spec["completions"] - 1)})
    assert (spec["completionMode"], shard.index, shard.count) == ("Indexed", 999, spec["completions"])
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**job, "spec": {**spec, "completionMod": "Indexed"}}, KUBERNETES, strict=True)


def test_aws_batch() -> None:
    """Its keys are those of the service's own model, which botocore ships."""
    definition = json.loads((DEPLOY / "aws-batch.json").read_text())
    shape = (
        botocore.session.get_session().get_service_model("batch").operation_model("RegisterJobDefinition").input_shape
    )
    assert not ParamValidator().validate(definition, shape).has_errors()
    assert ParamValidator().validate({**definition, "retryStrateg": {}}, shape).has_errors()
    command = [word.replace("Ref::config", "score.yaml") for word in definition["containerProperties"]["command"]]
    config = parsed(command)
    shard, _ = resolve_shard(str(config.input.shard), {"AWS_BATCH_JOB_ARRAY_INDEX": "999"})
    assert shard.count == 1000


def test_slurm_array(tmp_path: Path) -> None:
    """The script as it stands, with an `srun` that writes down its words."""
    script = DEPLOY / "slurm-array.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    first, last = re.search(r"^#SBATCH --array=(\d+)-(\d+)", script.read_text(), re.M).groups()  # type: ignore[union-attr]
    (tmp_path / "srun").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", str(script)], env=path, capture_output=True, text=True, check=True)
    config = parsed(done.stdout.split())
    for number in (first, last):
        shard, _ = resolve_shard(str(config.input.shard), {"SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_MAX": last})
        assert (shard.index, shard.count) == (int(number), 1000)


def test_crontab() -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    entries = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    assert entries
    for entry in entries:
        assert croniter.is_valid(" ".join(entry.split()[:5]))
        assert "%" not in entry, "cron takes it for the end of a line"


def test_systemd() -> None:
    service, timer = (configparser.ConfigParser(interpolation=None) for _ in range(2))
    for parser, name in ((service, "vilt-reindex.service"), (timer, "vilt-reindex.timer")):
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(DEPLOY / name)
    assert service["Service"]["Type"] == "oneshot", "so that the timer cannot start it twice"
    assert service["Service"]["SuccessExitStatus"] == "4"
    assert timer["Timer"]["OnCalendar"] == "hourly"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_reads_it(tmp_path: Path) -> None:
    for name in ("vilt-reindex.service", "vilt-reindex.timer"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/vilt/bin/vilt", "/bin/true").replace("User=vilt", "User=root"))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about = [line for line in done.stderr.splitlines() if "vilt-reindex" in line]
    assert (done.returncode, about) == (0, []), done.stderr


def test_dockerfile() -> None:
    done = subprocess.run([str(HADOLINT), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()}
    assert all((DEPLOY.parents[1] / name).exists() for name in copied)
    assert text.index("USER 1000") < text.index("CMD")
