"""Hosts of the open web: few requests at once, the pause that they ask for, and little time for those that are gone."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

import pytest

from pipeline import ConfigError, JobConfig
from pipeline.common.error_codes import Failure
from pipeline.images.fetch import Fetcher
from pipeline.images.hosts import DOWN_AFTER, PER_HOST, Hosts, user_agent

NAMES = [f"host{i}.example" for i in range(50)]


class Web(BaseHTTPRequestHandler):
    """Many hosts on one port: /ok, /missing, /busy once, /gone for good, /silent."""

    def do_GET(self) -> None:
        host, web = self.headers["Host"], self.server
        with web.lock:
            web.now[host] += 1
            web.most[host] = max(web.most[host], web.now[host])
            web.agents.add(self.headers["User-Agent"])
            web.seen[self.path, host].append(time.monotonic())
        time.sleep(0.01)
        self.answer(self.path.split("/")[1], len(web.seen[self.path, host]))

    def answer(self, kind: str, times: int) -> None:
        if kind == "silent":
            self.server.stopped.wait(20)
        status = {"missing": 404, "busy": 503 if times == 1 else 200, "throttled": 429}.get(kind, 200)
        self.send_response(status)
        if status in (429, 503):
            self.send_header("Retry-After", "1" if kind == "busy" else "3600")
        self.send_header("Content-Length", "7")
        self.end_headers()
        with self.server.lock:  # before the last byte, at which the client may ask again
            self.server.now[self.headers["Host"]] -= 1
        self.wfile.write(b"picture")

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Web)
        self.lock, self.stopped = Lock(), Event()
        self.now, self.most = defaultdict[str, int](int), defaultdict[str, int](int)
        self.seen = defaultdict[tuple[str, str], list[float]](list)
        self.agents: set[str] = set()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Names of `NAMES` resolve to this machine, whose addresses count as public; no other name is known."""
    real = socket.getaddrinfo

    def lookup(host: str, *rest: Any, **more: Any) -> Any:
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr("pipeline.images.http.is_public", lambda host: host == "127.0.0.1")
    monkeypatch.setattr("pipeline.images.fetch.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("pipeline.images.fetch.hosts_of_process", Hosts)
    with Server() as running:
        Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.stopped.set()
        running.shutdown()


def fetcher(seconds: float = 30, **keys: Any) -> Fetcher:
    values = {
        "input": {"path": "/nowhere", "allow": ["http://*"], **keys},
        "limits": {"fetch_seconds": seconds},
        "model": "m",
        "output": {"path": "/out"},
    }
    return Fetcher("/nowhere", JobConfig.parse("score", values))


def reasons(found: list[bytes | Failure]) -> list[str]:
    return [one.reason if isinstance(one, Failure) else "ok" for one in found]


def test_a_table_of_links_to_many_hosts(web: Any) -> None:
    """Of 500 URLs on 50 hosts some are missing and some name no host: each has its reason, and hosts are spared."""
    port = web.server_port
    kinds = ["missing" if i % 20 == 7 else "nowhere" if i % 20 == 3 else "ok" for i in range(500)]
    urls = [
        f"http://gone{i}.example:{port}/ok/{i}" if kind == "nowhere" else f"http://{NAMES[i % 50]}:{port}/{kind}/{i}"
        for i, kind in enumerate(kinds)
    ]
    found = fetcher(contact="data@example.org").fetch(urls)
    assert reasons(found) == ["ok" if kind == "ok" else "image_missing" for kind in kinds]
    details = {one.detail for one in found if isinstance(one, Failure) and "no host" in one.detail}
    assert len(details) == 25
    assert max(web.most.values()) <= PER_HOST
    assert web.agents == {user_agent("data@example.org")}


def test_one_host_is_asked_four_times_at_once(web: Any) -> None:
    """However many of its URLs a table has in a row."""
    urls = [f"http://{NAMES[3]}:{web.server_port}/ok/{i}" for i in range(60)]
    assert reasons(fetcher().fetch(urls)) == ["ok"] * 60
    assert 1 < max(web.most.values()) <= 4


def test_a_pause_that_is_asked_for(web: Any) -> None:
    url = f"http://{NAMES[0]}:{web.server_port}"
    assert reasons(fetcher().fetch([f"{url}/busy"])) == ["ok"]
    first, second = web.seen["/busy", f"{NAMES[0]}:{web.server_port}"]
    assert second - first >= 1, "the host's second of rest"
    [failure] = fetcher().fetch([f"{url}/throttled"])
    assert isinstance(failure, Failure)
    assert failure.reason == "fetch_throttled"
    assert failure.detail.endswith("HTTP status 429; its host asks for 3,600 seconds of rest")
    assert len(web.seen["/throttled", f"{NAMES[0]}:{web.server_port}"]) == 1


def test_a_host_that_does_not_answer_costs_little(web: Any) -> None:
    """20 URLs of a silent host, of which the first few have the whole time: the others a sixth."""
    one = fetcher(seconds=1.2)
    urls = [f"http://{NAMES[1]}:{web.server_port}/silent/{i}" for i in range(20)]
    found = one.fetch([*urls, f"http://{NAMES[2]}:{web.server_port}/ok"])
    assert reasons(found) == ["fetch_timeout"] * 20 + ["ok"]
    short = [
        failure for failure in found if isinstance(failure, Failure) and "as the URLs of this host" in failure.detail
    ]
    assert 20 - PER_HOST - DOWN_AFTER <= len(short) < 20
    back = f"http://{NAMES[1]}:{web.server_port}/ok"
    assert reasons(one.fetch([back])) == ["ok"]
    assert not one.hosts.is_down(back), "one that answers is not down"


def test_what_is_known_of_hosts() -> None:
    now = [100.0]
    hosts = Hosts(lambda: now[0])
    for _ in range(DOWN_AFTER):
        assert not hosts.is_down("http://a/1")
        hosts.unreached("http://A/1?x")
    assert hosts.is_down("http://a/2")
    assert not hosts.is_down("http://b/2")
    now[0] += 61
    assert not hosts.is_down("http://a/2")
    hosts.asked_to_wait("http://a/1", "90")
    now[0] += 30
    assert hosts.wait_of("http://a/3") == 60
    hosts.asked_to_wait("http://b/1", format_datetime(datetime.now(timezone.utc) + timedelta(seconds=50), usegmt=True))
    assert 45 < hosts.wait_of("http://b/3") <= 50
    for odd in (None, "", "soon", "-1", "1e9", "٣"):
        hosts.asked_to_wait("http://c/1", odd)
    assert hosts.wait_of("http://c/1") == 0


def test_hosts_that_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many hosts are gone, no more than so many are remembered, also of those that were down."""
    monkeypatch.setattr("pipeline.images.hosts.MOST_HOSTS", 3)
    hosts = Hosts(lambda: 0.0)
    for i in range(10):
        for _ in range(DOWN_AFTER):
            hosts.unreached(f"http://gone{i}/a")
    assert sum(hosts.is_down(f"http://gone{i}/a") for i in range(10)) <= 3


@pytest.mark.parametrize("contact", ["a\r\nX-Evil: 1", "", "x" * 300, "ü"])
def test_a_contact_is_a_line_of_a_header(contact: str) -> None:
    with pytest.raises(ConfigError, match=r"input\.contact"):
        fetcher(contact=contact)


def test_a_contact_changes_no_job() -> None:
    assert fetcher(contact="me@example.org").config.sha256 == fetcher().config.sha256
