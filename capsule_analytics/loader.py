"""From an account to a complete `Pipeline`: every page, each opportunity once, or an error.

Records that change while pages are read shift the pages: one deal can appear twice, another
never. So the loader asks what changed since before it began. If nothing did, one pass is
complete. If something did, it fetches what changed and reads again on other page boundaries,
until the windows it saw prove that nothing unchanged can have slipped between them
(`_paging.covers`), or a pass goes by in quiet. If neither happens within a few passes, it fails.
"""

from __future__ import annotations

import gc
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from ._assemble import Assembler, finish_pipeline, milestone_frame
from ._errors import (
    ApiError,
    ArgumentError,
    CompletenessError,
    DataError,
    RateLimitError,
)
from ._http import MAX_CONNECTIONS
from ._paging import PagedList, Pass, Window, covers
from ._records import as_utc
from ._wire import Api, Page, Query, RawColumns
from .client import api_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from .client import CapsuleClient
    from .schema import Pipeline

MOST_PASSES = 6

_OVERLAP = timedelta(minutes=10)  # covers clocks of the server that disagree
_GRIDS = (1.0, 0.83, 0.67, 0.91, 0.59, 0.77)  # page sizes of the passes: other boundaries each
_PAGE_SIZE = 100
_AHEAD = 8  # saved pages parsed ahead of the one that is being typed


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


def load_pipeline(
    client: CapsuleClient,
    *,
    milestone: str | None = None,
    tag: str | None = None,
    owner: str | None = None,
    embed: Sequence[str] = (),
    as_of: date | None = None,
    workers: int = 6,
    page_size: int = _PAGE_SIZE,
    progress: Callable[[int], None] | None = None,
) -> Pipeline:
    """Load every opportunity of an account.

    Parameters
    ----------
    client
        The account.
    milestone
        Only deals at the milestone of this name.
    tag
        Only deals with this tag.
    owner
        Only deals of the owner with this user name.
    embed
        ``"tags"`` and ``"fields"`` add those columns (API v2).
    as_of
        The day from which deals are overdue; None means today, UTC.
    workers
        Pages under way at the same time, 1 to 8.
    page_size
        Records to ask for in a page, 1 to 100.
    progress
        Called with the number of records of each page that arrived.

    Returns
    -------
    The complete pipeline.

    Raises
    ------
    CompletenessError
        If it cannot be shown that no deal was missed.
    CapsuleError
        If the account cannot be read.
    """
    if not 1 <= workers <= MAX_CONNECTIONS:
        raise ArgumentError(f"workers must be 1 to {MAX_CONNECTIONS}, not {workers}")
    if not 1 <= page_size <= _PAGE_SIZE:
        raise ArgumentError(f"page_size must be 1 to {_PAGE_SIZE}, not {page_size}")
    api = client.api
    asked_here = owner if "owner" not in api.SERVER_FILTERS else None
    query = client.resolve(Query(milestone, tag, None if asked_here else owner, embed=tuple(embed)))
    milestones = milestone_frame(client.fetch_milestones(), typed=api.TYPED)
    began = client.transport.server_time or datetime.now(UTC)
    loading = _Loading(
        client,
        query,
        began=began,
        workers=workers,
        page_size=page_size,
        progress=progress or (lambda _: None),
    )
    with _no_garbage_collection():
        assembler = loading.run()
        pipeline = finish_pipeline(
            assembler,
            milestones,
            currencies=_currencies(client),
            loaded_at=pd.Timestamp(began),
            as_of=as_of or began.date(),
            account=client.account,
            repeats=loading.repeats,
            gone=frozenset(int(str(key)) for key in loading.gone),
        )
    return select(pipeline, owner=asked_here) if asked_here else pipeline


class _Loading:
    """The passes over one account's list."""

    def __init__(
        self,
        client: CapsuleClient,
        query: Query,
        *,
        began: datetime,
        workers: int,
        page_size: int,
        progress: Callable[[int], None],
    ) -> None:
        self._client = client
        self._query = query
        self._filtered = query != Query(embed=query.embed)
        self._since = began - _OVERLAP
        self._page_size = page_size
        self._progress = progress
        self._list = self._paged(query, workers)
        self.passes = 0
        self.repeats = False
        self.gone: set[object] = set()

    def _paged(self, query: Query, workers: int) -> PagedList:
        client = self._client
        return PagedList(
            lambda position, limit: client.fetch_page(query, position, limit),
            first=client.api.FIRST,
            step=client.api.step,
            workers=workers,
            interrupt=client.transport.interrupt,
        )

    def run(self) -> Assembler:
        """Read until everything is shown to be there."""
        before = self._changes()
        if before is None:
            return self._until_two_agree()
        assembler, windows = self._assembler(), list[Window]()
        for grid in _GRIDS:
            if self._filtered:  # a deal may have left the filter meanwhile: start afresh
                assembler = self._assembler()
            began = self._now()
            seen = self._pass(grid, assembler)
            after = self._changes()
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
        return self._list.read(max(1, round(self._page_size * grid)), take)

    def _changes(self) -> Changes | None:
        """Ask what changed since before the load; None if the server cannot tell."""
        try:
            pages, stamps = self._changed()
            deleted = self._client.fetch_deleted(self._since)
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
        query = Query(changed_since=self._since, embed=self._query.embed)
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
                if not all(_is_since(stamp, self._since) for stamp in found.values()):
                    raise _CannotTellError
                pages.append(page)
                stamps.update(found)

            self._paged(query, workers=1).read(_PAGE_SIZE, take)
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


