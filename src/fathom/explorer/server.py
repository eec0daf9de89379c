"""Serving the explorer safely: to this machine alone, unless a token says otherwise.

A page from elsewhere that the reader has open must not reach it: the Host header has to name this
server (against DNS rebinding), a request that changes or asks something (POST) has to come from it
(Origin, Sec-Fetch-Site), and a policy forbids its pages any other source. Other hosts need a token,
which the address brings once and a cookie then keeps.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from dash import Dash
from flask import Flask, Response, abort, redirect, request
from werkzeug.serving import BaseWSGIServer, make_server

from fathom.errors import UserError, require

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_COOKIE = "fathom-token"
_LARGEST = 32 * 2**20  # bytes of a request


def protect(app: Dash, *, host: str, token: str | None) -> None:
    """Check every request, and set the headers of every answer."""
    server: Flask = app.server
    server.config["MAX_CONTENT_LENGTH"] = _LARGEST
    names = {*LOOPBACK, host} if token is None else None
    policy = _policy(app.csp_hashes())

    @server.before_request
    def check() -> Any:
        if names is not None and _name_of(request.host) not in names:
            abort(403, "this server does not answer to that name")
        if request.method not in ("GET", "HEAD") and not _own_origin():
            abort(403, "a request from another page")
        return None if token is None else _admit(token)

    @server.after_request
    def seal(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", policy)  # a report has its own
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        return response


def _policy(hashes: Iterable[str]) -> str:
    scripts = " ".join(["'self'", *hashes])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


def _name_of(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    return (urlsplit(f"//{host}").hostname or "").rstrip(".")


def _own_origin() -> bool:
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    return origin is None or urlsplit(origin).netloc == request.host


def _admit(token: str) -> Any:
    """Let in who has the token; take it out of the address into a cookie."""
    brought = request.args.get("token")
    if brought is not None and hmac.compare_digest(brought.encode(), token.encode()):
        answer = redirect(request.path)
        answer.set_cookie(_COOKIE, token, httponly=True, samesite="Strict")
        return answer
    kept = request.cookies.get(_COOKIE, "")
    if not hmac.compare_digest(kept.encode(), token.encode()):
        abort(403, "open the address that `fathom explore` printed: it brings the token")
    return None


def new_token(host: str) -> str | None:
    """None for this machine alone, else a token that nobody guesses."""
    return None if host in LOOPBACK else secrets.token_urlsafe(24)


def listen(app: Dash, *, host: str, port: int) -> BaseWSGIServer:
    """A server that is ready to serve. Raises UserError for a port or a host that cannot be had."""
    require(0 <= port < 65536, f"port is {port}; it must be from 0 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as place:
            taken = place.getsockname()[1]
            return make_server(host, taken, app.server, threaded=True, fd=place.fileno())
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); choose another with "
            "--port or --host"
        ) from error
