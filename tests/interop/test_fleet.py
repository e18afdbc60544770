"""`store: redis`: replicas share one token, whatever happens to one of them or to Redis."""

import contextlib
import faulthandler
import os
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from support.canaries import assert_hidden
from support.fleet import STORE_KEY, Fleet, Issued, Redis, Traffic, Wire
from support.partners import CLIENT_SECRET, Certificate
from support.person import approve
from support.programs import free_port, wait_until
from support.proxy import client_credentials, grant

# How long the traffic goes on: three kinds of outage at least, and an hour finds more.
SECONDS = int(os.environ.get("INTEROP_FLEET_SECONDS", "0"))
LIFE = 5
# A leader that died is replaced after this.
LEASE = 6


@pytest.fixture
def redis(tmp_path, ending):
    return ending(Redis(tmp_path))


@pytest.fixture
def start_fleet(tmp_path, ending, redis, upstream, to):
    def start(credential, wire=None, **kwargs):
        url = f"url: redis://127.0.0.1:{(wire or redis).port}/0"
        return Fleet(tmp_path, ending, credential, to(upstream), url, **kwargs)

    return start


@pytest.fixture
def fleet(start_fleet, api_credential):
    """Three replicas of the credential that anyone may fetch twice."""
    fleet = start_fleet(api_credential)
    fleet.start(3)
    return fleet


@pytest.fixture
def token_wire(ending, token_service):
    return ending(Wire(token_service.port))


def served(replica, seconds=15):
    return wait_until("a request is served", lambda: replica.get("/api/x").status_code == 200, seconds)


def test_replicas_fetch_once_for_all_and_a_new_one_not_at_all(fleet, token_service, redis, upstream):
    for replica in fleet.replicas:
        assert replica.get("/api/x").status_code == 200
    assert token_service.requests() == 1
    upstream.revoke()
    for replica in fleet.replicas:
        assert replica.get("/api/x").status_code == 200
    assert token_service.requests() == 2, "one renewal for all"
    assert fleet.start().get("/api/x").status_code == 200
    assert token_service.requests() == 2
    # Long before they would lapse.
    wait_until("every lease is given back", lambda: not redis.keys(":lease"), LEASE / 3)


def test_replicas_that_ask_at_once_wait_for_the_one_that_fetches(start_fleet, token_wire, token_service):
    fleet = start_fleet(client_credentials(f"http://127.0.0.1:{token_wire.port}/token"))
    fleet.start(3)
    token_wire.hold()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(replica.get, "/api/x") for replica in fleet.replicas]
        wait_until("one has asked", token_service.requests)
        time.sleep(1)
        token_wire.let_go()
    assert [one.result().status_code for one in asked] == [200] * 3
    assert token_service.requests() == 1


def test_nothing_in_redis_tells_a_secret(fleet, redis, upstream, token_service):
    for replica in fleet.replicas:
        assert replica.get("/api/x").status_code == 200
    assert len(redis.record()) > 200, "there is something to look at"
    tokens = upstream.seen()["tokens"]
    assert tokens
    secrets = [CLIENT_SECRET, STORE_KEY, *tokens, *(token.rpartition(".")[2] for token in tokens)]
    assert_hidden("Redis", redis.everything(), [*secrets, "api", "catalog", "access_token"])
    assert_hidden("the log", fleet.said(), secrets)
    (key,) = redis.keys(":record")
    assert 500 < int(redis.ask("TTL", key)) <= 700, "it ends with the token, or soon after"


@pytest.mark.parametrize("foreign", ["text", "another type", "too large", "another slot's"])
def test_what_others_write_is_set_aside_and_replaced(fleet, redis, token_service, foreign):
    served(fleet.replicas[0])
    (key,) = redis.keys(":record")
    ours = redis.record()
    redis.ask("DEL", key)
    if foreign == "text":
        redis.ask("SET", key, '{"access_token":"forged"}')
    elif foreign == "another type":
        redis.ask("RPUSH", key, "x")
    elif foreign == "too large":
        redis.ask("SETRANGE", key, 50_000_000, "x")
    else:
        redis.ask("SET", key, "brd")
        redis.ask("COPY", redis.keys(":fence")[0], key, "REPLACE")
    assert fleet.start().get("/api/x").status_code == 200
    assert token_service.requests() == 2
    assert "set aside" in fleet.said()
    assert redis.ask("TYPE", key) == "string"
    assert redis.record() != ours
    assert len(redis.record()) < 10_000
    told = fleet.said().count("set aside")
    assert fleet.start().get("/api/x").status_code == 200
    assert (token_service.requests(), fleet.said().count("set aside")) == (2, told)


