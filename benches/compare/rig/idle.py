"""What an idle connection of a client costs in memory."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import http2
from .measure import check_injection, made, start
from .plot import Bar, svg
from .process import free_port
from .rows import Entry, Job
from .token_service import TokenService
from .upstream import Upstream
from .usage import resident_kib

CONNECTIONS = 10_000
# With --quick, and by HTTP/2, which is left out there.
FEWER_CONNECTIONS = 2_000
# Buffers and pools that grow once are no connection's.
WARM_UP = 200
# Idle is who has had nothing to do for a while.
SETTLE_SECONDS = 2
BAR_KIB = 12.5
HTTP1 = Job("/small")
HTTP2 = Job("/small", h2c=True)


@dataclass(frozen=True)
class Idle:
    """One system's figure."""

    entry: Entry
    connections: int
    kib: float
    """Per connection that has served one request and waits for the next."""


def measure_idle(systems: list[str], folder: Path, quick: bool) -> list[Idle]:
    """Opens the connections one after the other, each with one request, and keeps them open."""
    entries = [Entry(name, HTTP1, name) for name in systems]
    if not quick:
        entries += [Entry(name, HTTP2, f"{name}, HTTP/2") for name in systems]
    found = []
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenService(free_port()))
        upstream = stack.enter_context(Upstream(made(folder / "upstream"), tokens.token))
        for number, entry in enumerate(entries):
            connections = FEWER_CONNECTIONS if quick or entry.job.h2c else CONNECTIONS
            with ExitStack() as clients, start(number, entry, folder, tokens, upstream) as proxy:
                check_injection(entry, proxy, tokens)
                for _ in range(WARM_UP):
                    clients.enter_context(used(proxy.port, entry.job))
                time.sleep(SETTLE_SECONDS)
                before = resident_kib(proxy.pid)
                for _ in range(connections):
                    clients.enter_context(used(proxy.port, entry.job))
                time.sleep(SETTLE_SECONDS)
                kib = (resident_kib(proxy.pid) - before) / connections
            found.append(Idle(entry, connections, kib))
    return found


def used(port: int, job: Job) -> socket.socket:
    """A connection over which one request has gone."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    authority = f"127.0.0.1:{port}"
    if job.h2c:
        http2.get(connection, authority, job.path)
        return connection
    connection.sendall(f"GET {job.path} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = b""
    # Chunked or not, the body ends the answer: it holds one known line.
    while b"EUR" not in answer and b"401" not in answer[:16]:
        piece = connection.recv(65536)
        if not piece:
            break
        answer += piece
    return connection


def idle_table(found: list[Idle]) -> str:
    """As Markdown, with the bar under it."""
    lines = ["### memory of an idle connection", "",
             "| system | connections | KiB/connection |", "| --- | ---: | ---: |"]
    lines += [f"| {idle.entry.label} | {idle.connections:,} | **{idle.kib:.1f}** |"
              for idle in found]
    for idle in found:
        if idle.entry.label == "bearerd":
            verdict = "met" if idle.kib <= BAR_KIB else "**missed**"
            lines += ["", f"- at most {BAR_KIB} KiB: {idle.kib:.1f}, {verdict}"]
    return "\n".join(lines)


def idle_picture(found: list[Idle]) -> str:
    """As SVG."""
    bars = [Bar(idle.entry.label, idle.kib, idle.kib, idle.kib) for idle in found]
    return svg("memory of an idle connection", "KiB", bars)
