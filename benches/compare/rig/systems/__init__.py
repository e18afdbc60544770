"""Who takes part: each module writes a system's configuration and gives the command to start it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..rows import Job


@dataclass(frozen=True)
class Site:
    """What a system needs to know of the rest of the rig."""

    folder: Path
    """For its files alone."""
    port: int
    """Where it shall listen."""
    upstream_port: int
    upstream_tls_port: int
    upstream_h2_port: int
    echo_port: int
    ca: Path
    token: str
    """For those that can only set a fixed header."""
    token_url: str
    client_secret: str

    def upstream_of(self, job: Job) -> str:
        port = self.upstream_port
        if job.tls:
            port = self.upstream_tls_port
        elif job.h2_upstream:
            port = self.upstream_h2_port
        elif job.websocket:
            port = self.echo_port
        return f"127.0.0.1:{port}"


@dataclass(frozen=True)
class Start:
    """How to start a configured system."""

    command: list[str]
    env: dict[str, str]
    churned: Path | None = None
    """The file that is written anew all the time while the load runs."""
