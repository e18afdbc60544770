"""What systemd tells the service and is told of it. systemd itself does not run here: the test does what it does."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest
from support.programs import SUPPORT, wait_until
from support.proxy import BINARY, routes_yaml


def test_systemd_is_told_how_the_service_stands(start_proxy, api_credential, upstream, to, tmp_path):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.settimeout(20)
    told.bind(str(tmp_path / "notify"))
    proxy = start_proxy(api_credential, to(upstream), env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert told.recv(100) == b"READY=1"
    proxy.program.signal(signal.SIGHUP)
    assert told.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert told.recv(100) == b"READY=1"
    proxy.program.signal(signal.SIGTERM)
    assert told.recv(100) == b"STOPPING=1"
    assert proxy.program.exit_code() == 0


class Units:
    """Sockets that are opened before the service, and stay when it ends; those of one unit have one name."""

    def __init__(self, **units):
        self.names = [name for name, sockets in units.items() for _ in sockets]
        self.descriptors = [it.fileno() for sockets in units.values() for it in sockets]

    @property
    def prefix(self):
        descriptors = ",".join(map(str, self.descriptors))
        return [sys.executable, SUPPORT / "activate.py", ":".join(self.names), descriptors]

    def refused(self, folder, listen, health, more="", env=None):
        """What the program says where it does not start."""
        text = routes_yaml(1, health, "    static: { token: x }\n", "  - { match: /, upstream: 'http://127.0.0.1:1/' }\n")
        file = folder / "routes.yaml"
        file.write_text(text.replace("[127.0.0.1:1]", f"[{', '.join(listen)}]") + more)
        argv = [*map(str, self.prefix), str(BINARY), "run", str(file)]
        ended = subprocess.run(
            argv, capture_output=True, text=True, timeout=20, pass_fds=self.descriptors, env={**os.environ, **(env or {})}
        )
        return ended.returncode, ended.stderr


@pytest.fixture
def listening():
    """Opens sockets that listen: at a port of this address, or at this path."""
    with contextlib.ExitStack() as stack:

        def open_one(where):
            if isinstance(where, str):
                return stack.enter_context(socket.create_server((where, 0)))
            opened = stack.enter_context(socket.socket(socket.AF_UNIX))
            opened.bind(str(where))
            opened.listen()
            return opened

        yield open_one


def ask(opened, path="/api/x"):
    """A connection to that socket, on which a request is sent."""
    client = socket.socket(opened.family)
    client.settimeout(20)
    client.connect(opened.getsockname())
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return client


def answer(client):
    with client:
        return b"".join(iter(lambda: client.recv(65536), b"")).split(b"\r\n", 1)[0]


@pytest.fixture
def service(start_proxy, api_credential, upstream, to):
    def start(units, credential=api_credential, listeners=(), **kwargs):
        passed = {"prefix": units.prefix, "descriptors": units.descriptors}
        return start_proxy(credential, to(upstream), listeners=listeners, **passed, **kwargs)

    return start


def test_sockets_of_systemd_are_served_by_their_names(service, listening, tmp_path):
    web, more, app = listening("127.0.0.1"), listening("127.0.0.1"), listening(tmp_path / "app.sock")
    service(Units(web=[web, more], app=[app]), listeners=["systemd:web", "systemd:app"])
    for opened in [web, more, app]:
        assert answer(ask(opened)) == b"HTTP/1.1 200 OK"


def test_who_comes_while_the_service_restarts_is_served_by_the_next(service, listening, tmp_path):
    web, app = listening("127.0.0.1"), listening(tmp_path / "app.sock")
    proxy = service(Units(web=[web], app=[app]), listeners=["systemd:web", "systemd:app"])
    assert answer(ask(web)) == b"HTTP/1.1 200 OK"
    proxy.program.signal(signal.SIGTERM)
    assert proxy.program.exit_code() == 0
    waiting = [ask(opened) for opened in [web, app]]
    assert (tmp_path / "app.sock").exists()
    proxy.start()
    assert [answer(client) for client in waiting] == [b"HTTP/1.1 200 OK"] * 2


def test_no_program_that_the_service_starts_gets_the_sockets(service, listening, tmp_path):
    script = "env > env; readlink /proc/self/fd/* > fds; echo token"
    credential = f"    exec: [sh, -c, '{script}']\n"
    web = listening("127.0.0.1")
    service(Units(web=[web]), credential, listeners=["systemd:web"])
    answer(ask(web))
    wait_until("the program has run", (tmp_path / "fds").exists)
    assert "LISTEN_FDS" not in (tmp_path / "env").read_text() and "LISTEN_PID" not in (tmp_path / "env").read_text()
    assert "socket:" not in (tmp_path / "fds").read_text()


def test_a_socket_that_no_listener_takes_is_told_of(service, listening):
    web, other = listening("127.0.0.1"), listening("127.0.0.1")
    proxy = service(Units(web=[web], other=[other]), listeners=["systemd:web"])
    wait_until("it is told of", lambda: "no listener of the file takes" in proxy.program.said())
    assert '"name":"other"' in proxy.program.said()


def test_what_cannot_be_listened_on_is_said_at_the_start(listening, tmp_path):
    web, app = listening("127.0.0.1"), listening(tmp_path / "app.sock")
    wide = listening("0.0.0.0")
    connected = socket.create_connection(web.getsockname())
    files = "tls: { cert: c.pem, key: { file: k.pem } }"
    for units, listener, env, code, said in [
        (Units(web=[web], app=[app]), "systemd:wen", {}, 2, "it passes `app`, `web`"),
        (Units(web=[wide]), "systemd:web", {}, 2, "can be reached from other machines"),
        (Units(app=[app]), f"{{ address: 'systemd:app', {files} }}", {}, 2, "a unix socket has no TLS"),
        (Units(app=[app]), "{ address: 'systemd:app', mode: '0660' }", {}, 2, "SocketMode="),
        (Units(web=[connected]), "systemd:web", {}, 1, "Accept=no"),
    ]:
        ended, stderr = units.refused(tmp_path, [listener], 0, env=env)
        assert (ended, said in stderr) == (code, True), stderr
