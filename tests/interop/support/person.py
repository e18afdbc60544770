"""A person with a browser, at the pages of a real OpenID provider."""

import re
from html import unescape

import requests


def approve(verification_uri, user_code, name="alice"):
    """Enters the code that a device shows, logs in as `name` and consents."""
    with requests.Session() as browser:
        page = browser.get(verification_uri, params={"user_code": user_code}, timeout=10)
        for _ in range(8):
            page.raise_for_status()
            form = re.search(r"<form[^>]*>", page.text)
            if not form:
                break
            page = browser.post(action(form[0], page.url), data=filled(page.text, name), timeout=10)
        assert "success" in page.text.lower(), page.text


def refuse(verification_uri, user_code):
    """Enters the code that a device shows and says no."""
    with requests.Session() as browser:
        page = browser.get(verification_uri, params={"user_code": user_code}, timeout=10)
        page = browser.post(verification_uri, data=filled(page.text, ""), timeout=10)
        page.raise_for_status()
        answer = {**filled(page.text, ""), "abort": "yes"}
        answer.pop("confirm", None)
        browser.post(verification_uri, data=answer, timeout=10)


def action(form, page):
    target = re.search(r'action="([^"]*)"', form)
    return requests.compat.urljoin(page, unescape(target[1])) if target else page


def filled(text, name):
    """What the form's hidden fields say, with the name of the person and yes to every question."""
    values = {"confirm": "yes"} if "confirm" in text.lower() else {}
    for field in re.findall(r"<input[^>]*>", text):
        key, value = (re.search(rf'{part}="([^"]*)"', field) for part in ("name", "value"))
        if key and key[1] != "abort":
            values[key[1]] = unescape(value[1]) if value else name
    return values
