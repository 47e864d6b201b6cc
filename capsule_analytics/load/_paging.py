"""One pass over a paged list whose length nobody tells, several pages at a time.

Pages are asked for ahead of what is known to exist; an empty page, or the server's word that no
more follow, tells where the end is. What a pass saw is kept as windows, from which `_complete`
works out whether anything can have slipped between them.
"""

from __future__ import annotations

import math
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from operator import ge
from typing import TYPE_CHECKING

from capsule_analytics.errors import CapsuleError, CompletenessError, DataError

from ._values import integers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from capsule_analytics.api import Page, RawColumns

MOST_RECORDS = 2_000_000
"""Records after which a list counts as endless."""

_TIMES_ASKED = 100  # so many times what was asked for, and a page is no page
_NO_END = sys.maxsize
_MOST_STALE = 25  # pages without a new record before the list counts as endless
_LARGEST_ID = 2**63 - 1


def identities(page: RawColumns, *, typed: bool) -> list[int | None]:
    """Return the ids of a page as the frame will have them; None where there is none."""
    raw = page["id"]
    if set(map(type, raw)) == {int} and min(raw) > -_LARGEST_ID and max(raw) <= _LARGEST_ID:
        return raw
    read = integers("id", raw, [], typed=typed)
    return [
        None if missing else int(key)
        for key, missing in zip(read.to_numpy("int64", na_value=0), read.isna(), strict=True)
    ]


@dataclass
class Window:
    """What one page showed: a contiguous piece of the list at one moment.

    Attributes
    ----------
    position
        Where it began, in the wire format's own unit.
    asked
        How many records were asked for.
    ids
        Ids in the list's order, None for a record without.
    is_last
        Whether it is sure to have reached the end of the list.
    """

    position: int
    asked: int
    ids: list[int | None]
    is_last: bool = False


@dataclass
class Pass:
    """One reading of the whole list.

    Attributes
    ----------
    windows
        Every page that held records, in the list's order.
    consistent
        False if the pages cannot all have come from one unchanged list.
    tiled
        Whether the windows lie side by side, so that they hold as many records as the list was
        long when its end was seen.
    totals
        How long the list was in the server's own words, where it said so.
    """

    windows: list[Window] = field(default_factory=list)
    consistent: bool = True
    tiled: bool = False
    totals: set[int] = field(default_factory=set)

    @property
    def ids(self) -> set[int]:
        """Every id that was seen."""
        return {key for window in self.windows for key in window.ids if key is not None}

    @property
    def named(self) -> bool:
        """Whether every record has an id that no other record of its page has."""
        return all(
            None not in window.ids and len(set(window.ids)) == len(window.ids)
            for window in self.windows
        )

    @property
    def length(self) -> int:
        """How many records were seen, those without an id among them."""
        return sum(len(window.ids) for window in self.windows)

    @property
    def distinct(self) -> bool:
        """Whether no id came twice."""
        found = [key for window in self.windows for key in window.ids if key is not None]
        return len(found) == len(set(found))

    @property
    def counted(self) -> bool:
        """Whether as many different ids were seen as the list was long."""
        return self.consistent and self.tiled and len(self.ids) == self.length

    def shows_the_same(self, other: Pass) -> bool:
        """Tell whether another pass saw the same ids at the same places."""
        return [(w.position, w.ids) for w in self.windows] == [
            (w.position, w.ids) for w in other.windows
        ]


