"""`bearerd login` with a device code: a person approves at the pages of a real service, then requests are served."""

import json
import re
import stat

import pytest
from support.person import approve, refuse
from support.programs import Program, wait_until
from support.proxy import BINARY, grant


@pytest.fixture
def credential(token_service):
    return grant(
        "device_code",
        token_url=token_service.token_url,
        device_authorization_url=f"{token_service.url}/device/auth",
        client_id="device",
        client_auth="none",
        scope="catalog",
    )


@pytest.fixture
def proxy(start_watched, credential, upstream, to):
    return start_watched(credential, to(upstream))


@pytest.fixture
def log_in(proxy, ending):
    """Starts `bearerd login`; gives it, and the page and the code that it showed."""

    def log_in():
        program = ending(Program("login", [BINARY, "login", "--config", proxy.file, "api"], proxy.folder))
        shown = wait_until("a page and a code are shown", lambda: page_and_code(program.said()))
        return program, *shown

    return log_in


def page_and_code(said):
    page = re.search(r"http://\S+/device\b", said)
    code = re.search(r"\b[A-Z]{4}-[A-Z]{4}\b", said)
    return (page[0], code[0]) if page and code else None


def test_a_person_approves_once_and_requests_are_served_from_then_on(proxy, log_in, token_service, upstream, canaries):
    assert proxy.get("/api/x").status_code in (502, 503), "nobody has logged in"
    program, page, code = log_in()
    approve(page, code, name="alice")
    assert program.exit_code() == 0, program.said()
    kept = proxy.folder / ".bearerd" / "api.login.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    canaries.add(json.loads(kept.read_text())["login"]["refresh"])

    served = wait_until("requests are served", lambda: (found := proxy.get("/api/x")).status_code == 200 and found)
    assert served.json()["claims"]["sub"] == "alice"
    for _ in range(2):
        upstream.revoke()
        assert proxy.get("/api/x").status_code == 200
    grants = [line["grant"] for line in token_service.log() if line["status"] == 200]
    assert grants[-2:] == ["refresh_token"] * 2, "without the person"
    tokens = upstream.seen()["tokens"]
    canaries.add(*tokens)
    assert not [token for token in tokens if token in program.said()]


def test_a_person_refuses(proxy, log_in, token_service, canaries):
    token_service.let_devices_ask_each(1)
    canaries.add("device_code=")
    program, page, code = log_in()
    refuse(page, code)
    assert program.exit_code() != 0
    assert "access_denied" in program.said()
    assert proxy.get("/api/x").status_code in (502, 503)
