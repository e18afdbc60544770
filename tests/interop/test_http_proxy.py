"""A client that only knows `http_proxy` reaches a host's route, and leaves by https with the credential."""

import os

import pytest
from support.clients import curl, java
from support.proxy import Proxy


@pytest.fixture
def proxy(start_proxy, api_credential, tls_upstream) -> Proxy:
    return start_proxy(
        api_credential,
        "  - match: { host: api.example.com, path: / }\n"
        "    credential: api\n"
        f"    upstream: {{ url: {tls_upstream.url}/, tls: {{ ca: {tls_upstream.certificate.ca} }} }}\n",
    )


def test_curl_with_http_proxy(proxy, tls_upstream):
    environment = {"PATH": os.environ["PATH"], "http_proxy": proxy.url}
    status, echo = curl("http://api.example.com/x?y=1", env=environment)
    assert (status, echo["path"]) == (200, "/x?y=1")
    assert echo["host"] == f"localhost:{tls_upstream.port}"
    assert not [name for name in echo["headers"] if name.startswith("proxy-")]


@pytest.mark.parametrize("client", ["new", "old"])
def test_a_jvm_with_proxy_host(proxy, client):
    options = ["-Dhttp.proxyHost=127.0.0.1", f"-Dhttp.proxyPort={proxy.port}"]
    status, echo = java(client, "http://api.example.com/x", options=options)
    assert (status, echo["path"]) == (200, "/x")


def test_another_host_is_not_forwarded(proxy):
    environment = {"PATH": os.environ["PATH"], "http_proxy": proxy.url}
    status, problem = curl("http://elsewhere.example.com/x", env=environment)
    assert (status, problem["code"]) == (421, "host_unknown")
