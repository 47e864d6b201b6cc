"""A sandbox in a process of its own, so that it does not share Python with who is measured."""

from __future__ import annotations

import multiprocessing
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection


class Server(NamedTuple):
    """Where it is; `line` answers any word with the requests so far."""

    url: str
    token: str
    line: Connection

    def requests(self) -> int:
        """Count the requests so far."""
        self.line.send("how many")
        found: int = self.line.recv()
        return found


@contextmanager
def served(account: dict[str, Any], milliseconds: float) -> Iterator[Server]:
    """Serve an account, every answer so many milliseconds late, without a limit of requests."""
    spawn = multiprocessing.get_context("spawn")
    line, other = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(account, milliseconds, other), daemon=True)
    process.start()
    try:
        url, token = line.recv()
        yield Server(url, token, line)
        line.send(None)
        process.join(10)
    finally:
        process.terminate()


def _serve(account: dict[str, Any], milliseconds: float, line: Connection) -> None:
    with Sandbox(account, latency=milliseconds / 1000, rate_limit=10**9) as sandbox:
        line.send((sandbox.url, sandbox.token))
        while line.recv() is not None:
            line.send(len(sandbox.requests))
