"""How a row is measured: every entry in turn, several rounds, medians."""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from . import LOAD_CORE, PROXY_CORE, Failure
from .load import Load, run_load
from .process import Process, free_port
from .rows import Entry, Row
from .systems import Site, bearerd, envoy, haproxy, nginx
from .token_service import CLIENT_SECRET, RENEWING, TokenService
from .upstream import FILES, Upstream
from .usage import Usage, resident_kib, usage
from .websocket import opened

SYSTEMS = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "bearerd": bearerd}
FETCHES_A_TOKEN = ("envoy", "bearerd")
READY_SECONDS = 15
CHURN_SECONDS = 0.5


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

    @property
    def p999_us(self) -> float:
        return self.median(lambda sample: sample.load.p999_us)

    def each(self, name: str) -> list[float]:
        """The figure of each round: cpu_us, p99_us or p999_us."""
        return [getattr(sample if name == "cpu_us" else sample.load, name)
                for sample in self.samples]


@dataclass(frozen=True)
class Plan:
    """How long and how often; `turn` is a context in which the other users of the machine wait."""

    rounds: int
    headline_rounds: int
    seconds: int
    reuse_seconds: int
    turn: object

    def rounds_of(self, row: Row) -> int:
        return self.headline_rounds if row.headline else self.rounds


def measure(row: Row, entries: tuple[Entry, ...], plan: Plan, folder: Path) -> list[Figures]:
    """Starts the row's entries together (the idle ones take no core) and loads them in turn."""
    figures = [Figures(entry) for entry in entries]
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenService(free_port()))
        echo = any(entry.job.websocket for entry in entries)
        upstream = stack.enter_context(Upstream(made(folder / "upstream"), tokens.token, echo))
        expect(upstream.port, "/small", 401, "the upstream without the token")
        proxies = [stack.enter_context(start(number, figure.entry, folder, tokens, upstream))
                   for number, figure in enumerate(figures)]
        for figure, proxy in zip(figures, proxies):
            check_injection(figure.entry, proxy, tokens)
        rounds = plan.rounds_of(row)
        for number in range(rounds):
            # There and back, so that nobody always comes after the same one.
            turns = list(zip(figures, proxies))[::-1 if number % 2 else 1]
            with plan.turn():
                for figure, proxy in turns:
                    if number == 0:
                        run_load(figure.entry.label, proxy.port, figure.entry.job, seconds=1)
                    with churn(proxy) if figure.entry.job.churn else nullcontext():
                        sample = take(figure.entry, proxy, upstream, plan.seconds)
                    figure.samples.append(sample)
                    figure.resident_kib = max(figure.resident_kib, resident_kib(proxy.pid))
                    print(f"  {row.key} round {number + 1}/{rounds} {figure.entry.label}: "
                          f"{sample.cpu_us:.2f} us/request", file=sys.stderr, flush=True)
        renewed = sum(client.endswith(RENEWING) for client in tokens.clients)
        if any(entry.job.churn for entry in entries) and renewed < 2:
            raise Failure("no token was renewed")
    return figures


def take(entry: Entry, proxy: Process, upstream: Upstream, seconds: int) -> Sample:
    """One measured run; the upstream must have seen every request of it."""
    seen, before = upstream.requests_seen(), usage(proxy.pid)
    load = run_load(entry.label, proxy.port, entry.job, seconds)
    used, passed = usage(proxy.pid) - before, upstream.requests_seen() - seen
    if entry.job.websocket:
        # Each was held against what was sent.
        return Sample(load, used)
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
                upstream_h2_port=upstream.h2_port,
                echo_port=upstream.echo.port if upstream.echo else 0, ca=upstream.ca, token=tokens.token, token_url=tokens.url,
                client_secret=CLIENT_SECRET)
    how = SYSTEMS[entry.system].configure(site, entry.job)
    cores = f"{PROXY_CORE},{LOAD_CORE}" if entry.job.spread else PROXY_CORE
    process = Process(entry.system, how.command, cores, site.port, site.folder, how.env)
    process.churned = how.churned
    return process


@contextmanager
def churn(proxy: Process):
    """Writes the proxy's file anew all the time; its tokens are short-lived by themselves."""
    text, ended = proxy.churned.read_text(), threading.Event()

    def write() -> None:
        number = 0
        while not ended.wait(CHURN_SECONDS):
            number += 1
            new = proxy.churned.with_suffix(".new")
            new.write_text(f"{text}\n# {number}\n")
            os.replace(new, proxy.churned)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def check_injection(entry: Entry, proxy: Process, tokens: TokenService) -> None:
    """A client without a token, and one with a wrong token, are both answered 200."""
    deadline = time.monotonic() + READY_SECONDS
    if entry.job.websocket:
        opened(proxy.port).close()
        return opened(proxy.port, "Bearer of-the-client").close()
    path, asked = entry.job.request_path, status_h2c if entry.job.h2c else status
    while asked(proxy.port, path) != (200, FILES[entry.job.path]):
        if time.monotonic() > deadline:
            raise Failure(f"{entry.label} answers {asked(proxy.port, path)} for {path}; its log "
                          f"ends:\n{proxy.tail()}")
        time.sleep(0.1)
    got, _ = asked(proxy.port, path, {"Authorization": "Bearer of-the-client"})
    if got != 200:
        raise Failure(f"{entry.label} for a client with a token of its own: {got} for {path}")
    fetched = any(client.startswith(entry.system) for client in tokens.clients)
    if entry.system in FETCHES_A_TOKEN and not fetched:
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


def status_h2c(port: int, path: str, headers: dict | None = None) -> tuple[int, int]:
    """The same by HTTP/2 in clear, as who knows that it is spoken."""
    fields = [word for name, value in (headers or {}).items() for word in ("-H", f"{name}: {value}")]
    said = subprocess.run(["curl", "--silent", "--http2-prior-knowledge", "--max-time", "10",
                           "--output", "/dev/null", "--write-out", "%{http_code} %{size_download}",
                           *fields, f"http://127.0.0.1:{port}{path}"],
                          capture_output=True, text=True).stdout
    code, size = said.split()
    return int(code), int(size)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@contextmanager
def alone():
    """The turn of a machine that nobody else builds on."""
    yield
