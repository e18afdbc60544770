"""`issuer:` instead of URLs: the endpoints are the ones that the service itself tells."""

import json

import pytest
from support.partners import Odd, reply
from support.programs import wait_until
from support.proxy import client_credentials


def by_issuer(issuer, **more):
    return client_credentials(None, issuer=issuer, **more)


def test_the_token_endpoint_is_found(start_proxy, token_service, upstream, to):
    proxy = start_proxy(by_issuer(token_service.url), to(upstream))
    assert proxy.get("/api/x").status_code == 200
    upstream.revoke()
    assert proxy.get("/api/x").status_code == 200
    assert token_service.requests() == 2


def test_the_token_endpoint_is_found_once_the_service_is_up(start_proxy, token_service, upstream, to):
    token_service.stop()
    proxy = start_proxy(by_issuer(token_service.url), to(upstream))
    assert proxy.get("/api/x").json()["code"] == "token_unavailable"
    token_service.start()
    wait_until("the pause after the failure is over", lambda: proxy.get("/api/x").status_code == 200)


@pytest.mark.parametrize("issuer", ["https://elsewhere.example.com", None], ids=["another", "none"])
def test_a_document_of_another_issuer_is_not_believed(start_proxy, ending, token_service, upstream, to, issuer):
    said = {"issuer": issuer, "token_endpoint": token_service.token_url}
    body = json.dumps({key: value for key, value in said.items() if value}).encode()
    liar = ending(Odd(reply(200, body, Content_Type="application/json")))
    answer = start_proxy(by_issuer(liar.url.removesuffix("/token")), to(upstream)).get("/api/x")
    assert answer.status_code == 502, answer.text
    assert token_service.requests() == 0, "the secret went nowhere"