class PagedList:
    """A list that is read page by page.

    Parameters
    ----------
    fetch
        From position and limit to a page; called from several threads.
    first
        Position of the first page.
    step
        From the number of records received to how far the next position lies.
    typed
        Whether the wire has numbers of its own.
    workers
        Pages under way at the same time, at most.
    interrupt
        Called when reading ends early, so that requests under way give up.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], Page],
        *,
        first: int,
        step: Callable[[int], int],
        typed: bool,
        workers: int,
        interrupt: Callable[[], None],
    ) -> None:
        self.fetch = fetch
        self.first = first
        self.step = step
        self.typed = typed
        self.workers = workers
        self.interrupt = interrupt
        self.by_offset = step(1) != step(2)

    def read(
        self, limit: int, take: Callable[[RawColumns, list[int | None]], None], largest: int = 0
    ) -> Pass:
        """Read the whole list once.

        Parameters
        ----------
        limit
            Records to ask for in a page; a server that gives fewer is followed at its own pace.
        take
            Receives every page that holds records, and its ids, in the order of arrival.
        largest
            The most records that the server is known to have given in a page.

        Raises
        ------
        CompletenessError
            If the list does not end.
        DataError
            If a page holds many times what was asked for.
        """
        reading = _Reading(self, limit, take)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="capsule-page")
        try:
            reading.run(pool)
        except BaseException:
            self.interrupt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        return reading.result(largest)


class _Reading:
    """The state of one pass."""

    def __init__(
        self,
        pages: PagedList,
        limit: int,
        take: Callable[[RawColumns, list[int | None]], None],
    ) -> None:
        self._pages = pages
        self._limit = limit
        self._take = take
        self._windows: list[Window] = []
        self._seen: set[int] = set()
        self._totals: set[int] = set()
        self._received = 0
        self._stale = 0
        self._consistent = True
        self._end = _NO_END
        self._horizon = pages.first  # the first position not yet asked for
        self._stride = 1
        self._ahead = 1
        self._runs = False
        self._gaps: list[tuple[int, int]] = []
        self._under_way: dict[Future[tuple[Page, float, float]], tuple[int, int]] = {}
        self._waited = math.inf  # seconds that an answer takes on its way, at least
        self._worked = 0.0  # seconds that all pages took here
        self._failures: dict[int, CapsuleError] = {}

    def run(self, pool: ThreadPoolExecutor) -> None:
        """Read page after page, several at a time once the server's page size is known."""
        while True:
            while len(self._under_way) < self._ahead and (ask := self._next()) is not None:
                self._under_way[pool.submit(self._fetch, *ask)] = ask
            if not self._under_way:
                break
            done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
            for future in done:
                position, asked = self._under_way.pop(future)
                error = future.exception()
                if error is None:
                    page, waited, worked = future.result()
                    before = time.thread_time()
                    self._receive(position, asked, page)
                    self._waited = min(self._waited, waited)
                    self._worked += worked + time.thread_time() - before
                    self._set_pace()
                elif isinstance(error, CapsuleError):
                    self._failures[position] = error
                else:
                    raise error

    def _fetch(self, position: int, asked: int) -> tuple[Page, float, float]:
        """Fetch a page; tell how long it was waited for, and how much work it was."""
        began, idle = time.perf_counter(), time.thread_time()
        page = self._pages.fetch(position, asked)
        worked = time.thread_time() - idle
        return page, time.perf_counter() - began - worked, worked

    def _set_pace(self) -> None:
        """Have half again as many pages under way as are read in the least wait for one.

        Answers do not come evenly. More would wait for each other, since one is read at a time.
        """
        # A short first page is most often the whole list: look one page further before running.
        if self._runs:
            pages = len(self._windows) + 1
            pays = 1.5 * (1 + self._waited * pages / max(self._worked, 1e-9))
            least = min(self._ahead, 2)  # the pages under way have left the single file
            self._ahead = int(min(max(pays, least), self._pages.workers))

    def _next(self) -> tuple[int, int] | None:
        """Return what to ask for next; after a failure, nothing new is begun."""
        if self._failures:
            return None
        if self._gaps:
            return self._gaps.pop()
        if self._horizon >= self._end:
            return None
        position = self._horizon
        self._horizon += self._stride
        # Running ahead, offsets fit only if each page holds as much as the server gives.
        fixed = self._pages.by_offset and self._ahead > 1
        return position, self._stride if fixed else self._limit

    def _receive(self, position: int, asked: int, page: Page) -> None:
        if page.size == 0:
            self._end = min(self._end, position)
            return
        ids = identities(page.columns, typed=self._pages.typed)
        self._bound(position, asked, page.size, ids)
        self._take(page.columns, ids)
        self._windows.append(Window(position, asked, ids, is_last=page.more is False))
        if page.total is not None:
            self._totals.add(page.total)
        reached = position + self._pages.step(page.size)
        if page.more is False:
            self._end = min(self._end, reached)
        if self._ahead == 1:
            self._horizon = reached
            self._stride = max(self._stride, self._pages.step(page.size))
        elif page.more is None and reached < position + self._pages.step(asked):
            self._gaps.append((reached, asked - page.size))
        self._runs = bool(page.more) or page.size >= self._limit or len(self._windows) > 1

    def _bound(self, position: int, asked: int, size: int, ids: list[int | None]) -> None:
        """Refuse what would go on for ever, or fill the memory."""
        if size > asked * _TIMES_ASKED:
            raise DataError(
                f"the server sends {size:,} records where {asked} were asked for (at {position})"
            )
        fresh = {key for key in ids if key is not None} - self._seen
        self._seen |= fresh
        self._received += len(fresh) + ids.count(None)  # what comes again is counted below
        if not fresh and None not in ids:
            self._consistent = False
            self._stale += 1
            if self._stale > _MOST_STALE:
                raise CompletenessError(
                    "the server sends the same records again and again, as if it ignored which "
                    f"page is asked for (last asked: {position})"
                )
        most = min(MOST_RECORDS, 2 * min(self._totals, default=MOST_RECORDS) + 1_000)
        if self._received > most:
            told = f", though it says that there are {min(self._totals):,}" if self._totals else ""
            raise CompletenessError(
                f"the list does not end: {self._received:,} records have come{told}"
            )

    def result(self, largest: int) -> Pass:
        """Judge the pass.

        Raises
        ------
        CapsuleError
            What went wrong with a page before the end; failures past the end mean nothing.
        """
        for position, failure in sorted(self._failures.items()):
            if position < self._end:
                raise failure
        self._windows.sort(key=lambda window: window.position)
        sizes = [len(window.ids) for window in self._windows]
        largest = max([largest, *sizes])
        full = [min(window.asked, largest) for window in self._windows]
        if sizes and sizes[-1] < full[-1] and all(map(ge, sizes[:-1], full)):
            # Shorter than any page that is not the end, so the list ended there.
            last = self._windows[-1]
            last.is_last |= last.position + self._pages.step(sizes[-1]) == self._end
        if any(window.position >= self._end for window in self._windows):
            self._consistent = False
        return Pass(self._windows, self._consistent, self._tiled(sizes), self._totals)

    def _tiled(self, sizes: list[int]) -> bool:
        """Tell whether the windows lie side by side from the start to the end that was seen."""
        at = self._pages.first
        for window, size in zip(self._windows, sizes, strict=True):
            if window.position != at:
                return False
            at += self._pages.step(size)
        if at != self._end:
            return False
        # Numbered pages lie side by side only if all but the last are of one length.
        return self._pages.by_offset or (
            len(set(sizes[:-1])) <= 1 and all(size >= sizes[-1] for size in sizes[:1])
        )


