"""pyiceberg, unmodified, with credentials that it made up: the catalog sees only the proxy's tokens."""

import time

import pytest
import requests
from support.canaries import assert_hidden
from support.programs import wait_until
from support.proxy import preset
from support.vendors.iceberg import METADATA, TABLE, TOKENS, Catalog

CLIENT = "the-real-client"
SECRET = "canary of the real catalog: s%cr&t"
MADE_UP = "canary-that-pyiceberg-made-up"


@pytest.fixture
def start_catalog(ending, canaries):
    canaries.add(SECRET, MADE_UP)
    return lambda **how: ending(canaries.watch(Catalog(CLIENT, SECRET, **how)))


@pytest.fixture
def catalog(start_catalog):
    return start_catalog()


@pytest.fixture
def start(start_watched):
    """Starts a proxy for a catalog; `route` are more keys of the route."""

    def start(catalog, route="", secret=SECRET, **parameters):
        login = {"url": catalog.url, "client_id": CLIENT, "client_secret": "{ env: CATALOG_SECRET }"}
        routes = f'  - {{ match: /, upstream: "{catalog.url}/", credential: api, emulate: true{route} }}\n'
        return start_watched(preset("iceberg", **login, **parameters), routes, env={"CATALOG_SECRET": secret})

    return start


@pytest.fixture
def proxy(start, catalog):
    return start(catalog)


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
        text = request.text()
        # What the proxy makes for clients begins so, and nothing that these catalogs give does.
        assert not [word for word in (MADE_UP, "made-up-client", "eyJ") if word in text], request.path


def placeholder_of(client):
    """What pyiceberg takes for its token."""
    return client._session.auth.auth_manager.auth_header().removeprefix("Bearer ")


def made_up_login(proxy, canaries):
    """The placeholder of a client that logs in by hand."""
    form = {"grant_type": "client_credentials", "client_id": "made-up-client", "client_secret": MADE_UP}
    placeholder = proxy.send("POST", TOKENS, data=form).json()["access_token"]
    canaries.add(placeholder)
    return placeholder


@pytest.mark.parametrize("login", [legacy, oauth2])
def test_the_catalog_takes_no_made_up_credentials(catalog, login):
    with pytest.raises(Exception):
        pyiceberg(catalog, login)
    assert catalog.refusals != []
    assert set(catalog.paths()) == {TOKENS}


@pytest.mark.parametrize("login", [legacy, oauth2])
def test_namespaces_are_listed_and_a_table_loaded(proxy, catalog, login, canaries):
    client = pyiceberg(proxy, login)
    canaries.add(placeholder_of(client))
    assert_reads(client)
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


@pytest.mark.parametrize("login", [legacy, oauth2])
def test_a_polaris_gets_its_realm_and_a_role_as_scope(start, start_catalog, login):
    polaris = start_catalog(realm="acme", scope="PRINCIPAL_ROLE:ALL")
    proxy = start(polaris, realm="acme", scope="PRINCIPAL_ROLE:ALL")
    # The SDK knows of neither.
    assert_reads(pyiceberg(proxy, login))
    assert polaris.refusals == []
    assert_only_ours(polaris)


@pytest.mark.parametrize("login", [legacy, oauth2])
@pytest.mark.parametrize("client_auth", ["body", "basic_raw"])
def test_tokens_come_from_an_authorization_server_and_the_client_asks_the_catalog(
    start, start_catalog, login, client_auth
):
    server = start_catalog(basic=client_auth != "body")
    catalog = start_catalog(issuer=server)
    assert_reads(pyiceberg(start(catalog, token_url=server.url + TOKENS, client_auth=client_auth), login))
    assert (server.refusals, catalog.refusals) == ([], [])
    assert (len(server.got(TOKENS)), len(catalog.got(TOKENS))) == (1, 0)
    assert_only_ours(catalog)


def test_a_client_that_its_catalog_would_send_elsewhere_to_log_in_needs_no_login(start, start_catalog):
    server = start_catalog()
    catalog = start_catalog(issuer=server)
    catalog.overrides = {"oauth2-server-uri": server.url + TOKENS}
    proxy = start(catalog, token_url=server.url + TOKENS)
    with pytest.raises(Exception, match="invalid_client"):
        pyiceberg(proxy, legacy)
    assert_reads(pyiceberg(proxy, lambda _: {"token": MADE_UP}))
    assert catalog.refusals == []
    assert_only_ours(catalog)


