"""Tokens of three seconds, one after the other, under load."""

import os

from support.load import Load

SECONDS = float(os.environ.get("INTEROP_ROLLOVER_SECONDS", "15"))


def test_no_request_fails_or_waits_while_tokens_roll_over(proxy, token_service):
    token_service.set_life(3)
    assert proxy.get("/api/x").status_code == 200
    waited = proxy.metric("bearerd_credential_wait_seconds_count", credential="api")
    assert waited == 1, "the first request has to wait for the first token"

    load = Load(proxy.port, "/api/x", clients=16, seconds=SECONDS, pause=0.01)
    load.run()

    assert set(load.statuses) == {200}, load.statuses
    assert load.statuses[200] > 50 * SECONDS, "that was no load"
    assert proxy.metric("bearerd_credential_wait_seconds_count", credential="api") == waited
    assert token_service.requests() >= SECONDS / 3, "tokens did roll over"
    assert token_service.requests() <= 2 + SECONDS / 1.5, "and not too often"