def test_a_lease_that_others_left_holds_nobody_up(fleet, redis, token_service):
    served(fleet.replicas[0])
    (key,) = redis.keys(":record")
    lease = key.replace(":record", ":lease")
    redis.ask("DEL", key)
    redis.ask("SET", lease, "for ever")
    redis.ask("SET", key.replace(":record", ":fence"), "no number")
    began = time.monotonic()
    assert fleet.start().get("/api/x").status_code == 200
    assert time.monotonic() - began < LEASE / 2 + 1
    assert token_service.requests() == 2
    assert redis.keys(":record"), "and it is saved"


def test_what_is_lost_in_redis_is_still_in_memory(fleet, redis, token_service):
    for replica in fleet.replicas:
        assert replica.get("/api/x").status_code == 200
    redis.ask("FLUSHALL")
    for replica in fleet.replicas:
        assert replica.get("/api/x").status_code == 200
    assert token_service.requests() == 1


@contextlib.contextmanager
def asking_and_held(replica, wire, token_service):
    """A request of a replica whose token call is answered, but held up on its way back."""
    before = token_service.requests()
    wire.hold()
    thread = threading.Thread(target=ask_in_vain, args=(replica,))
    thread.start()
    wait_until("it has asked", lambda: token_service.requests() > before)
    # What it asked is on its way back by now, or held.
    time.sleep(0.3)
    wire.hold_no_more()
    yield
    thread.join()


def ask_in_vain(replica):
    with contextlib.suppress(OSError):
        requests.get(f"{replica.url}/api/x", timeout=2)


def test_a_leader_that_dies_is_replaced_within_its_lease(start_fleet, token_wire, token_service):
    fleet = start_fleet(client_credentials(f"http://127.0.0.1:{token_wire.port}/token"))
    fleet.start(2)
    leader, other = fleet.replicas
    with asking_and_held(leader, token_wire, token_service):
        leader.program.signal(signal.SIGKILL)
    began = time.monotonic()
    assert other.get("/api/x").status_code == 200, "its request waited"
    assert time.monotonic() - began < LEASE + 2
    assert token_service.requests() == 2


def test_a_leader_that_stood_still_overwrites_nothing_newer(start_fleet, token_wire, token_service, redis):
    fleet = start_fleet(client_credentials(f"http://127.0.0.1:{token_wire.port}/token"))
    fleet.start(2)
    leader, other = fleet.replicas
    with asking_and_held(leader, token_wire, token_service):
        leader.program.signal(signal.SIGSTOP)
    served(other)
    newer = redis.record()
    token_wire.let_go()
    leader.program.signal(signal.SIGCONT)
    served(leader)
    # Longer than it waits before it tries to save again what could not be saved.
    time.sleep(3)
    assert redis.record() == newer
    assert token_service.requests() == 2


def refresh_token_of(token_service):
    """A refresh token as a person's login brings it."""
    asked = {"client_id": "device", "scope": "catalog offline_access"}
    device = requests.post(f"{token_service.url}/device/auth", data=asked, timeout=5).json()
    approve(device["verification_uri"], device["user_code"])
    form = {
        "client_id": "device",
        "device_code": device["device_code"],
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
    }
    answer = requests.post(token_service.token_url, data=form, timeout=5).json()
    return answer["refresh_token"]


@pytest.fixture
def rotating(start_fleet, token_wire, token_service):
    """Replicas on one refresh token, which its server rotates."""
    credential = grant(
        "refresh_token",
        token_url=f"http://127.0.0.1:{token_wire.port}/token",
        client_id="device",
        client_auth="none",
        refresh_token="{ env: REFRESH_TOKEN }",
    )
    return start_fleet(credential, env={"REFRESH_TOKEN": refresh_token_of(token_service)})


def spent(token_service):
    """How each use of a refresh token ended."""
    return [line["status"] for line in token_service.log() if line["grant"] == "refresh_token"]


def test_a_refresh_token_is_spent_once_by_all(rotating, token_service, upstream):
    rotating.start(3)
    for turn in range(4):
        for replica in rotating.replicas:
            served(replica)
        assert spent(token_service) == [200] * (turn + 1)
        upstream.revoke()


def test_a_leader_that_stood_still_spends_no_refresh_token_again(rotating, token_wire, token_service, upstream):
    rotating.start(2)
    leader, other = rotating.replicas
    with asking_and_held(leader, token_wire, token_service):
        leader.program.signal(signal.SIGSTOP)
    time.sleep(LEASE)
    refused = other.get("/api/x")
    assert refused.json()["code"] == "credential_in_doubt", refused.text
    token_wire.let_go()
    leader.program.signal(signal.SIGCONT)
    served(leader)
    served(other, 30)
    assert spent(token_service) == [200]
    upstream.revoke()
    served(other)
    served(leader)
    assert spent(token_service) == [200, 200]


