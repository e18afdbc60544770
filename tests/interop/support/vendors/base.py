"""What the stand-ins of vendors have in common: a server of this process that keeps every request it got."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Refusal(Exception):
    """An answer other than 200, in the vendor's own shape; `why` is for the one who reads a failed test."""

    def __init__(self, status, body, why, headers=None):
        super().__init__(f"{status}: {why}")
        self.status, self.body, self.why, self.headers = status, body, why, headers or {}


class Request:
    """One request as it arrived: names of headers in lower case, each with all its values."""

    def __init__(self, handler, body):
        self.method = handler.command
        self.target = handler.path
        self.body = body
        self.headers = {}
        for name, value in handler.headers.items():
            self.headers.setdefault(name.lower(), []).append(value)
        # The name in the client's certificate, where there is one.
        self.common_name = common_name(handler.connection)

    @property
    def path(self):
        return urlsplit(self.target).path

    @property
    def query(self):
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def header(self, name):
        """The one value of a header, or None; two of them are never right in these tests."""
        values = self.headers.get(name.lower(), [])
        assert len(values) <= 1, f"{name} twice"
        return values[0] if values else None

    def bearer(self):
        scheme, _, token = (self.header("authorization") or "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    def form(self):
        """The parameters of a form, each with all its values."""
        return parse_qs(self.body.decode(), keep_blank_values=True, strict_parsing=True)

    def text(self):
        """All of it, to look for what must not be there."""
        heads = "\n".join(f"{name}: {value}" for name, values in self.headers.items() for value in values)
        return f"{self.method} {self.target}\n{heads}\n\n{self.body.decode(errors='replace')}"


def common_name(connection):
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    subject = {name: value for part in (certificate or {}).get("subject", ()) for name, value in part}
    return subject.get("commonName")


class Vendor:
    """A vendor's contract: `answer(request)` gives what becomes JSON, or raises a `Refusal`."""

    # Whether its refusals quote what they refuse, as some servers do.
    quotes = False

    def __init__(self, certificate=None):
        self.lock = threading.Lock()
        self.requests = []
        self.refusals = []
        self.servers = []
        self.scheme = "https" if certificate else "http"
        self.port = self.listen(certificate)

    def listen(self, certificate=None):
        """Opens one more port and returns it; https, with clients' certificates, where one is given."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert, certificate.key)
            context.load_verify_locations(certificate.ca)
            context.verify_mode = ssl.CERT_OPTIONAL
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.servers.append(server)
        return server.server_port

    @property
    def url(self):
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{host}:{self.port}"

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def answer(self, request):
        raise NotImplementedError

    def got(self, path):
        """The requests for this path, in order."""
        return [request for request in self.requests if request.path == path]

    def paths(self):
        return [request.path for request in self.requests]


def quoting(body, request):
    """A refusal with the request in what is meant for people, the body first."""
    sent = f"{request.body.decode(errors='replace')} {request.text()}"
    words = {"message", "error_description"} & set(body)
    return {**body, **{word: f"{body[word]}: {sent}" for word in words}}


def handler_of(vendor):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer of two writes would wait for the client's delayed acknowledgement.
        wbufsize = -1

        def answer(self):
            request = Request(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            with vendor.lock:
                vendor.requests.append(request)
                try:
                    status, headers, body = 200, {}, vendor.answer(request)
                    if isinstance(body, tuple):
                        body, headers = body
                except Refusal as refusal:
                    vendor.refusals.append(f"{request.method} {request.path}: {refusal}")
                    status, headers, body = refusal.status, refusal.headers, refusal.body
                    if vendor.quotes:
                        body = quoting(body, request)
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_):
            pass

    return Handler
