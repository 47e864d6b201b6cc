"""From an account to a complete `Pipeline`: every page, each opportunity once, or an error.

How that is made sure is told in `_complete`.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from capsule_analytics.api import MAX_CONNECTIONS, Query, api_of
from capsule_analytics.errors import ApiError, ArgumentError, DataError

from ._cache import PageCache
from ._complete import ChangeFeed, read_completely
from ._frame import Assembler, assemble, finish_pipeline, milestone_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from capsule_analytics.api import CapsuleClient
    from capsule_analytics.schema import Pipeline

_PAGE_SIZE = 100


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
    resume: bool | None = None,
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
    api = client.api
    asked_here = owner if "owner" not in api.SERVER_FILTERS else None
    query = client.resolve(Query(milestone, tag, None if asked_here else owner, embed=tuple(embed)))
    milestones = milestone_frame(client.fetch_milestones(), typed=api.TYPED)
    began = client.transport.server_time or datetime.now(UTC)
    with _no_garbage_collection():
        reading = read_completely(
            client,
            query,
            began=began,
            workers=workers,
            page_size=page_size,
            progress=progress or (lambda _: None),
            cache=None if resume is None else PageCache(client.transport.root, query, page_size),
            resume=bool(resume),
        )
        pipeline = finish_pipeline(
            reading.assembler,
            milestones,
            currencies=_currencies(client),
            loaded_at=pd.Timestamp(reading.began),
            as_of=as_of or reading.began.date(),
            account=client.account,
            gone=reading.gone,
        )
    return select(pipeline, owner=asked_here) if asked_here else pipeline


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
    client: CapsuleClient, since: datetime, *, embed: Sequence[str] = ()
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

    Returns
    -------
    The changes, or None if the server cannot tell them and everything must be loaded.

    Raises
    ------
    CapsuleError
        If the account cannot be read.
    """
    api = client.api
    milestones = milestone_frame(client.fetch_milestones(), typed=api.TYPED)
    began = client.transport.server_time or datetime.now(UTC)
    if (changes := ChangeFeed(client, since, embed).settle()) is None:
        return None
    pipeline = assemble(
        changes.pages,
        typed=api.TYPED,
        milestones=milestones,
        currencies=_currencies(client),
        loaded_at=pd.Timestamp(began),
        as_of=began.date(),
        account=client.account,
        repeats=True,
    )
    return Update(pipeline, sorted(changes.gone.keys() - changes.ids))


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
        raise ArgumentError(
            f"no deal has the {what} {wanted!r}; there are {', '.join(known) or 'none'}"
        )


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
    if isinstance(milestones, bytes):
        milestones = milestone_frame(api.parse_milestones(milestones, {})[0], typed=api.TYPED)
    if milestones is None:
        milestones = milestone_frame([], typed=api.TYPED)
    assembler = Assembler(typed=api.TYPED)
    with _no_garbage_collection():
        for number, body in enumerate(pages, start=1):
            if not isinstance(body, bytes):
                raise ArgumentError(f"page {number} is {type(body).__name__}, not bytes as it came")
            try:
                assembler.add(api.parse_page(body, {}).columns)
            except DataError as error:
                raise DataError(f"page {number}: {error}") from error
        frame, _ = assembler.finish(milestones)
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
