"""A server that says whatever bytes a test wants, at whatever pace, on loopback."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def raw_server(
    answer: Callable[[socket.socket, threading.Event], None],
) -> Iterator[tuple[str, list[bytes]]]:
    """Give its URL, and the requests it got; `answer` says what each connection is told.

    It gets the connection, once the request's head is there, and an event that is set when the
    test is over; what it tries to say after the client has gone is ignored.
    """
    over = threading.Event()
    asked: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(conn: socket.socket) -> None:
        with suppress(OSError), conn:
            head = b""
            while b"\r\n\r\n" not in head and (more := conn.recv(65536)):
                head += more
                if head[:1] == b"\x16":
                    break  # TLS
            asked.append(head)
            answer(conn, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                conn, _ = listening.accept()
                threading.Thread(target=serve, args=[conn], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def says(data: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Say it at once, and close."""
    return lambda conn, _: conn.sendall(data)


def trickles(
    first: bytes, drop: bytes, seconds: float = 0.05
) -> Callable[[socket.socket, threading.Event], None]:
    """Say the first part at once, and then a drop now and then without end."""

    def answer(conn: socket.socket, over: threading.Event) -> None:
        conn.sendall(first)
        while not over.wait(seconds):
            conn.sendall(drop)

    return answer
