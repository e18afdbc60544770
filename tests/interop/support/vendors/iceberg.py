"""An Iceberg REST catalog with its token service, strict in what the specification asks of both; or one of the two."""

import base64
import time
from itertools import count

from .base import Refusal, Vendor

TOKENS = "/v1/oauth/tokens"
TABLE = "/v1/namespaces/sales/tables/orders"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
TYPES = {401: "NotAuthorizedException", 404: "NoSuchTableException", 419: "AuthenticationTimeoutException"}


class Catalog(Vendor):
    """Takes the tokens that it gave out, until `expire`; `life` is in seconds.

    With a `realm` it is a Polaris, which wants that named in each request. With an `issuer` it takes the tokens of that
    one, and has none to give. It exchanges the tokens of `users`, which are of somewhere else, for some of `users_life`.
    """

    def __init__(
        self,
        client_id,
        client_secret,
        life=3600,
        scope="catalog",
        realm=None,
        issuer=None,
        users=(),
        users_life=3600,
        basic=False,
    ):
        self.client = {"client_id": [client_id], "client_secret": [client_secret]}
        # As most of these servers have it: without the encoding of OAuth.
        self.basic = "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode() if basic else None
        self.life, self.scope, self.realm = life, scope, realm
        self.issuer, self.users, self.users_life = issuer or self, users, users_life
        self.numbers = count(1)
        self.tokens = {}
        # Good for the table of orders alone; a client gets one with the table.
        self.table_tokens = {}
        self.expired_status = 401
        # Settings that it forces on clients.
        self.overrides = {}
        # Everything that it ever gave out, to look for where it must not be.
        self.secrets = []
        super().__init__()

    def expire(self, status):
        """Ends every token given out so far; the catalog answers `status` to them."""
        with self.lock:
            self.expired_status = status
            self.tokens = dict.fromkeys(self.tokens, 0)
            self.table_tokens.clear()

    def answer(self, request):
        if self.realm and request.header("polaris-realm") != self.realm:
            raise refusal(404, f"realm {request.header('polaris-realm')}")
        if request.path == TOKENS and self.issuer is self:
            return self.token(request)
        self.check(request)
        if request.method == "GET" and request.path == "/v1/config":
            return {"defaults": {}, "overrides": self.overrides}
        if request.method == "GET" and request.path == "/v1/namespaces":
            return {"namespaces": [["sales"], ["stock"]]}
        if request.method == "GET" and request.path == TABLE:
            config = {"token": self.give(self.table_tokens, self.life)}
            return {"metadata-location": "s3://lake/orders/v1.json", "metadata": METADATA, "config": config}
        if request.method == "POST" and request.path == TABLE:
            return {"metadata-location": "s3://lake/orders/v2.json", "metadata": METADATA}
        raise refusal(404, "no such path")

    def token(self, request):
        if request.method != "POST" or request.header("content-type") != "application/x-www-form-urlencoded":
            raise oauth(400, "invalid_request", "not a POST of a form")
        form = request.form()
        if any(len(values) > 1 for values in form.values()):
            raise oauth(400, "invalid_request", "a parameter twice")
        if form["grant_type"] == ["client_credentials"]:
            # As OAuth has it: one way to show who asks, never two.
            if request.header("authorization") and self.client.keys() & form.keys():
                raise oauth(400, "invalid_request", "Authorization beside the client's secret")
            shown = request.header("authorization") if self.basic else {key: form.get(key) for key in self.client}
            if shown != (self.basic or self.client):
                raise oauth(401, "invalid_client", "made-up credentials")
        elif form["grant_type"] == [EXCHANGE]:
            if not self.lives(request.bearer()):
                raise oauth(401, "invalid_client", "Authorization of an exchange")
            if "client_id" in form or "client_secret" in form:
                raise oauth(400, "invalid_request", "a client's secret beside Authorization")
            self.check_exchange(form, request.bearer())
        else:
            raise oauth(400, "unsupported_grant_type", f"grant {form['grant_type']}")
        if form.get("scope") != [self.scope]:
            raise oauth(400, "invalid_scope", f"scope {form.get('scope')}")
        life = self.users_life if form["grant_type"] == [EXCHANGE] else self.life
        token = self.give(self.tokens, life)
        # The specification's own spelling of the type is in lower case.
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": life,
            "issued_token_type": ACCESS_TOKEN,
        }

    def check_exchange(self, form, shown):
        """A user's token for one of ours, with the catalog's as actor; or one of ours for the next."""
        subject, subject_type = form.get("subject_token"), form.get("subject_token_type")
        actor = form.get("actor_token"), form.get("actor_token_type")
        renews = (subject, subject_type, actor) == ([shown], [ACCESS_TOKEN], (None, None))
        acts = subject and subject[0] in self.users and subject_type == [JWT] and actor == ([shown], [ACCESS_TOKEN])
        if not (renews or acts):
            raise oauth(400, "invalid_grant", f"subject {subject_type}, actor {actor[1]}")

    def give(self, tokens, life):
        """A new token, kept in `tokens` until it ends."""
        token = f"catalog-token-{next(self.numbers):020}"
        self.secrets.append(token)
        tokens[token] = time.monotonic() + life
        return token

    def lives(self, token):
        return self.tokens.get(token, 0) > time.monotonic()

    def check(self, request):
        token = request.bearer()
        if request.path == TABLE and token in self.table_tokens:
            return
        if token not in self.issuer.tokens:
            raise refusal(401, "not one of our tokens")
        if not self.issuer.lives(token):
            raise refusal(self.issuer.expired_status, "expired")


def oauth(status, error, why):
    return Refusal(status, {"error": error, "error_description": why}, why)


def refusal(status, why):
    return Refusal(status, {"error": {"message": why, "type": TYPES[status], "code": status}}, why)


METADATA = {
    "format-version": 2,
    "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
    "location": "s3://lake/orders",
    "last-sequence-number": 0,
    "last-updated-ms": 1602638573590,
    "last-column-id": 1,
    "schemas": [
        {"type": "struct", "schema-id": 0, "fields": [{"id": 1, "name": "number", "required": True, "type": "long"}]}
    ],
    "current-schema-id": 0,
    "partition-specs": [{"spec-id": 0, "fields": []}],
    "default-spec-id": 0,
    "last-partition-id": 999,
    "sort-orders": [{"order-id": 0, "fields": []}],
    "default-sort-order-id": 0,
    "properties": {},
    "snapshots": [],
    "snapshot-log": [],
    "metadata-log": [],
    "refs": {},
}
