"""A client without any credential reaches an upstream that demands one; thousands at once cost one token."""

import resource

from support.load import burst
from support.partners import CLIENT_ID


def test_a_client_without_a_credential_is_served(proxy, token_service):
    answer = proxy.get("/api/invoices?id=7")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/invoices?id=7"
    assert [line["client"] for line in token_service.log()] == [CLIENT_ID]


def test_ten_thousand_concurrent_first_requests_cause_one_token_request(
    start_proxy, api_credential, token_service, upstream, to
):
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, files - 2_000)
    proxy = start_proxy(api_credential, to(upstream) + f"limits: {{ connections: {count + 100} }}\n")
    assert burst(proxy.port, "/api/x", count) == {200: count}
    assert token_service.requests() == 1
    assert len(token_service.log()) == 1
