"""The report on a portfolio: tables by account, and of all accounts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pandas as pd

from capsule_analytics.portfolio import Portfolio

from ._csv import write_csv
from ._folder import FORECAST_AMOUNTS, REVENUE_AMOUNTS, forecast_columns, staged, whole_cents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path
    from typing import Unpack

    from capsule_analytics.fx import Missing, Rates
    from capsule_analytics.portfolio import OnError, Placing, Ranging


class Written(NamedTuple):
    """A report on a portfolio.

    Attributes
    ----------
    files
        Its files.
    total
        The forecast of all accounts together, as `Portfolio.by_month` returns it.
    left_out
        The accounts that do not count: account, day, path, problem.
    """

    files: list[Path]
    total: pd.DataFrame
    left_out: pd.DataFrame


def write_portfolio_report(
    path: str | Path,
    folder: Path,
    *,
    day: date | None = None,
    as_of: date | None = None,
    changes_since: date | None = None,
    by: Sequence[str] = (),
    home_currency: str | None = None,
    rates: Rates | None = None,
    missing_rate: Missing = "error",
    scheduler: str | None = None,
    on_error: OnError = "raise",
    ranges: bool = True,
    correlation: float = 0.0,
    target: float | None = None,
    inputs: Sequence[Path] = (),
    **placing: Unpack[Placing],
) -> Written:
    """Write the tables of many accounts into a folder.

    Parameters
    ----------
    path
        The folder of the export, or its address (see `capsule_analytics.portfolio.Portfolio`).
    folder
        Created if it does not exist; files of an earlier report in it are replaced, others stay.
    day
        Each account counts with its newest snapshot at or before it; None means the newest.
    as_of
        The day from which to look; None means `day`, or else the newest day that counts.
    changes_since
        Explain how the pipelines of that day became those of `day`; None for not at all.
    by
        Further columns to group the forecast and the revenue schedule by.
    home_currency
        Convert every amount to this currency first.
    rates
        The exchange rates; None means the European Central Bank's.
    missing_rate
        Without a rate: stop with an error, or flag: the deal keeps its own currency.
    scheduler
        Address of the scheduler of a Dask cluster; None means DuckDB on this machine.
    on_error
        Stop at an account that cannot be read, or skip it: it is then listed in left_out.csv.
    ranges
        Give p10, p50 and p90 of each row of the forecast.
    correlation
        How strongly deals rise and fall together in the ranges, 0 to 1.
    target
        Add the chance that a row of the forecast reaches this amount.
    inputs
        Files that may not be replaced.
    **placing
        period, fiscal_year_start and overdue, as for `forecast.by_month`.

    Returns
    -------
    The files: forecast.csv, revenue.csv and, where asked for, changes.csv by account, the same
    with _total in their names of all accounts, and left_out.csv (account, day, path, problem; often
    empty).

    Raises
    ------
    DataError
        If a partition is corrupt or missing, unless such accounts are to be skipped.
    ArgumentError, RateError, TransportError
        As for `Portfolio.by_month`.
    OSError
        If the folder cannot be written to; the old report is then as it was.
    """
    portfolio = Portfolio(path, on_error=on_error)
    reading: dict[str, Any] = {
        "home_currency": home_currency,
        "rates": rates,
        "missing_rate": missing_rate,
        "scheduler": scheduler,
    }
    sureness: Ranging = {"ranges": ranges, "correlation": correlation, "target": target}
    tables: dict[str, tuple[pd.DataFrame, Sequence[str]]] = {}
    each: tuple[tuple[str, Literal["account"] | None], ...] = (("", "account"), ("_total", None))
    for name, account in each:
        groups = [*([] if account is None else [account]), *by]
        chosen = {"day": day, "as_of": as_of, "by": groups, **reading, **placing}
        total = portfolio.by_month(**chosen, **sureness)
        revenue = portfolio.revenue_schedule(**chosen)
        tables["forecast" + name] = forecast_columns(total), FORECAST_AMOUNTS
        tables["revenue" + name] = whole_cents(revenue), REVENUE_AMOUNTS
        if changes_since is not None:
            moves = portfolio.changes(changes_since, day, by=account, **reading)
            tables["changes" + name] = moves, ("value",)
    left_out = [found for table, _ in tables.values() for found in table.attrs["left_out"]]
    unread = pd.DataFrame(left_out, columns=["account", "day", "path", "problem"]).drop_duplicates()
    tables["left_out"] = unread, ()
    with staged(folder, inputs) as staging:
        for name, (table, amounts) in tables.items():
            write_csv(table, staging / f"{name}.csv", amounts=amounts)
        names = sorted(path.name for path in staging.iterdir())
    return Written([folder / name for name in names], total, unread)
