"""The one HTTP session: authentication, TLS rule, time limits, retries, size limit.

Nothing else in the package speaks to Capsule (the sandbox, a server, apart). The request limit is
in `_rate_limit`, the wall clock of an answer in `_deadline`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import tenacity
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.util import Timeout

from capsule_analytics import _deadline
from capsule_analytics._deadline import DeadlineAdapter, TooLargeError
from capsule_analytics._safe_text import keep_secret, safe
from capsule_analytics.errors import (
    ApiError,
    ArgumentError,
    AuthenticationError,
    CapsuleError,
    DataError,
    NotFoundError,
    TransportError,
)

from ._protocol import MAX_CONNECTIONS, USER_AGENT, TooManyValuesError, is_loopback
from ._rate_limit import Queue, retry_after, server_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ._protocol import Api, Request

T = TypeVar("T")

TRIES = 5
BACKOFF: tenacity.wait.wait_base = tenacity.wait_exponential(0.5, max=20) + tenacity.wait_random(
    0, 0.5
)
LONGEST = 86_400.0
"""Most seconds that a time limit may have; the request limit is counted by the hour."""

_TRANSIENT = frozenset({502, 503, 504})
_TOO_MANY = 429
_CONNECT_SECONDS = 10.0
_CHUNK = 64 * 1024
_WORDS = 300  # characters of the server's own explanation that are shown
_MAX_REDIRECTS = 5


def _clean(record: logging.LogRecord) -> bool:
    """Make a log record of the libraries beneath safe: some quote what a server sent."""
    trace = record.exc_info and "".join(traceback.format_exception(*record.exc_info))
    record.msg, record.args, record.exc_info = safe(record.getMessage()), (), None
    record.exc_text = safe(trace) if trace else None
    return True


for _name in [name for name in logging.root.manager.loggerDict if name.startswith("urllib3")]:
    logging.getLogger(_name).addFilter(_clean)


class _Token(AuthBase):
    """Sets the Authorization header; a class of its own so that no repr shows the token."""

    def __init__(self, header: str) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


class _Session(requests.Session):
    """Leaves redirects to us; otherwise `requests` reads their target even when it follows none."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find none."""


@dataclass
class _Call:
    """One call: its request, and how much of its time is gone."""

    request: Request
    stopped: threading.Event
    deadline: float
    waited: float = 0.0  # for the request limit
    headers: Mapping[str, str] | None = None  # of the last answer

    @property
    def name(self) -> str:
        """How errors name it."""
        return f"{self.request.method} {self.request.path}"


