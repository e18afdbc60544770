"""A wall clock that jumps, and a process that stands still: what has expired is not sent, what is good not lost."""

import importlib.util
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from support.fleet import STORE_KEY
from support.kills import rotating, state_of
from support.load import Load
from support.programs import wait_until
from support.proxy import client_credentials

LIFE = 2
STORE = "store: { file: { path: store, key: { env: STORE_KEY } } }\n"


@pytest.fixture
def kinds(token_service):
    """One that may be fetched twice, and one that may not."""
    return {
        "client_credentials": client_credentials(token_service.token_url),
        "refresh_token": rotating(token_service, "clocks"),
    }


class WallClock:
    """What `env` gives a program in the place of the wall clock; the monotonic one stays."""

    def __init__(self, folder):
        package = Path(importlib.util.find_spec("libfaketime").origin).parent
        self.file = folder / "wall-clock"
        self.env = {
            "LD_PRELOAD": str(package / "vendor/libfaketime/src/libfaketime.so.1"),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
        }
        self.jump(0)

    def jump(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.replace(self.file)


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_jump_of_the_wall_clock_costs_no_token_and_keeps_no_dead_one(
    tmp_path, start_proxy, token_service, upstream, kinds, jump
):
    clock = WallClock(tmp_path)
    env = {"STORE_KEY": STORE_KEY, "REFRESH_TOKEN": token_service.grant("alice"), **clock.env}
    routes = "".join(f'  - {{ match: /{kind}/, upstream: "{upstream.url}/", credential: {kind} }}\n' for kind in kinds)
    credentials = "".join(f"  {kind}:\n{entry}" for kind, entry in kinds.items())
    proxy = start_proxy(f"    static: unused\n{credentials}", routes + STORE, env=env)
    use = lambda: [proxy.get(f"/{kind}/x").status_code for kind in kinds] == [200, 200]
    assert use() and token_service.requests() == 2
    clock.jump(jump)
    wait_until("its own clock has jumped", lambda: use() and jumped(proxy, jump))
    time.sleep(1)
    assert use() and token_service.requests() == 2
    upstream.revoke()
    token_service.set_life(LIFE)
    assert use() and token_service.requests() == 4, "one for each, and that only since they were refused"

    refused, asked = upstream.seen()["refused"], token_service.requests()
    loads = [Load(proxy.port, f"/{kind}/x", clients=2, seconds=2.5 * LIFE, pause=0.02) for kind in kinds]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    time.sleep(LIFE)
    clock.jump(0)
    for thread in threads:
        thread.join()
    for load in loads:
        assert set(load.statuses) == {200}, load.statuses
    assert upstream.seen()["refused"] == refused, "none that had expired was sent"
    renewals = token_service.requests() - asked
    assert 4 <= renewals <= 10, "each two to four times in two lives and a half, and not again for the jump"

    token_service.set_life(600)
    longer = lambda: use() and all(one["expires_in"] > 60 for one in proxy.statuses() if one["name"] in kinds)
    wait_until("they live longer", longer, 2 * LIFE)
    asked = token_service.requests()
    proxy.kill()
    clock.jump(jump)
    proxy.start()
    assert use() and use()
    assert token_service.requests() - asked <= 2, "at most one for each where nobody knows how old they are"
    assert token_service.revoked() == []


def jumped(proxy, jump):
    """Whether the wall clock of its log is another than ours."""
    last = proxy.program.err.read_text().splitlines()[-1]
    hour = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + jump))
    return hour in last


@pytest.mark.parametrize("kind", ["client_credentials", "refresh_token"])
def test_a_process_that_stood_still_sends_nothing_that_has_expired(
    start_proxy, token_service, upstream, to, kinds, kind
):
    """With requests that came meanwhile, on connections old and new."""
    token_service.set_life(LIFE)
    env = {"STORE_KEY": STORE_KEY, "REFRESH_TOKEN": token_service.grant("alice")}
    proxy = start_proxy(kinds[kind], to(upstream) + STORE, env=env)
    sessions = [requests.Session() for _ in range(20)]
    ask = lambda session: session.get(f"{proxy.url}/api/x", timeout=20).status_code
    assert {ask(session) for session in sessions[:10]} == {200}
    with ThreadPoolExecutor(len(sessions)) as pool:
        proxy.program.signal(signal.SIGSTOP)
        asked = [pool.submit(ask, session) for session in sessions]
        time.sleep(LIFE + 1)
        proxy.program.signal(signal.SIGCONT)
        assert {one.result() for one in asked} == {200}
    assert upstream.seen()["refused"] == 0
    assert token_service.requests() == 2, "one for all"


def test_an_answer_that_came_while_the_process_stood_still_is_not_lost(start_proxy, token_service, upstream, to):
    """Its refresh token was spent meanwhile, and the next one is in that answer: long after the deadline of the call."""
    credential = rotating(token_service, "clocks") + "      timeout: 1s\n"
    env = {"STORE_KEY": STORE_KEY, "REFRESH_TOKEN": token_service.grant("alice")}
    proxy = start_proxy(credential, to(upstream) + STORE, env=env)
    assert proxy.get("/api/x").status_code == 200
    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            token_service.strike("clocks", proxy.pid, signal.SIGSTOP, "spent", 0)
            asked = pool.submit(proxy.rotate)
            wait_until("it stands still", lambda: state_of(proxy) == "T")
            time.sleep(2)
            proxy.program.signal(signal.SIGCONT)
            assert asked.result() == "ok"
    assert proxy.get("/api/x").status_code == 200
    assert (token_service.requests(), token_service.revoked()) == (4, [])
