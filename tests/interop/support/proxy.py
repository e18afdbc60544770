"""The program under test: `target/debug/bearerd`, or the one that BEARERD_BIN names."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import requests

from .partners import CLIENT_ID, CLIENT_SECRET
from .programs import ROOT, Program, free_port

BINARY = Path(os.environ.get("BEARERD_BIN", ROOT / "target" / "debug" / "bearerd")).resolve()
SECRET_NAME = "INTEROP_SECRET"
CLIENT = {"client_id": f'"{CLIENT_ID}"', "client_secret": f"{{ env: {SECRET_NAME} }}", "scope": "catalog"}


def client_credentials(token_url, **more):
    """A client_credentials entry as YAML, for the client that needs RFC 6749's form-encoding."""
    return grant("client_credentials", token_url=token_url, **{**CLIENT, **more})


def grant(kind, **keys):
    """An entry of any kind as YAML; a key that is None is left out."""
    lines = "".join(f"      {key}: {value}\n" for key, value in keys.items() if value is not None)
    return f"    {kind}:\n{lines}"


def preset(name, **parameters):
    """A vendor's entry as users write it; a parameter that is None is left out."""
    return f"    preset: {name}\n{grant('with', **parameters)}"


def routes_yaml(listen, health, credential, routes, listeners=()):
    """`listeners` are more of them, as YAML."""
    listen = ", ".join([f"127.0.0.1:{listen}", *listeners])
    return (
        f"listen: [{listen}]\nhealth: 127.0.0.1:{health}\n"
        f"credentials:\n  api:\n{credential}routes:\n{routes}"
    )


class Proxy:
    """A running bearerd with one credential, `api`."""

    def __init__(
        self, folder, credential, routes, env=None, before=None, run_args=(), prefix=(), listeners=(), descriptors=()
    ):
        self.folder, self.credential = folder, credential
        self.port, self.health, self.admin = free_port(), free_port(), free_port()
        self.listeners = listeners
        # What it said to `send` other than that all is well.
        self.complaints = []
        self.file = folder / "routes.yaml"
        self.write(routes)
        self.env = {SECRET_NAME: CLIENT_SECRET, **(env or {})}
        self.argv, self.before = [*prefix, BINARY, "run", self.file, *run_args], before
        # What it is born with, beside the usual three.
        self.descriptors = descriptors
        self.start()

    def start(self):
        """Starts it, at first or again, on the ports that it had."""
        self.launch()
        self.program.wait_for(self.port)

    def launch(self):
        """Starts it, and waits for nothing."""
        self.program = Program("bearerd", self.argv, self.folder, self.env, self.before, self.descriptors)

    def kill(self):
        self.program.signal(signal.SIGKILL)
        self.program.exit_code()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.program.pid

    def write(self, routes, credential=None):
        """Replaces the file in one step, as an editor or a config map does."""
        text = routes_yaml(self.port, self.health, credential or self.credential, routes, self.listeners)
        text = f"admin: 127.0.0.1:{self.admin}\n{text}"
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def get(self, path, **kwargs):
        return self.send("GET", path, **kwargs)

    def send(self, method, path, **kwargs):
        answer = requests.request(method, self.url + path, timeout=kwargs.pop("timeout", 20), **kwargs)
        if not answer.ok:
            self.complaints.append(f"{answer.status_code} {answer.headers}\n{answer.text}")
        return answer

    def rotate(self):
        """Has the credential renewed now; `ok`, or why it was not."""
        url = f"http://127.0.0.1:{self.admin}/api/credentials/api/rotate"
        return requests.post(url, headers={"X-Bearerd": "1"}, timeout=20).json()["outcome"]

    def statuses(self):
        """What the status page knows of each credential."""
        return requests.get(f"http://127.0.0.1:{self.admin}/api/credentials", timeout=5).json()

    def status(self):
        (credential,) = self.statuses()
        return credential

    def metrics(self):
        return requests.get(f"http://127.0.0.1:{self.health}/metrics", timeout=5).text

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            sample = re.match(r"([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)", line)
            if sample and sample[1] == name and all(f'{k}="{v}"' in (sample[2] or "") for k, v in labels.items()):
                total += float(sample[3])
        return total

    def resident(self, field="VmRSS"):
        """Resident memory in bytes: now, or its highest (`VmHWM`) since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024

    def forget_peak(self):
        # Only root may: the process is not dumpable. Without it the peak counts from the start, which is stricter.
        with contextlib.suppress(PermissionError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def stop(self):
        self.program.stop()


def bearerd(*args, folder, env=None, seconds=20):
    """Runs one command to its end."""
    return subprocess.run(
        [str(BINARY), *map(str, args)],
        cwd=folder,
        env={**os.environ, SECRET_NAME: CLIENT_SECRET, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