class Transport:
    """Sends the requests of one wire format to one server.

    Parameters
    ----------
    api
        The twin in use, for the headers and the words of errors.
    root
        URL that every path starts from. Plain http is refused except to loopback.
    token
        The secret.
    timeout
        Seconds within which a request must succeed, all its tries included, by the clock on the
        wall: headers and body, whatever trickles. Waits for the request limit come on top.
    max_wait
        Seconds that a request may wait for the request limit to reset, altogether.
    on_wait
        Told about each of these waits when it begins.

    Raises
    ------
    ArgumentError
        If the URL is not allowed, the token cannot be sent in a header, or a time is no time.
    """

    def __init__(
        self,
        api: Api,
        root: str,
        token: str,
        *,
        timeout: float = 60.0,
        max_wait: float = 3600.0,
        on_wait: Callable[[datetime], None] | None = None,
    ) -> None:
        _check_url(root)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ArgumentError("the token is empty or has characters that no token has")
        _check_seconds("timeout", timeout)
        _check_seconds("max_wait", max_wait, zero=True)
        keep_secret(token)
        self.root = root.rstrip("/")
        self.server_time: datetime | None = None
        self._api = api
        self._timeout = timeout
        self._queue = Queue(max_wait, on_wait)
        self._stopped = threading.Event()
        self._session = _Session()
        self._session.auth = _Token(api.authorization(token))
        self._session.headers.update({"Accept": api.ACCEPT, "User-Agent": USER_AGENT})
        if is_loopback(root):
            self._session.trust_env = False  # a proxy would carry the token off this machine
        # Threads beyond these open connections of their own: none waits for another's without end.
        self._session.mount(root, DeadlineAdapter(pool_maxsize=MAX_CONNECTIONS))

    def __repr__(self) -> str:
        """Show the server, never the token."""
        return f"<Transport to {self.root}>"

    def interrupt(self) -> None:
        """Make every call that is under way give up at its next step; later calls work."""
        self._stopped.set()
        self._stopped = threading.Event()
        self._queue.wake()

    def wait(self, seconds: float) -> None:
        """Wait, unless the load is interrupted meanwhile."""
        _wait(self._stopped, seconds)

    def close(self) -> None:
        """Give up what is under way and release the connections."""
        self.interrupt()
        self._session.close()

    def call(self, request: Request, parse: Callable[[bytes, Mapping[str, str]], T]) -> T:
        """Send a request until it has a usable answer, and parse it.

        Reading requests are tried up to five times: on connection errors, cut or missing
        answers, 502, 503, 504, and on bodies that `parse` cannot read. Every request is sent
        again after 429, when the server says so, for as long as it may wait. Others are sent once,
        since a lost answer does not tell whether they took effect.

        Parameters
        ----------
        request
            What to send.
        parse
            From body and headers to the result; raises DataError for a body it cannot read.

        Returns
        -------
        What `parse` made of the answer.

        Raises
        ------
        AuthenticationError, NotFoundError, RateLimitError, ApiError
            If the server refuses.
        TransportError
            If no usable answer came within the tries and the timeout.
        DataError
            If the last answer could not be read.
        """
        call = _Call(request, self._stopped, time.monotonic() + self._timeout)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(partial(_may_pass, request)),
            stop=partial(_is_over, call),
            wait=partial(_backoff, call),
            sleep=partial(_wait, call.stopped),
            retry_error_callback=self._give_up,
        )
        failure: CapsuleError
        try:
            result: T = retrying(self._try, call, parse)
        except CapsuleError as error:
            failure = error
        else:
            return result
        # Raised out here: what it came from may quote the server, and so the token.
        raise _without_foreign_words(failure)

    def _try(self, call: _Call, parse: Callable[[bytes, Mapping[str, str]], T]) -> T:
        status, call.headers, body = self._answer(call)
        if status < 300:  # noqa: PLR2004
            return parse(body, call.headers)
        raise self._refusal(call, status, body)

    def _give_up(self, state: tenacity.RetryCallState) -> NoReturn:
        """Say how long it was tried, in an error of the same kind."""
        failure = state.outcome and state.outcome.exception()
        if not isinstance(failure, CapsuleError):  # pragma: no cover - no other is tried again
            raise TypeError(failure)
        enough = state.attempt_number >= TRIES
        when = f"after {TRIES} tries" if enough else f"within {self._timeout:g} s"
        words = f"{failure} ({when})"
        if isinstance(failure, ApiError):
            raise type(failure)(words, failure.status) from failure
        raise type(failure)(words) from failure

    def _answer(self, call: _Call) -> tuple[int, Mapping[str, str], bytes]:
        """Send when the request limit allows it, until the answer is not that it does not."""
        refusals = 0
        while True:
            before = call.waited
            call.waited = self._queue.enter(before, call.stopped)
            call.deadline += call.waited - before
            status, headers, body = self._send(call, refusals)
            if status != _TOO_MANY:
                return status, headers, body
            refusals += 1

    def _send(self, call: _Call, refusals: int) -> tuple[int, Mapping[str, str], bytes]:
        """Send once, following redirects only on the same server; give back the place."""
        began, status = self._queue.clock(), None
        headers: Mapping[str, str] = {}
        try:
            with self._request(call) as response:
                headers, status = response.headers, response.status_code
                self.server_time = server_time(headers) or self.server_time
                return status, headers, _read(response)
        except CapsuleError:
            raise
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            raise _failure(call, error) from error
        finally:
            self._queue.leave(began, status, headers, refusals)

    def _request(self, call: _Call) -> requests.Response:
        request, url = call.request, self.root + call.request.path
        params: dict[str, str] | None = request.params
        for _ in range(_MAX_REDIRECTS):
            left = max(call.deadline - time.monotonic(), 0.01)
            limit: Any = Timeout(connect=min(_CONNECT_SECONDS, left), total=left)
            response = self._session.request(
                request.method,
                url,
                params=params,
                data=request.body,
                headers={"Content-Type": self._api.CONTENT_TYPE} if request.body else None,
                timeout=limit,
                allow_redirects=False,
                stream=True,
            )
            if not response.is_redirect:
                return response
            response.close()
            target = _target(call, url, response.headers["Location"])
            if not request.reads:
                raise _FinalError(f"{call.name}: redirected, not sent again")
            url, params = target, None
        raise _FinalError(f"{call.name}: redirected {_MAX_REDIRECTS} times")

    def _refusal(self, call: _Call, status: int, body: bytes) -> ApiError:
        # Made safe before they are cut: half a token would not be known for one.
        words = safe(self._api.parse_error(body))[:_WORDS].rstrip(" .")  # more may follow
        message = f"{call.name}: {status}{': ' * bool(words)}{words}"
        if status in _UNAUTHORISED:
            return AuthenticationError(f"{message}. {_UNAUTHORISED[status]}", status)
        if status == 404:  # noqa: PLR2004
            return NotFoundError(message, status)
        return ApiError(message, status)


