"""pyiceberg, unmodified, with credentials that it made up: the catalog sees only the proxy's tokens."""

import time

import pytest
import requests
from support.proxy import client_credentials
from support.vendors.iceberg import METADATA, TOKENS, Catalog

SECRET = "canary of the real catalog: s%cr&t"
MADE_UP = "canary-that-pyiceberg-made-up"


@pytest.fixture
def catalog(ending, canaries):
    canaries.add(SECRET, MADE_UP)
    return ending(canaries.watch(Catalog("the-real-client", SECRET)))


@pytest.fixture
def proxy(start_watched, catalog):
    return start_watched(
        client_credentials(
            catalog.url + TOKENS,
            client_auth="body",
            client_id="the-real-client",
            client_secret="{ env: CATALOG_SECRET }",
        ),
        f'  - {{ match: /, upstream: "{catalog.url}/", credential: api, emulate: true, refused: [401, 419] }}\n',
        env={"CATALOG_SECRET": SECRET},
    )


def legacy(_):
    return {"credential": f"made-up-client:{MADE_UP}"}


def oauth2(server):
    login = {"client_id": "made-up-client", "client_secret": MADE_UP, "token_url": server.url + TOKENS}
    return {"auth": {"type": "oauth2", "oauth2": {**login, "scope": "catalog"}}}


def pyiceberg(server, login):
    from pyiceberg.catalog.rest import RestCatalog

    # A table's files lie nowhere; this one of its ways to read them needs no more packages.
    files = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}
    return RestCatalog("interop", uri=server.url, **login(server), **files)


def assert_reads(client):
    assert client.list_namespaces() == [("sales",), ("stock",)]
    assert str(client.load_table(("sales", "orders")).metadata.table_uuid) == METADATA["table-uuid"]


def assert_only_ours(catalog):
    for request in catalog.requests:
        assert MADE_UP not in request.text() and "made-up-client" not in request.text(), request.path


@pytest.mark.parametrize("login", [legacy, oauth2])
def test_the_catalog_takes_no_made_up_credentials(catalog, login):
    with pytest.raises(Exception):
        pyiceberg(catalog, login)
    assert catalog.refusals != []
    assert set(catalog.paths()) == {TOKENS}


@pytest.mark.parametrize("login", [legacy, oauth2])
def test_namespaces_are_listed_and_a_table_loaded(proxy, catalog, login):
    assert_reads(pyiceberg(proxy, login))
    assert catalog.refusals == []
    assert len(catalog.got(TOKENS)) == 1
    assert_only_ours(catalog)


@pytest.mark.parametrize("status", [401, 419])
@pytest.mark.parametrize("login", [legacy, oauth2])
def test_an_expired_token_is_mended_without_the_client_noticing(proxy, catalog, login, status):
    client = pyiceberg(proxy, login)
    assert_reads(client)
    catalog.expire(status)
    assert_reads(client)
    assert len(catalog.got(TOKENS)) == 2
    assert catalog.refusals == [f"GET /v1/namespaces: {status}: expired"]
    assert_only_ours(catalog)


def test_tokens_of_two_seconds_are_renewed_in_time(proxy, catalog):
    catalog.life = 2
    client = pyiceberg(proxy, legacy)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert_reads(client)
        time.sleep(0.05)
    assert catalog.refusals == [], "no expired token was sent"
    assert len(catalog.got(TOKENS)) <= 6


def test_a_placeholder_is_worth_nothing_elsewhere_and_shows_nowhere(proxy, catalog, canaries):
    form = {"grant_type": "client_credentials", "client_id": "made-up-client", "client_secret": MADE_UP}
    placeholder = requests.post(proxy.url + TOKENS, data=form, timeout=5).json()["access_token"]
    canaries.add(placeholder)
    bearer = {"Authorization": f"Bearer {placeholder}"}
    assert proxy.get("/v1/namespaces", headers=bearer).status_code == 200
    assert proxy.get("/v1/namespaces", headers={"Authorization": bearer["Authorization"] + "x"}).status_code == 401
    assert requests.get(catalog.url + "/v1/namespaces", headers=bearer, timeout=5).status_code == 401
    assert placeholder not in "".join(request.text() for request in catalog.requests[:-1])