def _currencies(client: CapsuleClient) -> list[str]:
    """Ask for the account's currencies, which only sharpen a check: do without where refused."""
    try:
        return client.list_currencies()
    except (ApiError, DataError):
        return []


def select(
    pipeline: Pipeline,
    *,
    milestone: str | None = None,
    tag: str | None = None,
    owner: str | None = None,
) -> Pipeline:
    """Keep the deals of one milestone, tag or owner, and what was found about them.

    Parameters
    ----------
    pipeline
        The pipeline; it is not changed.
    milestone
        Name of the milestone.
    tag
        Name of the tag; needs the column ``tags``.
    owner
        User name of the owner.

    Raises
    ------
    ArgumentError
        If no deal has it; the message names what there is.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> late = select(ca.load_sample(), milestone="Negotiation")
    >>> late.opportunities["milestone"].unique().tolist()
    ['Negotiation']
    """
    frame = pipeline.opportunities
    for column, wanted in (("milestone", milestone), ("owner", owner)):
        if wanted is not None:
            names = frame[column].dropna().unique().tolist()
            if column == "milestone":
                names += pipeline.milestones["name"].tolist()
            _known(column, wanted, names)
            frame = frame[frame[column] == wanted]
    if tag is not None:
        if "tags" not in frame.columns:
            raise ArgumentError("the pipeline was loaded without tags")
        _known("tag", tag, [name for tags in pipeline.opportunities["tags"] for name in tags or ()])
        frame = frame[[tag in (tags or ()) for tags in frame["tags"]]]
    issues = pipeline.issues[pipeline.issues["opportunity_id"].isin(frame.index)]
    return replace(pipeline, opportunities=frame, issues=issues.reset_index(drop=True))


def _known(what: str, wanted: str, names: Iterable[str]) -> None:
    if wanted not in (known := sorted(set(names))):
        raise ArgumentError(f"no deal has the {what} {wanted!r}; there are {', '.join(known)}")


def opportunities_from_pages(
    pages: Iterable[bytes],
    api_version: str = "v1",
    milestones: pd.DataFrame | bytes | None = None,
) -> pd.DataFrame:
    """Read saved pages of an account into the typed frame.

    Parameters
    ----------
    pages
        Bodies of list requests: XML for v1, JSON for v2.
    api_version
        ``"v1"`` or ``"v2"``.
    milestones
        The milestone configuration, as a saved body or as ``Pipeline.milestones``. Without it no
        deal is known to be closed, so all are open.

    Returns
    -------
    The frame of `schema.COLUMNS` with ``tcv`` and ``status``, index ``id``, each opportunity once
    (the newest, where pages overlap).

    Raises
    ------
    DataError
        If a page is not what the version sends; the message tells which.

    Examples
    --------
    >>> deal = b"<opportunity><id>7</id><value>1250.50</value></opportunity>"
    >>> opportunities_from_pages([b"<opportunities>" + deal + b"</opportunities>"])["tcv"].to_dict()
    {7: 1250.5}
    """
    api = api_of(api_version)
    if isinstance(milestones, bytes):
        milestones = milestone_frame(api.parse_milestones(milestones, {})[0], typed=api.TYPED)
    if milestones is None:
        milestones = milestone_frame([], typed=api.TYPED)
    assembler = Assembler(typed=api.TYPED)
    with _no_garbage_collection():
        for number, parsed in enumerate(_parsed_ahead(pages, api), start=1):
            try:
                assembler.add(parsed.result().columns)
            except DataError as error:
                raise DataError(f"page {number}: {error}") from error
        frame, _ = assembler.finish(milestones)
    return frame.drop(columns=["own_probability", "milestone_known"])


def _parsed_ahead(pages: Iterable[bytes], api: Api) -> Iterator[Future[Page]]:
    """Parse a few pages ahead in a thread: lxml works on the next while this one is typed."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[Page]] = deque()
        for body in pages:
            waiting.append(pool.submit(api.parse_page, body, {}))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from searching millions of fresh records for cycles that they do not have."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
