"""Each mistake and each broken token endpoint has an answer that tells what to do."""

import socket
import time

import pytest
from support.partners import Odd, reply
from support.proxy import bearerd, client_credentials, routes_yaml

GOOD_ROUTE = "  - { match: /api/, upstream: https://api.example.com/, credential: api }\n"


def check(folder, text, command="check", env=None):
    file = folder / "routes.yaml"
    file.write_text(text)
    done = bearerd(command, file, folder=folder, env=env)
    return done.returncode, done.stdout + done.stderr


def file_with(credential=None, routes=GOOD_ROUTE, listen=18080):
    credential = credential or client_credentials("https://login.example.com/token")
    return routes_yaml(listen, 0, credential, routes)


def test_a_good_file_is_good(tmp_path):
    code, said = check(tmp_path, file_with())
    assert code == 0, said


def test_an_unknown_key_is_named_with_its_place_and_a_suggestion(tmp_path):
    code, said = check(tmp_path, file_with(routes=GOOD_ROUTE.replace("upstream", "upstraem")))
    assert code == 2
    assert "upstraem" in said and "`upstream`" in said
    assert "routes.yaml:11:21" in said


def test_a_missing_environment_variable_is_named(tmp_path):
    credential = client_credentials("${INTEROP_NOT_SET}/token")
    code, said = check(tmp_path, file_with(credential))
    assert code == 2
    assert "INTEROP_NOT_SET" in said


def test_two_equal_routes_are_both_named(tmp_path):
    code, said = check(tmp_path, file_with(routes=GOOD_ROUTE * 2))
    assert code == 2
    assert "11" in said and "12" in said


def test_a_bad_url_is_shown(tmp_path):
    code, said = check(tmp_path, file_with(routes=GOOD_ROUTE.replace("https://", "htps://")))
    assert code == 2
    assert "htps://api.example.com/" in said


def test_every_error_is_reported_at_once(tmp_path):
    credential = client_credentials("https://login.example.com/token", scoop="x")
    routes = GOOD_ROUTE.replace("upstream", "upstraem") + GOOD_ROUTE.replace("/api/", "/b/").replace(": api", ": apo")
    code, said = check(tmp_path, file_with(credential, routes))
    assert code == 2
    assert all(word in said for word in ("scoop", "upstraem", "apo"))


def test_an_unreadable_secret_file_is_named(tmp_path):
    credential = client_credentials("https://login.example.com/token", client_secret="{ file: /nonexistent/secret }")
    code, said = check(tmp_path, file_with(credential), command="run")
    assert code != 0
    assert "/nonexistent/secret" in said


def test_an_unset_secret_is_named(tmp_path):
    credential = client_credentials("https://login.example.com/token", client_secret="{ env: INTEROP_NOT_SET }")
    code, said = check(tmp_path, file_with(credential), command="run")
    assert code != 0
    assert "INTEROP_NOT_SET" in said


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = check(tmp_path, file_with(listen=port), command="run")
    assert code == 1
    assert f"127.0.0.1:{port}" in said


def test_a_missing_file_is_named(tmp_path):
    done = bearerd("run", "nowhere.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr


HTML = reply(200, b"<html><title>Sign in</title></html>", Content_Type="text/html")
TWO_MIB = reply(200, b'{"access_token":"' + b"x" * 2 * 1024 * 1024 + b'"}', Content_Type="application/json")


def hang_up(handler):
    handler.close_connection = True


def say_nothing(handler):
    time.sleep(30)


@pytest.mark.parametrize(
    ("endpoint", "status", "code"),
    [
        pytest.param(HTML, 502, "token_malformed", id="html"),
        pytest.param(TWO_MIB, 502, "token_malformed", id="2 MiB"),
        pytest.param(reply(200), 502, "token_malformed", id="an empty body"),
        pytest.param(reply(401, b'{"error":"invalid_client"}'), 502, "token_rejected", id="invalid_client"),
        pytest.param(reply(429, Retry_After="7"), 503, "token_rate_limited", id="429"),
        pytest.param(reply(500), 503, "token_unavailable", id="500"),
        pytest.param(hang_up, 503, "token_unavailable", id="hangs up"),
        pytest.param(say_nothing, 504, "token_timeout", id="nothing"),
    ],
)
def test_a_broken_token_endpoint_has_its_code(start_proxy, ending, upstream, to, endpoint, status, code):
    proxy = start_proxy(client_credentials(ending(Odd(endpoint)).url), to(upstream))
    answer = proxy.get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert upstream.seen()["accepted"] == upstream.seen()["refused"] == 0, "no request leaves without its credential"
    if code == "token_rate_limited":
        assert 1 <= int(answer.headers["Retry-After"]) <= 7


def test_a_redirect_is_not_followed_with_the_secret(start_proxy, ending, upstream, to):
    elsewhere = ending(Odd(reply(200, b'{"access_token":"t"}')))
    endpoint = ending(Odd(reply(307, Location=elsewhere.url)))
    proxy = start_proxy(client_credentials(endpoint.url), to(upstream))
    answer = proxy.get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (502, "token_redirect")
    assert elsewhere.hits == 0
