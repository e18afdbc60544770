"""An Iceberg REST catalog with its token service, strict in what the specification asks of both."""

import time
from itertools import count
from urllib.parse import parse_qs

from .base import Refusal, Vendor

TOKENS = "/v1/oauth/tokens"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
TYPES = {401: "NotAuthorizedException", 404: "NoSuchTableException", 419: "AuthenticationTimeoutException"}


class Catalog(Vendor):
    """Takes the tokens that it gave out, until `expire`; `life` is in seconds."""

    def __init__(self, client_id, client_secret, life=3600):
        self.client = {"client_id": [client_id], "client_secret": [client_secret]}
        self.life = life
        self.numbers = count(1)
        self.tokens = {}
        self.expired_status = 401
        # Everything that it ever gave out, to look for where it must not be.
        self.secrets = []
        super().__init__()

    def expire(self, status):
        """Ends every token given out so far; the catalog answers `status` to them."""
        with self.lock:
            self.expired_status = status
            self.tokens = dict.fromkeys(self.tokens, 0)

    def answer(self, request):
        if request.path == TOKENS:
            return self.token(request)
        self.check(request)
        if request.method == "GET" and request.path == "/v1/config":
            return {"defaults": {}, "overrides": {}}
        if request.method == "GET" and request.path == "/v1/namespaces":
            return {"namespaces": [["sales"], ["stock"]]}
        if request.method == "GET" and request.path == "/v1/namespaces/sales/tables/orders":
            return {"metadata-location": "s3://lake/orders/v1.json", "metadata": METADATA, "config": {}}
        raise refusal(404, "no such path")

    def token(self, request):
        if request.method != "POST" or request.header("content-type") != "application/x-www-form-urlencoded":
            raise oauth(400, "invalid_request", "not a POST of a form")
        form = parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True)
        if any(len(values) > 1 for values in form.values()):
            raise oauth(400, "invalid_request", "a parameter twice")
        if form["grant_type"] == ["client_credentials"]:
            # As OAuth has it: one way to show who asks, never two.
            if request.header("authorization"):
                raise oauth(400, "invalid_request", "Authorization beside the client's secret")
            if {key: form.get(key) for key in self.client} != self.client:
                raise oauth(401, "invalid_client", "made-up credentials")
            if form.get("scope") != ["catalog"]:
                raise oauth(400, "invalid_scope", f"scope {form.get('scope')}")
        elif form["grant_type"] == [EXCHANGE]:
            if not self.lives(request.bearer()):
                raise oauth(401, "invalid_client", "Authorization of an exchange")
        else:
            raise oauth(400, "unsupported_grant_type", f"grant {form['grant_type']}")
        token = f"catalog-token-{next(self.numbers):020}"
        self.secrets.append(token)
        self.tokens[token] = time.monotonic() + self.life
        # The specification's own spelling of the type is in lower case.
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self.life,
            "issued_token_type": ACCESS_TOKEN,
        }

    def lives(self, token):
        return self.tokens.get(token, 0) > time.monotonic()

    def check(self, request):
        token = request.bearer()
        if token not in self.tokens:
            raise refusal(401, "not one of our tokens")
        if not self.lives(token):
            raise refusal(self.expired_status, "expired")


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
