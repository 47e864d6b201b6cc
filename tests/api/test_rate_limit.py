"""The request limit is used to the full and never passed: a model of a server, simulated time."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_server import raw_server, says
from sandbox_account import account

import capsule_analytics as ca
from capsule_analytics.api._rate_limit import Allowance, Queue, retry_after, server_time
from capsule_analytics.errors import RateLimitError, TransportError
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

START = 1_800_000_000.0


@dataclass
class Server:
    """Counts requests in windows of fixed length, as its documentation says Capsule does.

    `ahead` is its clock minus ours. A window begins with its first request, or on the clock.
    """

    limit: int
    window: float
    ahead: float = 0.0
    by_the_clock: bool = False
    rounded: Any = math.floor
    has_date: bool = True
    ends: float = -math.inf
    used: int = 0
    refused: int = 0

    def count(self, now: float) -> tuple[int, dict[str, str]]:
        here = now + self.ahead
        if here >= self.ends:
            begins = here // self.window * self.window if self.by_the_clock else here
            self.ends, self.used = begins + self.window, 0
        self.used += 1
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self.used, 0)),
            "X-RateLimit-Reset": str(self.rounded(self.ends)),
        }
        if self.has_date:
            headers["Date"] = format_datetime(datetime.fromtimestamp(here, UTC), usegmt=True)
        self.refused += self.used > self.limit
        return (429 if self.used > self.limit else 200), headers


@dataclass
class Load:
    """Workers that share an allowance, on a clock that jumps from event to event."""

    server: Server
    requests: int
    workers: int
    latencies: Any
    allowance: Allowance = field(default_factory=Allowance)
    now: float = START + 0.37
    starts: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Return the seconds that it took."""
        began, left, flying = self.now, self.requests, 0
        order = itertools.count()
        events: list[tuple[float, int, str, Any]] = []
        for moment in self.others:
            heapq.heappush(events, (moment, next(order), "other", None))
        while left or flying:
            waiting = min(self.workers - flying, left)
            start = math.inf
            if waiting:
                start, until = self.allowance.next_start(self.now, waiting)
                assert start <= max(until, self.now) or math.isinf(start), "later than the reset"
            if start <= self.now:
                self.allowance.start(self.now)
                self.starts.append(self.now)
                flying, left = flying + 1, left - 1
                arrives = self.now + next(self.latencies)
                heapq.heappush(events, (arrives, next(order), "arrives", self.now))
                continue
            assert events or math.isfinite(start), "nobody would ever go on"
            if events and events[0][0] <= start:
                self.now, _, kind, what = heapq.heappop(events)
                if kind == "other":
                    self.server.count(self.now)
                elif kind == "arrives":
                    answer = (what, *self.server.count(self.now))
                    back = self.now + next(self.latencies)
                    heapq.heappush(events, (back, next(order), "answer", answer))
                else:
                    sent, status, headers = what
                    flying -= 1
                    self.allowance.end()
                    if status == 429:
                        left += 1
                        self.allowance.refuse(sent, self.now, headers, 1.0)
                    else:
                        self.allowance.learn(sent, self.now, headers)
            else:
                self.now = start
        return self.now - began


servers = st.builds(
    Server,
    limit=st.integers(1, 40),
    window=st.sampled_from([6.0, 10.0, 60.0, 3600.0]),
    ahead=st.just(0.0) | st.floats(-100_000, -3) | st.floats(3, 100_000),
    by_the_clock=st.booleans(),
    rounded=st.sampled_from([math.floor, math.ceil, float]),
)


@settings(max_examples=300, deadline=None)
@given(
    server=servers,
    requests=st.integers(1, 120),
    workers=st.integers(1, 8),
    latency=st.lists(st.floats(0.001, 0.9), min_size=1, max_size=7),
)
@example(Server(4, 6.0), 13, 6, [0.02])
def test_alone_nothing_is_refused_and_little_time_is_lost(
    server: Server, requests: int, workers: int, latency: list[float]
) -> None:
    load = Load(server, requests, workers, itertools.cycle(latency))
    spent = load.run()
    assert server.refused == 0
    windows = math.ceil(requests / server.limit)
    # Each window costs: what whole seconds hide (of the reset, of the server's clock), and the
    # time of the request that opens it alone; within it, requests take their own time.
    own = 2 * sum(itertools.islice(itertools.cycle(latency), requests)) + windows * 2
    assert spent <= windows * (server.window + 2.0) + own


