"""Open deals that need someone: what is wrong with each, and how much is at stake.

In a tidy account half of the open deals have something that is worth knowing, and a list that
names them all says nothing. So each deal gets an urgency: the few to begin with, the others that
need someone, and those that are only worth knowing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics import history, quality
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from capsule_analytics.projection import Projection
    from capsule_analytics.schema import Pipeline

__all__ = ["needing"]

__dir__ = __all__.copy  # what completion offers

_TEXTS = ["name", "party", "owner", "currency"]
_PUSHED = 2
_LARGE = 0.75
_FALLEN = 0.05
_HALF = 0.5
_FEW = 12
_URGENCIES = ["first", "next", "note"]


def needing(
    pipeline: Pipeline,
    before: Pipeline | None = None,
    snapshots: Sequence[Pipeline] = (),
    projection: Projection | None = None,
) -> pd.DataFrame:
    """List the open deals that need someone, or are worth knowing of, with the reasons.

    A deal needs someone if it

    - is overdue (`quality.overdue`) or stale (`quality.stale`),
    - was pushed out twice or more (`history.slippage`),
    - is large, that is in the upper quarter of its currency's open deals, and its stated
      probability fell by five points or more, or nobody has had a word with the customer for long
      (`quality.neglected`).

    That nobody had a word over a smaller deal, or that fields are empty which the account calls
    important, is worth knowing, and asks for nobody this week.

    Of those that need someone, the *first* are the fewest that hold half of what is at stake in
    their currency, at most a dozen: what a manager can follow up in a week.

    Parameters
    ----------
    pipeline
        The account.
    before
        The account on an earlier day, by which chances are seen to fall; None without one.
    snapshots
        The account on earlier days, oldest first, by which pushes are seen.
    projection
        Fitted on the account; gives the chance that counts in the stake. None takes the stated
        probability.

    Returns
    -------
    One row a deal: ``id``, ``name``, ``party``, ``owner``, ``currency``, ``tcv``, ``stake`` (TCV
    times the chance that it is won within a year, or the stated probability; in the row's
    currency), ``urgency`` (``first``; ``next``, the others that need someone; ``note``, what is
    only worth knowing) and ``reason`` (text, joined by ``"; "``). Currencies with the most open
    deals stand first, a missing one last; within one the most urgent, and of them the largest
    stake.

    Raises
    ------
    ArgumentError
        If snapshots are of another account or not oldest first, or the projection lacks a deal.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = needing(ca.load_sample())
    >>> table.loc[0, ["urgency", "reason"]].tolist()
    ['first', 'overdue for 7 days']
    >>> table[table["currency"] == "GBP"].groupby("urgency").size().to_dict()
    {'first': 12, 'next': 59, 'note': 19}
    """
    frame = pipeline.opportunities
    frame = frame[(frame["status"] == "open").to_numpy(dtype=bool)]
    large = _large(frame)
    silent = _neglected(pipeline)
    asking = [
        _overdue(frame, pipeline),
        _stale(pipeline),
        silent[silent.index.isin(frame.index[large])],
        _pushed([*snapshots, pipeline]) if snapshots else _none(),
        _falling(frame[large], before) if before is not None else _none(),
    ]
    worth_knowing = [silent[~silent.index.isin(frame.index[large])], _lacking(frame)]
    told = pd.concat([part[part.index.isin(frame.index)] for part in [*asking, *worth_knowing]])
    reason = told.groupby(level=0, sort=False).agg("; ".join)
    rows = frame.loc[frame.index.isin(reason.index)]
    chance = rows["probability"]
    if projection is not None:
        chance = projection.deals()["won_within_year"].reindex(rows.index)
    table = rows[_TEXTS].astype(TEXT).assign(tcv=rows["tcv"], stake=rows["tcv"] * chance)
    needed = np.logical_or.reduce([table.index.isin(part.index) for part in asking])
    table["urgency"] = _urgency(table, needed)
    table["reason"] = reason.reindex(rows.index).astype(TEXT)
    counts = frame["currency"].astype(TEXT).value_counts()
    order = table.assign(
        deals=table["currency"].map(counts).fillna(0).astype("int64"),
        rank=table["urgency"].map(_URGENCIES.index).astype("int64"),
        key=table["stake"].fillna(0),
    ).sort_values(
        ["deals", "currency", "rank", "key"], ascending=[False, True, True, False], kind="stable"
    )
    return table.loc[order.index].reset_index(names="id")


def _large(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Tell which deals are in the upper quarter of their currency's."""
    edge = frame.groupby("currency", observed=True)["tcv"].quantile(_LARGE)
    known = frame["currency"].astype(object).map(edge).astype("float64")
    large: npt.NDArray[np.bool_] = (frame["tcv"] >= known).to_numpy(dtype=np.bool_)
    return large


