"""Clients by the thousand, on bare sockets: bounded in number and time."""

import asyncio
import contextlib
import re
import subprocess
import time
from collections import Counter


def request_bytes(path, method="GET", body=b"", close=False):
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if close:
        head += "Connection: close\r\n"
    if body:
        head += f"Content-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def answer(reader):
    """Reads one answer whole and returns its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    if "transfer-encoding: chunked" in head:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    elif "content-length: " in head:
        length = head.split("content-length: ", 1)[1].split("\r\n", 1)[0]
        await reader.readexactly(int(length))
    else:
        await reader.read()
    return status


def burst(port, path, count, seconds=120):
    """Opens `count` connections, then sends on all of them at once; how often each status (or fault) came."""

    async def run():
        opening = asyncio.Semaphore(256)
        open_ones, start = 0, asyncio.Event()

        async def one():
            nonlocal open_ones
            try:
                async with opening:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                open_ones += 1
                if open_ones == count:
                    start.set()
                await start.wait()
                writer.write(request_bytes(path, close=True))
                status = await answer(reader)
                writer.close()
                return status
            except (OSError, EOFError) as fault:
                start.set()
                return repr(fault)

        async with asyncio.timeout(seconds):
            return Counter(await asyncio.gather(*(one() for _ in range(count))))

    return asyncio.run(run())


def h2load(url, requests, *more):
    """Sends so many, by eight connections; each is to be answered with 2xx."""
    argv = ["h2load", "--requests", str(requests), "--clients", "8", "--threads", "1", *more, url]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=3000).stdout
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    all_well = (str(requests), "0", "0", "0")
    assert counts and codes and counts.groups() == codes.groups() == all_well, said


class Load:
    """`clients` kept-alive connections that ask again and again, until `stop` or `seconds` are over."""

    def __init__(self, port, path, clients, seconds, pause=0.0):
        self.port, self.path, self.clients, self.pause = port, path, clients, pause
        self.deadline = time.monotonic() + seconds
        self.statuses, self.slowest, self.stopping = Counter(), 0.0, False

    def stop(self):
        self.stopping = True

    def run(self):
        """Runs until the end; `statuses` then holds what came, faults by their text."""
        asyncio.run(self._all())

    async def _all(self):
        await asyncio.gather(*(self._client() for _ in range(self.clients)))

    def _over(self):
        return self.stopping or time.monotonic() > self.deadline

    async def _client(self):
        while not self._over():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.statuses["refused connection"] += 1
                await asyncio.sleep(0.05)
                continue
            with contextlib.suppress(OSError):
                await self._ask(reader, writer)
                writer.close()

    async def _ask(self, reader, writer):
        while not self._over():
            sent = time.monotonic()
            writer.write(request_bytes(self.path))
            try:
                status = await asyncio.wait_for(answer(reader), 30)
            except asyncio.IncompleteReadError as cut:
                # Closed before it read anything of ours: allowed on a kept-alive connection, and asked again.
                self.statuses["cut" if cut.partial else "closed idle"] += 1
                return
            except OSError:
                self.statuses["reset"] += 1
                return
            self.statuses[status] += 1
            self.slowest = max(self.slowest, time.monotonic() - sent)
            await asyncio.sleep(self.pause)
