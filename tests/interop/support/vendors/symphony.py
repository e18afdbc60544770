"""A Symphony pod with key manager, agent and Files API on one host, and certificate login on a port of its own.

It takes a login only as the real one is: a JWT of RS512 with `sub` and `exp` alone, at most 300 s ahead, by a key that
it knows; or a certificate of a service account with an empty body. An app's session buys users' sessions and nothing
else. Everything else is refused in the vendor's own words.
"""

import json
import time
from itertools import count

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .base import Refusal, Vendor

FURTHEST = 300
LOGIN, RELAY = "/login/pubkey/authenticate", "/relay/pubkey/authenticate"
CERTIFICATE_LOGIN, CERTIFICATE_RELAY = "/sessionauth/v1/authenticate", "/keyauth/v1/authenticate"
# An app logs in at `authenticate`, and then a user by it at `username/NAME/authenticate` or `user/ID/authenticate`.
APPS, CERTIFICATE_APPS = "/login/pubkey/app/", "/sessionauth/v1/app/"
IDM = "/login/idm/tokens"


class Key:
    """A throw-away RSA key: `pem` as a file's text, `public` to check with."""

    def __init__(self):
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = self.private.public_key()
        pkcs8, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.pem = self.private.private_bytes(serialization.Encoding.PEM, pkcs8, bare).decode()

    def body(self):
        """Enough of the PEM to know it by."""
        return "".join(self.pem.splitlines()[1:-1])


