"""What is measured: one row per job, and the bar that bearerd has to meet in it."""

from __future__ import annotations

from dataclasses import dataclass, field

EVERYONE = ("nginx", "haproxy", "envoy", "bearerd")


@dataclass(frozen=True)
class Job:
    """What one system is asked to do."""

    path: str
    """Of the upstream; see upstream.FILES."""
    connections: int = 64
    think_ms: int = 0
    """What a connection waits between two requests, on average; 0 for no wait."""
    tls: bool = False
    """Whether the upstream is reached over TLS (and verified)."""
    routes: int | None = None
    """How many routes bearerd has, the requested one last; None is a single route for `/`."""
    h2c: bool = False
    """Whether the clients speak HTTP/2 in clear, 32 streams to a connection."""
    h2_upstream: bool = False
    """Whether the upstream is spoken to in HTTP/2 in clear."""
    grpc: bool = False
    """Whether the requests are unary calls of gRPC: a message each way, and trailers back."""
    websocket: bool = False
    """Whether the connections are WebSockets, on which a request is a message that is echoed."""
    workers: int = 1
    spread: bool = False
    """Whether the proxy may use all cores, the load's too."""
    churn: bool = False
    """Whether tokens are renewed and the file is reloaded all the time; of bearerd alone."""

    @property
    def request_path(self) -> str:
        return self.path if self.routes is None else f"{LAST_ROUTE}{self.path[1:]}"


@dataclass(frozen=True)
class Entry:
    """One system in one row."""

    system: str
    job: Job
    label: str


@dataclass(frozen=True)
class Row:
    """Systems whose figures stand beside each other."""

    key: str
    title: str
    entries: tuple[Entry, ...]
    bars: dict[str, float] = field(default_factory=dict)
    """Label of another entry -> at most this many times its figure, for the last entry."""
    bar_on: str = "cpu_us"
    """Which of the figures the bars compare: cpu_us, p99_us or p999_us."""
    headline: bool = False
    """Whether it gets more rounds, for a narrow interval of its ratios."""


def row(key: str, title: str, job: Job, bars: dict[str, float], bar_on: str = "cpu_us",
        headline: bool = False, without: str = "") -> Row:
    entries = tuple(Entry(name, job, name) for name in EVERYONE if name != without)
    return Row(key, title, entries, bars, bar_on, headline)


def pair(key: str, title: str, plain: tuple[str, Job], other: tuple[str, Job], most: float,
         bar_on: str = "cpu_us", headline: bool = False) -> Row:
    """bearerd against itself."""
    entries = tuple(Entry("bearerd", job, f"bearerd, {label}") for label, job in (plain, other))
    return Row(key, title, entries, {f"bearerd, {plain[0]}": most}, bar_on, headline)


LAST_ROUTE = "/r09999/"

ROWS = (
    row("small", "small GET, HTTP/1.1 to HTTP/1.1, 64 connections",
        Job("/small"), {"nginx": 1.0, "envoy": 0.30}, headline=True),
    row("tls", "small GET, TLS upstream, 64 connections",
        Job("/small", tls=True), {"nginx": 0.95}, headline=True),
    row("large", "100 KiB GET, 16 connections",
        Job("/large", connections=16), {"nginx": 0.65, "haproxy": 0.95}),
    row("large-tls", "100 KiB GET, TLS upstream, 16 connections",
        Job("/large", connections=16, tls=True), {"nginx": 0.85}),
    row("huge", "10 MiB GET, 16 connections",
        Job("/huge", connections=16), {"nginx": 0.65, "haproxy": 0.95}),
    row("h2c", "small GET, HTTP/2 in clear to HTTP/1.1, 4 connections of 32 streams",
        Job("/small", connections=4, h2c=True), {"nginx": 1.0}),
    row("h2", "small GET, HTTP/2 in clear on both sides, 4 connections of 32 streams",
        Job("/small", connections=4, h2c=True, h2_upstream=True), {"envoy": 0.5}),
    row("grpc", "gRPC unary call, HTTP/2 in clear on both sides, 4 connections of 32 streams",
        Job("/message", connections=4, h2c=True, h2_upstream=True, grpc=True), {"envoy": 0.5},
        # Of an answer that comes before the call was read whole, it makes 502 now and then.
        without="nginx"),
    row("websocket", "WebSocket message of 64 bytes and its echo, 64 connections",
        Job("/socket", websocket=True), {}),
    row("latency", "small GET at the same offered load (64 connections, 8 ms between requests)",
        Job("/small", think_ms=8), {"nginx": 1.0}, bar_on="p99_us"),
    pair("routes", "small GET, the last of 10,000 routes, 64 connections",
         ("1 route", Job("/small", routes=1)), ("10,000 routes", Job("/small", routes=10_000)), 1.05),
    pair("workers", "small GET, two workers against one, all cores, 64 connections",
         ("1 worker", Job("/small", spread=True)),
         ("2 workers", Job("/small", spread=True, workers=2)), 1.05),
    pair("churn", "small GET while tokens are renewed and the file is reloaded (8 ms between requests)",
         ("steady", Job("/small", think_ms=8)),
         ("renewing", Job("/small", think_ms=8, churn=True)), 1.1, bar_on="p999_us",
         headline=True),
)
