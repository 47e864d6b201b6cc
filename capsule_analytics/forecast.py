"""The forecast: what closes, in which month and currency, weighted by its probability.

Definitions, after Capsule's own pipeline report and the usual terms of sales teams:

- weighted value: TCV times probability, over open deals;
- expected value: won value plus weighted value; lost deals add nothing;
- currencies are never added together (see `capsule_analytics.fx` for a home currency).

Every table is the `combine` of partial sums (see `_sums`), so that parts of an account, or many
accounts, add up to the same figures as the whole: in memory, in a DuckDB relation that is streamed
past, or in the partitions of a Dask DataFrame (see `_engines`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from . import risk
from ._engines import add_up, table_of
from ._placing import (
    Overdue,
    Period,
    Probability,
    buckets,
    dated,
    place,
)
from ._schedule import revenue_schedule
from ._sums import MEASURES, alike, combine, group_names, sums
from .schema import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from ._engines import Deals

__all__ = ["MEASURES", "by_month", "combine", "revenue_schedule"]


def by_month(
    deals: Deals,
    *,
    by: str | Sequence[str] | None = None,
    period: Period = "month",
    fiscal_year_start: int = 1,
    overdue: Overdue = "keep",
    as_of: date | str | None = None,
    probability: Probability = None,
    ranges: bool = False,
    correlation: float = 0.0,
    target: float | None = None,
) -> pd.DataFrame:
    """Sum the pipeline by close month and currency.

    Parameters
    ----------
    deals
        A pipeline; or its columns as a pandas frame, a Dask DataFrame or a DuckDB relation, which
        are worked through in parts and may be larger than memory.
    by
        Further columns to group by: any of owner, milestone, pipeline, team, tag, party, account.
        A deal with several tags counts under each, so totals by tag exceed the total.
    period
        month, quarter or year.
    fiscal_year_start
        First month of the fiscal year, 1 to 12, for quarters and years; a fiscal year is named
        after the calendar year in which it ends.
    overdue
        What to do with open deals whose expected close lies before the as-of day: keep them in
        their month, roll them to the as-of month, or drop them.
    as_of
        The day from which to look, a date or text such as 2026-10-15; None means the pipeline's,
        or today (UTC) for a frame.
    probability
        Other probabilities, 0 to 1, of open deals: a series by opportunity id, or
        ``"calibrated"`` for those that `calibration.calibrate` has added to the deals. Deals that
        lack one keep their own.
    ranges
        Add ``p10``, ``p50`` and ``p90`` of each row's total; with a correlation this needs the
        extra ``risk``. The amount and probability of every open deal come into memory, some 60
        bytes for each that differs, wherever the deals are held.
    correlation
        How strongly deals rise and fall together in the ranges, 0 to 1 (see
        `capsule_analytics.risk`).
    target
        Add ``chance``: how likely each row's total reaches this amount, a finite number.

    Returns
    -------
    One row for each period, currency and group that has an open or a won deal, sorted, undated
    deals last: ``month`` (or ``quarter``, ``year``; pandas periods, NaT if undated),
    ``currency`` (missing where deals have none), the columns of `by`, then `MEASURES`. Amounts
    are in the row's currency, not rounded. ``attrs`` has ``as_of``, ``overdue`` and ``account``.

    Raises
    ------
    ArgumentError
        If an option is not valid or a column is missing.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = by_month(ca.load_sample(), period="year")
    >>> table.loc[table["currency"] == "CHF", ["year", "won_deals", "won_value"]].head(1)
       year  won_deals  won_value
    2  2025          7    85270.0
    """
    groups = group_names(by)
    held, day = table_of(deals, as_of, groups)
    look = partial(
        _bucketed,
        as_of=day,
        groups=groups,
        period=period,
        fiscal_year_start=fiscal_year_start,
        overdue=overdue,
        probability=probability,
    )
    table = combine([add_up(held, partial(_part, sums, look, groups), groups)])
    if ranges or target is not None:
        likes = add_up(held, partial(_part, alike, look, groups), groups)
        table = _with_ranges(table, likes, ["bucket", "currency", *groups], correlation, target)
    account = deals.account if isinstance(deals, Pipeline) else ""
    return dated(table, period, fiscal_year_start, as_of=day, overdue=overdue, account=account)


def _bucketed(
    frame: pd.DataFrame,
    *,
    as_of: date,
    groups: Sequence[str],
    period: Period,
    fiscal_year_start: int,
    overdue: Overdue,
    probability: Probability,
) -> pd.DataFrame:
    """Place deals, and number the period in which each closes."""
    placed = place(frame, as_of, by=groups, overdue=overdue, probability=probability)
    placed.insert(0, "bucket", buckets(placed["close"].to_numpy(), period, fiscal_year_start))
    return placed


def _part(
    measure: Callable[[pd.DataFrame, Sequence[str]], pd.DataFrame],
    look: Callable[[pd.DataFrame], pd.DataFrame],
    groups: Sequence[str],
    frame: pd.DataFrame,
) -> pd.DataFrame:
    """Measure a part of the deals."""
    return measure(look(frame), groups)


def _with_ranges(
    table: pd.DataFrame,
    likes: pd.DataFrame,
    keys: list[str],
    correlation: float,
    target: float | None,
) -> pd.DataFrame:
    """Add the quantiles of each row's total after the expected value."""
    # In one order, however the deals were parted, so that all digits are the same.
    likes = likes.sort_values(["tcv", "probability"])
    deals = likes.loc[likes.index.repeat(likes["open_deals"]), [*keys, "tcv", "probability"]]
    won = table[[*keys, "won_value"]].rename(columns={"won_value": "tcv"})
    deals = pd.concat([deals.assign(status="open"), won.assign(status="won")], ignore_index=True)
    figures = risk.quantiles_by(deals, keys, correlation=correlation, target=target)
    names = [name for name in figures.columns if name not in keys]
    merged = table.merge(figures, on=keys, how="left", validate="one_to_one")
    at = list(MEASURES).index("expected_value") + 1
    return merged[[*keys, *MEASURES[:at], *names, *MEASURES[at:]]]
