"""WebSockets of a real library, client and server, with the proxy between them."""

import random
import threading
from contextlib import ExitStack

import pytest
from support.programs import wait_until
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

MIB = 1024 * 1024


@pytest.fixture
def chat():
    """A server that sends back what it is told, and remembers who came."""
    came, left = [], []

    def echo(socket):
        came.append(socket.request)
        try:
            for message in socket:
                if message == "close":
                    socket.close(4000, "as you wish")
                socket.send(message)
        finally:
            left.append((socket.close_code, socket.close_reason))

    with serve(echo, "127.0.0.1", 0, max_size=8 * MIB) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.came, server.left = came, left
        server.port = server.socket.getsockname()[1]
        yield server
        server.shutdown()


@pytest.fixture
def url(start_proxy, api_credential, chat):
    route = f'  - {{ match: /chat/, upstream: "http://127.0.0.1:{chat.port}/", credential: api }}\n'
    proxy = start_proxy(api_credential, route)
    chat.proxy = proxy
    return f"ws://127.0.0.1:{proxy.port}/chat/room?id=1"


def test_messages_of_every_size_pass_both_ways_and_the_handshake_carries_the_token(url, chat):
    with connect(url, max_size=8 * MIB) as socket:
        # Compressed where the two agree on it, which they do by themselves.
        for message in ["hello", "", b"\x00\xff", "x" * 70_000, random.randbytes(MIB), bytes(range(256)) * 4 * 4096]:
            socket.send(message)
            assert socket.recv(timeout=20) == message
        assert socket.ping().wait(timeout=10)
    (request,) = chat.came
    assert request.path == "/room?id=1"
    assert request.headers["Authorization"].startswith("Bearer ")


def test_the_servers_close_reaches_the_client_with_its_code(url):
    with connect(url) as socket, pytest.raises(ConnectionClosedError) as closed:
        socket.send("close")
        socket.recv(timeout=10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")


def test_the_clients_close_reaches_the_server_with_its_code(url, chat):
    with connect(url) as socket:
        socket.close(4001, "enough")
    wait_until("the server knows", lambda: chat.left == [(4001, "enough")])


def test_the_log_has_a_line_for_each_when_it_ends(url, chat):
    with connect(url, compression=None) as socket:
        socket.send("x" * 1000)
        socket.recv(timeout=10)
        assert "bytes_in" not in chat.proxy.program.said()
    line = wait_until(
        "a line of the log",
        lambda: [it for it in chat.proxy.program.said().splitlines() if "bytes_in" in it],
    )
    assert "101" in line[0] and "/chat/room" in line[0] and "id=1" not in line[0], line
    # A frame each way, and the two that close it.
    assert "1016" in line[0] and "1008" in line[0], line


def test_a_web_page_of_another_site_is_refused(url, chat):
    with pytest.raises(InvalidStatus) as refused, connect(url, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    assert not chat.came


def test_hundreds_at_once_are_served(url):
    with ExitStack() as stack:
        open_ones = [stack.enter_context(connect(url)) for _ in range(300)]
        for number, socket in enumerate(open_ones):
            socket.send(str(number))
        for number, socket in enumerate(open_ones):
            assert socket.recv(timeout=20) == str(number)