def test_rediss_and_acl(tmp_path, ending, api_credential, upstream, to, token_service):
    """With no more rights than the handbook gives it."""
    certificate = Certificate(tmp_path)
    tls_port = free_port()
    redis = ending(
        Redis(
            tmp_path,
            *("--tls-port", tls_port, "--tls-cert-file", certificate.cert, "--tls-key-file", certificate.key),
            *("--tls-ca-cert-file", certificate.ca, "--tls-auth-clients", "no"),
        )
    )
    handbook = (Path(__file__).parents[2] / "docs/src/operations.md").read_text()
    rights = re.search(r"ACL SETUSER bearerd on (.*)", handbook)[1].replace(">PASSWORD", ">canary-password")
    redis.ask("ACL", "SETUSER", "bearerd", "on", *rights.split())
    store = (
        f"url: rediss://localhost:{tls_port}/0, tls: {{ ca: {certificate.ca} }}, "
        "username: bearerd, password: { env: REDIS_PASSWORD }"
    )
    env = {"REDIS_PASSWORD": "canary-password"}
    fleet = Fleet(tmp_path, ending, api_credential, to(upstream), store, env=env)
    fleet.start(2)
    for replica in fleet.replicas:
        assert replica.get("/api/x").status_code == 200
        assert replica.metric("bearerd_credential_store_errors_total") == 0, fleet.said()
    assert token_service.requests() == 1
    assert_hidden("the log", fleet.said(), ["canary-password"])


def test_a_password_that_is_refused_is_told_and_stops_nobody(tmp_path, ending, api_credential, upstream, to, redis):
    redis.ask("CONFIG", "SET", "requirepass", "right")
    store = f"url: redis://127.0.0.1:{redis.port}, password: canary-wrong"
    fleet = Fleet(tmp_path, ending, api_credential, to(upstream), store)
    assert fleet.start().get("/api/x").status_code == 200
    assert "authentication failed" in fleet.said()
    assert_hidden("the log", fleet.said(), ["canary-wrong"])


@pytest.mark.parametrize("how", ["stands still", "is gone"])
def test_without_redis_a_replica_pays_once_and_then_nothing(fleet, redis, token_service, how):
    for replica in fleet.replicas:
        served(replica)
    asked = token_service.requests()
    if how == "stands still":
        redis.program.signal(signal.SIGSTOP)
    else:
        redis.kill()
    replica = fleet.replicas[0]
    times = []
    for _ in range(40):
        began = time.monotonic()
        assert replica.get("/api/x").status_code == 200
        times.append(time.monotonic() - began)
    assert max(times) < 0.5, "a request with a token never waits for it"
    assert token_service.requests() == asked


def test_no_request_fails_and_each_generation_is_issued_once(start_fleet, ending, redis, token_service, api_credential):
    """Traffic, while replicas are killed, and Redis is killed, stopped and cut off."""
    if SECONDS:
        # It is meant to take so long; and a dump of all stacks while they run has ended the whole of it.
        faulthandler.cancel_dump_traceback_later()
    token_service.set_life(LIFE)
    wire = ending(Wire(redis.port))
    fleet = start_fleet(api_credential, wire=wire)
    fleet.start(3)
    for replica in fleet.replicas:
        served(replica)
    dice, outages, calm = random.Random(7), [], []
    with Issued(token_service) as issued, Traffic(fleet) as traffic:
        ends = time.monotonic() + SECONDS
        turn = 0
        while turn < 3 or time.monotonic() < ends:
            began = time.monotonic()
            # Not in the middle of its call: what is then lost takes a lease to be replaced, longer than this life.
            count = len(issued.times)
            wait_until("the next one is issued", lambda: len(issued.times) > count, 2 * LIFE)
            time.sleep(0.5)
            fleet.restart(dice.randrange(3))
            calm.append((began, time.monotonic()))
            began = time.monotonic()
            outage(turn, redis, wire)
            # Renewed in the outage, each replica has a token of its own until the next one.
            time.sleep(LIFE)
            outages.append((began, time.monotonic()))
            turn += 1
    assert not traffic.failed, traffic.failed[:3]
    assert traffic.served > 500
    in_calm = [size for begin, end in calm for size in issued.generations(LIFE, begin, end)]
    in_outages = [size for begin, end in outages for size in issued.generations(LIFE, begin, end)]
    print(f"{traffic.served} served; issued per generation: {in_calm} in calm, {in_outages} around outages")
    assert sum(in_calm) <= 1.05 * len(in_calm)
    assert all(size <= 3 for size in in_outages), "one a replica"


def outage(turn, redis, wire):
    if turn % 3 == 0:
        redis.kill()
        time.sleep(2)
        redis.start()
    elif turn % 3 == 1:
        redis.program.signal(signal.SIGSTOP)
        time.sleep(LIFE)
        redis.program.signal(signal.SIGCONT)
    else:
        wire.cut()
        time.sleep(LIFE)
        wire.mend()
