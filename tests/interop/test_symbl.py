"""Symbl's SDKs in Python and JavaScript, unmodified, with credentials that they made up."""

import json
import subprocess
import sys

import pytest
import requests
from support.canaries import assert_hidden
from support.partners import node_argv
from support.programs import SUPPORT
from support.proxy import preset
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
def start(start_watched, symbl):
    def start(secret=SECRET, **more):
        login = {"url": symbl.url, "app_id": "the-real-app", "app_secret": "{ env: SYMBL_SECRET }"}
        route = f'{{ match: /, upstream: "{symbl.url}/", credential: api, emulate: true }}'
        return start_watched(preset("symbl", **login, **more), f"  - {route}\n", env={"SYMBL_SECRET": secret})

    return start


@pytest.fixture
def proxy(start):
    return start()


class Sdk:
    """A program with an SDK in it, which reads the messages once for each line that it gets."""

    def __init__(self, argv, server, app_id, app_secret):
        # What it takes for its tokens.
        self.held = set()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        argv = [*map(str, argv), server.url, app_id, app_secret]
        self.process = subprocess.Popen(argv, text=True, **pipes)

    def read(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        said = json.loads(line) if line else pytest.fail(self.process.communicate(timeout=10)[1])
        self.held |= {said.pop("token")} if "token" in said else set()
        return said

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


def assert_only_ours(symbl, *held):
    for request in symbl.requests:
        text = request.text()
        assert not [word for word in (MADE_UP, "made-up-app", "x-api-key", *held) if word in text], request.path


def test_the_api_takes_made_up_credentials_no_more_than_others(symbl, sdk):
    assert sdk(symbl, "the-real-app", SECRET).read() == HELLO
    assert sdk(symbl).read()["status"] == 401
    assert symbl.refusals == [f"POST {GENERATE}: 401: made-up credentials"]


def test_a_conversation_is_read(proxy, symbl, sdk, canaries):
    client = sdk(proxy)
    assert client.read() == client.read() == HELLO
    (placeholder,) = client.held
    canaries.add(placeholder)
    assert placeholder not in symbl.secrets, "the SDK holds nothing of worth"
    assert symbl.paths() == [GENERATE, MESSAGES, MESSAGES]
    assert symbl.refusals == []
    assert_only_ours(symbl, placeholder)


def test_a_revoked_token_is_mended_without_the_sdk_noticing(proxy, symbl, sdk, canaries):
    client = sdk(proxy)
    assert client.read() == HELLO
    symbl.revoke()
    assert client.read() == HELLO
    canaries.add(*client.held)
    assert len(client.held) == 1, "the SDK did not log in again"
    assert len(symbl.got(GENERATE)) == 2
    assert_only_ours(symbl, *client.held)


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


@pytest.mark.parametrize("place", ["query", "api_key"])
def test_the_token_goes_where_an_api_wants_it(start, symbl, sdk, place):
    client = sdk(start(place=place))
    assert client.read() == HELLO
    sent = symbl.requests[-1]
    assert sent.bearer() is None
    assert [sent.header("x-api-key"), *sent.query.get("access_token", [])].count(symbl.token) == 1


def test_an_endpoint_that_quotes_what_it_refuses_gives_nothing_away(start, symbl, sdk, canaries):
    wrong = "canary of the wrong secret, long enough"
    canaries.add(wrong)
    symbl.quotes = True
    proxy = start(secret=wrong)
    told = sdk(proxy).read()
    assert "messages" not in told
    assert_hidden("what the SDK was told", json.dumps(told), canaries.all())
    assert proxy.get(MESSAGES).json()["code"] == "token_rejected"
    assert symbl.refusals == [f"POST {GENERATE}: 401: made-up credentials"]


def test_what_a_client_brings_in_old_places_is_taken_out(proxy, symbl):
    answer = proxy.get(f"{MESSAGES}?access_token={MADE_UP}&limit=5", headers={"X-API-Key": MADE_UP})
    assert answer.status_code == 200
    assert symbl.requests[-1].query == {"limit": ["5"]}
    assert_only_ours(symbl)
