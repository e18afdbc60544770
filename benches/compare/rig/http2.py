"""As much of HTTP/2 as a client needs that asks once and then waits."""

from __future__ import annotations

import socket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM = ACK = 1
END_HEADERS = 4
STREAM = 1


def get(connection: socket.socket, authority: str, path: str) -> None:
    """Sends the preface and one GET, and reads until its answer has ended."""
    block = b"\x82\x86" + literal(4, path) + literal(1, authority)
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b"")
                       + frame(HEADERS, END_HEADERS | END_STREAM, STREAM, block))
    while True:
        head = exactly(connection, 9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
        exactly(connection, int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0, b""))
        if kind in (DATA, HEADERS) and stream == STREAM and flags & END_STREAM:
            return


def literal(name: int, value: str) -> bytes:
    """A field whose name has this number in HPACK's static table, kept in no table."""
    assert len(value) < 127
    return bytes([name, len(value)]) + value.encode()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


def exactly(connection: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length:
        piece = connection.recv(length - len(got))
        if not piece:
            raise ConnectionError("the proxy closed an HTTP/2 connection")
        got += piece
    return got
