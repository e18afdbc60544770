"""Clients that people have: curl, Python requests and both of Java's."""

import pytest
import requests
from support.clients import curl, java


def test_curl(proxy):
    status, echo = curl(f"{proxy.url}/api/x?q=1%202")
    assert (status, echo["path"]) == (200, "/x?q=1%202")


def test_curl_posts_with_expect_continue(proxy, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(3_000_000))
    status, echo = curl("--data-binary", f"@{big}", "-H", "Expect: 100-continue", f"{proxy.url}/api/x")
    assert (status, echo["bytes"]) == (200, 3_000_000)


def test_curl_streams_a_body_of_unknown_length(proxy, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(300_000))
    chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", f"@{big}"]
    status, echo = curl(*chunked, f"{proxy.url}/api/x")
    assert (status, echo["bytes"]) == (200, 300_000)


def test_what_a_client_sends_as_a_credential_does_not_arrive(proxy):
    own = ["-u", "me:mine", "-H", "Cookie: session=mine", "-H", "authorization: Bearer mine"]
    status, echo = curl(*own, f"{proxy.url}/api/x")
    assert status == 200
    assert "mine" not in str(echo)


def test_a_session_of_requests_reuses_its_connection(proxy):
    with requests.Session() as session:
        for _ in range(5):
            assert session.get(f"{proxy.url}/api/x", timeout=20).status_code == 200
    assert proxy.metric("bearerd_connections_total") <= 3, "one for the session, the rest are probes of this test"


@pytest.mark.parametrize("client", ["new", "old"])
def test_java(proxy, client):
    status, echo = java(client, f"{proxy.url}/api/x")
    assert (status, echo["path"]) == (200, "/x")
    assert "upgrade" not in echo["headers"] and "http2-settings" not in echo["headers"]


@pytest.mark.parametrize("client", ["new", "old"])
def test_java_posts(proxy, client):
    status, echo = java(client, f"{proxy.url}/api/x", 10_240)
    assert (status, echo["method"], echo["bytes"]) == (200, "POST", 10_240)
