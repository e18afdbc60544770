"""Bodies stream through; they do not pile up in memory."""

import json
import socket

MIB = 1024 * 1024


def test_a_gibibyte_upload_does_not_stay_in_memory(proxy):
    assert proxy.send("POST", "/api/upload", data=b"x").status_code == 200
    before = proxy.resident()
    proxy.forget_peak()
    assert upload(proxy.port, 1024 * MIB) == 1024 * MIB
    grown = proxy.resident("VmHWM") - before
    assert grown < 10 * MIB, f"resident memory grew by {grown / MIB:.1f} MiB"


def upload(port, size):
    """Sends `size` bytes of body; returns how many the upstream says that it got."""
    piece = b"u" * MIB
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        head = f"POST /api/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        client.sendall(head.encode())
        for _ in range(size // len(piece)):
            client.sendall(piece)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer[:500]
    return json.loads(rest[rest.index(b"{") : rest.rindex(b"}") + 1])["bytes"]
