"""Each way to show at a real token endpoint who asks, and that the endpoint tells them apart."""

import pytest
from support.proxy import SECRET_NAME, client_credentials

SECRETS = {
    "basic": ("basic:id", "s%cr&t:x/+ =~"),
    "body": ("post", "secret-in-the-body"),
    "client_secret_jwt": ("signs-with-secret", "a-secret-of-at-least-32-characters!!"),
}
ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]


def with_secret(token_service, method, **more):
    client_id, _ = SECRETS[method]
    return client_credentials(token_service.token_url, client_id=f'"{client_id}"', client_auth=method, **more)


def with_key(token_service, algorithm, key=None, **parts):
    key = key or token_service.client_key(algorithm)
    parts = {"key": f"{{ file: {key} }}", "alg": algorithm, "kid": f"key-{algorithm}", **parts}
    signed = ", ".join(f"{name}: {value}" for name, value in parts.items())
    how = {"client_secret": None, "client_auth": f"{{ private_key_jwt: {{ {signed} }} }}"}
    return client_credentials(token_service.token_url, client_id=f"signs-{algorithm}", **how)


@pytest.mark.parametrize("method", SECRETS)
def test_a_client_with_a_secret(start_watched, token_service, upstream, canaries, to, method):
    client_id, secret = SECRETS[method]
    canaries.add(secret)
    proxy = start_watched(with_secret(token_service, method), to(upstream), env={SECRET_NAME: secret})
    answer = proxy.get("/api/x")
    assert answer.status_code == 200, answer.text
    assert answer.json()["claims"]["client_id"] == client_id
    canaries.add(*upstream.seen()["tokens"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_client_with_a_key(start_watched, token_service, upstream, canaries, to, algorithm):
    canaries.add(token_service.client_key(algorithm).read_text())
    proxy = start_watched(with_key(token_service, algorithm), to(upstream))
    answer = proxy.get("/api/x")
    assert answer.status_code == 200, answer.text
    assert answer.json()["claims"]["client_id"] == f"signs-{algorithm}"
    # Each assertion is another one: the service takes none a second time.
    upstream.revoke()
    assert proxy.get("/api/x").status_code == 200
    assert [line["status"] for line in token_service.log()] == [200, 200]
    canaries.add(*upstream.seen()["tokens"])


@pytest.mark.parametrize(
    ("client_id", "method"), [("basic:id", "basic_raw"), ("signs-with-secret", "body"), ("signs-RS256", "none")]
)
def test_another_way_than_the_registered_one_is_refused(start_proxy, token_service, upstream, to, client_id, method):
    secret = {"client_secret": None} if method == "none" else {}
    credential = client_credentials(token_service.token_url, client_id=f'"{client_id}"', client_auth=method, **secret)
    answer = start_proxy(credential, to(upstream)).get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (502, "token_rejected")
    assert upstream.seen()["accepted"] == 0


def test_the_assertion_may_be_for_the_issuer(start_proxy, token_service, upstream, to):
    credential = with_key(token_service, "ES256", audience=f'"{token_service.url}"')
    assert start_proxy(credential, to(upstream)).get("/api/x").status_code == 200


def test_an_assertion_for_somebody_else_is_refused(start_proxy, token_service, upstream, to):
    credential = with_key(token_service, "ES256", audience="https://elsewhere.example.com")
    answer = start_proxy(credential, to(upstream)).get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (502, "token_rejected")


def test_another_key_is_refused(start_watched, token_service, upstream, canaries, to):
    other = token_service.client_key("PS256")
    canaries.add(other.read_text())
    credential = with_key(token_service, "RS256", key=other)
    answer = start_watched(credential, to(upstream)).get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (502, "token_rejected")
