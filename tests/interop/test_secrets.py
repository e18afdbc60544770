"""Canaries: neither the client's secret nor a token shows anywhere, in any spelling, at the loudest log level."""

import json
import os
import resource
import signal

import pytest
from support.canaries import assert_hidden
from support.partners import CLIENT_SECRET, Odd, reply
from support.programs import Program
from support.proxy import bearerd, client_credentials

TRACE = {"BEARERD_LOG": "trace"}


def test_nothing_shows_a_secret(start_proxy, api_credential, upstream, to):
    proxy = start_proxy(api_credential, to(upstream), env=TRACE)
    texts = {}
    assert proxy.get("/api/x").status_code == 200
    upstream.revoke()
    assert proxy.send("POST", "/api/x", data=b"y" * 10_240).status_code == 200
    texts["an error"] = proxy.get("/nowhere").text + proxy.get("/api/../x").text
    texts["metrics"] = proxy.metrics()
    for command in (
        ["check", proxy.file],
        ["explain", "--config", proxy.file, "GET", f"{proxy.url}/api/x"],
        ["token", "--config", proxy.file, "api"],
    ):
        done = bearerd(*command, folder=proxy.folder, env=TRACE)
        assert done.returncode == 0, done.stderr
        texts[command[0]] = done.stdout + done.stderr
    proxy.stop()
    texts["the log"] = proxy.program.said()

    tokens = upstream.seen()["tokens"]
    assert len(tokens) >= 2
    assert "TRACE" in texts["the log"], "the log was not at its loudest"
    for where, text in texts.items():
        # The signature of a token is enough to know it by.
        assert_hidden(where, text, [CLIENT_SECRET, *tokens, *(token.rpartition(".")[2] for token in tokens)])


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_a_token_endpoint_that_echoes_what_it_got_is_not_echoed(start_proxy, ending, upstream, to, status):
    def echo(handler):
        said = json.dumps({"error": "invalid_client", "error_description": handler.headers["Authorization"]})
        reply(status, (said + CLIENT_SECRET).encode(), Content_Type="application/json")(handler)

    endpoint = ending(Odd(echo))
    proxy = start_proxy(client_credentials(endpoint.url), to(upstream), env=TRACE)
    answer = proxy.get("/api/x")
    assert answer.status_code in (502, 503)
    assert_hidden("the answer", answer.text + str(answer.headers), [CLIENT_SECRET])
    assert_hidden("metrics", proxy.metrics(), [CLIENT_SECRET])
    proxy.stop()
    assert_hidden("the log", proxy.program.said(), [CLIENT_SECRET])


def test_a_bad_file_is_shown_without_its_secrets(tmp_path):
    file = tmp_path / "routes.yaml"
    canary = "canary-literal-secret"
    credential = client_credentials("https://login.example.com/token", client_secret=canary, scoop="x")
    file.write_text(f"listen: 127.0.0.1:0\ncredentials:\n  api:\n{credential}routes: []\n")
    done = bearerd("check", file, folder=tmp_path, env=TRACE)
    assert done.returncode == 2
    assert "scoop" in done.stdout + done.stderr
    assert canary not in done.stdout + done.stderr


def allow_cores():
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def cores(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith("core")]


def test_an_abort_leaves_no_core(start_proxy, api_credential, upstream, to, tmp_path):
    control = tmp_path / "control"
    control.mkdir()
    sleeper = Program("sleep", ["sleep", "60"], control, before=allow_cores)
    os.kill(sleeper.pid, signal.SIGABRT)
    sleeper.exit_code()
    machine_writes_cores = bool(cores(control))

    proxy = start_proxy(api_credential, to(upstream), before=allow_cores)
    assert proxy.get("/api/x").status_code == 200
    with open(f"/proc/{proxy.pid}/limits") as limits:
        limit = next(line for line in limits if line.startswith("Max core file size"))
    os.kill(proxy.pid, signal.SIGABRT)
    proxy.program.exit_code()
    assert not cores(tmp_path)
    # Where cores go elsewhere (a handler, another folder), the limit is what keeps them away.
    assert machine_writes_cores or limit.split()[4] == "0", limit
