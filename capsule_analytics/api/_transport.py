"""The one HTTP session: authentication, TLS rule, time limits, retries, rate limit, size limit.

Nothing else in the package opens a connection (the sandbox, a server, apart). The token lives in
here and in no message: what the server says is searched for it before it is shown.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util import Retry

from capsule_analytics import __version__
from capsule_analytics.errors import (
    ApiError,
    ArgumentError,
    AuthenticationError,
    DataError,
    NotFoundError,
    RateLimitError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._protocol import Api, Request

T = TypeVar("T")

MAX_CONNECTIONS = 8
MAX_BYTES = 64 * 1024 * 1024
TRIES = 5
BACKOFF: dict[str, Any] = {"backoff_factor": 0.5, "backoff_jitter": 0.5, "backoff_max": 20}
USER_AGENT = f"capsule-analytics/{__version__}"

_TRANSIENT = frozenset({429, 502, 503, 504})
_CONNECT_SECONDS = 10.0
_LONGEST_PAUSE = 3900.0  # the limit is counted by the hour; a longer wait is no pause
_SLOW_BELOW = 50  # remaining requests below which they are spread over the time left
_CHUNK = 64 * 1024
_WORDS = 300  # characters of the server's own explanation that are shown
_MAX_REDIRECTS = 5


class _Token(AuthBase):
    """Sets the Authorization header; a class of its own so that no repr shows the token."""

    def __init__(self, header: str) -> None:
        self._header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


@dataclass
class RateLimit:
    """The account's hourly allowance, shared by all workers of a session.

    Attributes
    ----------
    on_wait
        Told once for each pause, with the local time at which it ends.
    """

    on_wait: Callable[[datetime], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _resume_at: float = 0.0
    _next_slot: float = 0.0

    def delay(self) -> float:
        """Take the next place in the queue; return how many seconds it lies ahead."""
        with self._lock:
            now = time.monotonic()
            return max(self._resume_at, self._next_slot, now) - now

    def note(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer; near the limit, spread what remains over the time left."""
        remaining = _number(headers.get("X-RateLimit-Remaining"))
        left = _seconds_until_reset(headers)
        if remaining is None or left is None or remaining >= _SLOW_BELOW:
            return
        nearness = 1 - max(remaining, 0) / _SLOW_BELOW
        with self._lock:
            slot = max(self._next_slot, time.monotonic())
            self._next_slot = slot + nearness * left / (remaining + 1)

    def pause(self, seconds: float) -> None:
        """Stop every worker for a while."""
        with self._lock:
            resume_at = time.monotonic() + seconds
            news = resume_at > self._resume_at + 1
            self._resume_at = max(self._resume_at, resume_at)
        if news and self.on_wait is not None:
            self.on_wait(datetime.now(UTC).astimezone() + timedelta(seconds=seconds))


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
        Seconds within which a request must succeed, all its tries included. The server's own
        rate-limit pauses come on top.
    on_wait
        Told about rate-limit pauses.

    Raises
    ------
    ArgumentError
        If the URL is not allowed or the token cannot be sent in a header.
    """

    def __init__(
        self,
        api: Api,
        root: str,
        token: str,
        *,
        timeout: float = 60.0,
        on_wait: Callable[[datetime], None] | None = None,
    ) -> None:
        _check_url(root)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ArgumentError("the token is empty or has characters that no token has")
        if not timeout > 0:
            raise ArgumentError(f"timeout must be positive, not {timeout}")
        self.root = root.rstrip("/")
        self.server_time: datetime | None = None
        self._api = api
        self._timeout = timeout
        self._limit = RateLimit(on_wait)
        self._stopped = threading.Event()
        header = api.authorization(token)
        self._secrets = (token, header.rpartition(" ")[2])
        self._session = requests.Session()
        self._session.auth = _Token(header)
        self._session.headers.update({"Accept": api.ACCEPT, "User-Agent": USER_AGENT})
        if _is_loopback(root):
            self._session.trust_env = False  # a proxy would carry the token off this machine
        adapter = HTTPAdapter(pool_maxsize=MAX_CONNECTIONS, pool_block=True)
        self._session.mount(root, adapter)

    def __repr__(self) -> str:
        """Show the server, never the token."""
        return f"<Transport to {self.root}>"

    def interrupt(self) -> None:
        """Make every call that is under way give up at its next step; later calls work."""
        self._stopped.set()
        self._stopped = threading.Event()

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
        again after 429, when the server says so. Others are sent once, since a lost answer does
        not tell whether they took effect.

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
        retries = Retry(total=TRIES - 1, **BACKOFF)
        stopped = self._stopped
        started, paused = time.monotonic(), 0.0
        while True:
            paused += _wait(stopped, self._limit.delay())
            deadline = started + paused + self._timeout
            try:
                status, headers, body = self._send(request, deadline)
                if status < 300:  # noqa: PLR2004
                    return parse(body, headers)
                failure: Exception = self._refusal(request, status, body)
                again = status == 429 or (status in _TRANSIENT and request.reads)  # noqa: PLR2004
            except (requests.RequestException, HTTPError, OSError) as error:
                headers = {}
                failure = TransportError(f"{request.method} {request.path}: {_reason(error)}")
                failure.__cause__ = error
                again = request.reads and not isinstance(error, requests.exceptions.SSLError)
            except DataError as error:
                headers, failure, again = {}, error, request.reads
            if not again:
                raise failure
            try:
                retries = retries.increment(request.method, request.path, error=failure)
            except MaxRetryError:
                raise _exhausted(failure, f"after {TRIES} tries") from failure
            if isinstance(failure, RateLimitError):
                self._pause(headers, failure)
                continue
            wait = max(retries.get_backoff_time(), _retry_after(retries, headers) or 0.0)
            if time.monotonic() + wait > deadline:
                raise _exhausted(failure, f"within {self._timeout:g} s") from failure
            _wait(stopped, wait)

    def _pause(self, headers: Mapping[str, str], failure: RateLimitError) -> None:
        seconds = _seconds_until_reset(headers)
        if seconds is None:
            seconds = _number(headers.get("Retry-After"))
        seconds = 60.0 if seconds is None else max(seconds, 1.0)
        if seconds > _LONGEST_PAUSE:
            raise RateLimitError(
                f"{failure}, and the server asks to wait {seconds / 60:.0f} minutes", failure.status
            )
        self._limit.pause(seconds)

    def _send(self, request: Request, deadline: float) -> tuple[int, Mapping[str, str], bytes]:
        """Send once, following redirects only on the same server."""
        url = self.root + request.path
        params: dict[str, str] | None = request.params
        for _ in range(_MAX_REDIRECTS):
            left = max(deadline - time.monotonic(), 0.1)
            with self._session.request(
                request.method,
                url,
                params=params,
                data=request.body,
                headers={"Content-Type": self._api.CONTENT_TYPE} if request.body else None,
                timeout=(min(_CONNECT_SECONDS, left), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                self._limit.note(response.headers)
                self._note_time(response.headers)
                if not response.is_redirect:
                    return response.status_code, response.headers, self._read(response, deadline)
                target = urljoin(url, response.headers["Location"])
            if urlsplit(target)[:2] != urlsplit(url)[:2]:
                raise _FinalError(
                    f"{request.method} {request.path}: the server redirects to "
                    f"{urlsplit(target).netloc}; the token goes to no other server"
                )
            if not request.reads:
                raise _FinalError(f"{request.method} {request.path}: redirected, not sent again")
            url, params = target, None
        raise _FinalError(f"{request.method} {request.path}: redirected {_MAX_REDIRECTS} times")

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        chunks, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > MAX_BYTES:
                raise _FinalError(f"the answer is larger than {MAX_BYTES:,} bytes; cut off")
            if time.monotonic() > deadline:
                raise requests.Timeout("the answer trickles")
            chunks.append(chunk)
        return b"".join(chunks)

    def _note_time(self, headers: Mapping[str, str]) -> None:
        if (server_time := _server_time(headers)) is not None:
            self.server_time = server_time

    def _refusal(self, request: Request, status: int, body: bytes) -> ApiError:
        words = self._api.parse_error(body)
        for secret in self._secrets:
            words = words.replace(secret, "***")
        words = words[:_WORDS].rstrip(" .")  # more may be said after it
        message = f"{request.method} {request.path}: {status}{': ' * bool(words)}{words}"
        if status in {401, 403}:
            return AuthenticationError(f"{message}. Check the token and what it may read", status)
        if status == 404:  # noqa: PLR2004
            return NotFoundError(message, status)
        if status == 429:  # noqa: PLR2004
            return RateLimitError(message, status)
        return ApiError(message, status)


def _wait(stopped: threading.Event, seconds: float) -> float:
    """Wait, unless the call is interrupted; return the seconds."""
    if stopped.wait(max(seconds, 0.0)):
        raise TransportError("the load was interrupted")
    return seconds


class _FinalError(TransportError):
    """A transport failure that another try would not mend."""


def _exhausted(failure: Exception, when: str) -> Exception:
    """Say how long it was tried, in an error of the same kind."""
    if isinstance(failure, ApiError):
        return type(failure)(f"{failure} ({when})", failure.status)
    return type(failure)(f"{failure} ({when})")


def _reason(error: Exception) -> str:
    """Name a network failure without the library's internals."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate cannot be verified"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(
        error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError
    ):
        return "the answer was cut off"
    if isinstance(error, requests.ConnectionError):
        return "the connection failed or was lost"
    return f"the request failed ({type(error).__name__})"


def _check_url(root: str) -> None:
    parts = urlsplit(root)
    if parts.username or parts.password:
        raise ArgumentError("the URL must not carry credentials; pass the token instead")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ArgumentError(f"{root!r} is no http or https URL")
    if parts.scheme == "http" and not _is_loopback(root):
        raise ArgumentError(
            f"{parts.hostname}: plain http would show the token to the network; use https"
        )


def _is_loopback(root: str) -> bool:
    host = urlsplit(root).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _server_time(headers: Mapping[str, str]) -> datetime | None:
    try:
        moment = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _seconds_until_reset(headers: Mapping[str, str]) -> float | None:
    """Read X-RateLimit-Reset by the server's own clock."""
    reset = _number(headers.get("X-RateLimit-Reset"))
    if reset is None:
        return None
    now = _server_time(headers) or datetime.now(UTC)
    return max(reset - now.timestamp(), 0.0)


def _retry_after(retries: Retry, headers: Mapping[str, str]) -> float | None:
    value: Any = headers.get("Retry-After")
    try:
        return None if value is None else retries.parse_retry_after(value)
    except HTTPError:
        return None
