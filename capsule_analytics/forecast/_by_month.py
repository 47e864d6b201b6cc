"""The weighted pipeline by close month and currency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from capsule_analytics import risk
from capsule_analytics._deals import (
    MEASURES,
    Overdue,
    Period,
    Placing,
    Probability,
    add_up,
    alike,
    combine,
    sums,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from capsule_analytics._deals import Deals


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
        A pipeline; or its columns as a pandas or Polars frame, a DuckDB relation, a Dask or Spark
        DataFrame, anything that speaks Arrow, or a day of a portfolio (`portfolio.Portfolio.on`).
        An engine sums its own columns, which may be larger than memory.
    by
        Further columns to group by: any of owner, milestone, pipeline, team, tag, party, account,
        or ``field:NAME`` for a custom field.
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
        Add ``p10``, ``p50`` and ``p90`` of each row's total: what it would be if every stated
        probability and date were right (what will probably be won: `projection`). With a
        correlation this needs the extra ``risk``. The amount and probability of every open deal
        come into memory, some 60 bytes for each that differs, wherever the deals are held.
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
    table, day = table_of(deals, as_of, by)
    placing = Placing.of(
        day, by=by, period=period, fiscal_year_start=fiscal_year_start, overdue=overdue,
        probability=probability,
    )  # fmt: skip
    summed = combine([add_up(table, sums, placing)])
    if ranges or target is not None:
        keys = ["bucket", "currency", *placing.groups]
        summed = _with_ranges(summed, add_up(table, alike, placing), keys, correlation, target)
    return placing.dated(summed, deals)


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
