"""Starting real programs on free ports, waiting for them without sleeping blindly, ending what was started."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests" / "interop" / "support"
# What `make test` installed: node modules, and this virtual environment.
INSTALLED = ROOT / "target" / "interop"


def free_port():
    """A port that nobody has: below those that clients are given, so none of them takes it before it is used."""
    while True:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(10_000, 32_768))) as it:
            return it.getsockname()[1]


def wait_until(what, condition, seconds=15.0):
    """Polls `condition` until it is truthy and returns what it gave; fails naming `what`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Program:
    """One child process whose output goes to files in `folder`."""

    def __init__(self, name, argv, folder, env=None, before=None, descriptors=()):
        self.name = name
        self.out = folder / f"{name}.out"
        self.err = folder / f"{name}.err"
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [str(arg) for arg in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, **(env or {})},
                preexec_fn=before,
                pass_fds=descriptors,
            )

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        """Everything it wrote so far, both streams."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def wait_for(self, port, seconds=20.0):
        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.said()}")
            return listens(port)

        wait_until(f"{self.name} listens on {port}", up, seconds)
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def exit_code(self, seconds=20.0):
        return self.process.wait(seconds)

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
