"""The stand-ins of vendors refuse what the vendors refuse: what passes them in other tests is right."""

import time

import jwt
import pytest
import requests
from support.partners import Certificate
from support.vendors.iceberg import ACCESS_TOKEN, EXCHANGE, JWT, TOKENS, Catalog
from support.vendors.symbl import GENERATE, Symbl
from support.vendors.symphony import APPS, CERTIFICATE_LOGIN, IDM, LOGIN, Key, Pod

KEY, OTHER_KEY = Key(), Key()


def assertion(key=KEY, algorithm="RS512", life=240, headers=None, **claims):
    claims = {"sub": "bot", "exp": int(time.time()) + life, **claims}
    return jwt.encode(claims, key.private, algorithm=algorithm, headers=headers)


def log_in(pod, token, **kwargs):
    return requests.post(pod.url + LOGIN, json={"token": token}, timeout=5, **kwargs)


class TestPod:
    @pytest.fixture
    def pod(self, ending):
        return ending(Pod("bot", KEY))

    @pytest.mark.parametrize(
        "parts",
        [
            pytest.param({"algorithm": "RS256"}, id="another algorithm"),
            pytest.param({"life": 302}, id="exp too late"),
            pytest.param({"life": -1}, id="exp over"),
            pytest.param({"iat": 1}, id="a claim more"),
            pytest.param({"headers": {"kid": "1"}}, id="a member more in the head"),
            pytest.param({"sub": "nobody"}, id="an unknown user"),
            pytest.param({"key": OTHER_KEY}, id="another key"),
        ],
    )
    def test_refuses_an_assertion_with(self, pod, parts):
        answer = log_in(pod, assertion(**parts))
        assert (answer.status_code, answer.json()["code"]) == (401, 401)

    def test_refuses_a_login_that_is_no_json(self, pod):
        assert requests.post(pod.url + LOGIN, data={"token": assertion()}, timeout=5).status_code == 415

    def test_takes_each_token_only_where_it_belongs(self, pod):
        session = log_in(pod, assertion()).json()["token"]
        answers = {
            name: requests.request(method, pod.url + path, headers=headers, timeout=5).status_code
            for name, method, path, headers in [
                ("nothing", "GET", "/pod/v2/sessioninfo", {}),
                ("session", "GET", "/pod/v2/sessioninfo", {"sessionToken": session}),
                ("session and more", "GET", "/pod/v2/sessioninfo", {"sessionToken": session, "Authorization": "Bearer x"}),
                ("no key manager", "POST", "/agent/v4/stream/s/message/create", {"sessionToken": session}),
                ("session at files", "GET", "/files/v1/1", {"sessionToken": session}),
                ("no scope", "POST", IDM, {"sessionToken": session}),
                ("scope", "POST", f"{IDM}?scope=sym-files", {"sessionToken": session}),
            ]
        }
        good = [name for name, status in answers.items() if status == 200]
        assert good == ["session", "scope"], answers

    def test_takes_the_session_of_an_app_for_users_sessions_alone(self, ending):
        pod = ending(Pod("bot", KEY, apps={"app": OTHER_KEY}))
        login = {"token": assertion(key=OTHER_KEY, sub="app")}
        assert log_in(pod, login["token"]).status_code == 401, "an app is no bot"
        session = requests.post(f"{pod.url}{APPS}authenticate", json=login, timeout=5).json()["token"]

        def status(session, path="/pod/v2/sessioninfo", method="GET"):
            headers = {"sessionToken": session}
            return requests.request(method, pod.url + path, headers=headers, timeout=5).status_code

        assert status(session) == 401
        path = f"{APPS}username/alice/authenticate"
        user = requests.post(pod.url + path, headers={"sessionToken": session}, timeout=5).json()["token"]
        assert (status(user), status(user, path, "POST"), status(user, IDM, "POST")) == (200, 401, 401)

    def test_asks_for_the_certificate_of_an_account_and_an_empty_body(self, tmp_path, ending):
        authority = Certificate(tmp_path)
        pod = ending(Pod("bot", KEY, certificate=authority))
        url = f"https://localhost:{pod.certificate_port}{CERTIFICATE_LOGIN}"

        def status(name, **kwargs):
            cert = tuple(map(str, authority.issue(name))) if name else None
            return requests.post(url, cert=cert, verify=str(authority.ca), timeout=5, **kwargs).status_code

        assert (status("bot"), status("nobody"), status(None)) == (200, 401, 401)
        assert (status("bot", json={}), status("bot", data="{}")) == (401, 500)


