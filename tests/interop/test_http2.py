"""Clients that speak HTTP/2, in clear and over TLS: curl, on nghttp2, and Python's httpx, on h2."""

import asyncio
import ssl
import time

import httpx
import pytest
from support.clients import curl
from support.partners import Certificate
from support.programs import free_port


@pytest.fixture
def certificate(tmp_path):
    folder = tmp_path / "listener"
    folder.mkdir()
    return Certificate(folder)


@pytest.fixture
def tls_url(start_proxy, api_credential, upstream, to, certificate):
    port = free_port()
    files = f"cert: {certificate.cert}, key: {{ file: {certificate.key} }}, client_ca: {certificate.ca}"
    listener = f'{{ address: "127.0.0.1:{port}", tls: {{ {files} }} }}'
    start_proxy(api_credential, to(upstream), listeners=[listener])
    return f"https://localhost:{port}"


def test_curl_with_prior_knowledge(proxy):
    status, echo = curl("--http2-prior-knowledge", f"{proxy.url}/api/x?q=1")
    assert (status, echo["path"]) == (200, "/x?q=1")


def test_curl_posts_with_prior_knowledge(proxy, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(3_000_000))
    for more in [[], ["-H", "Expect: 100-continue"]]:
        began = time.monotonic()
        status, echo = curl("--http2-prior-knowledge", "--data-binary", f"@{big}", *more, f"{proxy.url}/api/x")
        assert (status, echo["bytes"]) == (200, 3_000_000)
        assert time.monotonic() - began < 10


def test_curl_that_offers_an_upgrade_is_served_by_http_1(proxy):
    status, echo = curl("--http2", f"{proxy.url}/api/x")
    assert (status, echo["path"]) == (200, "/x")
    assert "upgrade" not in echo["headers"] and "http2-settings" not in echo["headers"]


@pytest.mark.parametrize("version", ["--http2", "--http1.1", "--tlsv1.3"])
def test_curl_over_tls(tls_url, certificate, version):
    status, echo = curl(version, "--cacert", certificate.ca, f"{tls_url}/api/x")
    assert (status, echo["path"]) == (200, "/x")


def test_curl_agrees_on_http_2_over_tls(tls_url, certificate):
    told = ["--output", "/dev/null", "--write-out", '{"is": %{http_version}}\n%{http_code}']
    status, told = curl("--http2", "--cacert", certificate.ca, *told, f"{tls_url}/api/x")
    assert (status, told) == (200, {"is": 2})


def test_httpx_sends_many_requests_at_once(proxy):
    async def many():
        async with httpx.AsyncClient(http1=False, http2=True, timeout=20) as client:
            return await asyncio.gather(*(client.get(f"{proxy.url}/api/{number}") for number in range(60)))

    answers = asyncio.run(many())
    assert {answer.http_version for answer in answers} == {"HTTP/2"}
    assert [answer.json()["path"] for answer in answers] == [f"/{number}" for number in range(60)]
    assert proxy.metric("bearerd_connections_total") <= 2, "one for all, the rest are probes of this test"


def test_httpx_over_tls(tls_url, certificate):
    trust = ssl.create_default_context(cafile=certificate.ca)
    with httpx.Client(http2=True, verify=trust, timeout=20) as client:
        for body in [b"", b"x" * 200_000]:
            answer = client.post(f"{tls_url}/api/x", content=body)
            assert (answer.http_version, answer.json()["bytes"]) == ("HTTP/2", len(body))
