"""Token exchange (RFC 8693) at a real service: a user's token goes in, one for the upstream comes out."""

import pytest
from support.partners import CLIENT_SECRET
from support.proxy import SECRET_NAME, grant

SECRET = "secret-of-the-exchanger"


@pytest.fixture
def user_token(tmp_path, token_service, canaries):
    token = token_service.user_token("alice")
    canaries.add(token, SECRET, CLIENT_SECRET)
    file = tmp_path / "user-token"
    file.write_text(token)
    return file


@pytest.fixture
def start(start_watched, token_service, upstream, to):
    def start(more="", **keys):
        client = {"client_id": "exchanger", "client_secret": f"{{ env: {SECRET_NAME} }}", "scope": "catalog"}
        exchange = grant("token_exchange", token_url=token_service.token_url, **client, **keys)
        env = {SECRET_NAME: SECRET, "SERVICE_SECRET": CLIENT_SECRET}
        return start_watched(exchange + more, to(upstream), env=env)

    return start


SERVICE = """  service:
    client_credentials:
      token_url: {token_url}
      client_id: "basic:id"
      client_secret: {{ env: SERVICE_SECRET }}
      scope: catalog
"""


def test_a_users_token_from_a_file_is_exchanged(start, user_token):
    answer = start(subject=f"{{ file: {user_token}, type: jwt }}").get("/api/x")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["claims"]["sub"], answer.json()["claims"]["client_id"]) == ("alice", "exchanger")
    assert "act" not in answer.json()["claims"]


def test_a_service_acts_for_the_user(start, user_token, token_service):
    service = SERVICE.format(token_url=token_service.token_url)
    proxy = start(service, subject=f"{{ file: {user_token}, type: jwt }}", actor="{ credential: service }")
    answer = proxy.get("/api/x")
    assert answer.status_code == 200, answer.text
    assert answer.json()["claims"]["sub"] == "alice"
    assert answer.json()["claims"]["act"] == {"sub": "basic:id"}
    assert proxy.get("/api/x").status_code == 200
    assert token_service.requests() == 2, "both tokens are kept"


def test_after_a_refusal_only_the_exchange_is_done_again(start, user_token, token_service, upstream):
    service = SERVICE.format(token_url=token_service.token_url)
    proxy = start(service, subject=f"{{ file: {user_token}, type: jwt }}", actor="{ credential: service }")
    assert proxy.get("/api/x").status_code == 200
    upstream.revoke()
    assert proxy.get("/api/x").status_code == 200
    clients = [line["client"] for line in token_service.log()]
    assert clients == ["basic:id", "exchanger", "exchanger"]


def test_another_credential_is_the_subject(start, token_service, canaries):
    canaries.add(SECRET, CLIENT_SECRET)
    proxy = start(SERVICE.format(token_url=token_service.token_url), subject="{ credential: service }")
    answer = proxy.get("/api/x")
    assert answer.status_code == 200, answer.text
    assert answer.json()["claims"]["sub"] == "basic:id"


def test_a_subject_that_the_service_does_not_know_is_refused(start, tmp_path, canaries, token_service):
    made_up = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtYWxsb3J5In0.signature-of-nobody"
    canaries.add(made_up)
    (tmp_path / "user-token").write_text(made_up)
    answer = start(subject=f"{{ file: {tmp_path / 'user-token'}, type: jwt }}").get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (502, "token_rejected")
    assert token_service.requests() == 1
