"""Symphony's Python BDK, unmodified, with credentials that it made up: the pod sees only the proxy's login."""

import asyncio
import json
import time

import pytest
from support.partners import Certificate
from support.programs import SUPPORT
from support.proxy import by_program
from support.vendors.symphony import CERTIFICATE_LOGIN, CERTIFICATE_RELAY, LOGIN, RELAY, Key, Pod

BOT = "the-real-bot"
SESSION = {"name": "sessionToken", "token": "{{ placeholder }}", "authorizationToken": "Bearer {{ placeholder }}"}
KEY_MANAGER = {"name": "keyManagerToken", "token": "{{ placeholder }}"}
LOGINS = {LOGIN: SESSION, RELAY: KEY_MANAGER, CERTIFICATE_LOGIN: SESSION, CERTIFICATE_RELAY: KEY_MANAGER}


def log_in_as(pod, *login):
    """The credential and the route of a bot that logs in so. Its pod delivers keys by the session alone."""
    inject = ['{ header: sessionToken, value: "{{ access_token }}" }']
    credential = by_program(SUPPORT / "logins.py", *login, inject=inject, logins=LOGINS)
    strip = "{ headers: [keyManagerToken] }"
    return credential, f'  - {{ match: /, upstream: "{pod.url}/", credential: api, emulate: true, strip: {strip} }}\n'


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


@pytest.fixture
def pod(ending, canaries, keys):
    return ending(canaries.watch(Pod(BOT, keys[0], simplified_keys=True)))


@pytest.fixture
def proxy(start_watched, pod, real_key):
    return start_watched(*log_in_as(pod, "symphony", pod.url, BOT, real_key))


def settings(server, **bot):
    """The SDK's own: everything at the server's address."""
    from symphony.bdk.core.config.loader import BdkConfigLoader

    where = {"scheme": "http", "host": "127.0.0.1", "port": server.port}
    # What fails should fail soon: ten attempts take it a quarter of an hour.
    retry = {"maxAttempts": 2, "initialIntervalMillis": 100, "multiplier": 1, "maxIntervalMillis": 100}
    return BdkConfigLoader.load_from_content(json.dumps({**where, "bot": bot, "retry": retry}))


def with_sdk(config, work):
    """Runs `await work(sdk)`."""
    from symphony.bdk.core.symphony_bdk import SymphonyBdk

    async def run():
        async with SymphonyBdk(config) as sdk:
            return await work(sdk)

    return asyncio.run(run())


async def read_and_send(sdk):
    session = await sdk.sessions().get_session()
    message = await sdk.messages().send_message("stream1", "<messageML>hello</messageML>")
    return session.username, message.message_id


def assert_only_ours(pod, *made_up):
    """What the SDK brought did not leave the proxy, and the pod had nothing to complain about."""
    assert pod.refusals == []
    for request in pod.requests:
        assert not [word for word in made_up if word in request.text()], request.path


@pytest.fixture
def as_made_up(made_up_key):
    return {"username": "made-up-bot", "privateKey": {"path": str(made_up_key)}}


def test_the_pod_takes_no_made_up_key(pod, as_made_up):
    from symphony.bdk.core.auth.exception import AuthUnauthorizedError

    with pytest.raises(AuthUnauthorizedError):
        with_sdk(settings(pod, **as_made_up), read_and_send)
    assert pod.refusals == [f"POST {LOGIN}: 401: unknown user"]


def test_a_session_is_read_and_a_message_sent(proxy, pod, as_made_up):
    async def work(sdk):
        placeholders = [await sdk.bot_session().session_token, await sdk.bot_session().key_manager_token]
        return await read_and_send(sdk), placeholders

    (username, message_id), placeholders = with_sdk(settings(proxy, **as_made_up), work)
    assert username == BOT
    assert message_id.startswith("message-")
    assert all(placeholders)
    assert not set(placeholders) & set(pod.secrets), "the SDK holds nothing of worth"
    assert_only_ours(pod, "made-up-bot", *placeholders)
    assert len(pod.got(LOGIN)) == 1


def test_a_revoked_session_is_mended_without_the_sdk_noticing(proxy, pod, as_made_up):
    async def work(sdk):
        first = await read_and_send(sdk)
        before = await sdk.bot_session().session_token
        pod.revoke_sessions()
        began = time.monotonic()
        second = await sdk.messages().send_message("stream1", "<messageML>hello</messageML>")
        pod.revoke_sessions()
        third = await sdk.sessions().get_session()
        took = time.monotonic() - began
        return first, second, third, took, before == await sdk.bot_session().session_token

    first, second, third, took, same = with_sdk(settings(proxy, **as_made_up), work)
    assert first[1] != second.message_id
    assert third.username == BOT
    assert same, "the SDK did not log in again"
    # After a 401 that it sees, the SDK waits two seconds.
    assert took < 2, "nor did it try again"
    assert len(pod.got(LOGIN)) == 3
    assert [why for why in pod.refusals if "session token" not in why] == []
    assert len(pod.refusals) == 2


class TestWithCertificates:
    @pytest.fixture
    def authority(self, tmp_path):
        return Certificate(tmp_path)

    @pytest.fixture
    def pod(self, ending, canaries, keys, authority):
        return ending(canaries.watch(Pod(BOT, keys[0], certificate=authority, simplified_keys=True)))

    @pytest.fixture
    def proxy(self, start_watched, pod, authority, canaries):
        cert, key = authority.issue(BOT)
        canaries.add(key.read_text())
        at = f"https://localhost:{pod.certificate_port}"
        login = ["symphony_by_certificate", at, authority.ca, cert, key]
        return start_watched(*log_in_as(pod, *login))

    @pytest.fixture
    def as_made_up(self, authority, tmp_path, canaries):
        cert, key = authority.issue("made-up-bot")
        canaries.add(key.read_text())
        both = tmp_path / "made-up-both.pem"
        both.write_text(cert.read_text() + key.read_text())
        return {"username": "made-up-bot", "certificate": {"path": str(both)}}

    def test_a_session_is_read_and_a_message_sent(self, proxy, pod, as_made_up):
        username, message_id = with_sdk(settings(proxy, **as_made_up), read_and_send)
        assert username == BOT
        assert message_id.startswith("message-")
        assert_only_ours(pod, "made-up-bot")
        (login,) = pod.got(CERTIFICATE_LOGIN)
        assert (login.common_name, login.body) == (BOT, b"")

    def test_a_revoked_session_is_mended(self, proxy, pod, as_made_up):
        async def work(sdk):
            await read_and_send(sdk)
            pod.revoke_sessions()
            return await read_and_send(sdk)

        assert with_sdk(settings(proxy, **as_made_up), work)[0] == BOT
        assert len(pod.got(CERTIFICATE_LOGIN)) == 2
