"""h2load, while the configuration changes every second and the upstream is started anew every other: no request fails."""

import itertools
import os
import signal
import threading

import pytest
from support.load import h2load
from support.partners import Streams

# INTEROP_REQUESTS=1000000 takes a quarter of an hour.
REQUESTS = int(os.environ.get("INTEROP_REQUESTS", "12000"))


class Changes:
    """Until it is left: another configuration every second, and an upstream started anew every other."""

    def __init__(self, proxy, streams):
        self.proxy, self.streams = proxy, streams
        self.over, self.reloads, self.restarts, self.fault = threading.Event(), 0, 0, None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        assert not self.fault, self.fault

    def _run(self):
        try:
            for turn in itertools.count():
                if self.over.wait(1):
                    return
                self.proxy.write(f"{self.streams.routes()}  - {{ match: /turn{turn}/, upstream: 'http://127.0.0.1:9/' }}\n")
                self.proxy.program.signal(signal.SIGHUP)
                self.reloads += 1
                if turn % 2:
                    # The next one listens before the last one is told to end, which then answers what it has begun and
                    # closes the rest. Of one that is killed, answers that have begun are lost.
                    self.streams.replace(signal.SIGTERM)
                    self.restarts += 1
        except Exception as fault:
            self.fault = fault


@pytest.mark.parametrize(
    ("upstream", "client"),
    [("1.1", ["--h1"]), ("1.1", ["--max-concurrent-streams", "10"]), ("2", ["--max-concurrent-streams", "10"])],
    ids=["h1 to h1", "h2 to h1", "h2 to h2"],
)
def test_no_request_fails(start_proxy, api_credential, ending, tmp_path, upstream, client):
    streams = ending(Streams(tmp_path))
    proxy = start_proxy(api_credential, streams.routes())
    served = 0
    with Changes(proxy, streams) as changes:
        # On a fast machine there are more.
        while served < REQUESTS // 3 or changes.restarts < 2:
            h2load(f"{proxy.url}/{upstream}/x", REQUESTS // 3, *client)
            served += REQUESTS // 3
    applied = proxy.metric("bearerd_config_reloads_total", outcome="applied")
    print(f"{served} requests, {changes.reloads} reloads, {changes.restarts} restarts")
    assert changes.reloads - 1 <= applied
