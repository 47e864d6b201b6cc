"""The account's request limit, shared by all workers of a client: one queue, and no 429 of our own.

A server counts requests in windows (Capsule: 4,000 an hour for each user) and says with every
answer how many the window still allows and when it ends. `Allowance` is the arithmetic of that,
without threads and without a clock of its own; `Queue` makes the workers wait by it.

What keeps us within the limit: an answer tells the remainder as it was when the server counted
that request. Requests that are under way may or may not be in it, so they are taken off. In a
window that no answer has told of yet, one request goes alone.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from capsule_analytics.errors import RateLimitError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ROUNDED = 1.0  # seconds: a reset in whole seconds may have been rounded down
_SOON = 20.0
_UNTOLD = 60.0  # pause after a 429 that does not say how long
_WORTH_TELLING = 1.0
_YEARS = (2000, 2200)  # a clock outside them was never set
_TOO_MANY = 429


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """Read the server's clock; None where it has none, or one that cannot be right.

    Parameters
    ----------
    headers
        Of an answer, names in any case.
    """
    try:
        moment = parsedate_to_datetime(headers["Date"])
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if _YEARS[0] <= moment.year < _YEARS[1] else None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Read how many seconds the server asks to wait, said as a number or as a date."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if (seconds := _number(text)) is not None:
        return max(seconds, 0.0)
    moment = server_time({"Date": text})
    return None if moment is None else max(moment.timestamp() - now, 0.0)


def _number(text: str | None) -> float | None:
    """Read a finite number."""
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


class Allowance:
    """What the server still allows, as its answers tell.

    All times are seconds on one clock of ours that never goes back and stands near the epoch's.
    """

    def __init__(self) -> None:
        self._remaining = math.inf
        self._resets = -math.inf  # when the window ends that `_remaining` speaks of
        self._window = -math.inf  # the reset as the server wrote it: which window this is
        self._is_known = False  # whether an answer has told of the window that it is now
        self._is_limited = False  # whether any answer ever told a limit
        self._paused_until = -math.inf
        self._under_way = 0
        self._last_start = 0.0
        self._clock = (-math.inf, math.inf)  # between what lies the server's clock minus ours

    def next_start(self, now: float, waiting: int) -> tuple[float, float]:
        """Return when the next request may start, and what reset is waited for.

        Parameters
        ----------
        now
            The time.
        waiting
            How many wait to start, this one included.

        Returns
        -------
        Two times: `now` or earlier means at once, infinity means when an answer has come.
        """
        if now < self._paused_until:
            return self._paused_until, self._paused_until
        if now >= self._resets:
            self._is_known = False
        if not self._is_known:
            return (math.inf if self._under_way else now), now
        free = self._remaining - self._under_way
        if free < 1:
            return (math.inf if self._under_way else self._resets), self._resets
        if waiting > free:
            # Some must wait for the reset anyway: the others are spread over the time until then.
            spread = (self._resets - self._last_start) / (free + 1)
            return self._last_start + spread, self._resets
        return now, now

    def start(self, now: float) -> None:
        """Note that a request starts."""
        self._under_way += 1
        self._last_start = now

    def end(self) -> None:
        """Note that a request is over, before its answer is learnt from."""
        self._under_way -= 1

    def learn(self, began: float, now: float, headers: Mapping[str, str]) -> None:
        """Learn from an answer.

        Parameters
        ----------
        began
            When its request was sent.
        now
            The time.
        headers
            Its headers.
        """
        self._learn_clock(began, now, headers)
        remaining = _number(headers.get("X-RateLimit-Remaining"))
        window = _number(headers.get("X-RateLimit-Reset"))
        if remaining is None or window is None or (resets := self._ours(window, now)) <= now:
            if not self._is_limited:
                self._is_known, self._remaining, self._resets = True, math.inf, math.inf
            return
        self._is_limited = True
        if self._is_known and math.isfinite(self._resets):
            if abs(window - self._window) <= 1:  # some servers reckon it anew for each answer
                self._remaining = min(self._remaining, max(remaining, 0.0))
                return
            if window < self._window:
                return  # an answer of the window before, that took its time
        self._is_known, self._window = True, window
        self._remaining, self._resets = max(remaining, 0.0), resets

    def refuse(self, began: float, now: float, headers: Mapping[str, str], at_least: float) -> None:
        """Learn from a 429: nothing starts until the server says, or `at_least` so many seconds."""
        self._learn_clock(began, now, headers)
        window = _number(headers.get("X-RateLimit-Reset"))
        told = [] if window is None else [self._ours(window, now) - now]
        told += [] if (seconds := retry_after(headers, now)) is None else [seconds]
        self._is_limited, self._is_known = True, False
        self._paused_until = now + max(at_least, max(told, default=_UNTOLD))

    def _learn_clock(self, began: float, now: float, headers: Mapping[str, str]) -> None:
        """Narrow down how far the server's clock is from ours; it tells whole seconds."""
        if (moment := server_time(headers)) is None:
            return
        told = moment.timestamp()
        least, most = max(self._clock[0], told - now), min(self._clock[1], told + 1 - began)
        # A contradiction means that a clock was set, or that several servers answer.
        self._clock = (least, most) if least <= most else (told - now, told + 1 - began)

    def _ours(self, reset: float, now: float) -> float:
        """Turn a reset into our time, rather too late than too early.

        Only for a wait of seconds, where a second counts, our clock is taken to be the server's
        where it may be.
        """
        least, most = self._clock
        resets = reset + (_ROUNDED if reset.is_integer() else 0.0)
        if math.isinf(least) or (least <= 0 <= most and resets - now < _SOON):
            return resets
        return resets - least


