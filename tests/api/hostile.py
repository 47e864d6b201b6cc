"""A server that misbehaves byte by byte, on a raw socket: what no HTTP library would send.

A behaviour is a function from a request's target (path and query) to what is done: bytes are
sent, numbers are seconds to wait, and `RESET` tears the connection down. When there is no more,
the connection is closed. Nothing outlives the block: waits end with it.

    with hostile(trickled_body(pause=0.05)) as server:
        get(server.url)
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from http import HTTPStatus


class Act(Enum):
    """What is done to a connection beside sending and waiting."""

    RESET = "reset"


RESET = Act.RESET

Behaviour = Callable[[str], Iterable[bytes | float | Act]]


class Hostile:
    """A listening server.

    Attributes
    ----------
    url
        Where it listens, without a slash at the end.
    requests
        The head of every request, as it came.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self.stopping.is_set():
                connection, _ = self.listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections.append(connection)
                thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        # The client may go away at any time: that is what some tests wait for.
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.requests.append(head.split(b"\r\n\r\n")[0])
            target = head.split(b" ")[1].decode("latin-1")
            for act in self.behaviour(target):
                if self.stopping.is_set():
                    return
                if act is RESET:
                    # To linger for no time makes close() send a reset instead of an end.
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                if isinstance(act, bytes):
                    connection.sendall(act)
                elif isinstance(act, int | float):
                    self.stopping.wait(act)
            # An end, and time for the client to read it, before unread bytes make it a reset.
            connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End everything that is under way."""
        self.stopping.set()
        for one in [self.listener, *self.connections]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(5)


@contextmanager
def hostile(behaviour: Behaviour) -> Iterator[Hostile]:
    """Serve a behaviour on loopback while the block runs."""
    server = Hostile(behaviour)
    try:
        yield server
    finally:
        server.close()


def head(*headers: str, status: HTTPStatus = HTTPStatus.OK, json: bool = True) -> bytes:
    """Write a status line and headers; without a length, the body ends with the connection."""
    kind = ["Content-Type: application/json"] if json else []
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *kind, "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _trickle(data: Iterable[int], pause: float) -> Iterator[bytes | float | Act]:
    for byte in data:
        yield bytes([byte])
        yield pause


def plain(body: bytes = b"{}", *headers: str, status: HTTPStatus = HTTPStatus.OK) -> Behaviour:
    """Answer as one should, so that a client can be led to the place where it goes wrong."""
    return lambda _: [head(f"Content-Length: {len(body)}", *headers, status=status) + body]


def silence() -> Behaviour:
    """Take the request and never say a word."""
    return lambda _: itertools.repeat(0.05)


def trickled_headers(pause: float) -> Behaviour:
    """Send headers for ever, a byte at a time."""
    start = head().removesuffix(b"\r\n")
    return lambda _: _trickle(itertools.chain(start, itertools.cycle(b"X-Slow: 1\r\n")), pause)


def trickled_body(pause: float, *, length: int | None = 1_000_000) -> Behaviour:
    """Send a body a byte at a time: with a length, or None for one that never ends."""
    start = head() if length is None else head(f"Content-Length: {length}")

    def act(_target: str) -> Iterator[bytes | float | Act]:
        spaces = itertools.repeat(32) if length is None else itertools.repeat(32, length)
        return itertools.chain([start], _trickle(spaces, pause))

    return act


def trickled_chunk(pause: float, *, size: int = 1_000_000) -> Behaviour:
    """Send one large chunk a byte at a time."""
    start = head("Transfer-Encoding: chunked") + f"{size:x}\r\n".encode()
    return lambda _: itertools.chain([start], _trickle(itertools.repeat(32, size), pause))


def endless_continue(pause: float = 0.0) -> Behaviour:
    """Say 100 Continue again and again."""
    return lambda _: itertools.cycle([b"HTTP/1.1 100 Continue\r\n\r\n", pause])


def wrong_length(said: int | str, body: bytes = b"{}") -> Behaviour:
    """Announce a length, which need not be a number, and send something else."""
    return lambda _: [head(f"Content-Length: {said}") + body]


def reset_mid_body(body: bytes = b'{"opportunities": [') -> Behaviour:
    """Announce more than is sent, then tear the connection down."""
    return lambda _: [head(f"Content-Length: {len(body) + 100}") + body, 0.05, RESET]


def broken_chunk(body: bytes = b"{}") -> Behaviour:
    """Send a chunk whose size is no number."""
    return lambda _: [head("Transfer-Encoding: chunked") + b"zz\r\n" + body + b"\r\n0\r\n\r\n"]


def giant_header(size: int = 1_000_000) -> Behaviour:
    """Send one header of so many bytes."""
    return lambda _: [head("X-Giant: " + "a" * size, "Content-Length: 2") + b"{}"]


def many_headers(count: int = 10_000) -> Behaviour:
    """Send so many headers."""
    lines = [f"X-Many-{n}: {n}" for n in range(count)]
    return lambda _: [head(*lines, "Content-Length: 2") + b"{}"]


def garbage_status(line: bytes = b"\x00\xff SSH-2.0-garbage") -> Behaviour:
    """Answer with a first line that is no HTTP."""
    return lambda _: [line + b"\r\n\r\n{}"]
