"""From an account to a complete `Pipeline`: every page, each opportunity once, or an error.

How that is made sure is told in `_complete`.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from capsule_analytics.api import MAX_CONNECTIONS, Query, api_of, definition_of
from capsule_analytics.errors import ApiError, ArgumentError, DataError
from capsule_analytics.schema import as_day

from ._cache import PageCache
from ._complete import ChangeFeed, Reading, read_completely
from ._frame import Assembler, Setting, finish_pipeline, milestone_frame
from ._select import Choice, Wanted, asked_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from capsule_analytics.api import CapsuleClient, Record
    from capsule_analytics.schema import Pipeline

_PAGE_SIZE = 100


def load_pipeline(
    client: CapsuleClient,
    *,
    milestone: Choice = None,
    tag: Choice = None,
    owner: Choice = None,
    pipeline: Choice = None,
    team: Choice = None,
    status: Choice = None,
    field: Mapping[str, Any] | None = None,
    embed: Sequence[str] = (),
    as_of: date | str | None = None,
    workers: int = 6,
    page_size: int = _PAGE_SIZE,
    progress: Callable[[int], None] | None = None,
    resume: bool | None = None,
) -> Pipeline:
    """Load every opportunity of an account.

    Of several values of one filter any will do; of several filters all must hold. The server is
    asked for what it can filter, and everything is filtered here again.

    Parameters
    ----------
    client
        The account.
    milestone
        Only deals at the milestone of this name, in whatever pipeline, or of this id.
    tag
        Only deals with this tag.
    owner
        Only deals of the owner with this user name or id.
    pipeline
        Only deals of Capsule's pipeline of this name or id (API v2).
    team
        Only deals of the team of this name or id (API v2).
    status
        Only ``"open"``, ``"won"`` or ``"lost"`` deals.
    field
        Only deals with these values of custom fields, by the field's key (API v2).
    embed
        ``"tags"``, ``"fields"`` and ``"missingImportantFields"`` add those columns (API v2).
    as_of
        The day from which deals are overdue; None means today, UTC.
    workers
        Pages under way at the same time, 1 to 8.
    page_size
        Records to ask for in a page, 1 to 100.
    progress
        Called with the number of records of each page that arrived.
    resume
        True takes up a load that failed within the last day, and keeps the pages of this one
        until it is done; False keeps them but starts afresh; None keeps nothing on disk.

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
    day = None if as_of is None else as_day(as_of)
    wanted = Wanted.of(
        milestone=milestone, tag=tag, owner=owner, pipeline=pipeline, team=team,
        status=status, field=field,
    )  # fmt: skip
    milestones = client.fetch_milestones()
    asked = asked_for(client, wanted, milestones, tuple(embed))
    began = client.transport.server_time or datetime.now(UTC)

    def read(query: Query) -> Reading:
        return read_completely(
            client,
            query,
            began=began,
            workers=workers,
            page_size=page_size,
            progress=progress or (lambda _: None),
            cache=None if resume is None else PageCache(client.transport.root, query, page_size),
            resume=bool(resume),
        )

    with _no_garbage_collection():
        try:
            reading = read(asked.query)
        except ApiError as error:
            if error.status not in _NO_FILTER or asked.query == asked.everything:
                raise
            asked = asked._replace(query=asked.everything, wanted=wanted)
            reading = read(asked.everything)
        loaded = finish_pipeline(
            reading.assembler,
            _setting(client, reading.assembler, milestones),
            loaded_at=pd.Timestamp(reading.began),
            as_of=day or reading.began.date(),
            account=client.account,
            gone=reading.gone,
        )
    chosen = asked.wanted.apply(loaded, asked.known)
    extra = [name for name in ("tags", "fields") if name not in embed]
    return replace(chosen, opportunities=chosen.opportunities.drop(columns=extra, errors="ignore"))


_MOST_DOUBTFUL = 100
"""Hidden deals that are asked for one by one, at most; with more, everything is loaded."""

_NO_FILTER = frozenset({400, 404, 405, 422})
"""How servers answer a filter that they do not know; then everything is read and filtered here."""


def _setting(
    client: CapsuleClient,
    assembler: Assembler,
    milestones: list[Record],
    more: Sequence[Record] = (),
) -> Setting:
    """Ask for what explains the opportunities that came, beside milestones, listed and more."""
    typed = client.api.TYPED
    table = milestone_frame(milestones, typed=typed)
    wants = assembler.wants()
    if table.index.name == "id":
        known = {*table.index, *(record["id"] for record in more)}
        if unknown := wants.milestones - known:
            more = [*more, *client.fetch_milestones_by_id(unknown, milestones)]
        if more:  # each after the others of its pipeline
            every = [*milestones, *more]
            place = [record.get("pipeline_id") for record in every]
            every.sort(key=lambda record: place.index(record.get("pipeline_id")))
            table = milestone_frame(every, typed=typed)
    reasons = client.fetch_reference("lostReasons") if wants.lost_reasons else []
    users = client.fetch_reference("users") if wants.usernames else []
    definitions = client.fetch_reference("definitions") if wants.definitions else []
    return Setting(
        milestones=table,
        currencies=_currencies(client) if wants.currencies else [],
        lost_reasons=counting_reasons(reasons),
        usernames={
            one["id"]: one["username"]
            for one in users
            if isinstance(one.get("id"), int) and isinstance(one.get("username"), str)
        },
        definitions=[definition_of(one) for one in definitions],
    )


def counting_reasons(reasons: Sequence[Record]) -> dict[int, bool]:
    """Tell of each lost reason, by its id, whether it counts in the win rate."""
    return {
        one["id"]: one["includedForConversion"]
        for one in reasons
        if isinstance(one.get("id"), int) and isinstance(one.get("includedForConversion"), bool)
    }


