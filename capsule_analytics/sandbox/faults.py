"""Trouble on demand: what networks, proxies and servers do to a client, request by request.

A plan is a list of faults and hooks. Each says which requests it concerns (the number of the
request, a test of it, or both) and how often it strikes, so a run is the same every time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from capsule_analytics.errors import ArgumentError, missing_extra

try:
    from werkzeug.wrappers import Response
except ImportError as error:
    raise missing_extra("The sandbox", "sandbox") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from .account import Account

Kind = Literal[
    "reset",
    "truncate",
    "cut",
    "html",
    "status",
    "delay",
    "redirect",
    "huge",
    "repeat",
    "no_has_more",
    "ignore_since",
    "bomb",
]
KINDS: tuple[str, ...] = get_args(Kind)
RESET = "capsule_analytics.sandbox.reset"

HTML = b"<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1></body></html>"
CHUNK = b" " * 65536
SERVER_ERROR = 500
TOO_MANY = 429


@dataclass(frozen=True)
class Asked:
    """A request, as the tests of faults and hooks see it.

    Attributes
    ----------
    number
        Counts the requests from 1.
    method
        The HTTP method.
    path
        The path without the query.
    query
        The query parameters.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]

    @property
    def version(self) -> str:
        """The API version that the path belongs to, ``"v1"`` or ``"v2"``."""
        return "v2" if self.path.startswith("/api/v2") else "v1"


