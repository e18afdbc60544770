"""SIGTERM while streams are open: what is in flight ends whole, within the deadline, and then the proxy ends."""

import contextlib
import json
import signal
import time

import grpc
import pytest
from support.calls import LARGE, Service
from support.chat import ChatServer
from support.partners import node
from support.programs import wait_until
from websockets.sync.client import connect


def told_to_end(proxy):
    """When it was told."""
    proxy.program.signal(signal.SIGTERM)
    return time.monotonic()


@pytest.mark.parametrize("upstream", ["1.1", "2"])
def test_requests_of_http_2(streams, ending, tmp_path, upstream):
    client = ending(node("client", "http2_load.mjs", tmp_path, f"{streams.url}/{upstream}/x?ms=300", 50))
    wait_until("load is on", lambda: streams.metric("bearerd_requests_total") > 150)
    told_to_end(streams)
    assert streams.program.exit_code() == 0
    assert client.exit_code() == 0
    assert set(json.loads(client.out.read_text())) == {"200"}


def test_calls_of_grpc(start_proxy, api_credential, ending):
    service = ending(Service())
    proxy = start_proxy(api_credential, service.route)
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=LARGE) as channel:
        slow, sleeps = channel.unary_stream("/test.Echo/Slow"), channel.unary_unary("/test.Echo/Sleeps")
        streams = [slow(b"x", timeout=30) for _ in range(10)]
        assert [next(stream) for stream in streams] == [b"x"] * 10
        calls = [sleeps.future(b"y", timeout=30) for _ in range(10)]
        wait_until("they are under way", lambda: len(service.tokens) == 20)
        told_to_end(proxy)
        assert [len(list(stream)) for stream in streams] == [19] * 10
        assert [call.result() for call in calls] == [b"y"] * 10
    assert proxy.program.exit_code() == 0


def test_websockets(start_proxy, api_credential, ending):
    server = ending(ChatServer())
    proxy = start_proxy(api_credential, f"  - {{ match: /, upstream: 'http://127.0.0.1:{server.port}/', credential: api }}\n")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(f"ws://127.0.0.1:{proxy.port}/room")) for _ in range(20)]
        told = talk_on(proxy, sockets)
    assert {socket.close_code for socket in sockets} == {1000}
    assert proxy.program.exit_code() == 0
    assert time.monotonic() - told < 20, "and no longer than that"


def talk_on(proxy, sockets):
    """Two seconds after it was told to end; when it was."""
    told = told_to_end(proxy)
    for number in range(20):
        for socket in sockets:
            socket.send(str(number))
        assert {socket.recv(timeout=10) for socket in sockets} == {str(number)}
        time.sleep(0.1)
    assert proxy.program.process.poll() is None, "it waits for them"
    return told
