"""Clients as people have them: curl and the JVM. Each gives (status, body)."""

import json
import subprocess

from .programs import SUPPORT


def curl(*args, env=None, seconds=20):
    argv = ["curl", "--silent", "--show-error", "--max-time", str(seconds), "--write-out", "\n%{http_code}", *args]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 10, env=env)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def java(client, url, *args, options=()):
    argv = ["java", *options, str(SUPPORT / "Client.java"), client, url, *map(str, args)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    status, _, body = done.stdout.partition("\n")
    return int(status), json.loads(body)