@settings(max_examples=150, deadline=None)
@given(
    server=servers,
    requests=st.integers(1, 60),
    workers=st.integers(1, 8),
    others=st.lists(st.floats(0, 200), max_size=60),
)
def test_others_with_the_same_token_are_coped_with(
    server: Server, requests: int, workers: int, others: list[float]
) -> None:
    """What they take is lost to us; what is refused is sent again, and the load ends."""
    load = Load(server, requests, workers, itertools.cycle([0.05, 0.2]))
    load.others = [START + 1 + moment for moment in others]
    spent = load.run()
    windows = math.ceil((requests + len(others)) / server.limit) + len(others)
    assert spent <= 200 + (windows + 1) * (server.window + 4)


@pytest.mark.parametrize(
    ("limit", "requests", "window", "allowed"),
    [(4, 13, 6.0, 18.0), (4, 9, 6.0, 12.0), (4, 8, 6.0, 6.0), (60, 200, 60.0, 180.0),
     (4000, 9000, 3600.0, 7200.0)],
)  # fmt: skip
def test_the_load_takes_what_the_limit_allows(
    limit: int, requests: int, window: float, allowed: float
) -> None:
    """At most 1.2 times; the last requests wait for no spread that nobody needs."""
    server = Server(limit, window)
    spent = Load(server, requests, 6, itertools.cycle([0.005, 0.02, 0.01])).run()
    assert server.refused == 0
    assert spent <= 1.2 * allowed + requests * 0.03 / 6


def test_a_limit_that_is_far_away_costs_nothing() -> None:
    load = Load(Server(4000, 3600.0), 300, 6, itertools.repeat(0.05))
    assert load.run() == pytest.approx(300 * 0.1 / 6, rel=0.1)


def test_what_must_wait_anyway_is_spread_over_the_window() -> None:
    """With four in six seconds and six workers, the remaining three go 1.5 seconds apart."""
    server = Server(4, 6.0, rounded=float)
    load = Load(server, 40, 6, itertools.repeat(0.001))
    load.run()
    gaps = [later - earlier for earlier, later in itertools.pairwise(load.starts[:32])]
    assert gaps[1:] == pytest.approx([1.5] * 30, abs=0.05)


def test_many_low_remainders_add_no_waits() -> None:
    """Remainders 5 to 0 with a reset in 600 s: nothing waits longer than that."""
    allowance = Allowance()
    for remaining in (5, 4, 3, 2, 1, 0):
        allowance.start(START)
        allowance.end()
        told = {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": str(START + 600)}
        allowance.learn(START, START, told)
    assert allowance.next_start(START, 6) == (START + 601, START + 601)
    assert allowance.next_start(START + 601, 6)[0] == START + 601


def test_what_is_under_way_counts() -> None:
    allowance = Allowance()
    for _ in range(3):
        allowance.start(START)
    allowance.end()
    told = {"X-RateLimit-Remaining": "2", "X-RateLimit-Reset": str(START + 60)}
    allowance.learn(START, START, told)
    assert allowance.next_start(START, 1)[0] == math.inf, "the two may take the two that remain"
    allowance.end()
    allowance.learn(START, START, told | {"X-RateLimit-Remaining": "1"})
    assert allowance.next_start(START, 1)[0] == math.inf
    allowance.end()
    allowance.learn(START, START, told | {"X-RateLimit-Remaining": "2"})
    assert allowance.next_start(START, 1)[0] <= START, "a late answer knows less, not more"
    allowance.start(START)
    assert allowance.next_start(START, 1)[0] == math.inf


ODD = ["", "nan", "inf", "-inf", "-1", "-5", "0", "1", "1e308", "1e999", "9" * 400, "x", "0x10",
       "1.5", "٣", " 7 ", "True", "1_000", "\xff", "1800000000", "1800000600", "1800000600.25",
       "1800000600000", "-1800000000", "253402300800"]  # fmt: skip
DAYS = ["Mon, 01 Jan 2029 00:00:00 GMT", "Fri, 15 Jan 2027 08:00:00 GMT", "x", "", "0", "\xff\xfe",
        "Fri, 15 Jan 2027 08:00:00 +9999", "Fri, 15 Jan 2027 08:00:00 +99999999999999999999",
        "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 99 Jan 2027 99:99:99 GMT", "Fri, 15 Jan 20270000000000 08:00:00 GMT", "nan",
        "Thu, 01 Jan 1970 00:00:00 GMT", ",,,,", "15 Jan 2027", "Fri", "1 2 3 4 5"]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    answers=st.lists(
        st.tuples(
            st.sampled_from([200, 200, 429, 503]),
            st.fixed_dictionaries(
                {},
                optional={
                    "X-RateLimit-Remaining": st.sampled_from(ODD) | st.text(max_size=5),
                    "X-RateLimit-Reset": st.sampled_from(ODD) | st.floats().map(str),
                    "Retry-After": st.sampled_from(ODD + DAYS),
                    "Date": st.sampled_from(DAYS) | st.text(max_size=30),
                },
            ),
        ),
        min_size=1,
        max_size=8,
    ),
    max_wait=st.sampled_from([0.0, 5.0, 3600.0]),
)
def test_whatever_the_headers_say_it_goes_on_or_says_why(
    answers: list[tuple[int, dict[str, str]]], max_wait: float
) -> None:
    clock = [START]
    queue = Queue(max_wait, lambda _: None, clock=lambda: clock[0])
    queue._changed = Ticking(clock)  # type: ignore[assignment]
    waited = 0.0
    for status, headers in answers:
        retry_after(headers, clock[0])
        try:
            waited = queue.enter(0.0, threading.Event())
        except RateLimitError:
            return
        assert waited <= max_wait
        began = clock[0]
        clock[0] += 0.1
        queue.leave(began, status, headers)