class Queue:
    """Makes all workers of a client wait for their turn.

    Parameters
    ----------
    max_wait
        Seconds that one request may wait for the limit to reset, altogether.
    on_wait
        Told once for each reset that is waited for, before the wait, with its local time.
    clock
        Seconds since the epoch; it must never go back.
    """

    def __init__(
        self,
        max_wait: float,
        on_wait: Callable[[datetime], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        ahead = time.time() - time.monotonic()
        self.clock = clock or (lambda: time.monotonic() + ahead)
        self._max_wait = max_wait
        self._on_wait = on_wait
        self._allowance = Allowance()
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._told = -math.inf

    def enter(self, waited: float, stopped: threading.Event) -> float:
        """Wait for a place, and take it; `leave` gives it back.

        Parameters
        ----------
        waited
            Seconds that this request has waited before.
        stopped
            Set when the load is interrupted.

        Returns
        -------
        The seconds it waited in all.

        Raises
        ------
        RateLimitError
            If the limit resets too late.
        TransportError
            If the load is interrupted.
        """
        came, me = self.clock(), object()
        with self._changed:
            self._waiting.append(me)
        try:
            while True:
                with self._changed:
                    if stopped.is_set():
                        raise TransportError("the load was interrupted")
                    now = self.clock()
                    start, resets = self._next_start(me, now)
                    if start <= now:
                        self._allowance.start(now)
                        return waited + now - came
                    if math.isfinite(start):
                        self._check(waited + start - came, resets, now)
                    if not self._is_news(start, resets, now):
                        self._changed.wait(min(start - now, threading.TIMEOUT_MAX))
                        continue
                    self._told = resets
                if self._on_wait is not None:
                    self._on_wait(datetime.fromtimestamp(resets, UTC).astimezone())
        finally:
            with self._changed:
                self._waiting.remove(me)
                self._changed.notify_all()

    def _next_start(self, me: object, now: float) -> tuple[float, float]:
        """Ask when the first in the queue may start; the others wait for their turn."""
        if self._waiting[0] is not me:
            return math.inf, math.inf
        return self._allowance.next_start(now, len(self._waiting))

    def _check(self, waited: float, resets: float, now: float) -> None:
        """Refuse a wait that is too long, and say when the limit resets."""
        if waited > self._max_wait:
            raise RateLimitError(
                f"the request limit is used up and resets {_when(resets, now)}, later than the "
                f"{_length(self._max_wait)} that a request may wait (max_wait)",
                _TOO_MANY,
            )

    def _is_news(self, start: float, resets: float, now: float) -> bool:
        """Tell whether this wait is worth a word, and nobody has said it yet."""
        return (
            math.isfinite(start)
            and start > now + _WORTH_TELLING
            and resets > self._told + _WORTH_TELLING
        )

    def leave(
        self, began: float, status: int | None, headers: Mapping[str, str], refusals: int = 0
    ) -> None:
        """Give the place back and learn from the answer.

        Parameters
        ----------
        began
            When the request was sent, by `clock`.
        status
            Status of the answer; None if there was none.
        headers
            Its headers.
        refusals
            How often this request was refused with 429 before; the pauses grow with it.
        """
        with self._changed:
            now = self.clock()
            self._allowance.end()
            if status == _TOO_MANY:
                self._allowance.refuse(began, now, headers, 2.0 ** min(refusals, 20))
            elif status is not None:
                self._allowance.learn(began, now, headers)
            self._changed.notify_all()

    def wake(self) -> None:
        """Let those that wait see that they are interrupted."""
        with self._changed:
            self._changed.notify_all()


def _length(seconds: float) -> str:
    """Write a length of time in the unit that people would use."""
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.3g} seconds"
    return f"{seconds / 60:,.0f} minutes" if seconds < 1e7 else "months"  # noqa: PLR2004


def _when(moment: float, now: float) -> str:
    """Write when something is, as far as a calendar reaches."""
    if moment - now > 1e7:  # noqa: PLR2004
        return "in months, by what the server says"
    clock = datetime.fromtimestamp(moment, UTC)
    return f"at {clock:%Y-%m-%d %H:%M:%S} UTC (in {_length(moment - now)})"
