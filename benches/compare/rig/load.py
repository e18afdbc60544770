"""The load: wrk, one thread, keep-alive connections; anything but 2xx makes the run fail."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from . import HERE, LOAD_CORE, Failure


@dataclass(frozen=True)
class Load:
    """What wrk counted over one run."""

    requests: int
    duration_us: int
    bytes: int
    non_2xx: int
    broken: int
    p50_us: int
    p99_us: int

    @property
    def per_second(self) -> float:
        return self.requests * 1e6 / self.duration_us


def run_load(name: str, url: str, connections: int, seconds: int) -> Load:
    """Loads `url` for `seconds`."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "--threads", "1", "--connections",
               str(connections), "--duration", f"{seconds}s", "--timeout", "10s",
               "--script", str(HERE / "load.lua"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not lines:
        raise Failure(f"wrk against {name}: {done.stderr or done.stdout}")
    load = Load(**json.loads(lines[0].removeprefix("RESULT ")))
    if load.non_2xx or load.broken or not load.requests:
        raise Failure(f"{name} at {url}: of {load.requests} requests {load.non_2xx} were not 2xx "
                      f"and {load.broken} broke; no figure of this run counts")
    return load
