"""The token service goes away and comes back."""

import time

from support.programs import wait_until


def test_requests_go_on_until_the_token_expires_and_again_when_the_service_is_back(proxy, token_service):
    token_service.set_life(6)
    asked = time.monotonic()
    assert proxy.get("/api/x").status_code == 200
    token_service.stop()

    last_good = None
    while (answer := proxy.get("/api/x")).status_code == 200:
        last_good = time.monotonic() - asked
        assert last_good < 7, "a token of 6 s is used no longer"
        time.sleep(0.05)
    assert last_good > 5, "the token was good for 6 s"

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "token_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Proxy-Status" in answer.headers
    assert answer.elapsed.total_seconds() < 2, "nobody waits for what is known to fail"

    token_service.start()
    wait_until("requests work again", lambda: proxy.get("/api/x").status_code == 200, 60)
