"""What curl does with large bodies: uploads of any size in little memory, ranges, and events as they happen."""

import os
import re
import subprocess
import time

import pytest
from support.clients import curl

MIB = 1024 * 1024
# INTEROP_UPLOAD_GIB=10 takes some minutes, most of them in HTTP/2.
GIBIBYTES = os.environ.get("INTEROP_UPLOAD_GIB")


@pytest.mark.parametrize(
    ("client", "upstream", "gibibytes"), [("--http1.1", "1.1", 1), ("--http2-prior-knowledge", "2", 0.25)]
)
def test_an_upload_does_not_stay_in_memory(streams, tmp_path, client, upstream, gibibytes):
    url, size = f"{streams.url}/{upstream}/x", int(float(GIBIBYTES or gibibytes) * 1024 * MIB)
    warm, large = tmp_path / "warm", tmp_path / "large"
    for file, length in [(warm, 64 * MIB), (large, size)]:
        with file.open("wb") as sparse:
            sparse.truncate(length)
    assert curl(client, "--upload-file", warm, url)[1]["bytes"] == 64 * MIB
    before = streams.resident()
    streams.forget_peak()
    status, told = curl(client, "--upload-file", large, url, seconds=900)
    grown = streams.resident("VmHWM") - before
    print(f"{before / MIB:.1f} MiB before, {grown / MIB:.1f} more at most")
    assert (status, told["bytes"]) == (200, size)
    assert grown < 10 * MIB, f"resident memory grew by {grown / MIB:.1f} MiB"


def test_ranges(streams, tmp_path):
    whole = bytes(number % 251 for number in range(100_000))
    got, head = tmp_path / "got", tmp_path / "head"
    for client in ["--http1.1", "--http2-prior-knowledge"]:
        for upstream in ["1.1", "2"]:
            url = f"{streams.url}/{upstream}/file?bytes={len(whole)}"
            for asked, expected, named in [
                ("0-99", whole[:100], "0-99"),
                ("99900-", whole[-100:], "99900-99999"),
                ("-300", whole[-300:], "99700-99999"),
            ]:
                told = ["--output", got, "--dump-header", head, "--write-out", "{}\n%{http_code}"]
                assert curl(client, "--range", asked, *told, url) == (206, {})
                assert got.read_bytes() == expected
                assert re.search(rf"(?i)^content-range: bytes {named}/{len(whole)}", head.read_text(), re.M)
            assert curl(client, "--range", f"{len(whole)}-", url) == (416, {})
            # Goes on where the last one broke off.
            got.write_bytes(whole[:70_000])
            assert curl(client, "--continue-at", "-", "--output", got, "--write-out", "{}\n%{http_code}", url) == (206, {})
            assert got.read_bytes() == whole


@pytest.mark.parametrize("client", ["--http1.1", "--http2-prior-knowledge"])
def test_events_come_as_they_are_sent(streams, client):
    for upstream in ["1.1", "2"]:
        # A machine that is busy elsewhere may hold anybody up; a proxy that holds events back does so each time.
        assert any(slowest(client, f"{streams.url}/{upstream}/events?count=10&ms=70") < 0.05 for _ in range(3))


def slowest(client, url):
    """The longest that any event was on its way, in seconds."""
    argv = ["curl", "--silent", "--no-buffer", "--max-time", "20", client, url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        took = [
            time.time() - float(line.removeprefix("data: ")) / 1000 for line in process.stdout if line.startswith("data: ")
        ]
    assert (len(took), process.returncode) == (10, 0)
    return max(took)
