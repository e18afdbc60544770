"""kill -9 at random points of renewals by rotating refresh tokens: none is spent twice, and nothing is lost unsaid."""

import faulthandler
import os
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.fleet import STORE_KEY, Fleet, Redis
from support.kills import LIFE, Lane, rotating
from support.proxy import Proxy

# In all; the default takes half a minute each, and finds in weeks of CI what 500 find at once.
KILLS = int(os.environ.get("INTEROP_KILLS", "0"))
QUIET = {"BEARERD_LOG": "info", "STORE_KEY": STORE_KEY, "REFRESH_TOKEN": "none yet"}


@pytest.fixture
def lanes_of(token_service, upstream):
    """Runs lanes beside each other, `kills` in all, each on the replicas that `start` gives it."""

    def run(start, kills, lanes):
        if KILLS:
            # It is meant to take so long; and a dump of all stacks while they run has ended the whole of it.
            faulthandler.cancel_dump_traceback_later()
        token_service.set_life(LIFE)
        each = -(-kills // lanes)
        with ThreadPoolExecutor(lanes) as pool:
            names = [f"lane{number}" for number in range(lanes)]
            starting = [
                Lane(name, start(name), token_service, upstream, random.Random(f"{name} of {kills}")) for name in names
            ]
            running = [pool.submit(lane.run, each) for lane in starting]
        tally = sum((one.result() for one in running), Counter())
        spent = [line["status"] for line in token_service.log() if line["grant"] == "refresh_token"]
        tally["reused"] = len(token_service.revoked()) + sum(status != 200 for status in spent)
        print(dict(tally))
        assert tally["kills"] >= kills
        assert tally["renewals"] > kills
        assert tally["reused"] == 0
        return tally

    return run


def test_a_kill_at_any_moment_spends_no_refresh_token_twice(tmp_path, ending, lanes_of, token_service, upstream, to):
    def start(name):
        folder = tmp_path / name
        folder.mkdir()
        store = "store: { file: { path: store, key: { env: STORE_KEY } } }\n"
        return [ending(Proxy(folder, rotating(token_service, name), to(upstream) + store, env=QUIET))]

    tally = lanes_of(start, KILLS or 40, lanes=4)
    assert tally["in doubt"] > tally["kills"] / 10, "the window was hit"


def test_a_fleet_whose_leader_is_killed_or_stands_still_spends_no_refresh_token_twice(
    tmp_path, ending, lanes_of, token_service, upstream, to
):
    """And whose Redis is killed now and then, too."""
    redis, over = ending(Redis(tmp_path)), threading.Event()

    def kill_redis():
        while not over.wait(5):
            redis.kill()
            redis.start()

    def start(name):
        folder = tmp_path / name
        folder.mkdir()
        url = f"url: redis://127.0.0.1:{redis.port}/0, prefix: {name}"
        fleet = Fleet(folder, ending, rotating(token_service, name), to(upstream), url, env=QUIET)
        fleet.start(3)
        return fleet.replicas

    killer = threading.Thread(target=kill_redis)
    killer.start()
    try:
        lanes_of(start, KILLS or 20, lanes=5)
    finally:
        over.set()
        killer.join()
