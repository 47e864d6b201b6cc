"""How fast deals move: sales cycle, velocity, and the steps from milestone to milestone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._deals import owner_names, owners_under
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, TIMESTAMP, Pipeline

from ._outcomes import counted, endings, in_order, in_pipeline_order, sightings

if TYPE_CHECKING:
    from collections.abc import Sequence

_BY = ("owner", "team", "pipeline")


def velocity(pipeline: Pipeline, *, by: str | None = None) -> pd.DataFrame:
    """Measure win rate, deal size, sales cycle and velocity by currency.

    ``velocity = open deals * average won value * win rate / sales cycle``: the value won per day
    if the open deals go the way of those that ended. The usual definition of sales teams.

    The sales cycle is the median number of days from ``created_at`` to the close (``closed_at``,
    else ``expected_close``), won or lost. Open deals are not left out, for that would make cycles
    look short: they are censored at their present age, and the median is Kaplan and Meier's
    (Journal of the American Statistical Association, 1958), the first day by which at least half
    the deals are estimated to have closed.

    Parameters
    ----------
    pipeline
        The account.
    by
        Also owner, team or pipeline. A user who goes by several names is one person, under the
        last of them.

    Returns
    -------
    One row a currency (and group): ``currency``, the column of `by`, ``open_deals``,
    ``won_deals``, ``lost_deals``, ``left_out`` (those of the lost deals that do not count in the
    win rate, as for `win_rates`), ``win_rate`` (won / (won + lost - left out), not shrunk),
    ``rate_of_all`` (won / (won + lost)), ``average_won`` (mean TCV of won deals, in the currency),
    ``cycle_days``, ``velocity`` (currency per day).
    Figures are NaN where nothing bears on them: no deal ended, none won, or too few closed for a
    median. ``attrs["deals_without_cycle"]`` counts deals whose dates are missing or run
    backwards.

    Raises
    ------
    ArgumentError
        If `by` is not valid.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = velocity(ca.load_sample())
    >>> table[["currency", "open_deals", "won_deals", "cycle_days"]].head(2)
      currency  open_deals  won_deals  cycle_days
    0      CHF           9         13       204.0
    1      EUR          28         35       202.0
    """
    if by is not None and by not in _BY:
        raise ArgumentError(f"by must be one of {', '.join(_BY)}, or None, not {by!r}")
    frame, status = pipeline.opportunities, pipeline.opportunities["status"]
    if by == "owner":
        frame = frame.assign(owner=owners_under(frame, owner_names(frame)))
    keys = ["currency"] if by is None else ["currency", by]
    close = frame["closed_at"].where(frame["closed_at"].notna(), frame["expected_close"])
    today = pd.Timestamp(pipeline.as_of, tz="UTC")
    ended = status != "open"
    days = (close.where(ended, today) - frame["created_at"].dt.floor("D")).dt.days
    won = status == "won"
    rows = (
        frame[keys]
        .astype(TEXT)
        .assign(
            open_deals=(~ended).astype("int64"),
            won_deals=won.astype("int64"),
            lost_deals=(status == "lost").astype("int64"),
            left_out=(ended & ~counted(frame)).astype("int64"),
            average_won=frame["tcv"].where(won),
            days=days.where(days >= 0),
            ended=ended,
        )
    )
    grouped = rows.groupby(keys, dropna=False)
    table = grouped[["open_deals", "won_deals", "lost_deals", "left_out"]].sum()
    closed = table["won_deals"] + table["lost_deals"]
    counts = closed - table["left_out"]
    table["win_rate"] = table["won_deals"] / counts.where(counts > 0)
    table["rate_of_all"] = table["won_deals"] / closed.where(closed > 0)
    table["average_won"] = grouped["average_won"].mean()
    table["cycle_days"] = [median_days(part["days"], part["ended"]) for _, part in grouped]
    table["velocity"] = (
        table["open_deals"]
        * table["average_won"]
        * table["win_rate"]
        / table["cycle_days"].where(table["cycle_days"] > 0)
    )
    table = table.reset_index()
    table.attrs = {"deals_without_cycle": int(rows["days"].isna().sum())}
    return table


def median_days(days: pd.Series, ended: pd.Series) -> float:
    """Give Kaplan and Meier's median of durations of which some have not ended.

    Parameters
    ----------
    days
        Durations so far, shape (n,); missing ones are left out.
    ended
        Whether each has ended, shape (n,).

    Returns
    -------
    The first duration by which at least half have ended; NaN if that is not reached.

    Examples
    --------
    >>> median_days(pd.Series([10, 20, 30, 40]), pd.Series([True, False, True, True]))
    30.0
    """
    # Not from scipy.stats, which takes longer to import than a report to compute.
    known = days.notna()
    times = np.sort(days[known].to_numpy(dtype=np.float64))
    ends, count = np.unique(days[known & ended.astype(bool)], return_counts=True)
    at_risk = len(times) - np.searchsorted(times, ends)
    surviving = np.cumprod(1 - count / at_risk)
    # Products of shares that make one half may come out a rounding above it.
    half = ends[surviving <= 0.5 + 1e-12]
    return float(half[0]) if len(half) else float("nan")


def milestone_steps(snapshots: Sequence[Pipeline], final: Pipeline | None = None) -> pd.DataFrame:
    """Measure how many deals move on from each milestone, and how long they stand there.

    A deal has reached a milestone if a snapshot shows it there. It moved on if it was won, or
    stood at a later milestone afterwards in a snapshot or when it closed (``last_open_milestone``,
    API v2). Deals that pass through a milestone between two snapshots are not seen there, so
    monthly snapshots tell little of milestones that deals leave within days.

    Parameters
    ----------
    snapshots
        The account on earlier days, in any order.
    final
        The account on the day on which the outcomes are read; None means the latest snapshot.

    Returns
    -------
    One row an open milestone, in order: ``milestone``, ``reached``, ``moved_on``, ``lost``,
    ``undecided`` (still open, without having moved on), ``deleted`` (deals), ``conversion``
    (moved_on / (moved_on + lost): the undecided have not yet had their chance; NaN without deals)
    and ``days`` (Kaplan-Meier median of the days from the first sighting there to the first
    elsewhere or the close, true to about the time between snapshots; deals that already stood
    there in the first snapshot are left out).

    Raises
    ------
    ArgumentError
        If there are no snapshots, or one is later than `final`.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = milestone_steps(ca.history.sample_history())
    >>> table[["milestone", "reached", "conversion", "days"]].round(2).head(5)
       milestone  reached  conversion   days
    0       Lead       98        0.82   61.0
    1    Enquiry       49        0.74  122.0
    2  Qualified      158        0.75   89.0
    3     Scoped       58        0.71   92.0
    4  Candidate        2        0.00    NaN
    """
    ordered = in_order(snapshots)
    if not ordered:
        raise ArgumentError("milestone steps need at least one snapshot")
    final = ordered[-1] if final is None else final
    if ordered[-1].as_of > final.as_of:
        raise ArgumentError(
            f"a snapshot of {ordered[-1].as_of} is later than the final pipeline of {final.as_of}"
        )
    stays = _stays(ordered, final)
    frame = final.opportunities
    status = stays["opportunity_id"].map(frame["status"].astype(object))
    moved = stays["higher_after"] | (status == "won")
    lost = ~moved & (status == "lost")
    deleted = ~moved & status.isna()
    from_start = stays["first"] > pd.Timestamp(ordered[0].as_of, tz="UTC")
    rows = pd.DataFrame(
        {
            "milestone": stays["milestone"],
            "reached": 1,
            "moved_on": moved.astype("int64"),
            "lost": lost.astype("int64"),
            "undecided": (~moved & ~lost & ~deleted).astype("int64"),
            "deleted": deleted.astype("int64"),
        }
    )
    table = rows.groupby("milestone", observed=False).sum()
    decided = table["moved_on"] + table["lost"]
    table["conversion"] = table["moved_on"] / decided.where(decided > 0)
    days = (
        (stays["left"].fillna(stays["until"]) - stays["first"])
        .dt.days.clip(lower=0)
        .where(from_start)
    )
    known = pd.DataFrame({"days": days, "left": stays["left"].notna()})
    table["days"] = [
        median_days(known.loc[at, "days"], known.loc[at, "left"])
        for at in (stays["milestone"] == name for name in table.index)
    ]
    table.index = pd.Index(table.index.astype(object), name="milestone").astype(TEXT)
    return table.reset_index()


def _stays(snapshots: Sequence[Pipeline], final: Pipeline) -> pd.DataFrame:
    """Give one row a deal and milestone: when it came, when it left, and which way.

    ``first`` and ``until`` are its first and last day there; ``left`` the first later day
    elsewhere, or of the close, missing if it never left; ``higher_after`` whether it stood at a
    later milestone afterwards. A deal's last milestone may be known from its close alone: it shows
    that the deal moved on from others, but is no stay, for only stays that ended so would be.
    """
    latest = [] if snapshots[-1] is final else [final]
    open_ = sightings([*snapshots, *latest])[["opportunity_id", "day", "milestone"]]
    frame = final.opportunities
    ended = endings(final)
    closed = pd.DataFrame(
        {
            "opportunity_id": frame.index,
            "day": ended["known_on"].reindex(frame.index).to_numpy(),
            "milestone": frame["last_open_milestone"].astype(TEXT).to_numpy(),
        }
    ).astype({"day": TIMESTAMP, "milestone": TEXT})
    rows = pd.concat([open_.assign(seen=True), closed.assign(seen=False)], ignore_index=True)
    rows = rows.dropna(subset=["milestone", "day"])
    rows["milestone"] = in_pipeline_order(rows["milestone"], final.milestones)
    stays = (
        rows.groupby(["opportunity_id", "milestone"], observed=True)
        .agg(first=("day", "min"), until=("day", "max"), seen=("seen", "any"))
        .reset_index()
    )
    stays["rank"] = stays["milestone"].cat.codes
    pairs = stays.reset_index(names="stay").merge(
        stays[["opportunity_id", "rank", "first", "until"]],
        on="opportunity_id",
        suffixes=("", "_other"),
    )
    higher = (pairs["rank_other"] > pairs["rank"]) & (pairs["until_other"] > pairs["first"])
    stays["higher_after"] = higher.groupby(pairs["stay"]).any()
    later = pairs["first_other"].where(
        (pairs["rank_other"] != pairs["rank"]) & (pairs["first_other"] > pairs["first"])
    )
    close = stays["opportunity_id"].map(ended["known_on"])
    stays["left"] = later.groupby(pairs["stay"]).min().fillna(close)
    return stays[stays["seen"]]
