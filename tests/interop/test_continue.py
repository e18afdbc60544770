"""`Expect: 100-continue` end to end, and what else of 1xx an upstream says: curl before, Node behind."""

import itertools
import time

import pytest
from support.clients import curl

MIB = 1024 * 1024
VERSIONS = ["--http1.1", "--http2-prior-knowledge"]


@pytest.fixture
def body(tmp_path):
    file = tmp_path / "body"
    file.write_bytes(bytes(3 * MIB))
    return file


def expecting(*args):
    """curl's answer, and after how many seconds; it waits ten for a 100, and then no longer."""
    began = time.monotonic()
    answered = curl("--expect100-timeout", "10", "-H", "Expect: 100-continue", *args)
    return *answered, time.monotonic() - began


# curl waits for a 100 in HTTP/1.1 alone.
def test_the_body_goes_when_the_upstream_says_100(streams, body):
    for client in VERSIONS:
        status, told, took = expecting(client, "--upload-file", body, f"{streams.url}/1.1/x?permit_ms=500")
        assert (status, told["bytes"], told["early"]) == (200, 3 * MIB, 0)
        assert told["headers"]["expect"] == "100-continue"
        assert 0.5 <= took < 5


def test_toward_http_2_the_body_goes_at_once(streams, body):
    for client in VERSIONS:
        status, told, took = expecting(client, "--upload-file", body, f"{streams.url}/2/x")
        assert (status, told["bytes"], took < 5) == (200, 3 * MIB, True)
        assert "expect" not in told["headers"]


def test_a_refusal_spares_the_body(streams, body):
    counted = ["--output", "/dev/null", "--write-out", "%{size_upload}\n%{http_code}"]
    status, sent, took = expecting("--http1.1", "--upload-file", body, *counted, f"{streams.url}/1.1/refused")
    assert (status, sent, took < 5) == (413, 0, True)


def test_other_interim_answers_go_no_further(streams, tmp_path):
    heads = tmp_path / "heads"
    for client, upstream in itertools.product(VERSIONS, ["1.1", "2"]):
        status, _ = curl(client, "--dump-header", heads, f"{streams.url}/{upstream}/interim?count=50")
        assert (status, heads.read_text().count("HTTP/")) == (200, 1)
