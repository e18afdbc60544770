"""The upstream: nginx with one worker that answers 401 unless Authorization is the run's token."""

from __future__ import annotations

import http.client
import subprocess
from pathlib import Path

from . import LOAD_CORE
from .process import Process, free_port
from .websocket import EchoUpstream

SMALL = b'{"id":7,"state":"paid","amount":"12.50","currency":"EUR"}\n'
# One message of gRPC: not compressed, so long, a field of a number and one of a text.
MESSAGE = bytes([0, 0, 0, 0, 9]) + b"\x08\x07\x12\x05" + b"12.50"
FILES = {"/small": len(SMALL), "/large": 100 * 1024, "/huge": 10 * 1024 * 1024,
         "/message": len(MESSAGE)}


class Upstream:
    """Listeners in clear, with TLS and with HTTP/2 in clear, the bodies of FILES, and the count of requests it has seen."""

    def __init__(self, folder: Path, token: str, echo: bool = False):
        self.port, self.tls_port, self.h2_port = free_port(), free_port(), free_port()
        self.ca = folder / "ca.pem"
        make_certificates(folder)
        bodies = {"/small": SMALL, "/message": MESSAGE}
        for path, size in FILES.items():
            body = bodies.get(path) or b"0123456789abcdef" * (size // 16)
            (folder / path[1:]).write_bytes(body)
        config = folder / "upstream.conf"
        config.write_text(CONFIG.format(folder=folder, token=token, port=self.port,
                                        tls_port=self.tls_port, h2_port=self.h2_port))
        command = ["nginx", "-p", str(folder), "-e", str(folder / "upstream.error"),
                   "-c", str(config)]
        self.process = Process("upstream", command, LOAD_CORE, self.port, folder)
        self.echo = EchoUpstream(folder, token) if echo else None

    def __enter__(self) -> Upstream:
        self.process.__enter__()
        if self.echo:
            self.echo.__enter__()
        return self

    def __exit__(self, *args) -> None:
        if self.echo:
            self.echo.__exit__(*args)
        self.process.__exit__(*args)

    def requests_seen(self) -> int:
        """All requests since the start, over all listeners."""
        return self.seen()[0]

    def seen(self) -> tuple[int, int]:
        """All requests, and all connections, since the start, this look at them included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", "/-/status")
        words = connection.getresponse().read().decode().split()
        connection.close()
        # "server accepts handled requests 3 3 7 Reading: ..."
        accepted, _, requests = words[words.index("requests") + 1:][:3]
        return int(requests), int(accepted)


def make_certificates(folder: Path) -> None:
    """A CA (ca.pem) and the upstream's own certificate: rustls takes no CA for a server's."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    openssl(folder, "req", "-x509", *key, "-subj", "/CN=bench CA",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, "req", "-x509", *key, "-subj", "/CN=upstream.test",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "subjectAltName=DNS:upstream.test",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "upstream.key", "-out", "upstream.pem")


def openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


# One cipher suite for everybody, so that each system does the same work over TLS.
CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/upstream.pid;
error_log {folder}/upstream.error warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    default_type application/json;
    client_body_temp_path {folder}/upstream-body;
    proxy_temp_path {folder}/upstream-proxy;
    fastcgi_temp_path {folder}/upstream-fastcgi;
    uwsgi_temp_path {folder}/upstream-uwsgi;
    scgi_temp_path {folder}/upstream-scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16;
    map_hash_bucket_size 256;
    map $http_authorization $refused {{
        default 1;
        "Bearer {token}" 0;
        "~^Bearer {token}-[0-9]+$" 0;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl backlog=4096;
        listen 127.0.0.1:{h2_port} http2 backlog=4096;
        ssl_certificate {folder}/upstream.pem;
        ssl_certificate_key {folder}/upstream.key;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
        root {folder};
        location = /-/status {{ stub_status; }}
        # A POST to a file is answered as a GET for it, as a unary call of gRPC is.
        location = /message {{
            if ($refused) {{ return 401; }}
            default_type application/grpc;
            error_page 405 =200 /message;
            add_trailer grpc-status 0;
        }}
        location / {{
            if ($refused) {{ return 401; }}
        }}
    }}
}}
"""
