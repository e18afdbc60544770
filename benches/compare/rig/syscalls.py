"""System calls per small request, as strace counts them."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import LOAD_CORE, Failure
from .load import run_load
from .measure import check_injection, made, start
from .process import free_port
from .rows import Entry, Job
from .token_service import TokenService
from .upstream import Upstream
from .usage import family

JOB = Job("/small")
SECONDS = 3
ATTACH_SECONDS = 0.5
READS = ("read", "readv", "recv", "recvfrom", "recvmsg")
WRITES = ("write", "writev", "send", "sendto", "sendmsg", "sendfile")
WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "futex")


@dataclass(frozen=True)
class Syscalls:
    """One system's calls by name, and the requests that they served."""

    label: str
    requests: int
    calls: dict[str, int]

    def each(self, names: tuple[str, ...]) -> float:
        return sum(self.calls.get(name, 0) for name in names) / self.requests


def measure_syscalls(systems: list[str], folder: Path) -> list[Syscalls]:
    """Loads each under strace, which slows it down: only the counts are good for anything."""
    found = []
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenService(free_port()))
        upstream = stack.enter_context(Upstream(made(folder / "upstream"), tokens.token))
        for number, name in enumerate(systems):
            entry = Entry(name, JOB, name)
            with start(number, entry, folder, tokens, upstream) as proxy:
                check_injection(entry, proxy, tokens)
                run_load(name, proxy.port, JOB, 1)
                found.append(counted(name, proxy.pid, proxy.port, folder / f"{name}.strace"))
    return found


def counted(name: str, pid: int, port: int, out: Path) -> Syscalls:
    pids = [word for each in family(pid) for word in ("-p", str(each))]
    command = ["taskset", "-c", str(LOAD_CORE), "strace", "-c", "-f", "-o", str(out), *pids]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        time.sleep(ATTACH_SECONDS)
        try:
            requests = run_load(name, port, JOB, SECONDS).requests
        finally:
            tracer.terminate()
    calls = {}
    for line in out.read_text().splitlines():
        words = line.split()
        if len(words) >= 5 and words[0][0].isdigit() and words[-1] != "total":
            calls[words[-1]] = int(words[3])
    if not calls:
        raise Failure(f"strace says nothing of {name}")
    return Syscalls(name, requests, calls)


def syscalls_table(found: list[Syscalls]) -> str:
    """As Markdown."""
    lines = ["### system calls per small GET, 64 connections, under strace", "",
             "| system | reads | writes | waits | others |", "| --- | ---: | ---: | ---: | ---: |"]
    for one in found:
        known = READS + WRITES + WAITS
        others = tuple(name for name in one.calls if name not in known)
        cells = " | ".join(f"{one.each(names):.2f}" for names in (READS, WRITES, WAITS, others))
        lines.append(f"| {one.label} | {cells} |")
    return "\n".join(lines)
