"""WebSockets of HTTP/2 (RFC 8441) and HTTP/1.1 on either side: h2 and wsproto, or websockets, before hypercorn."""

import itertools

import pytest
from support.chat import ChatServer, Http2Socket
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from wsproto.events import CloseConnection, Pong

MIB = 1024 * 1024
VERSIONS = ["1.1", "2"]


@pytest.fixture
def server(ending):
    return ending(ChatServer())


@pytest.fixture
def proxy(start_proxy, api_credential, server):
    known = {"1.1": "", "2": ", http2: prior_knowledge"}
    return start_proxy(
        api_credential,
        "".join(
            f"  - {{ match: /{version}/, upstream: {{ url: 'http://127.0.0.1:{server.port}/'{more} }}, credential: api }}\n"
            for version, more in known.items()
        ),
    )


@pytest.mark.parametrize("upstream", VERSIONS)
def test_messages_pings_and_closes_pass_from_an_http_2_client(proxy, server, upstream):
    socket = Http2Socket(proxy.port, f"/{upstream}/room?id=1", ("sec-websocket-protocol", "chat"))
    assert (socket.status, socket.head.get("sec-websocket-protocol")) == (200, "chat")
    assert not {"upgrade", "connection", "sec-websocket-accept"} & socket.head.keys()
    for message in ["hello", "", b"\x00\xff", "x" * 70_000, bytes(range(256)) * 4096]:
        socket.send(message)
        assert socket.hear() == message
    socket.ping(b"there?")
    assert socket.hear() == Pong(payload=b"there?")
    socket.close(4001, "enough")
    # The server has answered with the code that it got.
    assert socket.hear().code == 4001
    assert socket.hear() is None
    (came,) = server.came
    assert (came["version"], came["path"]) == (upstream, "/room")
    assert came[b"authorization"].startswith(b"Bearer ")


@pytest.mark.parametrize("upstream", VERSIONS)
def test_the_servers_close_comes_with_its_code(proxy, upstream):
    socket = Http2Socket(proxy.port, f"/{upstream}/room")
    socket.send("close")
    assert socket.hear() == CloseConnection(code=4000, reason="as you wish")


def test_a_client_of_http_1_reaches_a_server_of_http_2(proxy, server):
    with connect(f"ws://127.0.0.1:{proxy.port}/2/room", max_size=8 * MIB) as socket:
        for message in ["hello", bytes(range(256)) * 4096]:
            socket.send(message)
            assert socket.recv(timeout=20) == message
        assert socket.ping().wait(timeout=10)
        socket.send("close")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=10)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")
    assert server.came[0]["version"] == "2"


def test_a_refused_handshake_is_an_answer_like_any_other(proxy):
    for upstream in VERSIONS:
        socket = Http2Socket(proxy.port, f"/{upstream}/refused")
        assert socket.status == 403


def test_many_share_no_fate(proxy):
    sockets = [Http2Socket(proxy.port, f"/{version}/room") for version, _ in itertools.product(VERSIONS, range(30))]
    for socket in sockets[::3]:
        socket.leave()
    left = [socket for number, socket in enumerate(sockets) if number % 3]
    for number, socket in enumerate(left):
        socket.send(str(number))
    assert [socket.hear() for socket in left] == [str(number) for number in range(len(left))]
