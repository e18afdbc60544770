"""The load: wrk, one thread, keep-alive connections; anything but 2xx makes the run fail."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

from . import HERE, LOAD_CORE, Failure
from .rows import Job


@dataclass(frozen=True)
class Load:
    """What wrk counted over one run."""

    requests: int
    duration_us: int
    bytes: int
    refused: int
    """Answers of 400 and above; the upstream has none below but 200."""
    broken: int
    p50_us: int
    p99_us: int

    @property
    def per_second(self) -> float:
        return self.requests * 1e6 / self.duration_us


def run_load(name: str, port: int, job: Job, seconds: int) -> Load:
    """Loads the proxy on `port` for `seconds`."""
    url = f"http://127.0.0.1:{port}{job.request_path}"
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "--threads", "1", "--connections",
               str(job.connections), "--duration", f"{seconds}s", "--timeout", "10s",
               "--script", str(HERE / "load.lua"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30,
                          env={**os.environ, "THINK_MS": str(job.think_ms)})
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not lines:
        raise Failure(f"wrk against {name}: {done.stderr or done.stdout}")
    load = Load(**json.loads(lines[0].removeprefix("RESULT ")))
    if load.refused or load.broken or not load.requests:
        raise Failure(f"{name} at {url}: of {load.requests} requests {load.refused} were not 2xx "
                      f"and {load.broken} broke; no figure of this run counts")
    return load