@dataclass(frozen=True)
class Fault:
    """One kind of trouble and the requests that meet it.

    Attributes
    ----------
    kind
        ``"reset"`` the connection is reset before an answer; ``"truncate"`` the answer ends
        before its ``Content-Length``; ``"cut"`` the HTTP is whole but the document stops in the
        middle; ``"html"`` a page of HTML with status 200; ``"status"`` an error status;
        ``"delay"`` the answer comes late; ``"redirect"`` a redirect elsewhere; ``"huge"`` an
        answer of `size` bytes; ``"repeat"`` always the first page; ``"no_has_more"`` no
        headers about the next page; ``"ignore_since"`` all records, whatever time is sent;
        ``"bomb"`` entities (v1) or nesting (v2) that grow when they are read.
    times
        How often it strikes; None for always.
    at
        The number of the one request it strikes, counted from 1.
    when
        A further test of the request.
    status
        The status of ``"status"`` and ``"redirect"``.
    headers
        Further headers of ``"status"``, such as ``Retry-After``.
    seconds
        The length of ``"delay"``.
    url
        The target of ``"redirect"``.
    size
        The bytes of ``"huge"``.

    Raises
    ------
    ArgumentError
        There is no such kind.
    """

    kind: Kind
    times: int | None = 1
    at: int | None = None
    when: Callable[[Asked], bool] | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    url: str = ""
    size: int = 1 << 30

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist: a misspelt fault would never strike."""
        if self.kind not in KINDS:
            raise ArgumentError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}.")


@dataclass(frozen=True)
class Hook:
    """Something done to the account between requests, as other users of Capsule would.

    Attributes
    ----------
    action
        Called with the account.
    at
        The number of the one request it belongs to, counted from 1.
    when
        A further test of the request.
    times
        How often it is called; None for always.
    moment
        ``"before"`` the request is answered, or ``"after"``, when the answer is made but not
        yet sent.
    """

    action: Callable[[Account], object]
    at: int | None = None
    when: Callable[[Asked], bool] | None = None
    times: int | None = 1
    moment: Literal["before", "after"] = "before"


class Faults:
    """A plan of faults and hooks, safe to ask from several threads.

    Parameters
    ----------
    items
        The faults and hooks, in the order in which they are looked at.

    Examples
    --------
    >>> faults = Faults([Fault("status", status=503, when=lambda asked: asked.path == "/api")])
    >>> asked = Asked(1, "GET", "/api", {})
    >>> [fault.status for fault in faults.strike(asked)], faults.strike(asked)
    ([503], [])
    """

    def __init__(self, items: Iterable[Fault | Hook] = ()) -> None:
        self._lock = threading.Lock()
        self._items: list[Fault | Hook] = []
        self._struck: list[int] = []
        self.add(*items)

    def add(self, *items: Fault | Hook) -> None:
        """Add faults and hooks to the plan, also while the server runs.

        Parameters
        ----------
        *items
            The faults and hooks.
        """
        with self._lock:
            self._items.extend(items)
            self._struck.extend(0 for _ in items)

    def strike(self, asked: Asked) -> list[Fault]:
        """Take the faults that strike a request; each is used up by one.

        Parameters
        ----------
        asked
            The request.
        """
        return [item for item in self._take(asked, Fault) if isinstance(item, Fault)]

    def call(self, asked: Asked, moment: str, account: Account) -> None:
        """Call the hooks of a request.

        Parameters
        ----------
        asked
            The request.
        moment
            ``"before"`` or ``"after"``.
        account
            What they are called with.
        """
        for item in self._take(asked, Hook, moment):
            if isinstance(item, Hook):
                item.action(account)

    def _take(
        self, asked: Asked, kind: type[Fault | Hook], moment: str | None = None
    ) -> list[Fault | Hook]:
        if not self._items:
            return []
        taken = []
        with self._lock:
            for index, item in enumerate(self._items):
                if not isinstance(item, kind):
                    continue
                if isinstance(item, Hook) and item.moment != moment:
                    continue
                spent = item.times is not None and self._struck[index] >= item.times
                elsewhere = item.at is not None and item.at != asked.number
                if spent or elsewhere or (item.when is not None and not item.when(asked)):
                    continue
                self._struck[index] += 1
                taken.append(item)
        return taken


def answer(
    faults: list[Fault],
    asked: Asked,
    application: WSGIApplication,
    environ: WSGIEnvironment,
    pause: Callable[[float], object],
) -> Response:
    """Answer a request that faults have struck.

    Parameters
    ----------
    faults
        The faults; those that change the request or the answer are combined, and of those that
        replace the answer the first counts.
    asked
        The request.
    application
        Gives the true answer.
    environ
        The request for the application. ``"reset"`` leaves a mark in it for the server.
    pause
        Waits for a number of seconds.
    """
    for fault in faults:
        if fault.kind == "delay":
            pause(fault.seconds)
    for fault in faults:
        if fault.kind == "reset":
            environ[RESET] = True
            return Response(status=SERVER_ERROR)
        made = _instead(fault, asked)
        if made is not None:
            return made
    kinds = {fault.kind for fault in faults}
    dropped = {
        *(("page", "start") if "repeat" in kinds else ()),
        *(("since", "lastmodified") if "ignore_since" in kinds else ()),
    }
    if dropped:
        pairs = parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        environ["QUERY_STRING"] = urlencode([pair for pair in pairs if pair[0] not in dropped])
    response = Response.from_app(application, environ, buffered=True)
    if "no_has_more" in kinds:
        response.headers.remove("X-Pagination-Has-More")
        response.headers.remove("Link")
    whole = response.get_data()
    if "cut" in kinds or "truncate" in kinds:
        response.set_data(whole[: len(whole) // 2])
    if "truncate" in kinds:
        response.headers["Content-Length"] = str(len(whole))
    return response


def _instead(fault: Fault, asked: Asked) -> Response | None:
    """Build the answer of a fault that does not need the true one."""
    if fault.kind == "html":
        return Response(HTML % (b"Sign in", b"Sign in"), content_type="text/html")
    if fault.kind == "status":
        return _status(fault, asked)
    if fault.kind == "redirect":
        return Response(status=fault.status or 302, headers={"Location": fault.url})
    if fault.kind == "huge":
        return Response(_huge(asked, fault.size), content_type=_content_type(asked))
    if fault.kind == "bomb":
        return Response(_bomb(asked), content_type=_content_type(asked))
    return None


def _status(fault: Fault, asked: Asked) -> Response:
    status = fault.status or 503
    if status >= SERVER_ERROR:
        title = b"%d" % status
        return Response(HTML % (title, title), status, fault.headers, content_type="text/html")
    if status == TOO_MANY:
        body = '{"error":"rate limit reached"}'
    elif asked.version == "v2":
        body = '{"message":"refused"}'
    else:
        body = "<error><message>refused</message></error>"
    return Response(body, status, fault.headers, content_type=_content_type(asked))


def _content_type(asked: Asked) -> str:
    return "application/json;charset=UTF-8" if asked.version == "v2" else "*/*"


def _huge(asked: Asked, size: int) -> Iterator[bytes]:
    opening = b'{"opportunities":[' if asked.version == "v2" else b'<opportunities size="1">'
    yield opening
    left = size - len(opening)
    while left > 0:
        yield CHUNK[:left]
        left -= len(CHUNK)


def _bomb(asked: Asked) -> bytes:
    if asked.version == "v2":
        return b'{"opportunities":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    doubled = b"".join(
        b'<!ENTITY e%d "%s">' % (level, b"&e%d;" % (level - 1) * 10) for level in range(1, 10)
    )
    return (
        b'<?xml version="1.0"?><!DOCTYPE opportunities [<!ENTITY e0 "Capsule">' + doubled + b"]>"
        b'<opportunities size="1"><opportunity><id>1</id><name>&e9;</name></opportunity>'
        b"</opportunities>"
    )
