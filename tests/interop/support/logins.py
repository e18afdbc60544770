"""The logins of vendors as programs for `exec`: each prints the token, as JSON.

   logins.py symbl URL APP_ID                             the secret is in LOGIN_SECRET
   logins.py symphony URL USERNAME KEY_FILE
   logins.py symphony_by_certificate URL CA CERT KEY
"""

import json
import os
import sys
import time

import jwt
import requests


def symbl(url, app_id):
    login = {"type": "application", "appId": app_id, "appSecret": os.environ["LOGIN_SECRET"]}
    answer = requests.post(f"{url}/oauth2/token:generate", json=login, timeout=5)
    answer.raise_for_status()
    return {"access_token": answer.json()["accessToken"], "expires_in": answer.json()["expiresIn"]}


def symphony(url, username, key_file):
    with open(key_file) as file:
        token = jwt.encode({"sub": username, "exp": int(time.time()) + 240}, file.read(), algorithm="RS512")
    return session(requests.post(f"{url}/login/pubkey/authenticate", json={"token": token}, timeout=5))


def symphony_by_certificate(url, ca, cert, key):
    return session(requests.post(f"{url}/sessionauth/v1/authenticate", cert=(cert, key), verify=ca, timeout=5))


def session(answer):
    answer.raise_for_status()
    return {"access_token": answer.json()["token"]}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
