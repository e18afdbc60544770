"""Stopping loses no request; reloading takes what is good and keeps the old where it is not."""

import signal
import threading

import pytest
from support.load import Load
from support.programs import listens, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_drains_and_ends_with_0(proxy, number):
    assert proxy.get("/api/x").status_code == 200
    load = Load(proxy.port, "/api/x?ms=300", clients=50, seconds=20)
    thread = threading.Thread(target=load.run)
    thread.start()
    wait_until("load is on", lambda: load.statuses[200] > 100)
    proxy.program.signal(number)
    assert proxy.program.exit_code() == 0
    load.stop()
    thread.join()
    assert set(load.statuses) <= {200, "closed idle", "refused connection"}, load.statuses
    assert not listens(proxy.port)


def routes_with(upstream, path):
    return f'  - {{ match: {path}, upstream: "{upstream.url}/", credential: api }}\n'


@pytest.mark.parametrize("trigger", ["signal", "change of the file alone"])
def test_a_reload_takes_the_new_routes_and_keeps_the_token(proxy, upstream, token_service, trigger):
    assert proxy.get("/api/x").status_code == 200
    assert proxy.get("/more/x").status_code == 404
    proxy.write(routes_with(upstream, "/more/"))
    if trigger == "signal":
        proxy.program.signal(signal.SIGHUP)
    wait_until("the new route", lambda: proxy.get("/more/x").status_code == 200)
    assert proxy.get("/api/x").status_code == 404
    assert token_service.requests() == 1, "the credential did not change"


def test_a_bad_file_keeps_the_old_one(proxy, upstream):
    assert proxy.get("/api/x").status_code == 200
    proxy.write(routes_with(upstream, "/api/") + "    upstraem: nonsense\n")
    proxy.program.signal(signal.SIGHUP)
    refused = lambda: proxy.metric("bearerd_config_reloads_total", outcome="refused")
    wait_until("the refusal is counted", refused)
    assert proxy.get("/api/x").status_code == 200
    # Counted first, told next, and written by a thread of its own.
    wait_until("the refusal is told", lambda: "routes.yaml" in proxy.program.said())


def test_no_request_fails_while_files_reload(proxy, upstream):
    load = Load(proxy.port, "/api/x", clients=8, seconds=30, pause=0.005)
    thread = threading.Thread(target=load.run)
    thread.start()
    good, bad = routes_with(upstream, "/api/"), "  - nonsense\n"
    for turn in range(20):
        before = proxy.metric("bearerd_config_reloads_total")
        proxy.write(bad if turn % 2 else good + f"  - {{ match: /turn{turn}/, upstream: \"{upstream.url}/\" }}\n")
        proxy.program.signal(signal.SIGHUP)
        wait_until("the reload is counted", lambda: proxy.metric("bearerd_config_reloads_total") > before)
    load.stop()
    thread.join()
    assert set(load.statuses) == {200}, load.statuses
