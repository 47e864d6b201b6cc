"""What became of the deals that snapshots show open: the rows that calibration learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._deals import add, owner_names, owners_under
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, TIMESTAMP, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIGHTED = (
    "opportunity_id",
    "day",
    "pipeline",
    "milestone",
    "probability",
    "owner",
    "owner_id",
    "team",
    "currency",
    "tcv",
    "age_days",
    "expected_close",
)
"""Columns of a sighting: how a deal stood, open, on one day."""

_TEXTS = ("pipeline", "milestone", "owner", "team", "currency")


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
    0 to 1), ``owner`` (whose name is today's, where the API has an ``owner_id``), ``owner_id``,
    ``team``, ``currency``, ``tcv`` (in that currency), ``age_days`` (days since it was created),
    ``expected_close``, ``known_on`` (the first day on which the outcome can have been known: the
    day it closed, else that of its last change, but after the last day on which it was seen open),
    ``closed_on`` (the day it closed, else was expected to), ``won`` (1 or 0) and
    ``counts_for_conversion`` (False for a deal lost for a reason that the account leaves out of
    its conversion rate). ``attrs`` has ``snapshots``, ``ended_deals``, ``open_deals`` and
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
    ordered = in_order(snapshots)
    if ordered and ordered[-1].as_of > final.as_of:
        raise ArgumentError(
            f"a snapshot of {ordered[-1].as_of} is later than the final pipeline of {final.as_of}"
        )
    seen = sightings(ordered) if ordered else _from_last_milestones(final)
    names: dict[int, str] = {}
    for one in (*ordered, final):
        names = owner_names(one.opportunities, names)
    seen["owner"] = owners_under(seen, names).astype(TEXT)
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


def ended(pipeline: Pipeline) -> pd.DataFrame:
    """List the deals of an account that have ended, each once, as `win_rates` takes them.

    `outcomes` tells how deals stood while they were open; this tells who won or lost them.

    Parameters
    ----------
    pipeline
        The account.

    Returns
    -------
    RangeIndex, sorted by deal: ``opportunity_id``, ``pipeline``, ``owner``, ``team``,
    ``currency``, ``milestone`` (the last open one), ``lost_reason``, ``tcv``, ``age_days`` (at the
    close), ``closed_on`` (the day it closed, else was expected to), ``won`` (1 or 0) and
    ``counts_for_conversion``.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = ended(ca.load_sample())
    >>> len(table), int(table["won"].sum())
    (438, 216)
    """
    frame = pipeline.opportunities
    ends = endings(pipeline)
    held = frame.loc[ends.index]
    texts = ["pipeline", "owner", "team", "currency", "last_open_milestone", "lost_reason"]
    rows = held[texts].astype(TEXT).rename(columns={"last_open_milestone": "milestone"})
    rows["milestone"] = in_pipeline_order(rows["milestone"], pipeline.milestones)
    closed = ends["closed_on"]
    rows = rows.assign(
        tcv=held["tcv"],
        age_days=_days_between(held["created_at"], closed),
        closed_on=closed,
        won=ends["won"],
        counts_for_conversion=ends["counts_for_conversion"],
    )
    return rows.sort_index().reset_index(names="opportunity_id")


def in_order(snapshots: Sequence[Pipeline]) -> list[Pipeline]:
    """Sort snapshots by their day; of several of one day only the latest loaded stays."""
    newest = {
        snapshot.as_of: snapshot
        for snapshot in sorted(snapshots, key=lambda one: (one.as_of, one.loaded_at))
    }
    return list(newest.values())


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
    """Give the deals that ended: index id, and the last four columns of `outcomes`."""
    frame = final.opportunities
    frame = frame[frame["status"] != "open"]
    closed = frame["closed_at"]
    return pd.DataFrame(
        {
            "known_on": closed.where(closed.notna(), frame["updated_at"].dt.floor("D")),
            "closed_on": closed.where(closed.notna(), frame["expected_close"]),
            "won": (frame["status"] == "won").astype("int64"),
            "counts_for_conversion": counted(frame),
        },
        index=frame.index,
    ).astype({"known_on": TIMESTAMP, "closed_on": TIMESTAMP})


def tally(frame: pd.DataFrame) -> pd.DataFrame:
    """Count the deals that ended: a part that `_deals.add` adds up.

    Parameters
    ----------
    frame
        Opportunities of one or several accounts, with ``account``.

    Returns
    -------
    ``account``, ``currency``, ``lost_reason`` (of lost deals), ``closed_on`` (the first day of its
    month, naive), ``won``, ``counts`` (in the win rate), then ``deals`` and ``cents`` (their TCV).
    """
    frame = frame[(frame["status"] != "open").to_numpy(dtype=bool)]
    won = (frame["status"] == "won").to_numpy(dtype=bool)
    closed = frame["closed_at"].where(frame["closed_at"].notna(), frame["expected_close"])
    tcv = frame["tcv"].to_numpy(dtype=np.float64, na_value=np.nan)
    rows = pd.DataFrame(
        {
            **{name: frame[name].astype(TEXT).array for name in ("account", "currency")},
            "lost_reason": frame["lost_reason"].astype(TEXT).mask(won).array,
            "closed_on": closed.to_numpy(dtype="datetime64[M]").astype("datetime64[us]"),
            "won": won,
            "counts": counted(frame),
            "deals": np.int64(1),
            "cents": np.rint(np.where(np.isfinite(tcv), tcv, 0.0) * 100),
        }
    )
    return add([rows])


def counted(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which deals count in the win rate: those that ended, but for what is left out.

    An account can leave reasons for losing out of its conversion rate, such as "entered twice":
    ``includedForConversion`` of developer.capsulecrm.com/v2/operations/Lost_Reason. A deal lost
    for no reason, or for one that tells nothing, counts.

    Parameters
    ----------
    frame
        Opportunities with ``status``, and ``counts_for_conversion`` where the API has it.

    Returns
    -------
    Shape (n,), False for open deals.
    """
    status = frame["status"]
    ended: NDArray[np.bool_] = (status != "open").to_numpy(dtype=bool)
    if "counts_for_conversion" not in frame.columns:
        return ended
    told = frame["counts_for_conversion"].astype("boolean").fillna(value=True)
    counts: NDArray[np.bool_] = told.to_numpy(dtype=bool) | (status == "won").to_numpy(dtype=bool)
    return ended & counts


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
    by_id = open_.index.name == "id"
    open_ = open_[["pipeline", "name", "probability"]].astype({"pipeline": TEXT, "name": TEXT})
    open_ = open_.reset_index(names="at")
    # The id tells the milestone, which may be of another pipeline; without one, the name.
    named = open_.drop_duplicates(["pipeline", "name"]).rename(columns={"name": "last"})
    deals = deals.drop(columns="milestone").merge(
        named[["pipeline", "last", "at"]], on=["pipeline", "last"], how="left"
    )
    at = deals["at"].astype("Int64")
    if by_id:
        at = deals["last_open_milestone_id"].fillna(at)
    steps = open_.merge(open_, on="pipeline", suffixes=("", "_before"))
    passed = steps[
        (steps["probability_before"] < steps["probability"]) | (steps["at_before"] == steps["at"])
    ]
    passed = passed.rename(columns={"name_before": "milestone"})[["at", "milestone"]]
    rows = deals.assign(at=at).merge(passed.astype({"at": "Int64"}), on="at", how="left")
    # A milestone that has since left the configuration stands for itself alone.
    rows["milestone"] = rows["milestone"].fillna(rows["last"])
    return rows[list(SIGHTED)]


def in_pipeline_order(names: pd.Series, milestones: pd.DataFrame) -> pd.Series:
    """Make milestone names an ordered category of open milestones, by their probability.

    A name that several pipelines use counts as one milestone. Names that the configuration does
    not know come last. Archived milestones, to which no deal can come any more, are there only if
    one was.
    """
    current = ~milestones["archived"].astype(bool) | milestones["name"].isin(names.dropna())
    open_ = milestones[~milestones["complete"].astype(bool) & current]
    known = open_.sort_values("probability", kind="stable")["name"].astype(object)
    labels = list(dict.fromkeys([*known, *sorted(names.dropna().astype(object).unique())]))
    order = pd.CategoricalDtype(pd.Index(labels, dtype=object), ordered=True)
    return names.astype(object).astype(order)
