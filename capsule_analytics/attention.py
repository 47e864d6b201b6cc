"""Open deals that need someone: what is wrong with each, and how much is at stake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics import history, quality
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capsule_analytics.projection import Projection
    from capsule_analytics.schema import Pipeline

__all__ = ["needing"]

__dir__ = __all__.copy  # what completion offers

_TEXTS = ["name", "party", "owner", "currency"]
_PUSHED = 2
_LARGE = 0.75
_FALLEN = 0.05


def needing(
    pipeline: Pipeline,
    before: Pipeline | None = None,
    snapshots: Sequence[Pipeline] = (),
    projection: Projection | None = None,
) -> pd.DataFrame:
    """List the open deals that need someone, with the reasons.

    A deal needs someone if it is overdue (`quality.overdue`), stale (`quality.stale`), neglected
    (`quality.neglected`), was pushed out twice or more (`history.slippage`), is large (in the
    upper quarter of its currency's open deals) while its stated probability fell by five points
    or more, or lacks fields that the account calls important.

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
    currency) and ``reason`` (text, joined by ``"; "``). Currencies with the most open deals stand
    first, a missing one last; within one the largest stake stands first.

    Raises
    ------
    ArgumentError
        If snapshots are of another account or not oldest first, or the projection lacks a deal.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = needing(ca.load_sample())
    >>> table.loc[0, "reason"]
    'overdue for 7 days'
    """
    frame = pipeline.opportunities
    frame = frame[(frame["status"] == "open").to_numpy(dtype=bool)]
    reasons = [
        _overdue(frame, pipeline),
        _stale(pipeline),
        _neglected(pipeline),
        _pushed([*snapshots, pipeline]) if snapshots else _none(),
        _falling(frame, before) if before is not None else _none(),
        _lacking(frame),
    ]
    told = pd.concat([part[part.index.isin(frame.index)] for part in reasons])
    reason = told.groupby(level=0, sort=False).agg("; ".join)
    rows = frame.loc[frame.index.isin(reason.index)]
    chance = rows["probability"]
    if projection is not None:
        chance = projection.deals()["won_within_year"].reindex(rows.index)
    table = rows[_TEXTS].astype(TEXT).assign(tcv=rows["tcv"], stake=rows["tcv"] * chance)
    table["reason"] = reason.reindex(rows.index).astype(TEXT)
    counts = frame["currency"].astype(TEXT).value_counts()
    order = table.assign(
        deals=table["currency"].map(counts).fillna(0).astype("int64"), key=table["stake"].fillna(0)
    ).sort_values(["deals", "currency", "key"], ascending=[False, True, False], kind="stable")
    return table.loc[order.index].reset_index(names="id")


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


def _falling(frame: pd.DataFrame, before: Pipeline) -> pd.Series:
    """Find large deals that are thought less likely than before."""
    edge = frame.groupby("currency", observed=True)["tcv"].quantile(_LARGE)
    large = frame["tcv"] >= frame["currency"].astype(object).map(edge).astype("float64")
    then = before.opportunities
    then = then.loc[(then["status"] == "open").to_numpy(dtype=bool), "probability"]
    then = then.reindex(frame.index)
    fell = large & (then - frame["probability"] >= _FALLEN - 1e-9)
    columns = zip(then[fell], frame.loc[fell, "probability"], strict=True)
    told = [
        f"large, and its probability fell from {was:.0%} to {now:.0%} since {before.as_of}"
        for was, now in columns
    ]
    return _sentences(frame.index[fell.to_numpy(dtype=bool)], told)


def _lacking(frame: pd.DataFrame) -> pd.Series:
    if "missing_important_fields" not in frame.columns:
        return _none()
    lacks = frame["missing_important_fields"].fillna(value=False).to_numpy(dtype=np.bool_)
    return _sentences(frame.index[lacks], ["important fields are empty"] * int(lacks.sum()))
