"""The report on a portfolio: tables by account, and of all accounts together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ._csv import write_csv
from .portfolio import Portfolio
from .report import (
    FORECAST_AMOUNTS,
    REVENUE_AMOUNTS,
    forecast_columns,
    staged,
    whole_cents,
)

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path
    from typing import Unpack

    from .fx import Missing, Rates
    from .portfolio import OnError, Placing


def write_portfolio_report(
    path: str | Path,
    folder: Path,
    *,
    day: date | None = None,
    as_of: date | None = None,
    home_currency: str | None = None,
    rates: Rates | None = None,
    missing_rate: Missing = "error",
    scheduler: str | None = None,
    on_error: OnError = "raise",
    **placing: Unpack[Placing],
) -> list[Path]:
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
    **placing
        period, fiscal_year_start and overdue, as for `forecast.by_month`.

    Returns
    -------
    The files: forecast.csv and revenue.csv by account, forecast_total.csv and revenue_total.csv
    of all accounts, left_out.csv (account, day, path, problem; often empty).

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
    tables: dict[str, pd.DataFrame] = {}
    for name, by in (("", "account"), ("_total", None)):
        for kind, figures in (
            ("forecast", portfolio.by_month),
            ("revenue", portfolio.revenue_schedule),
        ):
            tables[kind + name] = figures(
                day=day,
                as_of=as_of,
                by=by,
                home_currency=home_currency,
                rates=rates,
                missing_rate=missing_rate,
                scheduler=scheduler,
                **placing,
            )
    left_out = pd.DataFrame(
        tables["forecast"].attrs["left_out"], columns=["account", "day", "path", "problem"]
    )
    with staged(folder) as staging:
        for name, table in tables.items():
            file = staging / f"{name}.csv"
            if name.startswith("forecast"):
                write_csv(forecast_columns(table), file, amounts=FORECAST_AMOUNTS)
            else:
                write_csv(whole_cents(table), file, amounts=REVENUE_AMOUNTS)
        write_csv(left_out, staging / "left_out.csv")
        names = sorted(path.name for path in staging.iterdir())
    return [folder / name for name in names]
