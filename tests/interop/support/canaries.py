"""Finding a secret in a text, in whatever spelling it got there."""

import base64
import json
import urllib.parse

from .partners import CLIENT_ID


def spellings(secret):
    """What a secret looks like in logs that forgot about it."""
    for text in {secret, f"{CLIENT_ID}:{secret}", "%s:%s" % tuple(map(urllib.parse.quote_plus, (CLIENT_ID, secret)))}:
        raw = text.encode()
        yield text
        yield json.dumps(text)[1:-1]
        yield urllib.parse.quote(text, safe="")
        yield urllib.parse.quote_plus(text)
        yield raw.hex()
        yield raw.hex().upper()
        yield ", ".join(map(str, raw))
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(raw).decode().rstrip("=")
            # In the middle of something longer: what is the same whatever stands around it.
            for shift in (0, 1, 2):
                whole = (len(raw) + shift) // 3 * 3 - shift
                inside = encode(bytes(shift) + raw[:whole]).decode()[4 if shift else 0 :]
                if len(inside) >= 12:
                    yield inside


def assert_hidden(where, text, secrets):
    for secret in secrets:
        for spelling in spellings(secret):
            assert spelling not in text, f"{where} shows a secret as {spelling[:12]}..."


def pieces(secret):
    """Parts that are enough to know a secret by: a signed token's signature, the lines of a key's file."""
    yield secret
    if secret.startswith("-----BEGIN"):
        lines = secret.strip().splitlines()[1:-1]
        yield "".join(lines)
        yield from lines[:-1]
    elif secret.count(".") == 2:
        yield secret.rpartition(".")[2]


class Canaries:
    """What a test wants to see nowhere; `watch` takes whatever keeps what it gave out in `secrets`."""

    def __init__(self):
        self.known = []
        self.watched = []

    def add(self, *secrets):
        self.known += secrets

    def watch(self, vendor):
        self.watched.append(vendor)
        return vendor

    def all(self):
        given_out = [secret for vendor in self.watched for secret in vendor.secrets]
        return {piece for secret in self.known + given_out for piece in pieces(secret)}