class Ticking:
    """A condition on whose waits the simulated clock jumps on."""

    def __init__(self, clock: list[float]) -> None:
        self.clock = clock

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify_all(self) -> None: ...

    def wait(self, seconds: float) -> None:
        assert seconds < 1e9, "alone in the queue, it must not wait for somebody's answer"
        self.clock[0] += seconds


@pytest.mark.parametrize("text", DAYS)
def test_a_bad_date_is_no_date(text: str) -> None:
    moment = server_time({"Date": text})
    assert moment is None or (moment.tzinfo is UTC and 2000 <= moment.year < 2200)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset": str(START + 300)}, 301),  # rounded down, perhaps
        ({"X-RateLimit-Reset": str(START + 300.5)}, 300.5),
        ({"Retry-After": "90"}, 90),
        ({"Retry-After": "90", "X-RateLimit-Reset": str(START + 300.5)}, 300.5),
        ({"Retry-After": "Fri, 15 Jan 2027 08:02:00 GMT"}, 120),
        ({"X-RateLimit-Reset": str(START - 300)}, 1),
        ({}, 60),
        ({"X-RateLimit-Reset": "nan", "Retry-After": "soon"}, 60),
    ],
)
def test_a_refusal_is_waited_out(headers: Mapping[str, str], seconds: float) -> None:
    allowance = Allowance()
    allowance.start(START)
    allowance.end()
    allowance.refuse(START, START, headers, 1.0)
    assert allowance.next_start(START, 3)[0] == pytest.approx(START + seconds)
    later = START + seconds
    assert allowance.next_start(later, 3)[0] == later
    allowance.start(later)
    assert allowance.next_start(later, 2)[0] == math.inf, "one asks first, alone"


@pytest.mark.parametrize("ahead", [-1.4, -0.7, 0.6, 1.3])
@pytest.mark.parametrize("window", [6.0, 3600.0])
def test_clocks_that_differ_by_a_second_cost_a_refusal_at_most(ahead: float, window: float) -> None:
    """Whole seconds do not tell such clocks apart; in a window of an hour, none is refused."""
    server = Server(4, window, ahead=ahead)
    Load(server, 12, 1, itertools.repeat(0.3)).run()
    assert server.refused <= (2 if window < 60 else 0)


def test_the_servers_clock_counts_where_ours_is_wrong() -> None:
    server = Server(2, 60.0, ahead=-7200)
    load = Load(server, 6, 1, itertools.repeat(0.1))
    assert load.run() <= 2 * 62.5
    assert server.refused == 0