class _FinalError(TransportError):
    """A transport failure that another try would not mend."""


def _may_pass(request: Request, failure: BaseException) -> bool:
    """Tell whether another try may mend it, and does no harm."""
    if isinstance(failure, ApiError):
        passing = failure.status in _TRANSIENT
    else:
        passing = isinstance(failure, TransportError | DataError)
        passing = passing and not isinstance(failure, _FinalError | TooManyValuesError)
    return passing and request.reads


def _backoff(call: _Call, state: tenacity.RetryCallState) -> float:
    """Wait longer each time, and as long as the server asks."""
    asked = retry_after(call.headers or {}, time.time()) or 0.0
    call.headers = None
    return max(BACKOFF(state), asked)


def _is_over(call: _Call, state: tenacity.RetryCallState) -> bool:
    """Tell whether it was tried often enough, or the next try would begin too late."""
    return state.attempt_number >= TRIES or time.monotonic() + state.upcoming_sleep > call.deadline


def _target(call: _Call, url: str, location: str) -> str:
    """Return where a redirect leads, if that is the same server."""
    try:
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
    except ValueError:
        raise _FinalError(f"{call.name}: redirected to an address that is none") from None
    if there[:2] != here[:2]:
        raise _FinalError(
            f"{call.name}: the server redirects to {there.netloc}; the token goes to no other "
            "server"
        )
    return target


def _read(response: requests.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK):
        size += len(chunk)
        if size > _deadline.MAX_BYTES:  # unpacked it may be more than on the wire
            raise TooLargeError(_deadline.MAX_BYTES)
        chunks.append(chunk)
    return b"".join(chunks)


def _wait(stopped: threading.Event, seconds: float) -> None:
    """Wait, unless the call is interrupted."""
    if stopped.wait(max(seconds, 0.0)):
        raise TransportError("the load was interrupted")


def _without_foreign_words(failure: CapsuleError) -> CapsuleError:
    """Let an error come only from errors of ours, whose words are safe to show."""
    failure.__context__ = None
    if (cause := failure.__cause__) is not None:
        if not isinstance(cause, CapsuleError):
            words = CapsuleError(f"{type(cause).__name__}: {cause}")
            words.__cause__ = cause.__cause__ or cause.__context__
            cause = words
        failure.__cause__ = _without_foreign_words(cause)
    return failure


_UNAUTHORISED = {
    401: "The server does not know the token: it is wrong, or was deleted",
    403: "The token may not read this: make it as a user who may see all opportunities",
}
"""What to do about it, by status."""


def _failure(call: _Call, error: Exception) -> TransportError:
    """Name a network failure without the library's internals."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, TooLargeError):
            return _FinalError(f"{call.name}: {chain}")
        if isinstance(chain, NameResolutionError):
            return TransportError(
                f"{call.name}: no server of that name was found; check the address and the network"
            )
        chain = chain.__cause__ or chain.__context__
    if isinstance(error, requests.exceptions.SSLError):
        return _FinalError(f"{call.name}: the server's certificate cannot be verified")
    if isinstance(error, requests.Timeout) or time.monotonic() >= call.deadline:
        what = "no answer in time"
    elif isinstance(
        error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError
    ):
        what = "the answer was cut off"
    elif isinstance(error, requests.ConnectionError):
        what = "the connection failed or was lost"
    else:
        what = f"the request failed ({type(error).__name__})"
    return TransportError(f"{call.name}: {what}")


def _check_seconds(name: str, value: float, *, zero: bool = False) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not (0 < value <= LONGEST or (zero and value == 0)):
        least = "0" if zero else "more than 0"
        raise ArgumentError(f"{name} must be {least} to {LONGEST:,.0f} seconds, not {value!r}")


def _check_url(root: str) -> None:
    try:
        parts = urlsplit(root)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its words quote what may be a password
        raise ArgumentError("the server's address is no http or https URL") from None
    if parts.username or parts.password:
        raise ArgumentError("the URL must not carry credentials; pass the token instead")
    if not named or parts.query or parts.fragment or not root.isprintable() or " " in root:
        raise ArgumentError(f"{root!r} is no http or https URL of a server")
    if parts.scheme == "http" and not is_loopback(root):
        raise ArgumentError(
            f"{parts.hostname}: plain http would show the token to the network; use https"
        )
