"""WebSockets: an upstream that echoes, and clients with one message under way each."""

from __future__ import annotations

import selectors
import socket
import sys
import time
from pathlib import Path

from . import HERE, LOAD_CORE, Failure
from .process import Process, free_port

PATH = "/socket"
PAYLOAD = b"0123456789abcdef" * 4
# Masked with zeros (RFC 6455, 5.3), so that the payload is what it is, and so is its echo.
MESSAGE = bytes([0x82, 0x80 | len(PAYLOAD), 0, 0, 0, 0]) + PAYLOAD
ECHO = bytes([0x82, len(PAYLOAD)]) + PAYLOAD
SWITCHED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
PATIENCE_SECONDS = 10


class EchoUpstream:
    """The upstream, a process of its own beside the load; 401 unless Authorization is the run's token."""

    def __init__(self, folder: Path, token: str):
        self.port = free_port()
        command = [sys.executable, "-m", "rig.websocket", str(self.port), token]
        self.process = Process("echo", command, LOAD_CORE, self.port, folder,
                               {"PYTHONPATH": str(HERE.parent)})

    def __enter__(self) -> EchoUpstream:
        self.process.__enter__()
        return self

    def __exit__(self, *args) -> None:
        self.process.__exit__(*args)


def opened(port: int, authorization: str | None = None) -> socket.socket:
    """A connection that has become a WebSocket, whatever token its client sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own = f"Authorization: {authorization}\r\n" if authorization else ""
    connection.sendall(
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{own}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            break
        head += piece
    if not head.startswith(b"HTTP/1.1 101 "):
        connection.close()
        raise Failure(f"no WebSocket: {head[:40]!r}")
    return connection


def run_websockets(name: str, port: int, connections: int,
                   seconds: float) -> tuple[list[float], float]:
    """Each connection sends its next message when the last one has come back.

    How long each took, and how long all of them together.
    """
    clients = [opened(port) for _ in range(connections)]
    ready = selectors.DefaultSelector()
    sent, took = {}, []
    for client in clients:
        ready.register(client, selectors.EVENT_READ)
        sent[client] = time.perf_counter()
        client.sendall(MESSAGE)
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        for key, _ in ready.select(PATIENCE_SECONDS):
            client = key.fileobj
            if client.recv(len(ECHO), socket.MSG_WAITALL) != ECHO:
                raise Failure(f"{name}: a message came back as another, or not at all")
            took.append(time.perf_counter() - sent[client])
            sent[client] = time.perf_counter()
            client.sendall(MESSAGE)
    lasted = now - began
    for client in clients:
        client.close()
    if not took:
        raise Failure(f"{name}: no message came back")
    return took, lasted


def serve(port: int, token: str) -> None:
    """Echoes until it is ended."""
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(connection, selectors.EVENT_READ, {"got": b"", "open": False})
            elif not heard(key.fileobj, key.data, token):
                ready.unregister(key.fileobj)
                key.fileobj.close()


def heard(connection: socket.socket, state: dict, token: str) -> bool:
    """Whether the connection goes on."""
    try:
        piece = connection.recv(65536)
    except ConnectionError:
        return False
    if not piece:
        return False
    got = state["got"] + piece
    if not state["open"]:
        head, found, got = got.partition(b"\r\n\r\n")
        if not found:
            state["got"] = head
            return True
        allowed = f"\r\nauthorization: bearer {token.lower()}\r\n".encode()
        if allowed not in head.lower() + b"\r\n":
            connection.sendall(REFUSED)
            return False
        state["open"] = True
        connection.sendall(SWITCHED)
    count, _ = divmod(len(got), len(MESSAGE))
    if count:
        connection.sendall(ECHO * count)
    state["got"] = got[count * len(MESSAGE):]
    return True


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
