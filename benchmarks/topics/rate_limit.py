"""Load the sample account where few requests are allowed, against what the limit allows.

A server that takes 4 requests in each 6 seconds, its windows beginning with a request and its reset
rounded down to whole seconds: the hardest form, since who comes at the second that it says is
refused. Beside our load, a client that asks page after page and waits when it is refused.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

import capsule_analytics as ca
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIApplication

LIMIT = 4
WINDOW = 6.0


class Row(NamedTuple):
    """What one client took."""

    what: str
    seconds: float
    requests: int
    refused: int

    @property
    def allowed(self) -> float:
        """Seconds that so many requests must take: all windows but the last are waited out."""
        return (math.ceil((self.requests - self.refused) / LIMIT) - 1) * WINDOW


class Gate:
    """Counts requests in windows in front of a server that has no limit of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._ends = -math.inf
        self._used = 0
        self.requests = 0
        self.refused = 0

    def app(self) -> WSGIApplication:
        """Make the WSGI application."""

        @Request.application
        def application(request: Request) -> Response:
            with self._lock:
                now = time.time()
                if now >= self._ends:
                    self._ends, self._used = now + WINDOW, 0
                self._used += 1
                self.requests += 1
                remaining = LIMIT - self._used
                self.refused += remaining < 0
                told = {
                    "X-RateLimit-Limit": str(LIMIT),
                    "X-RateLimit-Remaining": str(max(remaining, 0)),
                    "X-RateLimit-Reset": str(int(self._ends)),
                }
            if remaining < 0:
                return Response('{"error":"rate limit reached"}', 429, told)
            behind = requests.request(
                request.method,
                self._url + request.full_path,
                headers={"Authorization": request.headers["Authorization"]},
                data=request.get_data(),
                timeout=30,
            )
            kept = ("Content-Type", "Link", "X-Pagination-Has-More")
            told |= {name: behind.headers[name] for name in kept if name in behind.headers}
            return Response(behind.content, behind.status_code, told)

        return application


def ours(url: str, token: str) -> None:
    """Load the whole account, and show that it is complete."""
    with ca.CapsuleClient(token=token, base_url=url) as client:
        ca.load_pipeline(client)


def plain(url: str, token: str) -> None:
    """Ask page after page; when refused, wait until the reset and ask again."""
    page = 1
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        while True:
            asked = {"page": page, "perPage": 100}
            answer = session.get(f"{url}/api/v2/opportunities", params=asked, timeout=30)
            if answer.status_code == 429:
                time.sleep(max(int(answer.headers["X-RateLimit-Reset"]) - time.time(), 0.5))
                continue
            if answer.headers["X-Pagination-Has-More"] != "true":
                return
            page += 1


def measure(*, heavy: bool) -> str:
    """Measure our client; where told so, beside it the one that asks page after page."""
    clients = {"load_pipeline, complete": ours} | ({"page after page": plain} if heavy else {})
    lines = [
        f"{LIMIT} requests in each {WINDOW:g} s:",
        "",
        "| client | seconds | requests | refused | allowed | ratio | goal | |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for what, load in clients.items():
        row = _row(what, load)
        ratio = row.seconds / row.allowed
        goal = "" if load is plain else "≤ 1.2"
        reached = "" if load is plain else "reached" if ratio <= 1.2 else "**missed**"
        lines.append(
            f"| {what} | {row.seconds:.1f} | {row.requests} | {row.refused} | {row.allowed:.0f} "
            f"| {ratio:.2f} | {goal} | {reached} |"
        )
    return "\n".join(lines)


def _row(what: str, load: Callable[[str, str], None]) -> Row:
    """Load with a window of its own."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with Sandbox() as sandbox:
        gate = Gate(sandbox.url)
        server = make_server("127.0.0.1", 0, gate.app(), threaded=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        began = time.perf_counter()
        load(f"http://127.0.0.1:{server.server_port}", sandbox.token)
        spent = time.perf_counter() - began
        server.shutdown()
        serving.join()
    return Row(what, spent, gate.requests, gate.refused)
