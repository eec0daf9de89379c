"""Who is let in, and what every answer says to the browser."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from fathom.errors import UserError
from fathom.explorer.app import make_app
from fathom.explorer.page import Card, Page
from fathom.explorer.server import listen, new_token, protect

ANSWER = "/_dash-update-component"
OUTPUT = "..main.children...written.data.."


def client(*, host: str = "127.0.0.1", token: str | None = None) -> FlaskClient:
    app = make_app([Page("", "Home", "A page.", [Card("c", "Card", lambda: "inside")])])
    protect(app, host=host, token=token)
    made: FlaskClient = app.server.test_client()
    return made


def opening(path: str = "/") -> dict[str, Any]:
    """What the browser asks when a page is opened."""
    return {
        "output": OUTPUT,
        "outputs": [
            {"id": "main", "property": "children"},
            {"id": "written", "property": "data"},
        ],
        "inputs": [
            {"id": "address", "property": "pathname", "value": path},
            {"id": "address", "property": "search", "value": ""},
        ],
        "state": [{"id": "written", "property": "data", "value": None}],
        "changedPropIds": ["address.pathname"],
    }


@pytest.mark.parametrize("name", ["127.0.0.1:8050", "localhost", "localhost.:99", "[::1]:8050"])
def test_this_machine_is_answered(name: str) -> None:
    assert client().get("/", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:8050", "localhost@evil.example"]
)
def test_other_names_are_not_which_ends_dns_rebinding(name: str) -> None:
    assert client().get("/", headers={"Host": name}).status_code in (400, 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_other_pages_cannot_ask_anything(headers: dict[str, str], status: int) -> None:
    found = client().post(ANSWER, json=opening(), headers=headers)
    assert found.status_code == status
    assert (b"inside" in found.data) == (status == 200)


def test_the_policy_allows_nothing_from_elsewhere() -> None:
    headers = client().get("/").headers
    policy = headers["Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert "unsafe" not in rules["script-src"]
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_request_may_not_be_endless() -> None:
    large = {**opening("/" + "x" * 2**25)}
    assert client().post(ANSWER, json=large).status_code == 413


def test_other_hosts_need_the_token_once() -> None:
    token = new_token("0.0.0.0")
    assert token is not None
    assert len(token) >= 32
    who = client(host="0.0.0.0", token=token)
    assert who.get("/").status_code == 403
    assert who.get("/?token=guess").status_code == 403
    assert who.post(ANSWER, json=opening()).status_code == 403
    first = who.get(f"/?token={token}")
    assert first.status_code == 302
    assert "token" not in first.headers["Location"], "it does not stay in the address"
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert who.get("/").status_code == 200
    assert who.post(ANSWER, json=opening()).status_code == 200


def test_this_machine_needs_none() -> None:
    assert [new_token(host) for host in ("127.0.0.1", "localhost", "::1")] == [None] * 3


def test_a_taken_port_and_a_strange_host_are_said() -> None:
    app = make_app([Page("", "Home", "A page.", [])])
    first = listen(app, host="127.0.0.1", port=0)
    try:
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            listen(app, host="127.0.0.1", port=first.port)
        with pytest.raises(UserError, match="choose another with --port or --host"):
            listen(app, host="no.such.host.invalid", port=0)
        with pytest.raises(UserError, match="port is 70000"):
            listen(app, host="127.0.0.1", port=70000)
    finally:
        first.server_close()
