"""One credential of every kind that is kept over a restart, and the servers that they come from."""

import json
from urllib.parse import parse_qs, urlsplit

from .partners import Odd, reply
from .proxy import client_credentials, grant

CALLBACK = "http://localhost:7/back"


class Elsewhere(Odd):
    """Grants that the token service does not offer: each call brings a token of its, and a new refresh token."""

    def __init__(self, token_service):
        self.token_service, self.refresh_tokens = token_service, []
        super().__init__(self._answer)

    @property
    def base(self):
        return self.url.removesuffix("/token")

    def _answer(self, handler):
        asked = urlsplit(handler.path)
        if asked.path == "/authorize":
            (state,) = parse_qs(asked.query)["state"]
            return reply(302, Location=f"{CALLBACK}?code=one&state={state}")(handler)
        self.refresh_tokens.append(f"canary-refresh-{self.hits}-{'x' * 20}")
        token = {"access_token": self.token_service.user_token("alice"), "expires_in": 600}
        whole = {**token, "refresh_token": self.refresh_tokens[-1], "success": True, "data": token}
        return reply(200, json.dumps(whole).encode(), Content_Type="application/json")(handler)


def kinds(folder, token_service, elsewhere):
    """Entries of the file by their names; each program that `exec` runs leaves a line in `folder`."""
    script = f"echo once >> {folder}/printed; curl -s {token_service.url}/test/user_token?sub=alice"
    at_service = {"token_url": token_service.token_url, "client_id": "device", "client_auth": "none"}
    secret = {"client_id": "somebody", "client_secret": "{ env: INTEROP_SECRET }"}
    at_elsewhere = {"token_url": elsewhere.url, **secret}
    return {
        "client_credentials": client_credentials(token_service.token_url),
        "refresh_token": grant("refresh_token", **at_service, refresh_token="{ env: REFRESH_TOKEN }"),
        "device_code": grant(
            "device_code", **at_service, device_authorization_url=f"{token_service.url}/device/auth", scope="catalog"
        ),
        "token_exchange": grant(
            "token_exchange",
            token_url=token_service.token_url,
            client_id="exchanger",
            client_secret="secret-of-the-exchanger",
            subject="{ credential: client_credentials }",
        ),
        "password": grant("password", **at_elsewhere, username="jo", password="{ env: INTEROP_SECRET }"),
        "jwt_bearer": grant(
            "jwt_bearer",
            token_url=elsewhere.url,
            assertion=f"{{ key: {{ file: {token_service.client_key('RS256')} }}, issuer: robot }}",
        ),
        "authorization_code": grant(
            "authorization_code",
            **at_elsewhere,
            authorize_url=f"{elsewhere.base}/authorize",
            capture="redirect",
            redirect_uri=CALLBACK,
        ),
        "exec": f"    exec: [sh, -c, '{script}']\n",
        "recipe": "    preset: nested_json\n"
        + grant("with", url=elsewhere.url, key="k", expiry="/data/expires_in", expiry_kind="seconds"),
    }
