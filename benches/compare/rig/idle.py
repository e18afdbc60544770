"""What an idle keep-alive connection of a client costs in memory."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .measure import check_injection, made, start
from .process import free_port
from .rows import Entry, Job
from .token_service import TokenService
from .upstream import Upstream
from .usage import resident_kib

CONNECTIONS = 2000
# Buffers and pools that grow once are no connection's.
WARM_UP = 200
# Idle is who has had nothing to do for a while.
SETTLE_SECONDS = 3
BAR_KIB = 12.5
JOB = Job("/small")


@dataclass(frozen=True)
class Idle:
    """One system's figure."""

    entry: Entry
    kib: float
    """Per connection that has served one request and waits for the next."""


def measure_idle(systems: list[str], folder: Path) -> list[Idle]:
    """Opens the connections one after the other, each with one request, and keeps them open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = []
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenService(free_port()))
        upstream = stack.enter_context(Upstream(made(folder / "upstream"), tokens.token))
        for number, name in enumerate(systems):
            entry = Entry(name, JOB, name)
            with ExitStack() as clients, start(number, entry, folder, tokens, upstream) as proxy:
                check_injection(entry, proxy, tokens)
                for _ in range(WARM_UP):
                    clients.enter_context(used(proxy.port))
                time.sleep(SETTLE_SECONDS)
                before = resident_kib(proxy.pid)
                for _ in range(CONNECTIONS):
                    clients.enter_context(used(proxy.port))
                time.sleep(SETTLE_SECONDS)
                kib = (resident_kib(proxy.pid) - before) / CONNECTIONS
            found.append(Idle(entry, kib))
    return found


def used(port: int) -> socket.socket:
    """A connection over which one request has gone."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"GET {JOB.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
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
    lines = [f"### memory of an idle keep-alive connection ({CONNECTIONS} of them)", "",
             "| system | KiB/connection |", "| --- | ---: |"]
    lines += [f"| {idle.entry.label} | **{idle.kib:.1f}** |" for idle in found]
    for idle in found:
        if idle.entry.system == "bearerd":
            verdict = "met" if idle.kib <= BAR_KIB else "**missed**"
            lines += ["", f"- at most {BAR_KIB} KiB: {idle.kib:.1f}, {verdict}"]
    return "\n".join(lines)
