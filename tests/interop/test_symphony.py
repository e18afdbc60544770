"""Symphony's Python BDK, unmodified, with credentials that it made up: the pod sees only the proxy's login."""

import asyncio
import json
import time

import pytest
from support.canaries import assert_hidden
from support.partners import Certificate
from support.proxy import preset
from support.vendors.symphony import (
    APPS,
    CERTIFICATE_APPS,
    CERTIFICATE_LOGIN,
    CERTIFICATE_RELAY,
    IDM,
    LOGIN,
    RELAY,
    Key,
    Pod,
)

BOT, APP = "the-real-bot", "the-real-app"
HELLO = "<messageML>hello</messageML>"


def to(pod, credential="api"):
    """One route for the whole of it: the preset tells the agent's part from the others."""
    return f'  - {{ match: /, upstream: "{pod.url}/", credential: {credential}, emulate: true }}\n'


@pytest.fixture(scope="module")
def keys():
    """The bot's real key, and the one that the SDK made up."""
    return Key(), Key()


@pytest.fixture
def real_key(tmp_path, keys):
    file = tmp_path / "real.pem"
    file.write_text(keys[0].pem)
    return file


@pytest.fixture
def made_up_key(tmp_path, keys, canaries):
    canaries.add(*(key.pem for key in keys))
    file = tmp_path / "made-up.pem"
    file.write_text(keys[1].pem)
    return file


@pytest.fixture(params=[True, False], ids=["keys by the session", "keys by the key manager"])
def simplified_keys(request):
    return request.param


@pytest.fixture
def pod(ending, canaries, keys, simplified_keys):
    return ending(canaries.watch(Pod(BOT, keys[0], simplified_keys=simplified_keys)))


@pytest.fixture
def proxy(start_watched, pod, real_key):
    return start_watched(preset("symphony", pod_url=pod.url, username=BOT, key=f"{{ file: {real_key} }}"), to(pod))


def settings(server, **accounts):
    """The SDK's own: everything at the server's address."""
    from symphony.bdk.core.config.loader import BdkConfigLoader

    where = {"scheme": "http", "host": "127.0.0.1", "port": server.port}
    # What fails should fail soon: ten attempts take it a quarter of an hour.
    retry = {"maxAttempts": 2, "initialIntervalMillis": 100, "multiplier": 1, "maxIntervalMillis": 100}
    return BdkConfigLoader.load_from_content(json.dumps({**where, **accounts, "retry": retry}))


def with_sdk(config, work):
    """Runs `await work(sdk)`."""
    from symphony.bdk.core.symphony_bdk import SymphonyBdk

    async def run():
        async with SymphonyBdk(config) as sdk:
            return await work(sdk)

    return asyncio.run(run())


async def read_and_send(sdk):
    session = await sdk.sessions().get_session()
    message = await sdk.messages().send_message("stream1", HELLO)
    return session.username, message.message_id


async def held(sdk):
    """What the SDK takes for its tokens."""
    return [await sdk.bot_session().session_token, await sdk.bot_session().key_manager_token]


def assert_only_ours(pod, *made_up):
    """What the SDK brought did not leave the proxy, and the pod had nothing to complain about."""
    assert pod.refusals == []
    for request in pod.requests:
        assert not [word for word in made_up if word in request.text()], request.path


@pytest.fixture
def as_made_up(made_up_key):
    return {"bot": {"username": "made-up-bot", "privateKey": {"path": str(made_up_key)}}}


def test_the_pod_takes_no_made_up_key(pod, as_made_up):
    from symphony.bdk.core.auth.exception import AuthUnauthorizedError

    with pytest.raises(AuthUnauthorizedError):
        with_sdk(settings(pod, **as_made_up), read_and_send)
    assert pod.refusals == [f"POST {LOGIN}: 401: unknown user"]


def test_a_session_is_read_and_a_message_sent(proxy, pod, as_made_up, canaries):
    async def work(sdk):
        return await read_and_send(sdk), await held(sdk)

    (username, message_id), placeholders = with_sdk(settings(proxy, **as_made_up), work)
    canaries.add(*placeholders)
    assert username == BOT
    assert message_id.startswith("message-")
    assert all(placeholders)
    assert not set(placeholders) & set(pod.secrets), "the SDK holds nothing of worth"
    assert_only_ours(pod, "made-up-bot", *placeholders)
    # The SDK asks both, whatever the pod; the proxy asks the second only where the first says so.
    assert (len(pod.got(LOGIN)), len(pod.got(RELAY))) == (1, 0 if pod.simplified_keys else 1)


def test_the_key_may_come_from_the_environment(start_watched, pod, keys, as_made_up):
    credential = preset("symphony", pod_url=pod.url, username=BOT, key="{ env: SYMPHONY_KEY }")
    proxy = start_watched(credential, to(pod), env={"SYMPHONY_KEY": keys[0].pem})
    assert with_sdk(settings(proxy, **as_made_up), read_and_send)[0] == BOT
    assert_only_ours(pod, "made-up-bot")