class TestWaits:
    """Over real sockets: told at once, and with a ceiling."""

    def test_a_wait_that_is_too_long_is_an_error_that_says_until_when(self) -> None:
        reset = int(time.time()) + 1800
        answer = (
            b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nX-RateLimit-Reset: %d\r\n\r\n"
        )
        with (
            raw_server(says(answer % reset)) as (url, asked),
            ca.CapsuleClient(token="t0ken", base_url=url, max_wait=600) as client,
            pytest.raises(RateLimitError) as caught,
        ):
            client.list_currencies()
        when = datetime.fromtimestamp(reset + 1, UTC)
        assert f"resets at {when:%Y-%m-%d %H:%M:%S} UTC (in 30 minutes)" in str(caught.value)
        assert "10 minutes" in str(caught.value)
        assert len(asked) == 1

    def test_the_ceiling_is_an_hour(self) -> None:
        answer = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 3700\r\n\r\n"
        with (
            raw_server(says(answer)) as (url, _),
            ca.CapsuleClient(token="t0ken", base_url=url) as client,
            pytest.raises(RateLimitError, match="later than the 60 minutes"),
        ):
            client.list_currencies()

    @pytest.mark.parametrize("reset", [b"1e300", b"99999999999999", b"inf", b"nan", b"-1", b"x"])
    def test_an_odd_reset_is_our_error(self, reset: bytes) -> None:
        answer = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nX-RateLimit-Reset: %b\r\n\r\n" % reset
        with (
            raw_server(says(answer)) as (url, _),
            ca.CapsuleClient(token="t0ken", base_url=url, max_wait=0) as client,
            pytest.raises(RateLimitError, match="used up and resets"),
        ):
            client.list_currencies()

    def test_refusals_without_end_end_at_the_ceiling(self) -> None:
        answer = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n"
        with (
            raw_server(says(answer)) as (url, asked),
            ca.CapsuleClient(token="t0ken", base_url=url, max_wait=1.5) as client,
            pytest.raises(RateLimitError, match=r"1\.5 seconds"),
        ):
            client.list_currencies()
        assert len(asked) == 2, "a pause of one second, and the next would be of two"

    def test_a_wait_is_told_before_it_begins(self) -> None:
        told: list[datetime] = []
        client: ca.CapsuleClient

        def hear(until: datetime) -> None:
            told.append(until)
            client.transport.interrupt()

        answer = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 900\r\n\r\n"
        began = time.monotonic()
        with raw_server(says(answer)) as (url, _):
            client = ca.CapsuleClient(token="t0ken", base_url=url, on_wait=hear)
            with pytest.raises(TransportError, match="interrupted"):
                client.list_currencies()
            client.close()
        assert time.monotonic() - began < 5, "interrupting ends the wait"
        assert 890 < (told[0] - datetime.now(UTC)).total_seconds() <= 900
        assert len(told) == 1

    def test_a_remainder_of_nothing_is_told_too(self) -> None:
        """The server refuses nothing; the wait is ours, and no less told."""
        body = b'{"currencies":["EUR"]}'
        answer = (
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-RateLimit-Remaining: 0\r\n"
            b"X-RateLimit-Reset: %d\r\n\r\n%b" % (len(body), time.time() + 1500, body)
        )
        told: list[datetime] = []
        with raw_server(says(answer)) as (url, asked):
            client = ca.CapsuleClient(token="t0ken", base_url=url, on_wait=told.append)
            assert client.list_currencies() == ["EUR"]
            client._currencies = None

            def wait() -> None:
                with pytest.raises(TransportError, match="interrupted"):
                    client.list_currencies()

            waiting = threading.Thread(target=wait)
            waiting.start()
            while not told:
                time.sleep(0.005)
            client.close()
            waiting.join(5)
            assert not waiting.is_alive()
        assert len(asked) == 1

    def test_a_load_over_http_provokes_no_refusal(self) -> None:
        data = account()
        with Sandbox(data, rate_limit=4, rate_window=0.5) as sandbox:
            with ca.CapsuleClient(token=sandbox.token, base_url=sandbox.url) as client:
                ca.load_pipeline(client)
            assert Counter(asked.status for asked in sandbox.requests)[429] == 0
