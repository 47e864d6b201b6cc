"""One pass over a paged list whose length nobody tells, several pages at a time.

Pages are asked for ahead of what is known to exist; an empty page, or the server's word that no
more follow, tells where the end is. What a pass saw is kept as windows, from which the loader
works out whether anything can have slipped between them.
"""

from __future__ import annotations

import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capsule_analytics.errors import CapsuleError, CompletenessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from capsule_analytics.api import Page, RawColumns

_NO_END = sys.maxsize
_MOST_STALE = 25  # pages without a new record before the list counts as endless


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
        Raw ids, in the list's order.
    is_last
        Whether it reached the end of the list.
    """

    position: int
    asked: int
    ids: list[object]
    is_last: bool = False


@dataclass
class Pass:
    """One reading of the whole list.

    Attributes
    ----------
    windows
        Every page that held records.
    consistent
        False if the pages cannot all have come from one unchanged list.
    """

    windows: list[Window] = field(default_factory=list)
    consistent: bool = True


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
        workers: int,
        interrupt: Callable[[], None],
    ) -> None:
        self.fetch = fetch
        self.first = first
        self.step = step
        self.workers = workers
        self.interrupt = interrupt
        self.by_offset = step(1) != step(2)

    def read(self, limit: int, take: Callable[[RawColumns], None]) -> Pass:
        """Read the whole list once.

        Parameters
        ----------
        limit
            Records to ask for in a page; a server that gives fewer is followed at its own pace.
        take
            Receives every page that holds records, in the order of arrival.

        Raises
        ------
        CompletenessError
            If the list does not end.
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
        return reading.result()


class _Reading:
    """The state of one pass."""

    def __init__(self, pages: PagedList, limit: int, take: Callable[[RawColumns], None]) -> None:
        self._pages = pages
        self._limit = limit
        self._take = take
        self._windows: list[Window] = []
        self._seen: set[object] = set()
        self._stale = 0
        self._consistent = True
        self._end = _NO_END
        self._horizon = pages.first  # the first position not yet asked for
        self._stride = 1
        self._ahead = 1
        self._gaps: list[tuple[int, int]] = []
        self._under_way: dict[Future[Page], tuple[int, int]] = {}
        self._failures: dict[int, CapsuleError] = {}

    def run(self, pool: ThreadPoolExecutor) -> None:
        """Read page after page, several at a time once the server's page size is known."""
        while True:
            while len(self._under_way) < self._ahead and (ask := self._next()) is not None:
                self._under_way[pool.submit(self._pages.fetch, *ask)] = ask
            if not self._under_way:
                break
            done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
            for future in done:
                position, asked = self._under_way.pop(future)
                error = future.exception()
                if error is None:
                    self._receive(position, asked, future.result())
                elif isinstance(error, CapsuleError):
                    self._failures[position] = error
                else:
                    raise error

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
        ids = page.columns["id"]
        fresh = set(ids) - self._seen
        self._seen |= fresh
        if not fresh:
            self._stale += 1
            self._consistent = False
            if self._stale > _MOST_STALE:
                raise CompletenessError(
                    "the server sends the same records again and again, as if it ignored which "
                    f"page is asked for (last asked: {position})"
                )
        self._take(page.columns)
        self._windows.append(Window(position, asked, ids, is_last=page.more is False))
        reached = position + self._pages.step(page.size)
        if page.more is False:
            self._end = min(self._end, reached)
        if self._ahead == 1:
            self._horizon = reached
            self._stride = max(self._stride, self._pages.step(page.size))
        elif page.more is None and reached < position + self._pages.step(asked):
            self._gaps.append((reached, asked - page.size))
        # A short first page is most often the whole list: look one page further before running.
        if page.more or page.size >= self._limit or len(self._windows) > 1:
            self._ahead = self._pages.workers

    def result(self) -> Pass:
        """Judge the pass.

        Raises
        ------
        CapsuleError
            What went wrong with a page before the end; failures past the end mean nothing.
        """
        for position, failure in sorted(self._failures.items()):
            if position < self._end:
                raise failure
        sizes = [len(window.ids) for window in self._windows]
        full = max(sizes) if len(sizes) > 1 else self._limit
        for window, size in zip(self._windows, sizes, strict=True):
            reached = window.position + self._pages.step(size)
            if reached == self._end and size < min(window.asked, full):
                window.is_last = True
            if window.position >= self._end:
                self._consistent = False
        return Pass(self._windows, self._consistent)


def covers(windows: Iterable[Window], excluded: set[object]) -> bool:
    """Tell whether windows read at different moments cover everything that did not change.

    What did not change keeps its order in the list, and each window is a contiguous piece of it.
    Two windows that share an unchanged record therefore cover everything between their ends,
    whenever they were read. If such links lead from a window at the start of the list to one at
    its end, nothing unchanged can have slipped through.

    Parameters
    ----------
    windows
        All windows, of all passes; the one at the lowest position begins at the list's start.
    excluded
        Ids of records that changed, appeared or went meanwhile.

    Examples
    --------
    >>> first, last = Window(0, 2, [1, 2]), Window(2, 2, [4, 5], is_last=True)
    >>> covers([first, last], excluded=set())
    False
    >>> covers([first, Window(0, 3, [1, 2, 4]), last], excluded=set())
    True
    """
    windows = list(windows)
    parent = list(range(len(windows)))

    def find(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    owner: dict[object, int] = {}
    for number, window in enumerate(windows):
        for key in window.ids:
            if key not in excluded:
                parent[find(number)] = find(owner.setdefault(key, number))
    start = min((window.position for window in windows), default=0)
    starts = {find(n) for n, window in enumerate(windows) if window.position == start}
    ends = {find(n) for n, window in enumerate(windows) if window.is_last}
    return bool(starts & ends)