def test_a_users_token_is_exchanged_and_what_comes_of_it_renewed_by_itself(start, start_catalog, tmp_path, canaries):
    alice = "canary-the-token-of-alice"
    canaries.add(alice)
    (tmp_path / "user-token").write_text(alice)
    catalog = start_catalog(users=[alice], users_life=2)
    client = pyiceberg(start(catalog, subject=f"{{ file: {tmp_path / 'user-token'} }}"), legacy)

    def renewed():
        assert_reads(client)
        return len(catalog.got(TOKENS)) >= 4

    wait_until("what came of the exchange is exchanged twice", renewed)
    login, first, *others = (request.form() for request in catalog.got(TOKENS))
    assert (login["grant_type"], first["subject_token"]) == (["client_credentials"], [alice])
    assert {form["subject_token"][0] in catalog.secrets for form in others} == {True}
    assert catalog.refusals == []
    assert_only_ours(catalog)


class TestTheTokenOfATable:
    """A catalog hands it to the client with the table, for requests about that table."""

    @pytest.fixture(params=[None, "acme"], ids=["", "of a realm"])
    def realm(self, request):
        return request.param

    @pytest.fixture
    def catalog(self, start_catalog, realm):
        return start_catalog(realm=realm)

    @pytest.fixture
    def proxy(self, start, catalog, realm):
        return start(catalog, route=", overwrite: false", realm=realm)

    def test_is_kept_where_the_route_says_so(self, proxy, catalog, canaries):
        client = pyiceberg(proxy, legacy)
        canaries.add(placeholder_of(client))
        table = client.load_table(("sales", "orders"))
        with table.transaction() as transaction:
            transaction.set_properties(colour="blue")
        # This SDK means to send the table's and overwrites it with its own: a placeholder, which is replaced as ever.
        (commit,) = [request for request in catalog.got(TABLE) if request.method == "POST"]
        assert commit.bearer() in catalog.tokens
        # Others send it.
        own = {"Authorization": f"Bearer {table.config['token']}"}
        assert proxy.send("POST", TABLE, json={}, headers=own).status_code == 200
        assert catalog.requests[-1].bearer() == table.config["token"]
        assert catalog.refusals == []
        assert_only_ours(catalog)

    def test_is_its_clients_affair_once_it_has_ended(self, proxy, catalog):
        own = {"Authorization": f"Bearer {proxy.get(TABLE).json()['config']['token']}"}
        catalog.table_tokens.clear()
        for _ in range(2):
            answer = proxy.send("POST", TABLE, json={}, headers=own)
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "NotAuthorizedException")
        assert proxy.get("/v1/namespaces").status_code == 200
        assert len(catalog.got(TOKENS)) == 1

    def test_goes_nowhere_without_that(self, start, catalog, realm):
        proxy = start(catalog, realm=realm)
        own = {"Authorization": f"Bearer {proxy.get(TABLE).json()['config']['token']}"}
        assert proxy.send("POST", TABLE, json={}, headers=own).status_code == 200
        assert catalog.requests[-1].bearer() in catalog.tokens


@pytest.mark.parametrize("login", [legacy, oauth2])
def test_a_catalog_that_quotes_what_it_refuses_gives_nothing_away(start, catalog, login, canaries):
    wrong = "canary of the wrong secret, long enough"
    canaries.add(wrong)
    catalog.quotes = True
    proxy = start(catalog, secret=wrong)
    with pytest.raises(Exception) as error:
        assert_reads(pyiceberg(proxy, login))
    assert_hidden("what the SDK was told", repr(error.value), canaries.all())
    assert proxy.get("/v1/namespaces").json()["code"] == "token_rejected"
    assert catalog.refusals == [f"POST {TOKENS}: 401: made-up credentials"]


def test_a_placeholder_is_worth_nothing_elsewhere_and_shows_nowhere(proxy, catalog, canaries):
    placeholder = made_up_login(proxy, canaries)
    bearer = {"Authorization": f"Bearer {placeholder}"}
    assert proxy.get("/v1/namespaces", headers=bearer).status_code == 200
    assert proxy.get("/v1/namespaces", headers={"Authorization": bearer["Authorization"] + "x"}).status_code == 401
    assert requests.get(catalog.url + "/v1/namespaces", headers=bearer, timeout=5).status_code == 401
    assert placeholder not in "".join(request.text() for request in catalog.requests[:-1])
