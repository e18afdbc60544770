"""nginx: sets a fixed header; fetches no token."""

from __future__ import annotations

import subprocess

from . import Job, Site, Start


def version() -> str:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().removeprefix("nginx version: nginx/")


def configure(site: Site, job: Job) -> Start:
    # It speaks HTTP/2 to an upstream by its module for gRPC alone.
    passing = GRPC if job.h2_upstream else PROXY
    passing = passing.format(scheme="https" if job.tls else "http", ca=site.ca, token=site.token,
                             connection="Upgrade" if job.websocket else '""',
                             upgrade="websocket" if job.websocket else '""')
    config = site.folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=site.folder, port=site.port, passing=passing,
                                    upstream=site.upstream_of(job),
                                    protocol="http2" if job.h2c else ""))
    return Start(["nginx", "-p", str(site.folder), "-e", str(site.folder / "nginx.error"),
                  "-c", str(config)], {})


CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    http2_max_concurrent_streams 128;
    proxy_read_timeout 1h;
    upstream api {{
        server {upstream};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096 {protocol};
        location / {{
{passing}
        }}
    }}
}}
"""

PROXY = """\
            proxy_pass {scheme}://api;
            proxy_http_version 1.1;
            proxy_set_header Connection {connection};
            proxy_set_header Upgrade {upgrade};
            proxy_set_header Authorization "Bearer {token}";
            proxy_max_temp_file_size 0;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_name upstream.test;
            proxy_ssl_server_name on;
            proxy_ssl_protocols TLSv1.3;"""

GRPC = """\
            grpc_pass grpc://api;
            grpc_set_header Authorization "Bearer {token}";"""
