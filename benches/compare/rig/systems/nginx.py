"""nginx: sets a fixed header; fetches no token."""

from __future__ import annotations

import subprocess

from . import Job, Site, Start


def version() -> str:
    said = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().removeprefix("nginx version: nginx/")


def configure(site: Site, job: Job) -> Start:
    scheme = "https" if job.tls else "http"
    config = site.folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=site.folder, port=site.port, scheme=scheme, ca=site.ca,
                                    upstream=site.upstream_of(job), token=site.token,
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
    upstream api {{
        server {upstream};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096 {protocol};
        location / {{
            proxy_pass {scheme}://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer {token}";
            proxy_max_temp_file_size 0;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_name upstream.test;
            proxy_ssl_server_name on;
            proxy_ssl_protocols TLSv1.3;
        }}
    }}
}}
"""
