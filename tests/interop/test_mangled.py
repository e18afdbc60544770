"""Answers of a token service (oauth2-mock-server) that are not as they should be."""

import pytest
from support.partners import MockService, Upstream
from support.proxy import client_credentials


@pytest.fixture
def mock(tmp_path, ending):
    return ending(MockService(tmp_path))


@pytest.fixture
def proxy(tmp_path, start_proxy, ending, mock, to):
    return start_proxy(client_credentials(mock.token_url), to(ending(Upstream(tmp_path, mock))))


@pytest.mark.parametrize("how", ["nothing", "string"])
def test_a_life_is_understood_as_number_and_as_text(proxy, mock, how):
    mock.mangle(how)
    assert proxy.get("/api/x").status_code == 200
    assert 3590 <= proxy.metric("bearerd_credential_expiry_seconds", credential="api") <= 3600
    assert proxy.get("/api/x").status_code == 200
    assert mock.requests() == 1, "the token was kept"


@pytest.mark.parametrize(
    ("how", "code"), [("401", "token_rejected"), ("empty", "token_malformed")], ids=["a 401", "an empty body"]
)
def test_an_answer_without_a_token_has_its_code(proxy, mock, how, code):
    mock.mangle(how)
    answer = proxy.get("/api/x")
    assert (answer.status_code, answer.json()["code"]) == (502, code)
    asked = mock.requests()
    assert proxy.get("/api/x").json()["code"] == code
    assert mock.requests() == asked, "the next request does not ask again at once"
