"""A store in files whose disk is full, or can't be written: what is there serves, and nothing is spent or cut short."""

import pytest
from support.fleet import STORE_KEY
from support.kills import rotating
from support.programs import wait_until
from support.proxy import client_credentials
from support.small_disk import small_disk

LIFE = 3
FULL = ("No space left on device", "File too large")
PROTECTED = ("Read-only file system", "Permission denied")


@pytest.fixture
def disk(tmp_path, ending):
    return ending(small_disk(tmp_path / "disk"))


@pytest.fixture
def start(start_proxy, upstream, to):
    """Starts a proxy whose store is a folder on the disk."""

    def start(credential, disk, **env):
        store = f"store: {{ file: {{ path: {disk.path}/store, key: {{ env: STORE_KEY }} }} }}\n"
        env = {"STORE_KEY": STORE_KEY, **env}
        return start_proxy(credential, to(upstream) + store, env=env, prefix=disk.prefix, before=disk.before)

    return start


def records(disk):
    """The files of the store but its locks, by name."""
    return {path.name: path.read_bytes() for path in disk.seen.glob("store/*") if path.suffix != ".lock"}


def store_errors(proxy):
    return proxy.metric("bearerd_credential_store_errors_total", credential="api")


def can_not_renew(proxy, reasons):
    """Whether a renewal now fails, and operators are told that the store is why."""
    return proxy.rotate() != "ok" and any(why in proxy.status()["store_error"] for why in reasons)


def test_a_full_disk_stops_nobody_and_leaves_what_was_whole(start, disk, token_service):
    token_service.set_life(LIFE)
    proxy = start(client_credentials(token_service.token_url), disk)
    assert proxy.get("/api/x").status_code == 200
    kept = records(disk)
    disk.fill(proxy)
    for _ in range(2):
        before, failed = token_service.requests(), store_errors(proxy)
        renewed = lambda: proxy.get("/api/x").status_code == 200 and token_service.requests() > before
        wait_until("it is renewed all the same", renewed, 2 * LIFE)
        wait_until("the error is counted", lambda since=failed: store_errors(proxy) > since)
    assert proxy.status()["store_errors"] > 0
    assert records(disk) == kept, "old, whole, and nothing beside it"
    if disk.tells_all:
        assert any(why in proxy.program.said() for why in FULL), "and told"
    disk.make_room(proxy)
    wait_until("the next one is kept again", lambda: proxy.get("/api/x").ok and records(disk) != kept, 2 * LIFE)
    assert "the store is back" in proxy.program.said()
    assert records(disk).keys() == kept.keys()
    token_service.set_life(600)
    wait_until("one of a long life", lambda: proxy.get("/api/x").ok and proxy.status()["expires_in"] > 60, 2 * LIFE)
    asked = token_service.requests()
    proxy.kill()
    proxy.start()
    assert proxy.get("/api/x").status_code == 200
    assert token_service.requests() == asked


def test_no_refresh_token_is_spent_while_its_successor_could_not_be_kept(start, disk, token_service):
    token_service.set_life(LIFE)
    proxy = start(rotating(token_service, "full"), disk, REFRESH_TOKEN=token_service.grant("alice"))
    assert proxy.get("/api/x").status_code == 200
    disk.fill(proxy)
    kept = records(disk)
    assert can_not_renew(proxy, FULL)
    assert proxy.get("/api/x").status_code == 200, "it still has its token"
    ended = lambda: not (answer := proxy.get("/api/x")).ok and [answer]
    (refusal,) = wait_until("the token ends", ended, LIFE + 5)
    assert (refusal.status_code, refusal.json()["code"]) == (503, "token_unavailable")
    assert token_service.requests() == 1, "nothing was sent"
    assert records(disk) == kept
    disk.make_room(proxy)
    wait_until("it goes on by itself", lambda: proxy.get("/api/x").ok, 30)
    proxy.kill()
    proxy.start()
    assert proxy.get("/api/x").ok
    assert proxy.rotate() == "ok"
    assert token_service.revoked() == []


def test_what_is_kept_is_read_from_a_disk_that_is_full(start, disk, token_service):
    """A process that starts then: with a token as good as before, and with no refresh token in doubt."""
    credential, first = rotating(token_service, "full"), token_service.grant("alice")
    proxy = start(credential, disk, REFRESH_TOKEN=first)
    assert proxy.get("/api/x").status_code == 200
    proxy.kill()
    (disk.seen / "store/bearerd-store.lock").unlink(missing_ok=True)
    if disk.tells_all:
        disk.fill(proxy)
        proxy.start()
    else:
        proxy.start()
        disk.fill(proxy)
    assert proxy.get("/api/x").status_code == 200
    assert token_service.requests() == 1
    assert can_not_renew(proxy, FULL)
    disk.make_room(proxy)
    assert proxy.rotate() == "ok"
    assert proxy.get("/api/x").status_code == 200
    assert (token_service.requests(), token_service.revoked()) == (2, [])


def test_what_is_kept_is_read_from_a_folder_that_can_not_be_written(start, disk, token_service):
    credential, first = rotating(token_service, "protected"), token_service.grant("alice")
    proxy = start(credential, disk, REFRESH_TOKEN=first)
    assert proxy.get("/api/x").status_code == 200
    kept = records(disk)
    disk.protect()
    for turn in range(2):
        assert can_not_renew(proxy, PROTECTED)
        assert proxy.get("/api/x").status_code == 200
        assert store_errors(proxy) > 0
        assert any(why in proxy.program.said() for why in PROTECTED)
        if turn == 0:
            proxy.kill()
            proxy.start()
            assert proxy.get("/api/x").status_code == 200
    assert (token_service.requests(), records(disk)) == (1, kept)
    disk.permit()
    assert proxy.rotate() == "ok"
    assert proxy.get("/api/x").status_code == 200
    assert (token_service.requests(), token_service.revoked()) == (2, [])
