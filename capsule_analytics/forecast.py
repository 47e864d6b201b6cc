"""The forecast: what closes, in which month and currency, weighted by its probability.

Definitions, after Capsule's own pipeline report and the usual terms of sales teams:

- weighted value: TCV times probability, over open deals;
- expected value: won value plus weighted value; lost deals add nothing;
- currencies are never added together (see `capsule_analytics.fx` for a home currency).

Every table is the `combine` of partial sums (see `_sums`), so that parts of an account, or many
accounts, add up to the same figures as the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import risk
from ._placing import (
    Overdue,
    Period,
    bucket_periods,
    buckets,
    place,
    resolve,
)
from ._schedule import revenue_schedule
from ._sums import MEASURES, combine, group_names, sums
from .schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pandas as pd

__all__ = ["MEASURES", "by_month", "combine", "revenue_schedule"]


def by_month(
    deals: Pipeline | pd.DataFrame,
    *,
    by: str | Sequence[str] | None = None,
    period: Period = "month",
    fiscal_year_start: int = 1,
    overdue: Overdue = "keep",
    as_of: date | None = None,
    probability: pd.Series | None = None,
    ranges: bool = False,
    correlation: float = 0.0,
    target: float | None = None,
) -> pd.DataFrame:
    """Sum the pipeline by close month and currency.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    by
        Further columns to group by: any of owner, milestone, pipeline, team, tag, party. A deal
        with several tags counts under each, so totals by tag exceed the total.
    period
        month, quarter or year.
    fiscal_year_start
        First month of the fiscal year, 1 to 12, for quarters and years; a fiscal year is named
        after the calendar year in which it ends.
    overdue
        What to do with open deals whose expected close lies before the as-of day: keep them in
        their month, roll them to the as-of month, or drop them.
    as_of
        The day from which to look; None means the pipeline's, or today (UTC) for a frame.
    probability
        Other probabilities, 0 to 1, by opportunity id, such as calibrated ones.
    ranges
        Add ``p10``, ``p50`` and ``p90`` of each row's total (with a correlation, this
        needs the extra ``risk``).
    correlation
        How strongly deals rise and fall together in the ranges, 0 to 1 (see
        `capsule_analytics.risk`).
    target
        Add ``chance``: how likely each row's total reaches this amount.

    Returns
    -------
    One row for each period, currency and group that has an open or a won deal, sorted, undated
    deals last: ``month`` (or ``quarter``, ``year``; pandas periods, NaT if undated),
    ``currency`` (missing where deals have none), the columns of `by`, then `MEASURES`. Amounts
    are in the row's currency, not rounded. ``attrs`` has ``as_of``, ``overdue`` and ``account``.

    Raises
    ------
    ArgumentError
        If an option is not valid or the frame lacks a column.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = by_month(ca.load_sample(), period="year")
    >>> table.loc[table["currency"] == "CHF", ["year", "won_deals", "won_value"]].head(1)
       year  won_deals  won_value
    2  2025          7    85270.0
    """
    frame, day = resolve(deals, as_of)
    groups = group_names(by)
    placed = place(frame, day, by=groups, overdue=overdue, probability=probability)
    placed.insert(0, "bucket", buckets(placed["close"].to_numpy(), period, fiscal_year_start))
    table = combine([sums(placed, groups)])
    if ranges or target is not None:
        table = _with_ranges(table, placed, ["bucket", "currency", *groups], correlation, target)
    table.insert(
        0, period, bucket_periods(table.pop("bucket").to_numpy(), period, fiscal_year_start)
    )
    table.attrs = {
        "as_of": day.isoformat(),
        "overdue": overdue,
        "account": deals.account if isinstance(deals, Pipeline) else "",
    }
    return table


def _with_ranges(
    table: pd.DataFrame,
    placed: pd.DataFrame,
    keys: list[str],
    correlation: float,
    target: float | None,
) -> pd.DataFrame:
    """Add the quantiles of each row's total after the expected value."""
    deals = placed[[*keys, "tcv", "probability"]].astype(dict.fromkeys(keys[1:], TEXT))
    deals["status"] = np.where(placed["won"], "won", "open")
    figures = risk.quantiles_by(deals, keys, correlation=correlation, target=target)
    names = [name for name in figures.columns if name not in keys]
    merged = table.merge(figures, on=keys, how="left", validate="one_to_one")
    at = list(MEASURES).index("expected_value") + 1
    return merged[[*keys, *MEASURES[:at], *names, *MEASURES[at:]]]
