"""A server that answers in every way that a server of images may."""

import hashlib
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from pipeline.images.fetch import ATTEMPTS

LIMIT = 1000


class Handler(BaseHTTPRequestHandler):
    """Answers by path: /images/status/NNN, /images/to/TARGET, and some that misbehave."""

    server: "Server"

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen[self.path] += 1
        with suppress(BrokenPipeError, ConnectionResetError):
            self.answer(self.path.partition("?")[0].split("/")[2:])

    def do_HEAD(self) -> None:
        if self.path.startswith("/images/getonly/"):
            return self.reply(405, b"")
        return self.do_GET()

    def answer(self, parts: list[str]) -> None:
        kind, rest = parts[0], "/".join(parts[1:])
        if kind == "status":
            return self.reply(int(rest), b"sorry")
        if kind == "to":
            return self.reply(302, b"", Location=self.path.partition("?")[2] or f"/images/{rest}")
        if kind == "moved":
            return self.reply(302, b"", **self.server.headers[rest])
        if kind in ("versioned", "getonly"):
            return self.reply(200, b"picture", **self.server.headers[rest])
        if kind == "kept":
            body = self.server.kept[rest]
            return self.reply(200, body, ETag=f'"{hashlib.sha256(body).hexdigest()}"')
        if kind == "tagged":
            return self.reply(200, b"picture", **{"X-Robots-Tag": unquote(self.path.partition("?")[2])})
        if kind == "flaky" and self.server.seen[self.path] < ATTEMPTS:
            return self.reply(int(rest), b"not now")
        if kind == "slow":
            self.server.wait_counted(0.2)
        if kind == "hang":
            self.server.stopped.wait(20)
        if kind == "drip":
            self.reply(200, b"", length=50)
            while not self.server.stopped.wait(0.1):
                self.wfile.write(b"x")
        if kind == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.server.sent += self.wfile.write(b"X-More: %s\r\n" % (b"y" * 4000))
        if kind == "slowly":
            for letter in b"HTTP/1.1 200 OK\r\nX-More: " + b"y" * 4000:
                self.wfile.write(bytes([letter]))
                self.server.stopped.wait(0.1)
        if kind == "cut":
            return self.reply(200, b"half", length=50)
        if kind == "endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.server.sent += self.wfile.write(b"x" * 65536)
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return self.connection.close()
        if kind == "full":
            return self.reply(200, b"x" * LIMIT)
        if kind == "untold":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * LIMIT)
            return self.connection.close()
        return self.reply(200, b"x" * (LIMIT + 1) if kind == "large" else f"picture {self.path}".encode())

    def reply(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: Counter[str] = Counter()
        self.kept: dict[str, bytes] = {}  # of /images/kept/NAME
        self.headers: dict[str, dict[str, str]] = {}  # of /images/versioned/NAME
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.now = self.most = self.sent = 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def wait_counted(self, seconds: float) -> None:
        """Wait before an answer, and note how many wait at once: none that has its answer, and so may ask again."""
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self.lock:
            self.now -= 1
