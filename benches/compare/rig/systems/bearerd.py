"""bearerd: fetches the token itself, with routing, header hygiene and metrics on."""

from __future__ import annotations

import subprocess

from ..install import bearerd_binary
from ..process import free_port
from ..token_service import RENEWING
from . import Job, Site, Start


def version() -> str:
    said = subprocess.run([bearerd_binary(), "--version"], capture_output=True, text=True).stdout
    return said.strip().removeprefix("bearerd ")


def configure(site: Site, job: Job) -> Start:
    upstream = f"http://{site.upstream_of(job)}/"
    if job.tls:
        upstream = (f"{{ url: 'https://{site.upstream_of(job)}/', "
                    f"tls: {{ ca: '{site.ca}', server_name: upstream.test }} }}")
    if job.h2_upstream:
        upstream = f"{{ url: '{upstream}', http2: prior_knowledge }}"
    config = site.folder / "routes.yaml"
    config.write_text(
        HEAD.format(port=site.port, health=free_port(), token_url=site.token_url,
                    workers=job.workers,
                    client=f"bearerd{RENEWING}" if job.churn else "bearerd")
        + "".join(ROUTE.format(match=match, upstream=upstream) for match in matches(job)))
    return Start([str(bearerd_binary()), "run", str(config)],
                 {"BENCH_CLIENT_SECRET": site.client_secret}, config if job.churn else None)


def matches(job: Job) -> list[str]:
    if job.routes is None:
        return ["/"]
    return [f"/r{number:05}/" for number in range(10_000 - job.routes, 10_000)]


HEAD = """
listen: 127.0.0.1:{port}
health: 127.0.0.1:{health}
workers: {workers}
log: {{ access: false }}
limits: {{ connections: 16384 }}
credentials:
  api:
    client_credentials:
      token_url: {token_url}
      client_id: {client}
      client_secret: {{ env: BENCH_CLIENT_SECRET }}
routes:
"""

ROUTE = """\
  - match: {match}
    upstream: {upstream}
    credential: api
"""
