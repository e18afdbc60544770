"""The load: wrk, h2load for HTTP/2, or messages of our own; anything but 2xx makes the run fail."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import HERE, LOAD_CORE, Failure
from .rows import Job
from .upstream import MESSAGE
from .websocket import PAYLOAD, run_websockets


@dataclass(frozen=True)
class Load:
    """What was counted over one run."""

    requests: int
    duration_us: int
    bytes: int
    refused: int
    """Answers of 400 and above; the upstream has none below but 200."""
    broken: int
    p50_us: int
    p99_us: int
    p999_us: int

    @property
    def per_second(self) -> float:
        return self.requests * 1e6 / self.duration_us


def run_load(name: str, port: int, job: Job, seconds: int) -> Load:
    """Loads the proxy on `port` for `seconds`."""
    url = f"http://127.0.0.1:{port}{job.request_path}"
    if job.websocket:
        load = run_messages(name, port, job, seconds)
    elif job.h2c:
        load = run_h2load(name, url, job, seconds)
    else:
        load = run_wrk(name, url, job, seconds)
    if load.refused or load.broken or not load.requests:
        raise Failure(f"{name} at {url}: of {load.requests} requests {load.refused} were not 2xx "
                      f"and {load.broken} broke; no figure of this run counts")
    return load


def run_wrk(name: str, url: str, job: Job, seconds: int) -> Load:
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "--threads", "1", "--connections",
               str(job.connections), "--duration", f"{seconds}s", "--timeout", "10s",
               "--script", str(HERE / "load.lua"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30,
                          env={**os.environ, "THINK_MS": str(job.think_ms)})
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not lines:
        raise Failure(f"wrk against {name}: {done.stderr or done.stdout}")
    return Load(**json.loads(lines[0].removeprefix("RESULT ")))


def run_h2load(name: str, url: str, job: Job, seconds: int) -> Load:
    with tempfile.TemporaryDirectory(prefix="h2load-") as folder:
        log = Path(folder) / "requests"
        command = ["taskset", "-c", str(LOAD_CORE), "h2load", "--clients", str(job.connections),
                   "--max-concurrent-streams", str(STREAMS), "--duration", str(seconds),
                   "--log-file", str(log), *call(job, Path(folder)), url]
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
            # It breaks off by itself once in a hundred runs.
            if done.returncode == 0:
                break
        took = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    counted = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored",
                        done.stdout)
    codes = re.search(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    received = re.search(r"traffic: .* \((\d+)\) data", done.stdout)
    if done.returncode != 0 or not (counted and codes and received and len(took) > 1):
        raise Failure(f"h2load against {name}: {done.returncode} {done.stdout or done.stderr}")
    requests, _, failed, errored = map(int, counted.groups())
    cuts = statistics.quantiles(took, n=1000)
    return Load(requests=requests, duration_us=seconds * 1_000_000, bytes=int(received[1]),
                refused=sum(map(int, codes.groups())), broken=failed + errored,
                p50_us=round(cuts[499]), p99_us=round(cuts[989]), p999_us=round(cuts[998]))


def run_messages(name: str, port: int, job: Job, seconds: int) -> Load:
    took, lasted = run_websockets(name, port, job.connections, seconds)
    micros = [second * 1e6 for second in took]
    cuts = statistics.quantiles(micros, n=1000)
    return Load(requests=len(took), duration_us=round(lasted * 1e6),
                bytes=len(took) * len(PAYLOAD), refused=0, broken=0,
                p50_us=round(cuts[499]), p99_us=round(cuts[989]), p999_us=round(cuts[998]))


def call(job: Job, folder: Path) -> list[str]:
    """What makes a request a call of gRPC."""
    if not job.grpc:
        return []
    message = folder / "message"
    message.write_bytes(MESSAGE)
    return ["--data", str(message), "--header", "content-type: application/grpc",
            "--header", "te: trailers"]


STREAMS = 32
