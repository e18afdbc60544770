"""Load of every kind at once, on and on: memory, descriptors and threads do not grow with it, and are given back."""

import os
import statistics
import subprocess
import threading
import time
from pathlib import Path

import grpc
from support.calls import LARGE, Service
from support.chat import ChatServer, Http2Socket
from support.load import h2load
from support.partners import Streams
from support.programs import wait_until
from websockets.sync.client import connect

# INTEROP_SOAK_SECONDS=600 finds what grows by little with each request.
SECONDS = int(os.environ.get("INTEROP_SOAK_SECONDS", "15"))
MIB = 1024 * 1024


class Clients:
    """Each kind goes on in a thread of its own until the time is over; a fault of one is in `faults`."""

    def __init__(self, **kinds):
        self.deadline, self.rounds, self.faults = time.monotonic() + SECONDS, dict.fromkeys(kinds, 0), []
        self.threads = [threading.Thread(target=self._go_on, args=kind) for kind in kinds.items()]
        for thread in self.threads:
            thread.start()

    def are_there(self):
        return any(thread.is_alive() for thread in self.threads)

    def _go_on(self, name, once):
        try:
            while time.monotonic() < self.deadline:
                self.rounds[name] += once()
        except Exception as fault:
            self.faults.append(f"{name}: {fault!r}")


def calls(channel):
    """A call of each kind, and one that is given up."""
    assert channel.unary_unary("/test.Echo/Unary")(b"x" * 1000, timeout=60) == b"x" * 1000
    assert len(list(channel.unary_stream("/test.Echo/Down")(b"y" * 1000, timeout=60))) == 100
    assert len(channel.stream_unary("/test.Echo/Up")(iter([b"z" * 1000] * 50), timeout=60)) == 50_000
    both = channel.stream_stream("/test.Echo/Both")(iter([b"w" * 1000] * 50), timeout=60)
    assert len(list(both)) == 50
    silent = channel.unary_stream("/test.Echo/Silent")(b"v", timeout=60)
    assert next(silent) == b"v"
    silent.cancel()
    return 5


def talk(proxy):
    """A WebSocket of each version of HTTP, opened and closed."""
    with connect(f"ws://127.0.0.1:{proxy.port}/chat/room") as socket:
        socket.send("x" * 1000)
        assert socket.recv(timeout=60) == "x" * 1000
    socket = Http2Socket(proxy.port, "/chat/room")
    socket.send("x" * 1000)
    assert socket.hear() == "x" * 1000
    socket.close(1000)
    assert socket.hear().code == 1000
    socket.leave()
    return 2


def requests(proxy, upstream, *more):
    """A round of many, which begins with connections of its own."""
    h2load(f"{proxy.url}/{upstream}/x", 1000, *more)
    return 1000


def sample(proxy):
    """Bytes of memory, descriptors, threads."""
    descriptors = len(os.listdir(f"/proc/{proxy.pid}/fd")) if os.geteuid() == 0 else 0
    threads = len(list(Path(f"/proc/{proxy.pid}/task").iterdir()))
    return proxy.resident(), descriptors, threads


def test_nothing_grows_under_load(start_proxy, api_credential, ending, tmp_path):
    streams, service, chat = ending(Streams(tmp_path)), ending(Service()), ending(ChatServer())
    route = f"  - {{ match: /chat/, upstream: 'http://127.0.0.1:{chat.port}/', credential: api }}\n"
    proxy = start_proxy(api_credential, streams.routes() + service.route + route)
    requests_of = {"h1": ("1.1", "--h1"), "h2": ("2", "--max-concurrent-streams", "10")}
    series = []
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options=LARGE) as channel:
        clients = Clients(
            grpc=lambda: calls(channel),
            websocket=lambda: talk(proxy),
            **{name: lambda it=it: requests(proxy, *it) for name, it in requests_of.items()},
        )
        began = time.monotonic()
        while clients.are_there():
            series.append((time.monotonic() - began, *sample(proxy)))
            time.sleep(SECONDS / 60)
    for at, memory, descriptors, count in series:
        print(f"{at:6.1f} s {memory / MIB:6.1f} MiB {descriptors:4} descriptors {count:3} threads")
    print(clients.rounds)
    assert not clients.faults
    assert all(clients.rounds.values()), clients.rounds
    # The first third fills pools and arenas. What grows with requests grows from the second third to the last, too.
    third = len(series) // 3
    second, last = series[third : 2 * third], series[-third:]
    memory = [statistics.median(it[1] for it in part) for part in (second, last)]
    assert memory[1] < memory[0] * 1.05 + 4 * MIB, memory
    descriptors = [max(it[2] for it in part) for part in (second, last)]
    assert descriptors[1] < descriptors[0] * 1.2 + 20, descriptors
    assert max(it[3] for it in last) <= max(it[3] for it in second) + 2
    # All that was under way has ended, and nobody is connected but who asks this.
    wait_until("nothing is under way", lambda: proxy.metric("bearerd_requests_in_flight") == 0)
    wait_until("nobody is connected", lambda: proxy.metric("bearerd_connections_open") == 0)
