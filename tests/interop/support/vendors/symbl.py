"""Symbl's API: a token endpoint that gives the same token with its remaining life, and conversations behind it."""

import json
import time
from itertools import count

from .base import Refusal, Vendor

GENERATE = "/oauth2/token:generate"


class Symbl(Vendor):
    """`life` is in seconds."""

    def __init__(self, app_id, app_secret, life=86400):
        self.login = {"type": "application", "appId": app_id, "appSecret": app_secret}
        self.life = life
        self.numbers = count(1)
        self.token, self.ends = None, 0.0
        self.busy = 0
        # Everything that it ever gave out, to look for where it must not be.
        self.secrets = []
        super().__init__()

    def revoke(self):
        with self.lock:
            self.token = None

    def answer(self, request):
        if request.target == GENERATE:
            return self.generate(request)
        self.check(request)
        if request.method == "GET" and request.path.startswith("/v1/conversations/"):
            return {"messages": [{"id": "1", "text": "hello", "from": {"name": "Ann"}}]}
        raise Refusal(404, {"message": "Not found"}, "no such path")

    def generate(self, request):
        if request.method != "POST" or request.header("content-type") != "application/json":
            raise Refusal(400, {"message": "Bad request"}, "not a POST of JSON")
        if json.loads(request.body) != self.login:
            raise Refusal(401, {"message": "Unauthorized"}, "made-up credentials")
        now = time.monotonic()
        if self.token is None or self.ends - now < 1:
            self.token, self.ends = f"symbl-token-{next(self.numbers):020}", now + self.life
            self.secrets.append(self.token)
        return {"accessToken": self.token, "expiresIn": int(self.ends - now)}

    def check(self, request):
        # Both headers and the query are good places; the SDKs use the oldest of them.
        places = [request.bearer(), request.header("x-api-key"), *request.query.get("access_token", [])]
        shown = [token for token in places if token is not None]
        if self.token is None or shown != [self.token] or time.monotonic() > self.ends:
            raise invalid(f"not the token, in {len(shown)} places")
        if self.busy:
            self.busy -= 1
            said = {"statusCode": 429, "message": "You have reached the maximum of 1 concurrent jobs."}
            raise Refusal(429, said, "busy", {"Retry-After": "3"})


def invalid(why):
    return Refusal(401, {"message": "Token validation failed for provided token."}, why)
