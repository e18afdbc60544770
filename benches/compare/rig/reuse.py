"""How many requests find a connection to the upstream, where many workers share few requests."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .measure import Plan, check_injection, made, start, status
from .process import free_port
from .rows import Entry, Job
from .token_service import TokenService
from .upstream import Upstream

WORKERS = 16
PER_SECOND = 8
# Each request comes by a connection of its own, which the kernel gives to some worker: so many reach all.
WARM_UP = WORKERS * 12
BAR = 0.99
JOB = Job("/small", tls=True, workers=WORKERS)


@dataclass(frozen=True)
class Reuse:
    """What the upstream saw."""

    requests: int
    connections: int

    @property
    def share(self) -> float:
        """Of the requests, those on a connection that was there already."""
        return 1 - self.connections / self.requests


def measure_reuse(plan: Plan, folder: Path) -> Reuse:
    """Sends a few requests a second, once every worker has had some."""
    entry = Entry("bearerd", JOB, "bearerd")
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenService(free_port()))
        upstream = stack.enter_context(Upstream(made(folder / "upstream"), tokens.token))
        proxy = stack.enter_context(start(0, entry, folder, tokens, upstream))
        check_injection(entry, proxy, tokens)
        for _ in range(WARM_UP):
            status(proxy.port, JOB.path)
        requests, connections = upstream.seen()
        for _ in range(PER_SECOND * plan.reuse_seconds):
            time.sleep(1 / PER_SECOND)
            status(proxy.port, JOB.path)
        requests_then, connections_then = upstream.seen()
    # The second look was a request and a connection itself.
    return Reuse(requests_then - requests - 1, connections_then - connections - 1)


def reuse_table(found: Reuse) -> str:
    """As Markdown, with the bar under it."""
    verdict = "met" if found.share >= BAR else "**missed**"
    return "\n".join([
        f"### connections reused, {WORKERS} workers at {PER_SECOND} requests a second, TLS upstream",
        "", "| system | requests | new connections | reused |", "| --- | ---: | ---: | ---: |",
        f"| bearerd | {found.requests} | {found.connections} | **{found.share:.1%}** |", "",
        f"- at least {BAR:.0%}: {found.share:.1%}, {verdict}"])
