"""Reading a list until it is shown to be complete, though the account changes meanwhile.

Records that change while pages are read shift the pages: one deal can appear twice, another
never. So it is asked what changed since before the reading began. If nothing did, one pass is
complete. If something did, what changed is fetched and the list is read again on other page
boundaries, until the windows that were seen prove that nothing unchanged can have slipped
between them (`_paging.covers`), or a pass goes by in quiet. If neither happens within a few
passes, it fails.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from capsule_analytics.api import Page, Query, RawColumns, as_utc
from capsule_analytics.errors import ApiError, CompletenessError, DataError, RateLimitError

from ._frame import Assembler
from ._paging import PagedList, Pass, Window, covers

if TYPE_CHECKING:
    from collections.abc import Callable

    from capsule_analytics.api import CapsuleClient

    from ._cache import PageCache

MOST_PASSES = 6
OVERLAP = timedelta(minutes=10)
"""How much further back is asked: the server's clocks may disagree by less."""

_GRIDS = (1.0, 0.83, 0.67, 0.91, 0.59, 0.77)  # page sizes of the passes: other boundaries each
_CHANGES_PAGE = 100


class Changes(NamedTuple):
    """What the account says has changed since a time.

    Attributes
    ----------
    pages
        The changed records themselves.
    stamps
        Raw id and time of the last change of each.
    gone
        Raw ids of what was deleted or hidden.
    """

    pages: list[RawColumns]
    stamps: dict[object, object]
    gone: set[object]


