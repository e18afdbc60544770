"""The upstream revokes the token: the client does not notice."""

from support.load import burst


def test_a_get_is_answered_after_the_token_was_revoked(proxy, upstream, token_service):
    assert proxy.get("/api/x").status_code == 200
    upstream.revoke()
    assert proxy.get("/api/x").status_code == 200
    assert token_service.requests() == 2
    assert upstream.seen()["refused"] == 1


def test_a_post_of_10_kib_arrives_whole_after_the_token_was_revoked(proxy, upstream, token_service):
    body = bytes(range(256)) * 40
    assert proxy.send("POST", "/api/x", data=body).status_code == 200
    upstream.revoke()
    answer = proxy.send("POST", "/api/x", data=body)
    assert answer.status_code == 200
    assert answer.json()["bytes"] == len(body) == 10 * 1024
    assert token_service.requests() == 2


def test_a_hundred_concurrent_refusals_cause_one_token_request(proxy, upstream, token_service):
    assert proxy.get("/api/x").status_code == 200
    upstream.revoke()
    # The upstream holds its verdict back, so that all hundred carry the revoked token.
    assert burst(proxy.port, "/api/x?verdict_ms=500", 100) == {200: 100}
    assert token_service.requests() == 2
    assert upstream.seen()["refused"] == 100
