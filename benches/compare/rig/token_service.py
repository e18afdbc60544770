"""A small OAuth2 token service: the client-credentials grant, one token for a run, or many."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus

CLIENT_SECRET = secrets.token_urlsafe(24)
LIFETIME_SECONDS = 3600
# Who is called so has to renew its token all the time.
RENEWING = "-renewing"
SHORT_SECONDS = 2


class TokenService:
    """Serves on loopback from a thread of this driver; idle while a load runs."""

    def __init__(self, port: int):
        self.token = secrets.token_urlsafe(32)
        self.url = f"http://127.0.0.1:{port}/token"
        self.port = port
        self.clients: list[str] = []
        """The client_id of each token handed out, in order."""
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())

    def __enter__(self) -> TokenService:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(service):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                form = {key: values[0] for key, values in
                        parse_qs(self.rfile.read(length).decode()).items()}
                client, secret = self.basic() or (form.get("client_id"), form.get("client_secret"))
                if secret != CLIENT_SECRET:
                    return self.answer(401, {"error": "invalid_client"})
                if form.get("grant_type") != "client_credentials":
                    return self.answer(400, {"error": "unsupported_grant_type"})
                service.clients.append(client)
                token, lifetime = service.token, LIFETIME_SECONDS
                if client.endswith(RENEWING):
                    # Each is another; the upstream takes them with a number behind.
                    token, lifetime = f"{token}-{len(service.clients)}", SHORT_SECONDS
                self.answer(200, {"access_token": token, "token_type": "Bearer",
                                  "expires_in": lifetime})

            def basic(self) -> tuple[str, str] | None:
                scheme, _, value = self.headers.get("Authorization", "").partition(" ")
                if scheme.lower() != "basic":
                    return None
                client, _, secret = base64.b64decode(value).decode().partition(":")
                return unquote_plus(client), unquote_plus(secret)

            def answer(self, status: int, body: dict) -> None:
                payload = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_) -> None:
                pass

        return Handler