class Earlier(NamedTuple):
    """What is known of an account from an earlier load.

    Attributes
    ----------
    ids
        Of its opportunities.
    milestones
        Its milestone configuration.
    """

    ids: pd.Index
    milestones: pd.DataFrame


class Update(NamedTuple):
    """What changed in an account since an earlier load.

    Attributes
    ----------
    pipeline
        The opportunities that were created or changed.
    deleted_ids
        Ids of those that are gone, or hidden from the token.
    """

    pipeline: Pipeline
    deleted_ids: list[int]


def load_changes(
    client: CapsuleClient,
    since: datetime,
    *,
    embed: Sequence[str] = (),
    earlier: Earlier | None = None,
) -> Update | None:
    """Load what changed since an earlier load, and a little more.

    Parameters
    ----------
    client
        The account.
    since
        ``loaded_at`` of the earlier load. It is asked from ten minutes before, because the
        server's clocks may disagree; what did not change costs nothing to record again.
    embed
        As for `load_pipeline`.
    earlier
        What the earlier load found; milestones that only it refers to are asked for again, so
        that the two configurations can be compared.

    Returns
    -------
    The changes, or None if the server cannot tell them, or says that the account has another
    number of deals than these and the earlier ones make, so that everything must be loaded.

    Raises
    ------
    CapsuleError
        If the account cannot be read.

    Notes
    -----
    Capsule does not tell since when a deal is hidden, and may go on telling it of one that was
    shown again. So each that did not change is asked for: what the server shows is there.
    """
    api = client.api
    known: list[int] = []
    if earlier is not None and earlier.milestones.index.name == "id":
        known = [key for key in earlier.milestones.index.tolist() if key >= 0]
    # The first answer tells the server's time. What follows waits for nothing but itself: the
    # milestones are those of some moment of the load, as they would be before it.
    v1 = client.api_version == "v1"
    first = client.fetch_milestones() if v1 else client.fetch_pipelines()
    began = client.transport.server_time or datetime.now(UTC)

    def milestones() -> tuple[list[Record], list[Record]]:
        listed = first if v1 else client.fetch_milestones(first)
        return listed, client.fetch_milestones_by_id(known, listed)

    feed = ChangeFeed(client, since, embed)
    settled, (listed, more) = client.at_once(
        lambda call: call(), [feed.settle_and_count, milestones]
    )
    if settled is None:
        return None
    changes, total = settled
    doubtful = [key for key in changes.untimed - changes.ids if key >= 0]
    if len(doubtful) > _MOST_DOUBTFUL:
        return None
    shown = client.fetch_shown(doubtful, embed)
    assembler = Assembler(typed=api.TYPED)
    for page in [*changes.pages, *shown.values()]:
        assembler.add(page)
    pipeline = finish_pipeline(
        assembler,
        _setting(client, assembler, listed, more),
        loaded_at=pd.Timestamp(began),
        as_of=began.date(),
        account=client.account,
        repeats=True,
    )
    gone = sorted(changes.gone.keys() - changes.ids - shown.keys())
    if earlier is not None and total is not None:
        ids = earlier.ids.union(pipeline.opportunities.index).difference(gone)
        if total != int((ids >= 0).sum()):
            return None
    return Update(pipeline, gone)


def _currencies(client: CapsuleClient) -> list[str]:
    """Ask for the account's currencies, which only sharpen a check: do without where refused."""
    try:
        return client.list_currencies()
    except (ApiError, DataError):
        return []


def opportunities_from_pages(
    pages: Iterable[bytes],
    api_version: str = "v1",
    milestones: pd.DataFrame | bytes | Sequence[bytes] | None = None,
) -> pd.DataFrame:
    """Read saved pages of an account into the typed frame.

    Parameters
    ----------
    pages
        Bodies of list requests: XML for v1, JSON for v2.
    api_version
        ``"v1"`` or ``"v2"``.
    milestones
        The milestone configuration, as saved bodies (with v2 there is one for each pipeline) or
        as ``Pipeline.milestones``. Without it no deal is known to be closed, so all are open.

    Returns
    -------
    The frame of `schema.COLUMNS` with ``tcv`` and ``status``, index ``id``, each opportunity once
    (the newest, where pages overlap).

    Raises
    ------
    ArgumentError
        If a page is not bytes, or `pages` is one body and not several.
    DataError
        If a page is not what the version sends; the message tells which.

    Examples
    --------
    >>> deal = b"<opportunity><id>7</id><value>1250.50</value></opportunity>"
    >>> opportunities_from_pages([b"<opportunities>" + deal + b"</opportunities>"])["tcv"].to_dict()
    {7: 1250.5}
    """
    api = api_of(api_version)
    if not isinstance(milestones, pd.DataFrame):
        bodies = [milestones] if isinstance(milestones, bytes) else milestones or []
        found = [one for body in bodies for one in api.parse_milestones(body, {})[0]]
        milestones = milestone_frame(found, typed=api.TYPED)
    assembler = Assembler(typed=api.TYPED)
    with _no_garbage_collection():
        for number, body in enumerate(pages, start=1):
            if not isinstance(body, bytes):
                raise ArgumentError(f"page {number} is {type(body).__name__}, not bytes as it came")
            try:
                assembler.add(api.parse_page(body, {}).columns)
            except DataError as error:
                raise DataError(f"page {number}: {error}") from error
        frame, _ = assembler.finish(Setting(milestones))
    return frame.drop(columns=["own_probability", "milestone_known"])


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