def test_a_revoked_session_is_mended_without_the_sdk_noticing(proxy, pod, as_made_up, canaries):
    async def work(sdk):
        first = await read_and_send(sdk)
        before = await held(sdk)
        pod.revoke_sessions()
        began = time.monotonic()
        second = await sdk.messages().send_message("stream1", HELLO)
        pod.revoke_sessions()
        third = await sdk.sessions().get_session()
        took = time.monotonic() - began
        return first, second, third, took, before, await held(sdk)

    first, second, third, took, before, after = with_sdk(settings(proxy, **as_made_up), work)
    canaries.add(*before)
    assert first[1] != second.message_id
    assert third.username == BOT
    assert before == after, "the SDK did not log in again"
    # After a 401 that it sees, the SDK waits two seconds.
    assert took < 2, "nor did it try again"
    assert len(pod.got(LOGIN)) == 3
    assert [why for why in pod.refusals if "session token" not in why] == []
    assert len(pod.refusals) == 2


def test_a_pod_that_quotes_what_it_refuses_gives_nothing_away(start_watched, pod, made_up_key, as_made_up, canaries):
    from symphony.bdk.gen.exceptions import ApiException

    pod.quotes = True
    credential = preset("symphony", pod_url=pod.url, username=BOT, key=f"{{ file: {made_up_key} }}")
    proxy = start_watched(credential, to(pod))
    with pytest.raises(ApiException) as error:
        with_sdk(settings(proxy, **as_made_up), read_and_send)
    assert (error.value.status, json.loads(error.value.body)["code"]) == (502, "token_rejected")
    assert_hidden("what the SDK was told", str(error.value), canaries.all())
    assert proxy.get("/agent/v1/info").json()["code"] == "token_rejected"
    assert [why.rpartition(": ")[0] for why in pod.refusals] == [f"POST {LOGIN}: 401: signature"]


class TestTheAgent:
    """It takes a session with the key manager's token beside it."""

    @pytest.fixture
    def simplified_keys(self):
        return False

    def test_gets_a_new_token_of_the_key_manager_where_that_has_ended(self, proxy, pod, as_made_up):
        async def work(sdk):
            await read_and_send(sdk)
            pod.key_managers.clear()
            return await read_and_send(sdk)

        assert with_sdk(settings(proxy, **as_made_up), work)[0] == BOT
        assert pod.refusals == ["POST /agent/v4/stream/stream1/message/create: 401: key manager token"]
        # It can't be told which of the two was refused.
        assert (len(pod.got(LOGIN)), len(pod.got(RELAY))) == (2, 2)


@pytest.fixture
def authority(tmp_path):
    return Certificate(tmp_path)


@pytest.fixture
def by_certificate(authority, canaries):
    """The parameters of one who logs in with a certificate of this name."""

    def by_certificate(pod, name):
        cert, key = authority.issue(name)
        canaries.add(key.read_text())
        doors = f"https://localhost:{pod.certificate_port}"
        return {"session_auth_url": doors, "cert": cert, "key": f"{{ file: {key} }}", "ca": authority.ca}

    return by_certificate


@pytest.fixture
def made_up_certificate(authority, tmp_path, canaries):
    cert, key = authority.issue("made-up")
    canaries.add(key.read_text())
    both = tmp_path / "made-up-both.pem"
    both.write_text(cert.read_text() + key.read_text())
    return {"certificate": {"path": str(both)}}


class TestWithCertificates:
    @pytest.fixture
    def pod(self, ending, canaries, keys, authority, simplified_keys):
        return ending(canaries.watch(Pod(BOT, keys[0], certificate=authority, simplified_keys=simplified_keys)))

    @pytest.fixture
    def proxy(self, start_watched, pod, by_certificate):
        return start_watched(preset("symphony", pod_url=pod.url, **by_certificate(pod, BOT)), to(pod))

    @pytest.fixture
    def as_made_up(self, made_up_certificate):
        return {"bot": {"username": "made-up-bot", **made_up_certificate}}

    def test_a_session_is_read_and_a_message_sent(self, proxy, pod, as_made_up, canaries):
        async def work(sdk):
            return await read_and_send(sdk), await held(sdk)

        (username, message_id), placeholders = with_sdk(settings(proxy, **as_made_up), work)
        canaries.add(*placeholders)
        assert username == BOT
        assert message_id.startswith("message-")
        assert_only_ours(pod, "made-up", *placeholders)
        logins = pod.got(CERTIFICATE_LOGIN) + pod.got(CERTIFICATE_RELAY)
        assert len(logins) == (1 if pod.simplified_keys else 2)
        assert {(login.common_name, login.body) for login in logins} == {(BOT, b"")}

    def test_a_revoked_session_is_mended(self, proxy, pod, as_made_up):
        async def work(sdk):
            await read_and_send(sdk)
            pod.revoke_sessions()
            return await read_and_send(sdk)

        assert with_sdk(settings(proxy, **as_made_up), work)[0] == BOT
        assert len(pod.got(CERTIFICATE_LOGIN)) == 2