class CompleteReading:
    """The passes over one list of an account, until nothing can be missing.

    Parameters
    ----------
    client
        The account.
    query
        Which list, as `CapsuleClient.resolve` returns it.
    began
        The server's time before the first question.
    workers
        Pages under way at the same time.
    page_size
        Records to ask for in a page.
    progress
        Called with the number of records of each page.
    cache
        Where pages of the first pass are kept; None keeps none.

    Attributes
    ----------
    passes
        How often the list was read.
    repeats
        Whether records were read more than once on purpose.
    gone
        Raw ids of what was deleted meanwhile.
    """

    def __init__(
        self,
        client: CapsuleClient,
        query: Query,
        *,
        began: datetime,
        workers: int = 1,
        page_size: int = _CHANGES_PAGE,
        progress: Callable[[int], None] = lambda _: None,
        cache: PageCache | None = None,
    ) -> None:
        self._client = client
        self._query = query
        self._filtered = query != Query(embed=query.embed)
        self._cache = cache
        self._before: Changes | None = None
        self.began = began
        self._page_size = page_size
        self._progress = progress
        self._workers = workers
        self.passes = 0
        self.repeats = False
        self.gone: set[object] = set()

    def take_up(self) -> None:
        """Go on with an earlier load of the same list, if there is one, as if it still ran."""
        if self._cache is not None and (state := self._cache.state()) is not None:
            self.began = datetime.fromisoformat(state["began"])
            self._before = Changes([], dict(state["stamps"]), set(state["gone"]))

    def _fetch(self, position: int, limit: int) -> Page:
        """Fetch a page of the list; in the first pass, through the cache."""
        client, cache = self._client, self._cache
        if cache is None or self.passes > 1:
            return client.fetch_page(self._query, position, limit)
        if (kept := cache.read(position, limit)) is not None:
            return client.api.parse_page(*kept)
        return client.fetch_page(
            self._query, position, limit, keep=partial(cache.write, position, limit)
        )

    def _paged(self, fetch: Callable[[int, int], Page], workers: int) -> PagedList:
        api = self._client.api
        return PagedList(
            fetch,
            first=api.FIRST,
            step=api.step,
            workers=workers,
            interrupt=self._client.transport.interrupt,
        )

    def run(self) -> Assembler:
        """Read until everything is shown to be there; keep pages only of a load that failed."""
        done = False
        try:
            assembler = self._run()
            done = True
        finally:
            if self._cache is not None:
                self._cache.close(done=done)
        return assembler

    def _run(self) -> Assembler:
        before = self._before or self.changes()
        if self._cache is not None and self._before is None:
            stamps, gone = (before.stamps, before.gone) if before else ({}, set())
            self._cache.begin(
                {"began": self.began, "stamps": list(stamps.items()), "gone": list(gone)}
            )
        if before is None:
            return self._until_two_agree()
        assembler, windows = self._assembler(), list[Window]()
        for grid in _GRIDS:
            if self._filtered:  # a deal may have left the filter meanwhile: start afresh
                assembler = self._assembler()
            began = self._now() if self.passes else self.began
            seen = self._pass(grid, assembler)
            after = self.changes()
            if after is None:
                break
            self.gone = after.gone
            if seen.consistent and _is_quiet(before, after, began):
                return assembler
            if not self._filtered:
                self.repeats = True
                for page in after.pages:
                    assembler.add(page)
                windows += seen.windows
                if covers(windows, after.stamps.keys() | after.gone):
                    return assembler
            self._let_the_second_pass(after)
            before = after
        raise CompletenessError(
            f"the account changed during each of {self.passes} readings, so a deal may have been "
            "missed; try again when fewer people are working in it"
        )

    def _until_two_agree(self) -> Assembler:
        """Read until two passes see the same, for servers that cannot tell what changed."""
        last: dict[object, object] | None = None
        for _ in _GRIDS:
            assembler = self._assembler()
            stamps: dict[object, object] = {}
            seen = self._pass(1.0, assembler, stamps)
            if seen.consistent and stamps == last:
                return assembler
            last = stamps
        raise CompletenessError(
            f"{self.passes} readings of the account never agreed, and the server does not tell "
            "what changed between them"
        )

    def _assembler(self) -> Assembler:
        return Assembler(typed=self._client.api.TYPED)

    def _pass(
        self, grid: float, assembler: Assembler, stamps: dict[object, object] | None = None
    ) -> Pass:
        def take(page: RawColumns) -> None:
            if stamps is not None:
                stamps.update(_stamps(page))
            assembler.add(page)
            self._progress(len(page["id"]))

        self.passes += 1
        return self._paged(self._fetch, self._workers).read(
            max(1, round(self._page_size * grid)), take
        )

    def changes(self) -> Changes | None:
        """Ask what changed since before the load; None if the server cannot tell."""
        try:
            pages, stamps = self._changed()
            deleted = self._client.fetch_deleted(self.began - OVERLAP)
        except (ApiError, DataError) as error:
            if isinstance(error, RateLimitError) or getattr(error, "status", 0) == 401:  # noqa: PLR2004
                raise
            return None
        except _CannotTellError:
            return None
        when = {record["id"]: record["deleted_at"] for record in deleted.records}
        when |= {record["id"]: record["deleted_at"] for record in deleted.restricted}
        gone = {key for key, moment in when.items() if str(moment) >= str(stamps.get(key, ""))}
        return Changes(pages, stamps, gone)

    def _changed(self) -> tuple[list[RawColumns], dict[object, object]]:
        """Read the changed records; a list of several pages until it holds still."""
        since = self.began - OVERLAP
        query = Query(changed_since=since, embed=self._query.embed)
        last: dict[object, object] | None = None
        for _ in range(MOST_PASSES):
            pages: list[RawColumns] = []
            stamps: dict[object, object] = {}

            def take(
                page: RawColumns,
                pages: list[RawColumns] = pages,
                stamps: dict[object, object] = stamps,
            ) -> None:
                found = _stamps(page)
                if not all(_is_since(stamp, since) for stamp in found.values()):
                    raise _CannotTellError
                pages.append(page)
                stamps.update(found)

            self._paged(partial(self._client.fetch_page, query), 1).read(_CHANGES_PAGE, take)
            if len(pages) <= 1 or stamps == last:
                return pages, stamps
            last = stamps
        raise CompletenessError("the list of what changed does not hold still")

    def _now(self) -> datetime:
        return self._client.transport.server_time or datetime.now(UTC)

    def _let_the_second_pass(self, after: Changes) -> None:
        """Wait until a change would get another time than those seen, which are whole seconds."""
        now = self._now().replace(microsecond=0)
        if any((read := _moment(stamp)) and read >= now for stamp in after.stamps.values()):
            self._client.transport.wait(1.05)


class _CannotTellError(Exception):
    """The server does not filter by the time of change."""


def _stamps(page: RawColumns) -> dict[object, object]:
    return dict(zip(page["id"], page["updated_at"], strict=True))


def _moment(stamp: object) -> datetime | None:
    try:
        return as_utc(datetime.fromisoformat(str(stamp)))  # type: ignore[no-any-return]
    except ValueError:
        return None


def _is_since(stamp: object, since: datetime) -> bool:
    moment = _moment(stamp)
    return moment is not None and moment >= since - timedelta(seconds=1)


def _is_quiet(before: Changes, after: Changes, began: datetime) -> bool:
    """Tell whether nothing changed between two questions, the first asked by `began`.

    Times are whole seconds, so a change in the second of `began` may hide behind an earlier one.
    """
    second = began.replace(microsecond=0)
    return (
        before.stamps == after.stamps
        and before.gone == after.gone
        and not any((m := _moment(stamp)) and m >= second for stamp in after.stamps.values())
    )
