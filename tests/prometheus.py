"""Prometheus for tests: Debian's package, installed or unpacked without root into `.venv`, as a child process."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.demo.s3_server import free_port, wait_until_ready

CACHE = Path(__file__).parent.parent / ".venv" / "prometheus"


def find_tools() -> Path:
    """The folder of `prometheus` and `promtool`. Raises OSError where there are none, and none can be fetched."""
    if found := shutil.which("prometheus"):
        return Path(found).parent
    if not (CACHE / "usr").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=CACHE) as own:  # it is there whole or not at all, whoever else fetches it
            for command in (["apt-get", "download", "prometheus"], ["sh", "-c", "dpkg-deb -x prometheus_*.deb ."]):
                done = subprocess.run(command, cwd=own, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise OSError(f"{' '.join(command)}: {' '.join(done.stderr.split())}")
            with suppress(OSError):
                (Path(own) / "usr").rename(CACHE / "usr")
    return CACHE / "usr" / "bin"


class Prometheus:
    """A server on a free port of this machine. config: the text of its prometheus.yml."""

    def __init__(self, tools: Path, folder: Path, config: str) -> None:
        self.tools, self.folder, self.url = tools, folder, f"http://127.0.0.1:{free_port()}"
        (folder / "prometheus.yml").write_text(config)

    def __enter__(self) -> Prometheus:
        command = [
            str(self.tools / "prometheus"),
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        with (self.folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until_ready(f"{self.url}/-/ready")
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now. Raises HTTPError where it is none."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def values(self, expression: str, label: str = "") -> dict[str, float]:
        """The value of each sample, by a label."""
        return {sample["metric"].get(label, ""): float(sample["value"][1]) for sample in self.ask(expression)}
