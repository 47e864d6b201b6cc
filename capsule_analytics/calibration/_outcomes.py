"""What became of the deals that snapshots show open: the rows that calibration learns from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from capsule_analytics._deals import owner_names, owners_under
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, TIMESTAMP, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGHTED = (
    "opportunity_id",
    "day",
    "pipeline",
    "milestone",
    "probability",
    "owner",
    "currency",
    "tcv",
    "age_days",
    "expected_close",
)
"""Columns of a sighting: how a deal stood, open, on one day."""

_TEXTS = ("pipeline", "milestone", "owner", "currency")


def outcomes(snapshots: Sequence[Pipeline], final: Pipeline) -> pd.DataFrame:
    """Join how deals stood while they were open to what became of them.

    With snapshots, a row is a sighting: a deal and a day on which a snapshot shows it open.
    A deal that is still open in `final` has no outcome yet and is left out (it is censored), and
    so is one that was deleted; both are counted in ``attrs``. As quick endings are known first,
    the latest snapshots hold more of them than there will be.

    Without snapshots, rows are made from ``last_open_milestone`` (API v2): an ended deal counts
    once at that milestone and once at every milestone before it in its pipeline, by their
    probabilities. Where deals often enter half-way, that makes early milestones look better than
    they are. Then ``day`` is the day it ended, and ``probability`` and ``age_days`` are missing,
    as nothing tells what was stated while it was open: win rates can be had so, but no
    calibration.

    Parameters
    ----------
    snapshots
        The account on earlier days, in any order; of several of one day the latest loaded counts.
    final
        The account on the day on which the outcomes are read.

    Returns
    -------
    RangeIndex, sorted by day and deal: ``opportunity_id``, ``day`` (midnight UTC), ``pipeline``,
    ``milestone`` (ordered category of the account's open milestones), ``probability`` (as stated,
    0 to 1), ``owner``, ``currency``, ``tcv`` (in that currency), ``age_days`` (days since it was
    created), ``expected_close``, ``known_on`` (the first day on which the outcome can have been
    known: the day it closed, else that of its last change, but after the last day on which it was
    seen open), ``won`` (1 or 0). ``attrs`` has ``snapshots``, ``ended_deals``, ``open_deals`` and
    ``deleted_deals``.

    Raises
    ------
    ArgumentError
        If a snapshot is later than `final`.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = outcomes(ca.history.sample_history(), ca.load_sample())
    >>> len(table), table.attrs["ended_deals"], table.attrs["open_deals"]
    (1917, 341, 164)
    """
    ordered = under_newest_names(in_order(snapshots), final)
    if ordered and ordered[-1].as_of > final.as_of:
        raise ArgumentError(
            f"a snapshot of {ordered[-1].as_of} is later than the final pipeline of {final.as_of}"
        )
    seen = sightings(ordered) if ordered else _from_last_milestones(final)
    ends = endings(final)
    rows = seen.merge(ends, left_on="opportunity_id", right_index=True)
    if ordered:
        after = rows.groupby("opportunity_id")["day"].transform("max") + pd.Timedelta(days=1)
        rows["known_on"] = rows["known_on"].where(rows["known_on"] >= after, after)
    rows["milestone"] = in_pipeline_order(rows["milestone"], final.milestones)
    rows = rows.sort_values(["day", "opportunity_id", "milestone"], ignore_index=True)
    status = final.opportunities["status"]
    ids = pd.Index(seen["opportunity_id"].unique())
    rows.attrs = {
        "snapshots": len(ordered),
        "ended_deals": int(ids.isin(ends.index).sum()),
        "open_deals": int(ids.isin(status.index[status == "open"]).sum()),
        "deleted_deals": int((~ids.isin(status.index)).sum()),
    }
    return rows


def in_order(snapshots: Sequence[Pipeline]) -> list[Pipeline]:
    """Sort snapshots by their day; of several of one day only the latest loaded stays."""
    newest = {
        snapshot.as_of: snapshot
        for snapshot in sorted(snapshots, key=lambda one: (one.as_of, one.loaded_at))
    }
    return list(newest.values())


def under_newest_names(ordered: Sequence[Pipeline], final: Pipeline) -> list[Pipeline]:
    """Show each owner of the snapshots by the newest name, that of the final pipeline first."""
    names: dict[int, str] = {}
    for one in (*ordered, final):
        names = owner_names(one.opportunities, names)
    return [
        replace(
            one,
            opportunities=one.opportunities.assign(owner=owners_under(one.opportunities, names)),
        )
        for one in ordered
    ]


def sightings(snapshots: Sequence[Pipeline]) -> pd.DataFrame:
    """List the open deals of each snapshot, with the columns of `SIGHTED`."""
    return pd.concat([_open_deals(snapshot) for snapshot in snapshots], ignore_index=True)


def _open_deals(snapshot: Pipeline) -> pd.DataFrame:
    frame = snapshot.opportunities
    frame = frame[frame["status"] == "open"]
    day = pd.Timestamp(snapshot.as_of, tz="UTC")
    rows = frame.reset_index(names="opportunity_id")
    rows = rows.assign(day=day, age_days=_days_between(rows["created_at"], day))
    return rows[list(SIGHTED)].astype({"day": TIMESTAMP} | dict.fromkeys(_TEXTS, TEXT))


def _days_between(start: pd.Series, end: pd.Series | pd.Timestamp) -> pd.Series:
    """Count calendar days; a clock that ran ahead makes no deal younger than new."""
    days: pd.Series = (end - start.dt.floor("D")).dt.days.astype("float64").clip(lower=0)
    return days


def endings(final: Pipeline) -> pd.DataFrame:
    """Give the deals that ended: index id, ``known_on`` and ``won`` (1 or 0)."""
    frame = final.opportunities
    frame = frame[frame["status"] != "open"]
    closed = frame["closed_at"].where(frame["closed_at"].notna(), frame["updated_at"].dt.floor("D"))
    won = (frame["status"] == "won").astype("int64")
    return pd.DataFrame({"known_on": closed.astype(TIMESTAMP), "won": won}, index=frame.index)


def _from_last_milestones(final: Pipeline) -> pd.DataFrame:
    """Let each ended deal stand at its last open milestone and at those before it."""
    ends = endings(final)["known_on"]
    deals = final.opportunities.loc[ends.index].reset_index(names="opportunity_id")
    deals = deals.assign(
        day=ends.to_numpy(),
        last=deals["last_open_milestone"],
        probability=float("nan"),
        age_days=float("nan"),
    )
    deals = deals.astype({"day": TIMESTAMP} | dict.fromkeys([*_TEXTS, "last"], TEXT))
    open_ = final.milestones[~final.milestones["complete"].astype(bool)]
    open_ = open_[["pipeline", "name", "probability"]].astype({"pipeline": TEXT, "name": TEXT})
    steps = open_.rename(columns={"name": "last"}).merge(
        open_.rename(columns={"name": "milestone"}), on="pipeline", suffixes=("_last", "")
    )
    passed = steps[
        (steps["probability"] < steps["probability_last"]) | (steps["milestone"] == steps["last"])
    ]
    rows = deals.drop(columns="milestone").merge(
        passed[["pipeline", "last", "milestone"]], on=["pipeline", "last"], how="left"
    )
    # A milestone that has since left the configuration stands for itself alone.
    rows["milestone"] = rows["milestone"].fillna(rows["last"])
    return rows[list(SIGHTED)]


def in_pipeline_order(names: pd.Series, milestones: pd.DataFrame) -> pd.Series:
    """Make milestone names an ordered category of open milestones, by their probability.

    A name that several pipelines use counts as one milestone. Names that the configuration does
    not know come last.
    """
    open_ = milestones[~milestones["complete"].astype(bool)]
    known = open_.sort_values("probability", kind="stable")["name"].astype(object)
    labels = list(dict.fromkeys([*known, *sorted(names.dropna().astype(object).unique())]))
    order = pd.CategoricalDtype(pd.Index(labels, dtype=object), ordered=True)
    return names.astype(object).astype(order)
