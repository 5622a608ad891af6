"""A proxy before an S3 server that treats a share of the requests badly."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from random import Random

from jobs.demo.s3_server import free_port

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class BadProxy:
    """Listens on `port` and forwards to `target`. Of the requests a share is answered 503 SlowDown, answered after some
    seconds, or cut in the middle of the answer; `made` counts them."""

    def __init__(self, target: int, share: float = 0.2, seed: int = 1) -> None:
        self.port, self.target, self.share, self.random = free_port(), target, share, Random(seed)
        self.made: Counter[str] = Counter()
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        ready.set()
        self.loop.run_forever()

    def close(self) -> None:
        """Stop listening."""
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, then the connection is closed."""
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        wants_word = b"expect: 100-continue" in head.lower()
        bad = self.random.random() < self.share
        fault = self.random.choice(("503", "slow", "cut")) if bad else "none"
        self.made[fault] += 1
        if wants_word:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
        if fault == "503":
            size = str(len(SLOW_DOWN)).encode()
            writer.write(
                b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: " + size + b"\r\n\r\n" + SLOW_DOWN
            )
            await writer.drain()
            return
        if fault == "slow":
            await asyncio.sleep(self.random.uniform(1, 3))
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
        back.write(b"\r\n".join([*lines[:-2], b"Connection: close", b"", b""]) + body)
        answer = await there.read(-1)
        back.close()
        start, _, rest = answer.partition(b"\r\n")
        answer = start + b"\r\nConnection: close\r\n" + rest
        writer.write(answer[: len(answer) // 2] if fault == "cut" else answer)
        await writer.drain()
