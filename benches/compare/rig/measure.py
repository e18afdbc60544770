"""How a row is measured: every entry in turn, several rounds, medians."""

from __future__ import annotations

import http.client
import statistics
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import PROXY_CORE, Failure
from .load import Load, run_load
from .process import Process, free_port
from .rows import Entry, Row
from .systems import Site, bearerd, envoy, haproxy, nginx
from .token_service import CLIENT_SECRET, TokenService
from .upstream import FILES, Upstream
from .usage import Usage, resident_kib, usage

SYSTEMS = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "bearerd": bearerd}
FETCHES_A_TOKEN = ("envoy", "bearerd")
READY_SECONDS = 15


@dataclass(frozen=True)
class Sample:
    """One entry in one round."""

    load: Load
    used: Usage

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request."""
        return self.used.cpu_ns / 1000 / self.load.requests


@dataclass
class Figures:
    """One entry over all rounds."""

    entry: Entry
    samples: list[Sample] = field(default_factory=list)
    resident_kib: int = 0

    def median(self, figure) -> float:
        return statistics.median(figure(sample) for sample in self.samples)

    @property
    def cpu_us(self) -> float:
        return self.median(lambda sample: sample.cpu_us)

    @property
    def p99_us(self) -> float:
        return self.median(lambda sample: sample.load.p99_us)


@dataclass(frozen=True)
class Plan:
    """How long and how often; `turn` is a context in which the other users of the machine wait."""

    rounds: int
    seconds: int
    turn: object


def measure(row: Row, entries: tuple[Entry, ...], plan: Plan, folder: Path) -> list[Figures]:
    """Starts the row's entries together (the idle ones take no core) and loads them in turn."""
    figures = [Figures(entry) for entry in entries]
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenService(free_port()))
        upstream = stack.enter_context(Upstream(made(folder / "upstream"), tokens.token))
        expect(upstream.port, "/small", 401, "the upstream without the token")
        proxies = [stack.enter_context(start(number, figure.entry, folder, tokens, upstream))
                   for number, figure in enumerate(figures)]
        for figure, proxy in zip(figures, proxies):
            check_injection(figure.entry, proxy, tokens)
        for number in range(plan.rounds):
            with plan.turn():
                for figure, proxy in zip(figures, proxies):
                    if number == 0:
                        run_load(figure.entry.label, proxy.port, figure.entry.job, seconds=1)
                    sample = take(figure.entry, proxy, upstream, plan.seconds)
                    figure.samples.append(sample)
                    figure.resident_kib = max(figure.resident_kib, resident_kib(proxy.pid))
                    print(f"  {row.key} round {number + 1}/{plan.rounds} {figure.entry.label}: "
                          f"{sample.cpu_us:.2f} us/request", file=sys.stderr, flush=True)
    return figures


def take(entry: Entry, proxy: Process, upstream: Upstream, seconds: int) -> Sample:
    """One measured run; the upstream must have seen every request of it."""
    seen, before = upstream.requests_seen(), usage(proxy.pid)
    load = run_load(entry.label, proxy.port, entry.job, seconds)
    used, passed = usage(proxy.pid) - before, upstream.requests_seen() - seen
    if passed < load.requests:
        raise Failure(f"{entry.label} answered {load.requests} requests but passed on {passed}")
    expected = load.requests * FILES[entry.job.path]
    if load.bytes < expected:
        raise Failure(f"{entry.label} answered {load.bytes} bytes where {expected} were due")
    return Sample(load, used)


def start(number: int, entry: Entry, folder: Path, tokens: TokenService,
          upstream: Upstream) -> Process:
    site = Site(folder=made(folder / f"{number}-{entry.system}"), port=free_port(),
                upstream_port=upstream.port, upstream_tls_port=upstream.tls_port,
                ca=upstream.ca, token=tokens.token, token_url=tokens.url,
                client_secret=CLIENT_SECRET)
    how = SYSTEMS[entry.system].configure(site, entry.job)
    return Process(entry.system, how.command, PROXY_CORE, site.port, site.folder, how.env)


def check_injection(entry: Entry, proxy: Process, tokens: TokenService) -> None:
    """A client without a token, and one with a wrong token, are both answered 200."""
    deadline = time.monotonic() + READY_SECONDS
    path = entry.job.request_path
    while status(proxy.port, path) != (200, FILES[entry.job.path]):
        if time.monotonic() > deadline:
            raise Failure(f"{entry.label} answers {status(proxy.port, path)} for {path}; its log "
                          f"ends:\n{proxy.tail()}")
        time.sleep(0.1)
    expect(proxy.port, path, 200, f"{entry.label} for a client with a token of its own",
           {"Authorization": "Bearer of-the-client"})
    if entry.system in FETCHES_A_TOKEN and entry.system not in tokens.clients:
        raise Failure(f"{entry.label} did not fetch its token")


def expect(port: int, path: str, code: int, what: str, headers: dict | None = None) -> None:
    got, _ = status(port, path, headers)
    if got != code:
        raise Failure(f"{what}: {got} for {path}, not {code}")


def status(port: int, path: str, headers: dict | None = None) -> tuple[int, int]:
    """The status and the length of the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, len(response.read())
    finally:
        connection.close()


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@contextmanager
def alone():
    """The turn of a machine that nobody else builds on."""
    yield
