"""The sandbox as a running server: sockets, threads, and the log of what was asked."""

from __future__ import annotations

import io
import ipaddress
import itertools
import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qsl

import orjson

from capsule_analytics.errors import ArgumentError, TransportError, missing_extra

from .account import DEFAULTS, ORDERS, Account, Order

try:
    from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

    from . import faults as trouble
    from .app import RateLimit, build, one_slash
except ImportError as error:
    raise missing_extra("The sandbox", "sandbox") from error

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .quirks import Quirks

MOST_BODY = 10_000_000
MOST_SECONDS = 3600.0
# A connection that says nothing for so long is closed.
IDLE = 300.0
# The log forgets the oldest half of so many, or a sandbox that runs for weeks would not fit.
MOST_LOGGED = 200_000
# With this linger a closing socket sends a reset instead of a goodbye.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    """A request that was answered, as the log keeps it.

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
    status
        The HTTP status of the answer; 0 where the connection was reset instead.
    time
        When it arrived, in epoch seconds.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    status: int
    time: float


class Handler(WSGIRequestHandler):
    """Speaks HTTP/1.1 on one connection and keeps it open between requests.

    Werkzeug's own way of answering closes the connection after each request, which no API server
    does and which would hide what a client gains from keeping it.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE

    def run_wsgi(self) -> None:
        """Answer the request that was read."""
        server = cast("Server", self.server)
        body = self._body()
        if body is None:
            return
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        status, headers = "", list[tuple[str, str]]()

        def start_response(
            text: str, pairs: list[tuple[str, str]], _exception: object = None
        ) -> Callable[[bytes], object]:
            nonlocal status, headers
            status, headers = text, pairs
            return self.wfile.write

        chunks = server.app(environ, cast("StartResponse", start_response))
        try:
            if environ.get(trouble.RESET):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                server.abandoned.add(self.connection)
                self.close_connection = True
                return
            self._send(status, headers, chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Stay quiet: the sandbox keeps its own log."""

    def _body(self) -> bytes | None:
        """Read the whole body, so that the next request starts where this one ends."""
        lengths = {text.strip() for text in self.headers.get_all("Content-Length", ["0"])}
        length = lengths.pop()
        if "Transfer-Encoding" in self.headers:
            refused = (411, "Send the body with a Content-Length")
        elif lengths or not (length.isascii() and length.isdecimal()):
            refused = (400, "Content-Length must be one whole number")
        elif len(length) > len(str(MOST_BODY)) or int(length) > MOST_BODY:
            refused = (413, f"The body may have {MOST_BODY} bytes")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            refused = (400, "The body ends before its Content-Length")
        self._refuse(*refused)
        return None

    def _refuse(self, status: int, message: str) -> None:
        """Refuse a request whose end cannot be found, so that no other can follow it."""
        self.close_connection = True
        body = orjson.dumps({"message": message})
        headers = [
            ("Content-Type", "application/json;charset=UTF-8"),
            ("Content-Length", str(len(body))),
        ]
        self._send(f"{status} {HTTPStatus(status).phrase}", headers, [body])
        # What still arrives must be read, or the system resets the connection and the answer is
        # lost on its way.
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1.0)
            left = MOST_BODY
            while left > 0 and (got := self.connection.recv(65536)):
                left -= len(got)

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002 - the base class's
    ) -> None:
        """Refuse what is no request, in JSON and with a status line whatever came."""
        self._refuse(code, message or HTTPStatus(code).phrase)

    def _send(self, status: str, headers: list[tuple[str, str]], chunks: Iterable[bytes]) -> None:
        names = {name.lower() for name, _ in headers}
        bare = self.command == "HEAD" or status[:3] in {"204", "304"}
        chunked = "content-length" not in names and not bare
        lines = [f"{self.protocol_version} {status}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if chunked and self.request_version == "HTTP/1.0":
            chunked, self.close_connection = False, True
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        if self.close_connection:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if bare:
            self.wfile.write(head)
        elif chunked:
            self.wfile.write(head)
            for chunk in chunks:
                if chunk:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        else:
            # One write: a head and a body in two packets cost a round trip.
            body = b"".join(chunks)
            self.wfile.write(head + body)
            declared = next((v for n, v in headers if n.lower() == "content-length"), None)
            if declared is not None and int(declared) != len(body):
                self.close_connection = True


class Server(ThreadedWSGIServer):
    """A thread a connection, all of them known, so that none outlives the server."""

    def __init__(self, host: str, port: int, app: WSGIApplication, fd: int) -> None:
        super().__init__(host, port, app, Handler, fd=fd)
        self.abandoned: set[socket.socket] = set()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a connection in a thread of its own."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._guard:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Close a connection: with a goodbye, or with a reset if that was asked for."""
        with self._guard:
            self._open.pop(request, None)
        if request in self.abandoned:
            self.abandoned.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every open connection and wait for its thread."""
        with self._guard:
            open_now = list(self._open.items())
        for connection, _ in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in open_now:
            thread.join(timeout=5)


class Sandbox:
    """A local Capsule CRM over HTTP, for tests, demonstrations and the documentation.

    Parameters
    ----------
    account
        The account to serve: a file, its content as a dictionary, an `Account`, or None for
        the sample account.
    token
        The token that is accepted.
    host
        A loopback address or ``"localhost"``.
    port
        The port; 0 for one that is free.
    page_limit
        The most records in one answer, whatever is asked for.
    latency
        Seconds that every answer takes longer.
    rate_limit
        Requests allowed in `rate_window`.
    rate_window
        The length of that window in seconds.
    order
        The order of lists: ``"id"``, ``"-id"``, ``"updated"``, ``"-updated"`` or ``"name"``.
    faults
        Faults and hooks, see :mod:`capsule_analytics.sandbox.faults`.
    quirks
        How to answer where Capsule's own answer is not known, see
        :class:`capsule_analytics.sandbox.quirks.Quirks`.
    scopes
        What the token may do: ``"read"``, ``"write"``, or both.

    Attributes
    ----------
    account
        The live `Account`: what is changed there is served at once.
    token
        The token that is accepted.
    faults
        The plan, to which faults can be added while the server runs.
    requests
        A `Request` for every request answered so far, in the order of the answers.

    Raises
    ------
    ArgumentError
        The host is not a loopback address, or a number is out of range.
    DataError
        The account cannot be read.
    TransportError
        The port cannot be used.

    Examples
    --------
    >>> with Sandbox({"currencies": ["GBP"]}) as sandbox:
    ...     sandbox.url.rpartition(":")[0], len(sandbox.account)
    ('http://127.0.0.1', 0)
    """

    def __init__(
        self,
        account: Path | str | Mapping[str, Any] | Account | None = None,
        *,
        token: str = "sandbox-token",  # noqa: S107
        host: str = "127.0.0.1",
        port: int = 0,
        page_limit: int = 100,
        latency: float = 0.0,
        rate_limit: int = 4000,
        rate_window: float = 3600.0,
        order: Order = "id",
        faults: trouble.Faults | Iterable[trouble.Fault | trouble.Hook] = (),
        quirks: Quirks = DEFAULTS,
        scopes: Iterable[str] = ("read", "write"),
    ) -> None:
        if not token:
            raise ArgumentError("token must not be empty.")
        if page_limit < 1:
            raise ArgumentError(f"page_limit must be at least 1, not {page_limit}.")
        if rate_limit < 1:
            raise ArgumentError(f"rate_limit must be at least 1, not {rate_limit}.")
        if not 0 <= latency <= MOST_SECONDS:
            raise ArgumentError(f"latency must be 0 to {MOST_SECONDS:g} seconds, not {latency}.")
        if not 0 < rate_window < math.inf:
            raise ArgumentError(f"rate_window must be a time in seconds, not {rate_window}.")
        allowed = frozenset(scopes)
        if not allowed <= {"read", "write"}:
            raise ArgumentError(f"scopes must be of read and write, not {sorted(allowed)}.")
        if order not in ORDERS:
            raise ArgumentError(f"order must be one of {', '.join(ORDERS)}, not {order!r}.")
        if not _is_loopback(host):
            raise ArgumentError(
                f"The sandbox serves this machine alone: {host!r} is not a loopback address."
            )
        self.account = _account(account)
        self.token = token
        self.latency = latency
        self.faults = faults if isinstance(faults, trouble.Faults) else trouble.Faults(faults)
        self.requests: list[Request] = []
        self._host = host
        self._port = port
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        rate = RateLimit(rate_limit, rate_window)
        self._api = build(
            self.account,
            token=token,
            page_limit=page_limit,
            order=order,
            rate=rate,
            quirks=quirks,
            scopes=allowed,
        )
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the server, without a path: ``http://127.0.0.1:8043``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> Self:
        """Listen, and serve from a thread in the background.

        Returns
        -------
        The sandbox itself.

        Raises
        ------
        TransportError
            The port cannot be used.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self._port), family=family, backlog=128)
        except OSError as error:
            raise TransportError(
                f"The sandbox cannot listen on {self.url}: {error.strerror}."
            ) from error
        with listening:
            self._port = listening.getsockname()[1]
            self._server = Server(self._host, self._port, self._answer, listening.fileno())
        # The interval is how long stopping can take.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.005,), name="capsule-sandbox", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving: no thread and no socket is left."""
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        """Start serving."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self.stop()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request: give it its number, its delay, its faults and its line in the log."""
        arrived = time.time()
        environ["PATH_INFO"] = one_slash(environ["PATH_INFO"])
        asked = trouble.Asked(
            next(self._numbers),
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)),
        )
        if self.latency:
            self._stopping.wait(self.latency)
        self.faults.call(asked, "before", self.account)
        struck = self.faults.strike(asked)
        application = self._api
        if struck:
            application = trouble.answer(struck, asked, self._api, environ, self._stopping.wait)
        status = 0

        def note(text: str, headers: Any, exception: Any = None) -> Any:  # noqa: ANN401
            nonlocal status
            status = 0 if environ.get(trouble.RESET) else int(text[:3])
            return start_response(text, headers, exception)

        body = application(environ, cast("StartResponse", note))
        self.faults.call(asked, "after", self.account)
        if len(self.requests) >= MOST_LOGGED:
            del self.requests[: MOST_LOGGED // 2]
        self.requests.append(
            Request(asked.number, asked.method, asked.path, asked.query, status, arrived)
        )
        return body


def _account(source: Path | str | Mapping[str, Any] | Account | None) -> Account:
    if isinstance(source, Account):
        return source
    if isinstance(source, Mapping):
        return Account(source)
    if source is None:
        from capsule_analytics import sample  # noqa: PLC0415

        source = sample.account_path()
    return Account.read(Path(source))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
