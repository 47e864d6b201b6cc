"""The Flask application: both API versions behind one token and one request limit."""

from __future__ import annotations

import hmac
import math
import re
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule

from . import v1, wire
from .records import ValidationError
from .setting import Setting
from .v2 import V2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed.wsgi import WSGIApplication

    from .account import Account, Order
    from .quirks import Quirks

UNAUTHORISED = 401
FORBIDDEN = 403
NOT_FOUND = 404
NOT_ALLOWED = 405
TOO_MANY = 429
FIRST_ERROR = 400
NAMELESS = {NOT_FOUND: "Could not find resource", NOT_ALLOWED: "Method not allowed"}
"""What v2 says of these, whatever was asked."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
SEARCHES = ("/filters/results", "/opportunities/value")


class Quota(NamedTuple):
    """What is left of the requests of the current window.

    Attributes
    ----------
    limit
        The requests a window allows.
    remaining
        Those left; below 0 when the limit is passed.
    reset
        When the window ends, in epoch seconds.
    """

    limit: int
    remaining: int
    reset: int


class RateLimit:
    """Count requests in windows of fixed length, as Capsule does by the hour.

    Parameters
    ----------
    limit
        The requests allowed in a window.
    window
        The length of a window in seconds.

    Examples
    --------
    >>> limit = RateLimit(2)
    >>> [limit.take().remaining for _ in range(3)]
    [1, 0, -1]
    """

    def __init__(self, limit: int, window: float = 3600.0) -> None:
        self.limit = limit
        self.window = window
        self._lock = threading.Lock()
        self._used = 0
        self._ends = 0.0

    def take(self) -> Quota:
        """Count one request."""
        with self._lock:
            now = time.time()
            if now >= self._ends:
                self._used = 0
                # The header has whole seconds, and nothing may be refused after it.
                self._ends = float(math.ceil(now + self.window))
            self._used += 1
            return Quota(self.limit, self.limit - self._used, int(self._ends))


class Id(BaseConverter):
    """An id in a path. Longer numbers lead nowhere, as any word does."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        """Read the id."""
        return int(value)


class Ids(BaseConverter):
    """Several ids in a path, joined by commas."""

    regex = "[0-9]{1,18}(?:,[0-9]{1,18})+"


def build(
    account: Account,
    *,
    token: str,
    page_limit: int,
    order: Order,
    rate: RateLimit,
    quirks: Quirks,
    scopes: frozenset[str],
) -> WSGIApplication:
    """Build the application that serves an account.

    Parameters
    ----------
    account
        The account, shared by both versions.
    token
        The token that is accepted: the Basic user name of v1, the bearer token of v2.
    page_limit
        The most records in one answer.
    order
        The order of lists.
    rate
        Counts the requests of the token.
    quirks
        How to answer where Capsule's own answer is not known.
    scopes
        What the token may do: ``read``, ``write``.
    """
    app = Flask(__name__, static_folder=None)
    routes = [
        *v1.V1(account, page_limit, order, quirks).routes(),
        *V2(account, page_limit, order, quirks).routes(),
        *Setting(account, page_limit, quirks).routes(),
    ]
    app.url_map = _paths(tuple((method, path) for method, path, _ in routes))
    app.view_functions |= {f"{method} {path}": view for method, path, view in routes}

    app.before_request(lambda: _admit(token, rate, scopes))
    app.before_request(lambda: _lack(quirks.without.split()))
    app.after_request(_finish)
    app.register_error_handler(HTTPException, _refuse)
    app.register_error_handler(ValidationError, _refuse_change)
    return app


@lru_cache
def _paths(routes: tuple[tuple[str, str], ...]) -> Map:
    """Compile the paths once: they are the same for every account, and it takes a while."""
    rules = [Rule(path, methods=[method], endpoint=f"{method} {path}") for method, path in routes]
    return Map(rules, converters={"id": Id, "ids": Ids})


def one_slash(path: str) -> str:
    """Take repeated slashes for one, as Capsule does: some clients write ``/api/v2//users``.

    Parameters
    ----------
    path
        The path of a request.

    Examples
    --------
    >>> one_slash("/api/v2//users")
    '/api/v2/users'
    """
    return re.sub("/{2,}", "/", path) if "//" in path else path


def _admit(token: str, rate: RateLimit, scopes: frozenset[str]) -> Response | None:
    """Turn away a request without the token, beyond its scope, or beyond the limit."""
    if not _knows_token(token):
        response = _refusal(UNAUTHORISED, "The token is missing or wrong.")
        challenge = 'Bearer realm="Capsule", error="invalid_token"'
        response.headers["WWW-Authenticate"] = challenge if _is_v2() else 'Basic realm="Capsule"'
        return response
    reads = request.method in READING or request.path.endswith(SEARCHES)
    if ("read" if reads else "write") not in scopes:
        response = _refusal(FORBIDDEN, "Requires additional scope")
        challenge = 'Bearer realm="Capsule", error="insufficient_scope"'
        response.headers["WWW-Authenticate"] = challenge
        return response
    g.quota = rate.take()
    if g.quota.remaining < 0:
        body = '{"error":"rate limit reached"}'
        response = Response(body, TOO_MANY, content_type="application/json")
        _show(g.quota, response)
        return response
    return None


def _lack(paths: Sequence[str]) -> Response | None:
    """Know nothing of the paths that this server is said not to have."""
    asked = request.path.removeprefix("/api/v2")
    if _is_v2() and any(asked == path or asked.startswith(path + "/") for path in paths):
        return wire.refusal(NOT_FOUND, NAMELESS[NOT_FOUND])
    return None


def _finish(response: Response) -> Response:
    if "quota" in g and response.status_code < FIRST_ERROR:
        _show(g.quota, response)
    return response


def _refuse(error: HTTPException) -> Response:
    status = error.code or 500
    if _is_v2() and status in NAMELESS:
        response = _refusal(status, NAMELESS[status])
    else:
        response = _refusal(status, error.description or error.name)
    methods = getattr(error, "valid_methods", None)
    if methods:
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def _refuse_change(error: ValidationError) -> Response:
    if _is_v2():
        return wire.refusal(422, "Validation Failed", error.problems)
    return v1.refusal(400, str(error))


def _is_v2() -> bool:
    return request.path.startswith("/api/v2")


def _knows_token(token: str) -> bool:
    kind, _, sent = request.headers.get("Authorization", "").partition(" ")
    if _is_v2():
        return kind.lower() == "bearer" and _same(sent, token)
    basic = request.authorization
    return basic is not None and basic.type == "basic" and _same(basic.username or "", token)


def _same(sent: str, token: str) -> bool:
    return hmac.compare_digest(sent.encode(), token.encode())


def _refusal(status: int, message: str) -> Response:
    return wire.refusal(status, message) if _is_v2() else v1.refusal(status, message)


def _show(quota: Quota, response: Response) -> None:
    response.headers["X-RateLimit-Limit"] = str(quota.limit)
    response.headers["X-RateLimit-Remaining"] = str(max(quota.remaining, 0))
    response.headers["X-RateLimit-Reset"] = str(quota.reset)
