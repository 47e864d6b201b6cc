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
    from _typeshed.wsgi import WSGIApplication

LIMIT = 4
WINDOW = 6.0
BEFORE = "37.2 s for 15 requests, 2 of them refused: 2.07 of what is allowed"
"""The same load when each answer near the limit added a wait of its own, and none was reserved."""


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


def measure() -> list[Row]:
    """Measure both, each with a window of its own."""
    rows = []
    for what, load in (("load_pipeline, complete", ours), ("page after page", plain)):
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
            rows.append(Row(what, spent, gate.requests, gate.refused))
    return rows


def main() -> None:
    """Measure and print."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request would hide the table
    print(f"{LIMIT} requests in each {WINDOW:g} s:")
    print("| client | seconds | requests | refused | allowed | ratio | limit |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for row in measure():
        limit = "≤ 1.2" if row.what.startswith("load") else ""
        ratio = row.seconds / row.allowed
        print(
            f"| {row.what} | {row.seconds:.1f} | {row.requests} | {row.refused} | "
            f"{row.allowed:.0f} | {ratio:.2f} | {limit} |"
        )
    print(f"Before: {BEFORE}.")


if __name__ == "__main__":
    main()
