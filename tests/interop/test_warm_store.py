"""A restart with a warm store, however the process ended: no token call; and nothing of a secret in what is kept."""

import signal

import pytest
from support.canaries import assert_hidden
from support.fleet import STORE_KEY, Redis, Wire
from support.kinds import Elsewhere, kinds
from support.partners import CLIENT_SECRET
from support.person import approve
from support.programs import Program, wait_until
from support.proxy import BINARY, Proxy
from test_device import page_and_code


@pytest.fixture
def elsewhere(ending, token_service):
    return ending(Elsewhere(token_service))


@pytest.fixture
def redis(tmp_path, ending):
    return ending(Redis(tmp_path))


@pytest.fixture
def wire(ending, redis):
    """To Redis, with all that went over it."""
    return ending(Wire(redis.port, keeps=True))


@pytest.fixture
def start(tmp_path, ending, token_service, elsewhere, upstream):
    """Starts a proxy with a credential of each kind, and logs in where that is needed."""

    def start(store, redis):
        store = {
            "file": "file: { path: store, key: { env: STORE_KEY } }",
            "redis": f"redis: {{ url: redis://127.0.0.1:{redis.port}, key: {{ env: STORE_KEY }} }}",
        }[store]
        credentials = kinds(tmp_path, token_service, elsewhere)
        text = "".join(f"  {name}:\n{entry}" for name, entry in credentials.items())
        routes = "".join(
            f'  - {{ match: /{name}/, upstream: "{upstream.url}/", credential: {name} }}\n' for name in credentials
        )
        env = {"STORE_KEY": STORE_KEY, "REFRESH_TOKEN": token_service.grant("bob")}
        proxy = ending(Proxy(tmp_path, f"    static: unused\n{text}", f"{routes}store:\n  {store}\n", env=env))
        log_in(ending, proxy, token_service)
        return proxy, list(credentials)

    return start


def log_in(ending, proxy, token_service):
    token_service.let_devices_ask_each(1)
    argv = [BINARY, "login", "--config", proxy.file, "device_code"]
    program = ending(Program("login", argv, proxy.folder, env=proxy.env))
    page, code = wait_until("a page and a code are shown", lambda: page_and_code(program.said()))
    approve(page, code)
    assert program.exit_code() == 0, program.said()


def all_calls(folder, token_service, elsewhere):
    programs = (folder / "printed").read_text().count("once")
    return token_service.requests() + elsewhere.hits + programs


def use_all(proxy, names):
    for name in names:
        served = lambda path=f"/{name}/x": proxy.get(path).status_code == 200
        wait_until(f"{name} is served", served, 5)


@pytest.mark.parametrize("store", ["file", "redis"])
def test_a_restart_asks_for_nothing_whatever_the_kind_and_the_end(
    start, tmp_path, token_service, elsewhere, redis, store
):
    proxy, names = start(store, redis)
    use_all(proxy, names)
    for end in (signal.SIGTERM, signal.SIGKILL):
        proxy.program.signal(end)
        proxy.program.exit_code()
        before = all_calls(tmp_path, token_service, elsewhere)
        proxy.start()
        use_all(proxy, names)
        # On a machine so busy that Redis takes longer than a replica waits for it, it goes on alone, and counts that.
        excused = proxy.metric("bearerd_credential_store_errors_total")
        assert store == "redis" or not excused
        assert all_calls(tmp_path, token_service, elsewhere) - before <= excused, end


@pytest.mark.parametrize("store", ["file", "redis"])
def test_nothing_that_leaves_the_process_for_its_store_tells_a_secret(
    start, tmp_path, token_service, elsewhere, upstream, wire, store
):
    """Names and bytes of files; and all that Redis is sent: keys, values, fields, messages."""
    proxy, names = start(store, wire)
    use_all(proxy, names)
    upstream.revoke()
    use_all(proxy, names)
    proxy.stop()
    if store == "file":
        kept = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
        assert len([path for path in kept if path.suffix == ".sealed"]) == len(names)
        shown = b"".join(path.name.encode() + path.read_bytes() for path in kept)
    else:
        shown = b"".join(wire.seen)
    assert len(shown) > 600 * len(names), "there is something to look at"
    tokens = upstream.seen()["tokens"]
    secrets = [CLIENT_SECRET, STORE_KEY, proxy.env["REFRESH_TOKEN"], "secret-of-the-exchanger"]
    secrets += [*elsewhere.refresh_tokens, *tokens, *(token.rpartition(".")[2] for token in tokens)]
    assert len(elsewhere.refresh_tokens) > 3 and len(tokens) > 5
    assert_hidden(f"the store ({store})", shown.decode("latin-1"), [*secrets, "access_token", "alice", "catalog"])