class TestOnBehalfOfAUser:
    @pytest.fixture
    def simplified_keys(self):
        return False

    @pytest.fixture
    def pod(self, ending, canaries, keys, authority, simplified_keys):
        how = {"certificate": authority, "simplified_keys": simplified_keys, "apps": {APP: keys[0]}}
        return ending(canaries.watch(Pod(BOT, Key(), **how)))

    @pytest.fixture(params=[("username", "alice"), ("user_id", 77)], ids=["username", "user_id"])
    def who(self, request):
        return request.param

    @pytest.fixture(params=["key", "certificate"])
    def login(self, request, pod, real_key, by_certificate):
        """Where an app logs in, and with what."""
        if request.param == "key":
            return APPS, {"username": APP, "key": f"{{ file: {real_key} }}"}
        return CERTIFICATE_APPS, by_certificate(pod, APP)

    @pytest.fixture
    def as_made_up(self, login, made_up_key, made_up_certificate):
        by_key = {"privateKey": {"path": str(made_up_key)}}
        return {"app": {"appId": "made-up-app", **(by_key if login[0] == APPS else made_up_certificate)}}

    @pytest.fixture
    def proxy(self, start_watched, pod, login, who):
        user = {"username": "obo_user", "user_id": "obo_user_id"}[who[0]]
        return start_watched(preset("symphony", pod_url=pod.url, **login[1], **{user: who[1]}), to(pod))

    def test_an_app_sends_a_message(self, proxy, pod, login, as_made_up, who, canaries):
        async def work(sdk):
            session = sdk.obo(**dict([who]))
            async with sdk.obo_services(session) as services:
                first = await services.messages().send_message("stream1", HELLO)
                pod.revoke_sessions()
                second = await services.messages().send_message("stream1", HELLO)
            return first.message_id, second.message_id, await session.session_token

        first, second, placeholder = with_sdk(settings(proxy, **as_made_up), work)
        canaries.add(placeholder)
        assert first != second
        assert placeholder not in pod.secrets
        assert pod.refusals == ["POST /agent/v4/stream/stream1/message/create: 401: session token"]
        user = f"{login[0]}{who[0].removesuffix('_id')}/{who[1]}/authenticate"
        logins = pod.got(f"{login[0]}authenticate"), pod.got(user), pod.got(RELAY) + pod.got(CERTIFICATE_RELAY)
        assert [len(requests) for requests in logins] == [2, 2, 0]
        assert proxy.get("/pod/v2/sessioninfo").json()["username"] == str(who[1])
        for request in pod.requests:
            assert "made-up" not in request.text() and placeholder not in request.text(), request.path


class TestFiles:
    """The API of files wants a token of its own, bought with a session."""

    @pytest.fixture
    def simplified_keys(self):
        return True

    @pytest.fixture(params=["of its own", "of another credential"])
    def proxy(self, request, start_watched, pod, real_key, made_up_key):
        login = {"pod_url": pod.url, "username": BOT, "key": f"{{ file: {real_key} }}"}
        if request.param == "of its own":
            return start_watched(preset("symphony_oauth", scope="sym-files", **login), to(pod))
        files = preset("symphony_oauth", pod_url=pod.url, session="api", scope="sym-files")
        route = f'  - {{ match: /files/, upstream: "{pod.url}/files/", credential: files }}\n'
        return start_watched(f"{preset('symphony', **login)}  files:\n{files}", to(pod) + route)

    def test_a_file_is_found(self, proxy, pod):
        own = {"sessionToken": "made-up", "keyManagerToken": "made-up", "Authorization": "Bearer made-up"}
        answer = proxy.get("/files/v1/1", headers=own)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Location"] == answer.json()["signedUrl"], "untouched and not followed"
        assert_only_ours(pod, "made-up")
        (asked,) = pod.got(IDM)
        assert (asked.target, asked.body) == (f"{IDM}?scope=sym-files", b"")

    def test_a_refused_token_is_bought_anew_and_the_session_only_where_that_fails(self, proxy, pod):
        def logins():
            return len(pod.got(LOGIN)), len(pod.got(IDM))

        assert proxy.get("/files/v1/1").status_code == 200
        assert logins() == (1, 1)
        pod.revoke_bearers()
        assert proxy.get("/files/v1/1").status_code == 200
        assert logins() == (1, 2)
        pod.revoke_bearers()
        pod.revoke_sessions()
        assert proxy.get("/files/v1/1").status_code == 200
        assert logins() == (2, 4)
        refused = ["GET /files/v1/1: 401: bearer token"] * 2 + [f"POST {IDM}: 401: session token"]
        assert pod.refusals == refused
