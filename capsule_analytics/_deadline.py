"""HTTP connections that are over when their time is up, however slowly the answer trickles.

A socket's own time limit starts anew with every byte, so a server that sends one now and then is
waited for without end. Here each single step on the socket is given what is left until one moment:
finding the host, connecting, the TLS handshake, sending, and every read of headers and body. Python
holds the handshake and one TLS read to the socket's limit as a whole, whatever arrives in between.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of one answer, on the wire and unpacked; a page of 100 deals has some 100,000."""

_PIECE = 16 * 1024
_MOMENT = 1e-3


class TooLargeError(OSError):
    """An answer that has more bytes than any page."""

    def __init__(self, most: int) -> None:
        super().__init__(f"the answer is larger than {most:,} bytes; cut off")


class _Bounded(io.RawIOBase):
    """A socket's bytes until a moment, and no more than an answer may have."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket = sock
        self._bytes = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self._left = MAX_BYTES

    def makefile(self, *_: object) -> io.BufferedReader:
        """Be asked for a file, as `http.client` asks a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Tell that it is for reading."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read what has come, or wait for it as long as there is time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        self._socket.settimeout(left)
        read: int | None = self._bytes.readinto(buffer)
        self._left -= read or 0
        if self._left < 0:
            raise TooLargeError(MAX_BYTES)
        return read

    def close(self) -> None:
        """Let go of the socket."""
        self._bytes.close()
        super().close()


class _Connection(HTTPConnection):
    """A connection whose `timeout` runs from when it is set, not from each step."""

    _deadline: float | None = None

    @property
    def timeout(self) -> Any:  # noqa: ANN401 - urllib3 puts its own placeholder here too
        """Seconds that are left of the time that was set; 0 would mean not to wait at all."""
        if self._deadline is None:
            return self._unset
        return max(self._deadline - time.monotonic(), _MOMENT)

    @timeout.setter
    def timeout(self, value: Any) -> None:  # noqa: ANN401
        self._unset = value
        self._deadline = time.monotonic() + value if isinstance(value, int | float) else None

    def _new_conn(self) -> socket.socket:
        """Find the host and connect, both within the time.

        The system's look-up of names knows no limit, and a host may have several addresses, each of
        which would have the whole time. So another thread does it, and is left alone when it takes
        too long: it ends by itself.
        """
        made: Future[socket.socket] = Future()

        def connect() -> None:
            try:
                sock = super(_Connection, self)._new_conn()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was waited for
                if made.set_running_or_notify_cancel():
                    made.set_exception(error)
                return
            if made.set_running_or_notify_cancel():
                made.set_result(sock)
            else:
                sock.close()

        limit = self.timeout
        threading.Thread(target=connect, name="capsule-connect", daemon=True).start()
        try:
            sock = made.result(limit)
        except FutureTimeoutError:
            if made.cancel():
                raise ConnectTimeoutError(self, "the server cannot be reached in time") from None
            sock = made.result()
        sock.settimeout(self.timeout)  # what is left for the handshake
        return sock

    def send(self, data: Any) -> None:  # noqa: ANN401 - bytes of any kind
        """Send in pieces, each within what is left."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            if self.sock is not None:
                self.sock.settimeout(self.timeout)
            super().send(view[start : start + _PIECE])

    def _tunnel(self) -> None:
        """Ask a proxy through, and leave the handshake what is left after that."""
        super()._tunnel()
        if self.sock is not None:
            self.sock.settimeout(self.timeout)

    def response_class(  # type: ignore[override] # it is called as a class would be
        self,
        sock: socket.socket,
        *args: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401 - as given
    ) -> http.client.HTTPResponse:
        """Read an answer, of the server or of a proxy, by this connection's deadline."""
        bounded: Any = sock if self._deadline is None else _Bounded(sock, self._deadline)
        return http.client.HTTPResponse(bounded, *args, **options)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same under TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class DeadlineAdapter(HTTPAdapter):
    """Makes a `requests` session keep to its ``timeout`` as a whole: a `urllib3.Timeout` total."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Make connections of the kind above."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as requests
        """Make them through a proxy too."""
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager
