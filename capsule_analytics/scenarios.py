"""Forecast categories: commit, best case and pipeline, as sales teams call a period.

The categories follow the cumulative forecast roll-ups of Salesforce ("Rollup Methods for Pipeline
Forecasts" in its help): the commit forecast is what is closed plus what is committed, the best case
adds the deals that are likely, and the open pipeline is all that is open, without what is closed.
Where sellers do not set a category on the deal, its probability decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, cast

import numpy as np

from capsule_analytics._deals import Overdue, Period, Placing, Probability, plain, table_of
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pandas as pd

__all__ = [
    "THRESHOLDS",
    "by_category",
]

__dir__ = __all__.copy  # what completion offers

THRESHOLDS: Mapping[str, float] = {"commit": 0.8, "best_case": 0.5}
"""The least probability of each category: commit is a verbal yes, best case more likely than not.

Late stages, which map to commit, commonly stand at 80 to 90 %.
"""


def by_category(
    deals: Pipeline | pd.DataFrame,
    *,
    thresholds: Mapping[str, float] = THRESHOLDS,
    by: str | Sequence[str] | None = None,
    period: Period = "month",
    fiscal_year_start: int = 1,
    overdue: Overdue = "keep",
    as_of: date | str | None = None,
    probability: Probability = None,
) -> pd.DataFrame:
    """Sum the pipeline by close period, currency and forecast category.

    Deals count with their full TCV; the probability only decides on the category. Amounts are
    cumulative: best case includes commit, commit includes won.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    thresholds
        The least probability, 0 to 1, of ``commit`` and of ``best_case``.
    by, period, fiscal_year_start, overdue, as_of, probability
        As for `forecast.by_month`.

    Returns
    -------
    One row for each period, currency and group that has an open or a won deal, sorted, undated
    deals last: ``month`` (or ``quarter``, ``year``), ``currency``, the columns of `by`, then counts
    of deals and amounts in the row's currency:

    - ``won_deals``, ``won_value``: closed and won;
    - ``commit_deals``, ``commit_value``: won, and open at the commit threshold or above;
    - ``best_case_deals``, ``best_case_value``: won, and open at the best-case threshold or above;
    - ``pipeline_deals``, ``pipeline_value``: all open deals, whatever their probability, without
      the won ones.

    Raises
    ------
    ArgumentError
        If an option is not valid or the frame lacks a column.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = by_category(ca.load_sample(), period="quarter")
    >>> row = table[(table["quarter"] == "2026Q4") & (table["currency"] == "GBP")]
    >>> row[["won_value", "commit_value", "best_case_value", "pipeline_value"]].values.tolist()
    [[26650.0, 174500.0, 825650.0, 1893450.0]]
    """
    _check(thresholds)
    frame, day = table_of(deals, as_of, by)
    placing = Placing.of(
        day, by=by, period=period, fiscal_year_start=fiscal_year_start, overdue=overdue,
        probability=probability,
    )  # fmt: skip
    placed: pd.DataFrame = placing.rows(plain(cast("pd.DataFrame", frame), placing)).to_native()
    placed.insert(0, "bucket", placing.buckets(placed["close"].to_numpy()))
    keys = ["bucket", "currency", *placing.groups]
    won = placed["won"].to_numpy()
    chance = placed["probability"].to_numpy()
    tcv = np.nan_to_num(placed["tcv"].to_numpy(), nan=0.0)
    # A deal without a known probability is in the pipeline alone: comparisons with NaN are false.
    members = {
        "won": won,
        "commit": won | (chance >= thresholds["commit"]),
        "best_case": won | (chance >= thresholds["best_case"]),
        "pipeline": ~won,
    }
    measured = placed[keys].astype(dict.fromkeys(keys[1:], TEXT))
    for name, counts in members.items():
        measured[f"{name}_deals"] = counts.astype(np.int64)
        measured[f"{name}_value"] = np.where(counts, tcv, 0.0)
    table = measured.groupby(keys, dropna=False, sort=False).sum().reset_index()
    table = table.sort_values(keys, na_position="last", ignore_index=True)
    table = placing.dated(table, deals)
    table.attrs["thresholds"] = dict(thresholds)
    return table


def _check(thresholds: Mapping[str, float]) -> None:
    if not isinstance(thresholds, Mapping) or set(thresholds) != set(THRESHOLDS):
        raise ArgumentError(
            f"thresholds are a number each for commit and best_case, not {thresholds!r}"
        )
    commit, best_case = thresholds["commit"], thresholds["best_case"]
    numbers = isinstance(commit, Real) and isinstance(best_case, Real)
    if not (numbers and 0 <= best_case <= commit <= 1):
        raise ArgumentError(
            f"thresholds must be 0 <= best_case <= commit <= 1, not {dict(thresholds)}"
        )