class TestCatalog:
    @pytest.fixture
    def catalog(self, ending):
        return ending(Catalog("id", "secret"))

    @pytest.mark.parametrize(
        ("change", "status", "error"),
        [
            ({}, 200, None),
            ({"client_secret": "other"}, 401, "invalid_client"),
            ({"scope": "all"}, 400, "invalid_scope"),
            ({"grant_type": "password"}, 400, "unsupported_grant_type"),
            ({"grant_type": EXCHANGE}, 401, "invalid_client"),
        ],
    )
    def test_looks_at_the_form(self, catalog, change, status, error):
        form = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret", "scope": "catalog"}
        answer = requests.post(catalog.url + TOKENS, data={**form, **change}, timeout=5)
        assert (answer.status_code, answer.json().get("error")) == (status, error)

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({}, 200),
            ({"subject_token": "bob's"}, 400),
            ({"subject_token_type": ACCESS_TOKEN}, 400),
            ({"actor_token": None}, 400),
            ({"client_secret": "secret"}, 400),
        ],
    )
    def test_exchanges_a_users_token_with_its_own_as_actor_and_as_bearer(self, ending, change, status):
        catalog = ending(Catalog("id", "secret", users=["alice's"]))
        client = {"client_id": "id", "client_secret": "secret", "scope": "catalog"}
        login = requests.post(catalog.url + TOKENS, data={"grant_type": "client_credentials", **client}, timeout=5)
        own = login.json()["access_token"]
        form = {"grant_type": EXCHANGE, "scope": "catalog", "subject_token": "alice's", "subject_token_type": JWT}
        form |= {"actor_token": own, "actor_token_type": ACCESS_TOKEN, **change}
        bearer = {"Authorization": f"Bearer {own}"}
        assert requests.post(catalog.url + TOKENS, data=form, headers=bearer, timeout=5).status_code == status

    def test_wants_its_realm_in_each_request(self, ending):
        polaris = ending(Catalog("id", "secret", realm="acme"))
        for path in (TOKENS, "/v1/namespaces"):
            for realm in ({}, {"Polaris-Realm": "other"}):
                assert requests.get(polaris.url + path, headers=realm, timeout=5).status_code == 404

    def test_takes_only_its_own_tokens(self, catalog):
        answer = requests.get(catalog.url + "/v1/namespaces", headers={"Authorization": "Bearer x"}, timeout=5)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "NotAuthorizedException")


class TestSymbl:
    @pytest.fixture
    def symbl(self, ending):
        return ending(Symbl("app", "secret", life=100))

    def test_gives_the_same_token_with_its_remaining_life(self, symbl):
        first = requests.post(symbl.url + GENERATE, json=symbl.login, timeout=5).json()
        symbl.ends -= 40
        second = requests.post(symbl.url + GENERATE, json=symbl.login, timeout=5).json()
        assert first["accessToken"] == second["accessToken"]
        assert (first["expiresIn"], second["expiresIn"]) == (100, 59) or second["expiresIn"] == 60

    def test_wants_json_and_the_literal_colon(self, symbl):
        assert requests.post(symbl.url + GENERATE, data=symbl.login, timeout=5).status_code == 400
        assert requests.post(f"{symbl.url}/oauth2/token%3Agenerate", json=symbl.login, timeout=5).status_code == 401

    def test_takes_one_token_in_one_place(self, symbl):
        token = requests.post(symbl.url + GENERATE, json=symbl.login, timeout=5).json()["accessToken"]
        bearer = {"Authorization": f"Bearer {token}"}
        url = f"{symbl.url}/v1/conversations/1/messages"
        assert requests.get(url, headers=bearer, timeout=5).status_code == 200
        assert requests.get(url, headers={**bearer, "x-api-key": "other"}, timeout=5).status_code == 401
