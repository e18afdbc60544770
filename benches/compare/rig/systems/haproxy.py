"""HAProxy: sets a fixed header; fetches no token."""

from __future__ import annotations

import subprocess

from . import Job, Site, Start


def version() -> str:
    said = subprocess.run(["haproxy", "-v"], capture_output=True, text=True, check=True).stdout
    return said.split()[2].partition("-")[0]


def configure(site: Site, job: Job) -> Start:
    tls = f"ssl verify required ca-file {site.ca} sni str(upstream.test)" if job.tls else ""
    server = f"{tls} proto h2" if job.h2_upstream else tls
    config = site.folder / "haproxy.cfg"
    config.write_text(CONFIG.format(port=site.port, upstream=site.upstream_of(job), server=server,
                                    token=site.token, protocol="proto h2" if job.h2c else ""))
    return Start(["haproxy", "-db", "-f", str(config)], {})


CONFIG = """
global
    nbthread 1
    maxconn 16384
    no strict-limits

defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout http-keep-alive 1h
    http-reuse always

frontend clients
    bind 127.0.0.1:{port} backlog 4096 {protocol}
    http-request set-header Authorization "Bearer {token}"
    default_backend api

backend api
    server api {upstream} {server}
"""
