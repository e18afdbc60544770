"""Symbl's SDKs in Python and JavaScript, unmodified, with credentials that they made up."""

import json
import subprocess
import sys

import pytest
import requests
from support.partners import node_argv
from support.programs import SUPPORT
from support.proxy import by_program
from support.vendors.symbl import GENERATE, Symbl

SECRET = 'canary of the real app: s"cr\\et'
MADE_UP = "canary-that-the-sdk-made-up"
MESSAGES = "/v1/conversations/123/messages"
HELLO = {"messages": ["hello"]}


@pytest.fixture
def symbl(ending, canaries):
    canaries.add(SECRET, MADE_UP)
    return ending(canaries.watch(Symbl("the-real-app", SECRET)))


@pytest.fixture
def proxy(start_watched, symbl):
    credential = by_program(
        *(SUPPORT / "logins.py", "symbl", symbl.url, "the-real-app"),
        inject=['{ header: Authorization, value: "Bearer {{ access_token }}" }'],
        logins={GENERATE: {"accessToken": "{{ placeholder }}", "expiresIn": 86400}},
    )
    strip = "{ headers: [x-api-key], query: [access_token] }"
    route = f'{{ match: /, upstream: "{symbl.url}/", credential: api, emulate: true, strip: {strip} }}'
    return start_watched(credential, f"  - {route}\n", env={"LOGIN_SECRET": SECRET})


class Sdk:
    """A program with an SDK in it, which reads the messages once for each line that it gets."""

    def __init__(self, argv, server, app_id, app_secret):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [*map(str, argv), server.url, app_id, app_secret]
        self.process = subprocess.Popen(argv, text=True, **pipes)

    def read(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else pytest.fail(self.process.communicate(timeout=10)[1])

    def stop(self):
        self.process.kill()
        self.process.communicate(timeout=10)


@pytest.fixture(params=["python", "javascript"])
def sdk(request, ending):
    argv = {
        "python": [sys.executable, SUPPORT / "sdks" / "symbl_sdk.py"],
        "javascript": node_argv("sdks/symbl_sdk.cjs"),
    }[request.param]
    return lambda server, app_id="made-up-app", secret=MADE_UP: ending(Sdk(argv, server, app_id, secret))


def assert_only_ours(symbl):
    for request in symbl.requests:
        text = request.text()
        assert MADE_UP not in text and "made-up-app" not in text and "x-api-key" not in text, request.path


def test_the_api_takes_made_up_credentials_no_more_than_others(symbl, sdk):
    assert sdk(symbl, "the-real-app", SECRET).read() == HELLO
    assert sdk(symbl).read()["status"] == 401
    assert symbl.refusals == [f"POST {GENERATE}: 401: made-up credentials"]


def test_a_conversation_is_read(proxy, symbl, sdk):
    client = sdk(proxy)
    assert client.read() == client.read() == HELLO
    assert symbl.paths() == [GENERATE, MESSAGES, MESSAGES]
    assert symbl.refusals == []
    assert_only_ours(symbl)


def test_a_revoked_token_is_mended_without_the_sdk_noticing(proxy, symbl, sdk):
    client = sdk(proxy)
    assert client.read() == HELLO
    symbl.revoke()
    assert client.read() == HELLO
    assert len(symbl.got(GENERATE)) == 2
    assert_only_ours(symbl)


def test_a_token_is_kept_for_what_is_left_of_its_life(proxy, symbl):
    # As if others of the same account had asked long before: the token is theirs, most of its life is gone.
    requests.post(symbl.url + GENERATE, json=symbl.login, timeout=5).raise_for_status()
    symbl.ends -= symbl.life - 120
    assert proxy.get(MESSAGES).status_code == 200
    assert 110 <= proxy.metric("bearerd_credential_expiry_seconds", credential="api") <= 120
    assert proxy.get(MESSAGES).status_code == 200
    assert len(symbl.got(GENERATE)) == 2, "one of them ours"


def test_too_many_jobs_at_once_are_no_reason_to_renew(proxy, symbl):
    assert proxy.get(MESSAGES).status_code == 200
    symbl.busy = 1
    answer = proxy.get(MESSAGES)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert answer.json()["statusCode"] == 429
    assert proxy.get(MESSAGES).status_code == 200
    assert len(symbl.got(GENERATE)) == 1


def test_what_a_client_brings_in_old_places_is_taken_out(proxy, symbl):
    answer = proxy.get(f"{MESSAGES}?access_token={MADE_UP}&limit=5", headers={"X-API-Key": MADE_UP})
    assert answer.status_code == 200
    assert symbl.requests[-1].query == {"limit": ["5"]}
    assert_only_ours(symbl)