class Pod(Vendor):
    def __init__(self, username, key, certificate=None, simplified_keys=False, apps=None):
        self.keys = {username: key}
        # Their keys by their ids.
        self.apps = apps or {}
        self.own_key = Key()
        self.numbers = count(1)
        self.simplified_keys = simplified_keys
        # Who is logged in, by the session: bots, and users on whose behalf an app acts.
        self.sessions, self.on_behalf = {}, {}
        self.app_sessions, self.key_managers, self.bearers = set(), set(), set()
        # Everything that it ever gave out, to look for where it must not be.
        self.secrets = []
        super().__init__()
        self.certificate_port = self.listen(certificate) if certificate else None

    def revoke_sessions(self):
        with self.lock:
            for given_out in (self.sessions, self.on_behalf, self.app_sessions, self.key_managers):
                given_out.clear()

    def revoke_bearers(self):
        with self.lock:
            self.bearers.clear()

    def answer(self, request):
        if request.path in (LOGIN, RELAY):
            username = self.check_assertion(request, self.keys)
            return self.session(username) if request.path == LOGIN else self.key_manager()
        if request.path in (CERTIFICATE_LOGIN, CERTIFICATE_RELAY):
            username = self.check_certificate(request, self.keys)
            return self.session(username) if request.path == CERTIFICATE_LOGIN else self.key_manager()
        if request.path in (APPS + "authenticate", CERTIFICATE_APPS + "authenticate"):
            check = self.check_assertion if request.path.startswith(APPS) else self.check_certificate
            check(request, self.apps)
            return self.app_session()
        if request.path.startswith(APPS):
            return {"name": "sessionToken", "token": self.user_session(request, APPS)}
        if request.path.startswith(CERTIFICATE_APPS):
            return {"sessionToken": self.user_session(request, CERTIFICATE_APPS)}
        if request.path == IDM:
            return self.scoped_token(request)
        if request.path.startswith("/pod/"):
            return self.pod(request)
        if request.path.startswith("/agent/"):
            return self.agent(request)
        if request.path.startswith("/files/v1/"):
            return self.file(request)
        raise refusal(404, "no such path")

    def check_assertion(self, request, keys):
        """Whose assertion it is."""
        if request.method != "POST" or request.header("content-type") != "application/json":
            raise refusal(415, "not a POST of JSON")
        body = json.loads(request.body)
        if set(body) != {"token"}:
            raise refusal(400, f"members {sorted(body)}")
        token = body["token"]
        self.secrets.append(token)
        head, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
        if head.get("alg") != "RS512" or set(head) - {"alg", "typ"}:
            raise refusal(401, f"head {head}")
        if set(claims) != {"sub", "exp"}:
            raise refusal(401, f"claims {sorted(claims)}")
        if not 0 < claims["exp"] - time.time() <= FURTHEST:
            raise refusal(401, "exp is past or too far")
        if claims["sub"] not in keys:
            raise refusal(401, "unknown user")
        try:
            jwt.decode(token, keys[claims["sub"]].public, algorithms=["RS512"])
        except jwt.InvalidTokenError as error:
            raise refusal(401, f"signature: {error}") from error
        return claims["sub"]

    def check_certificate(self, request, keys):
        """Whose certificate it is."""
        if request.common_name not in keys:
            raise refusal(401, f"certificate of {request.common_name}")
        # A body answers 401 where a type was given and 500 where none was; the real one does so since 2024.
        if request.body:
            raise refusal(401 if request.header("content-type") else 500, "a body")
        return request.common_name

    def give(self, token):
        self.secrets.append(token)
        return token

    def signed(self, algorithm, life, **claims):
        claims = {"sub": "1234", "exp": int(time.time()) + life, "n": next(self.numbers), **claims}
        return self.give(jwt.encode(claims, self.own_key.private, algorithm=algorithm))

    def session(self, username):
        token = self.signed("RS512", 14 * 24 * 3600, canUseSimplifiedKeyDelivery=self.simplified_keys)
        self.sessions[token] = username
        return {"name": "sessionToken", "token": token, "authorizationToken": f"Bearer {self.signed('RS256', 300)}"}

    def app_session(self):
        token = self.give(f"app-opaque-{next(self.numbers):020}")
        self.app_sessions.add(token)
        return {"name": "sessionToken", "token": token}

    def user_session(self, request, base):
        by, user, last = (request.path.removeprefix(base).split("/") + [""] * 3)[:3]
        if request.method != "POST" or request.body or by not in ("username", "user") or last != "authenticate":
            raise refusal(400, "not an empty POST for a user")
        if request.header("sessiontoken") not in self.app_sessions:
            raise refusal(401, "no session of an app")
        token = self.give(f"user-opaque-{next(self.numbers):020}")
        self.on_behalf[token] = user
        return token

    def key_manager(self):
        token = self.give(f"km-opaque-{next(self.numbers):020}")
        self.key_managers.add(token)
        return {"name": "keyManagerToken", "token": token}

    def scoped_token(self, request):
        if request.method != "POST" or request.body:
            raise refusal(400, "not an empty POST")
        if request.header("sessiontoken") not in self.sessions:
            raise refusal(401, "session token")
        if request.query.get("scope") != ["sym-files"]:
            raise refusal(403, f"scope {request.query.get('scope')}")
        token = self.signed("RS256", 3600, scope="sym-files")
        self.bearers.add(token)
        return {"token_type": "Bearer", "expires_in": 3600, "access_token": token}

    def check_session(self, request):
        """Whose session it is."""
        session = request.header("sessiontoken")
        if session not in self.sessions and session not in self.on_behalf:
            raise refusal(401, "session token")
        if request.header("authorization"):
            raise refusal(401, "an Authorization beside the session token")
        return self.sessions.get(session) or self.on_behalf[session]

    def pod(self, request):
        username = self.check_session(request)
        if request.header("keymanagertoken") is not None:
            raise refusal(401, "the pod has no business with the key manager token")
        if request.path != "/pod/v2/sessioninfo":
            raise refusal(404, "no such path")
        return {"id": 1234, "username": username, "displayName": "Bot", "emailAddress": "bot@example.com"}

    def agent(self, request):
        if request.path == "/agent/v1/info":
            return {"version": "Agent-25.8.1", "hostname": "agent", "onPrem": True, "mt": False}
        self.check_session(request)
        shown = request.header("keymanagertoken")
        without = self.simplified_keys or request.header("sessiontoken") in self.on_behalf
        if without and shown is not None:
            raise refusal(401, "a key manager token where keys are delivered without")
        if not without and shown not in self.key_managers:
            raise refusal(401, "key manager token")
        parts = request.path.split("/")
        if parts[2:4] != ["v4", "stream"] or parts[5:] != ["message", "create"]:
            raise refusal(404, "no such path")
        if not (request.header("content-type") or "").startswith("multipart/form-data"):
            raise refusal(415, "not multipart")
        return {"messageId": f"message-{next(self.numbers)}", "stream": {"streamId": parts[4]}}

    def file(self, request):
        # Errors of this API have another shape than those of all others.
        if request.bearer() not in self.bearers:
            raise Refusal(401, {"error": "Invalid session token"}, "bearer token")
        if request.header("sessiontoken"):
            raise Refusal(401, {"error": "Invalid session token"}, "a session token beside the bearer token")
        signed = "https://storage.example.com/file?signature=abc"
        return {"message": "ok", "signedUrl": signed}, {"Location": signed}


def refusal(status, why):
    words = {401: "Unauthorized", 403: "Forbidden", 404: "Not found"}.get(status, "Bad request")
    return Refusal(status, {"code": status, "message": words}, why)
