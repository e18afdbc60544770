"""What replicas share: a real Redis, the wires between programs, and several proxies on one store."""

import base64
import contextlib
import signal
import socket
import subprocess
import threading
import time

from .programs import Program, free_port
from .proxy import Proxy

STORE_KEY = base64.b64encode(b"k" * 32).decode()


class Redis:
    """A redis-server that keeps what it has over a restart; `more` are further arguments for it."""

    def __init__(self, folder, *more, port=None):
        self.folder = folder / "redis"
        self.folder.mkdir()
        self.port, self.more = port or free_port(), more
        self.start()

    def start(self):
        kept = ["--dir", self.folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", self.port, *kept, *self.more]
        self.program = Program("redis", argv, self.folder).wait_for(self.port)

    def kill(self):
        self.program.signal(signal.SIGKILL)
        self.program.exit_code()

    def stop(self):
        # One that stands still does not hear anything else.
        with contextlib.suppress(ProcessLookupError):
            self.program.signal(signal.SIGCONT)
        self.program.stop()

    def ask(self, *words, raw=False):
        """The answer of redis-cli: its text, or its bytes."""
        argv = ["redis-cli", "-p", str(self.port), *map(str, words)]
        said = subprocess.run(argv, check=True, capture_output=True, timeout=10).stdout
        return said if raw else said.decode().strip()

    def keys(self, ending=""):
        return [key for key in self.ask("--scan").splitlines() if key.endswith(ending)]

    def record(self):
        """The one record's bytes."""
        (key,) = self.keys(":record")
        return self.ask("GET", key, raw=True)

    def everything(self):
        """All that it holds, in memory and on disk, as text of which no byte is lost."""
        dumps = [key.encode() + self.ask("GET", key, raw=True) for key in self.keys()]
        files = [path.read_bytes() for path in self.folder.rglob("*") if path.is_file()]
        return b"".join(dumps + files).decode("latin-1")


class Wire:
    """A relay to a port of loopback, that can be cut, and whose connections can be held up; `seen` is what it keeps."""

    def __init__(self, target, keeps=False):
        self.target, self.port = target, free_port()
        self.keeps, self.seen = keeps, []
        self.whole, self.pairs, self.holding, self.held = True, [], False, set()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Ends every connection, and each new one, until it is mended."""
        self.whole = False
        for pair in self.pairs:
            self._end(pair)

    def mend(self):
        self.whole = True

    def hold(self):
        """Keeps back what comes from the target from now on, until it is let go."""
        self.holding = True

    def hold_no_more(self):
        """Only the connections that there are stay held; new ones are free."""
        self.held = {id(pair) for pair in self.pairs}
        self.holding = False

    def let_go(self):
        self.holding, self.held = False, set()

    def stop(self):
        self.cut()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                pair = (client, socket.create_connection(("127.0.0.1", self.target), timeout=5))
            except OSError:
                client.close()
                continue
            if not self.whole:
                self._end(pair)
                continue
            pair[1].settimeout(None)
            self.pairs.append(pair)
            for source, sink in (pair, pair[::-1]):
                threading.Thread(target=self._copy, args=(pair, source, sink), daemon=True).start()

    def _copy(self, pair, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.keeps:
                    self.seen.append(data)
                while source is pair[1] and (self.holding or id(pair) in self.held):
                    time.sleep(0.01)
                sink.sendall(data)
        self._end(pair)

    @staticmethod
    def _end(pair):
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Fleet:
    """Replicas with one configuration but for their ports; `redis` is the store's, but for its key."""

    def __init__(self, folder, ending, credential, routes, redis, env=None):
        self.folder, self.ending, self.credential, self.env = folder, ending, credential, env
        self.text = f"{routes}store:\n  redis: {{ key: {{ env: STORE_KEY }}, {redis} }}\n"
        self.replicas, self.started = [], 0

    def start(self, count=1):
        """Starts so many more; the last of them."""
        for _ in range(count):
            self.replicas.append(self._replica())
        return self.replicas[-1]

    def restart(self, number):
        """Kills one and starts another in its place."""
        self.replicas[number].program.signal(signal.SIGKILL)
        self.replicas[number].program.exit_code()
        self.replicas[number] = self._replica()

    def _replica(self):
        self.started += 1
        folder = self.folder / f"replica{self.started}"
        folder.mkdir()
        env = {"BEARERD_LOG": "info,bearerd=trace", "STORE_KEY": STORE_KEY, **(self.env or {})}
        return self.ending(Proxy(folder, self.credential, self.text, env=env))

    def said(self):
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("replica*/bearerd.err"))


class Traffic:
    """One client for each of a fleet's replicas, asking on and on; what was answered other than 200 is in `failed`."""

    def __init__(self, fleet, path="/api/x"):
        self.fleet, self.path, self.over, self.served, self.failed = fleet, path, False, 0, []
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(len(fleet.replicas))]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()

    def _ask(self, number):
        while not self.over:
            try:
                answer = self.fleet.replicas[number].get(self.path)
            except OSError:
                # It has just been killed: nobody answered, and a balancer would go to another.
                time.sleep(0.05)
                continue
            self.served += 1
            if answer.status_code != 200:
                self.failed.append(f"replica {number}: {answer.status_code} {answer.text}")
            time.sleep(0.05)


class Issued:
    """When a token service issued what, to a tenth of a second."""

    def __init__(self, token_service):
        self.service, self.times, self.over = token_service, [], False
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    def _watch(self):
        while not self.over:
            count = self.service.requests()
            self.times += [time.monotonic()] * (count - len(self.times))
            time.sleep(0.05)

    def generations(self, life, begin=0.0, end=float("inf")):
        """How many were issued in each generation: what comes within half a life of the first belongs to it."""
        sizes, first = [], None
        for at in self.times:
            if not begin <= at <= end:
                continue
            if first is None or at - first > life / 2:
                sizes, first = [*sizes, 0], at
            sizes[-1] += 1
        return sizes
