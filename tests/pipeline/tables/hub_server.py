"""A stand-in for the Hugging Face hub: the few requests of its API that reading a dataset makes, from a folder."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Hub:
    """Datasets: commit -> path -> content; `main` is the last commit of each."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.main = ""

    def push(self, files: dict[str, bytes]) -> str:
        """Add a commit to `main`; return its hash."""
        before = self.commits.get(self.main, {})
        self.main = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[self.main] = {**before, **files}
        return self.main

    def tree(self, commit: str, under: str) -> list[dict[str, Any]]:
        """Return the files and folders below a path, as the API lists them."""
        files = self.commits[commit]
        folders = {"/".join(path.split("/")[:n]) for path in files for n in range(1, path.count("/") + 1)}
        entries = [_entry(path, data) for path, data in files.items()]
        entries += [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]
        return [one for one in entries if not under or one["path"].startswith(f"{under}/")]


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does, about the datasets of the server's hub."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        commit = unquote(urlsplit(self.path).path.rpartition("/")[2])
        paths = json.loads(data)["paths"] if data.startswith(b"{") else parse_qs(data.decode())["paths"]
        known = {one["path"]: one for one in self.server.hub.tree(self._commit(commit), "")}
        self._json([known[path] for path in paths if path in known])

    def do_GET(self) -> None:
        hub, repo = self.server.hub, self.server.repo
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(rf"/api/datasets/{repo}(/revision/(?P<commit>[^/]+))?", path):
            commit = self._commit(found["commit"])
            if commit is None:
                self._error("RevisionNotFound")
            else:
                self._json({"id": repo, "sha": commit, "siblings": [], "private": False, "tags": []})
        elif found := re.fullmatch(rf"/api/datasets/{repo}/tree/(?P<commit>[^/]+)/?(?P<under>.*)", path):
            recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["False"])[0].lower() == "true"
            entries = hub.tree(self._commit(found["commit"]), found["under"])
            depth = found["under"].count("/") + 1 if found["under"] else 0
            self._json([one for one in entries if recursive or one["path"].count("/") == depth])
        elif path.startswith(f"/datasets/{repo}/resolve/"):
            self._file(body=True)
        else:
            self._error("RepoNotFound")

    def _commit(self, name: str | None) -> Any:
        hub = self.server.hub
        return hub.main if name in (None, "main") else name if name in hub.commits else None

    def _file(self, body: bool) -> None:
        rest = unquote(urlsplit(self.path).path).removeprefix(f"/datasets/{self.server.repo}/resolve/")
        commit, _, path = rest.partition("/")
        data = self.server.hub.commits[self._commit(commit)].get(path)
        if data is None:
            self._error("EntryNotFound")
            return
        begin, end = 0, len(data)
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            begin, end = int(found[1]), min(int(found[2]) + 1 if found[2] else end, end)
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("Content-Length", str(end - begin))
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", self._commit(commit))
        self.end_headers()
        if body:
            self.wfile.write(data[begin:end])

    def _json(self, values: object) -> None:
        data = json.dumps(values).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _error(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


class HubServer(ThreadingHTTPServer):
    """A server of the datasets of a hub under one name, on a port that is free."""

    def __init__(self, hub: Hub, repo: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.repo = hub, repo


@contextmanager
def serve(hub: Hub, repo: str) -> Iterator[str]:
    """Serve the datasets of a hub under one name; yield the endpoint."""
    server = HubServer(hub, repo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def parquet_bytes(table: Any, folder: Path) -> bytes:
    """Return a table as a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "bytes.parquet")
    return (folder / "bytes.parquet").read_bytes()
