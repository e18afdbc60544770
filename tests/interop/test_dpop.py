"""Tokens bound to a key (RFC 9449): the upstream takes each only with a proof for that very request."""

import pytest
from support.proxy import SECRET_NAME, client_credentials

SECRET = "secret-of-dpop"


@pytest.fixture
def proxy(start_watched, token_service, upstream, canaries, to):
    canaries.add(SECRET)
    credential = client_credentials(token_service.token_url, client_id="dpop", dpop="true")
    return start_watched(credential, to(upstream), env={SECRET_NAME: SECRET})


def assert_served(answer):
    assert answer.status_code == 200, answer.text
    assert answer.json()["claims"]["cnf"]["jkt"]


def test_each_request_has_a_proof_of_its_own(proxy, upstream, token_service):
    for path in ("/api/x", "/api/x", "/api/y?q=1%202"):
        assert_served(proxy.get(path))
    assert_served(proxy.send("POST", "/api/x", data=b"y" * 10_240))
    assert upstream.seen()["refused"] == 0
    assert token_service.requests() == 1


def test_a_token_that_was_revoked_is_renewed_and_the_replay_has_a_new_proof(proxy, upstream, token_service):
    assert_served(proxy.get("/api/x"))
    upstream.revoke()
    assert_served(proxy.get("/api/x"))
    assert token_service.requests() == 2
    assert upstream.seen()["refused"] == 1


def test_the_token_service_asks_for_a_nonce(proxy, token_service):
    token_service.ask_for_nonces()
    assert_served(proxy.get("/api/x"))
    assert [line["status"] for line in token_service.log()] == [400, 200], "asked for, then given"


def test_the_upstream_asks_for_a_nonce(proxy, upstream, token_service):
    assert_served(proxy.get("/api/x"))
    for _ in range(2):
        upstream.ask_for_nonces()
        refused = upstream.seen()["refused"]
        assert_served(proxy.send("POST", "/api/x", data=b"y" * 10_240))
        assert_served(proxy.get("/api/x"))
        assert upstream.seen()["refused"] == refused + 1, "the nonce is kept for the requests after"
    assert token_service.requests() == 1, "a nonce is no reason to renew the token"


def test_a_clients_own_proof_does_not_arrive(proxy, upstream):
    assert_served(proxy.get("/api/x", headers={"DPoP": "eyJ.made.up", "Authorization": "DPoP made-up"}))
    assert upstream.seen()["refused"] == 0