def _urgency(table: pd.DataFrame, needed: npt.NDArray[np.bool_]) -> pd.Series:
    """Part the deals that are needed into the few that hold half of the stake, and the others."""
    urgency = pd.Series(np.where(needed, "next", "note"), index=table.index, dtype=TEXT)
    stake = table.loc[needed, "stake"].clip(lower=0).fillna(0).sort_values(
        ascending=False, kind="stable"
    )  # fmt: skip
    for _, part in stake.groupby(table["currency"].astype(object), dropna=False):
        # What the larger ones hold before each deal: the last one taken crosses the half.
        held = part.cumsum().shift(fill_value=0.0)
        first = part[(held < _HALF * part.sum()) & (part > 0)].index[:_FEW]
        urgency[first] = "first"
    return urgency


def _none() -> pd.Series:
    return pd.Series(dtype=TEXT, index=pd.Index([], dtype="int64"))


def _sentences(ids: pd.Index | pd.Series, told: list[str]) -> pd.Series:
    return pd.Series(told, index=pd.Index(ids, dtype="int64"), dtype=TEXT)


def _days(count: float) -> str:
    return f"{count:,.0f} day{'' if count == 1 else 's'}"


def _overdue(frame: pd.DataFrame, pipeline: Pipeline) -> pd.Series:
    late = frame[quality.overdue(frame, pipeline.as_of).to_numpy(dtype=bool)]
    days = (pd.Timestamp(pipeline.as_of, tz="UTC") - late["expected_close"]).dt.days
    return _sentences(late.index, [f"overdue for {_days(count)}" for count in days])


def _stale(pipeline: Pipeline) -> pd.Series:
    found = quality.stale(pipeline)
    columns = zip(found["milestone"], found["days"], found["days_until_stale"], strict=True)
    told = [f"at {name} for {_days(days)}, {limit} are allowed" for name, days, limit in columns]
    return _sentences(found["opportunity_id"], told)


def _neglected(pipeline: Pipeline) -> pd.Series:
    found = quality.neglected(pipeline)
    told = [f"no word with the customer for {_days(days)}" for days in found["days"]]
    return _sentences(found["opportunity_id"], told)


def _pushed(days: Sequence[Pipeline]) -> pd.Series:
    slips = history.slippage(days)
    slips = slips[slips["pushes"] >= _PUSHED]
    columns = zip(slips["pushes"], slips["days"], strict=True)
    told = [f"pushed out {pushes} times, by {_days(count)}" for pushes, count in columns]
    return _sentences(slips["opportunity_id"], told)


def _falling(large: pd.DataFrame, before: Pipeline) -> pd.Series:
    """Find large deals that are thought less likely than before."""
    then = before.opportunities
    then = then.loc[(then["status"] == "open").to_numpy(dtype=bool), "probability"]
    then = then.reindex(large.index)
    fell = (then - large["probability"] >= _FALLEN - 1e-9).to_numpy(dtype=bool)
    columns = zip(then[fell], large.loc[fell, "probability"], strict=True)
    told = [
        f"large, and its probability fell from {was:.0%} to {now:.0%} since {before.as_of}"
        for was, now in columns
    ]
    return _sentences(large.index[fell], told)


def _lacking(frame: pd.DataFrame) -> pd.Series:
    if "missing_important_fields" not in frame.columns:
        return _none()
    lacks = frame["missing_important_fields"].fillna(value=False).to_numpy(dtype=np.bool_)
    return _sentences(frame.index[lacks], ["important fields are empty"] * int(lacks.sum()))
