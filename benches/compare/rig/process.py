"""Starts programs on a core and on loopback, waits until they listen, ends them by their pid."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import Failure

START_SECONDS = 20
STOP_SECONDS = 5
PORTS = range(12000, 32000)


class Process:
    """A program that runs until the `with` block ends."""

    def __init__(self, name: str, command: list[str], core: int | str, port: int, folder: Path,
                 env: dict[str, str] | None = None):
        self.name = name
        self.port = port
        self.log = folder / f"{name}.log"
        # setpriv: the program ends even when this driver is killed outright.
        pinned = ["taskset", "-c", str(core), "setpriv", "--pdeathsig", "KILL", *command]
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, env={**os.environ, **(env or {})})

    @property
    def pid(self) -> int:
        """taskset and setpriv replace themselves, so this is the program itself."""
        return self.child.pid

    def __enter__(self) -> Process:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise Failure(f"{self.name} ended at its start:\n{self.tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise Failure(f"{self.name} did not listen on port {self.port}:\n{self.tail()}")

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def tail(self) -> str:
        """The end of what the program said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])


def free_port() -> int:
    """A port that nothing listens on, below the range that outgoing connections take."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no free port found")