def covers(windows: Iterable[Window], excluded: Collection[int], first: int) -> bool:
    """Tell whether windows read at different moments cover everything that did not change.

    What did not change keeps its order in the list, and each window is a contiguous piece of it.
    Two windows that share an unchanged record therefore cover everything between their ends,
    whenever they were read. If such links lead from a window at the start of the list to one at
    its end, nothing unchanged can have slipped through. Records without an id link nothing: they
    cannot be told from one another.

    Parameters
    ----------
    windows
        All windows, of all passes.
    excluded
        Ids of records that changed, appeared or went meanwhile.
    first
        Position of the start of the list.

    Examples
    --------
    >>> start, end = Window(0, 2, [1, 2]), Window(2, 2, [4, 5], is_last=True)
    >>> covers([start, end], excluded=set(), first=0)
    False
    >>> covers([start, Window(0, 3, [1, 2, 4]), end], excluded=set(), first=0)
    True
    """
    windows = list(windows)
    parent = list(range(len(windows)))

    def find(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    owner: dict[int, int] = {}
    for number, window in enumerate(windows):
        for key in window.ids:
            if key is not None and key not in excluded:
                parent[find(number)] = find(owner.setdefault(key, number))
    starts = {find(n) for n, window in enumerate(windows) if window.position == first}
    ends = {find(n) for n, window in enumerate(windows) if window.is_last}
    return bool(starts & ends)
