"""The account on earlier days, as its snapshots have it: what a report learns and compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from capsule_analytics import history
from capsule_analytics.errors import HistoryError, MissingExtraError

from ._run import say

if TYPE_CHECKING:
    from datetime import date

    from capsule_analytics.history import Store
    from capsule_analytics.schema import Pipeline

    from ._args import ReportArgs


class Past(NamedTuple):
    """What is known of the days before.

    Attributes
    ----------
    snapshots
        The last of each month, and `before`; oldest first.
    before
        The one to compare with: the last, or that of ``--changes-since``.
    """

    snapshots: tuple[Pipeline, ...] = ()
    before: Pipeline | None = None


def past_of(pipeline: Pipeline, args: ReportArgs) -> Past:
    """Find the snapshots of an account from before its day, where there are any.

    The sample account has a history of its own; of others the snapshot store knows. Without a
    store nothing is known, which is an error only where something was asked that needs one.
    """
    since = args.changes_since
    if since is not None and since >= pipeline.as_of:
        raise HistoryError(f"changes since {since}: that is not before {pipeline.as_of}")
    if args.sample:
        if args.no_projection and since is None and args.probability != "calibrated":
            return Past()  # nothing asks for them, and reading them takes a while
        return _sample_past(pipeline, since)
    needed = since is not None or args.probability == "calibrated"
    try:
        if not needed and args.store is None and not history.default_path().exists():
            return Past()
        with history.open_store(args.store, read_only=True) as store:
            if not needed and pipeline.account not in store.accounts():
                if args.store is not None:
                    _tell_none(f"{store.path} has no snapshot of {pipeline.account}")
                return Past()
            return _stored_past(store, pipeline, since)
    except (HistoryError, MissingExtraError) as error:
        if needed:
            raise
        _tell_none(str(error))
        return Past()


def _tell_none(why: str) -> None:
    """Say that the report does without snapshots, though a store was named or is there."""
    say(f"Without snapshots: {why}.", error=True)


def _sample_past(pipeline: Pipeline, since: date | None) -> Past:
    days = [day for day in history.sample_history() if day.as_of < pipeline.as_of]
    if since is None:
        return Past(tuple(days), days[-1] if days else None)
    earlier = [day for day in days if day.as_of <= since]
    if not earlier:
        raise HistoryError("the sample account has no snapshot so early")
    return Past(tuple(days), earlier[-1])


def _stored_past(store: Store, pipeline: Pipeline, since: date | None) -> Past:
    name = pipeline.account
    taken = store.snapshots(name)["taken_at"]
    taken = taken[(taken < pipeline.loaded_at) & (taken.dt.date < pipeline.as_of)]
    moments = set(taken.groupby(taken.dt.strftime("%Y-%m")).max())
    before = None if since is None else store.as_of(since, name)
    if before is not None:
        moments.add(before.loaded_at)
    elif len(taken):
        moments.add(taken.max())
    days = tuple(store.as_of(moment, name) for moment in sorted(moments))
    if before is None:
        return Past(days, days[-1] if days else None)
    return Past(days, next(day for day in days if day.loaded_at == before.loaded_at))
