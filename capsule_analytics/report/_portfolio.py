"""The report on a portfolio: tables by account, and of all accounts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from capsule_analytics import forecast, history
from capsule_analytics.portfolio import Portfolio, parted

from ._csv import write_csv
from ._figures import FORECAST_AMOUNTS, REVENUE_AMOUNTS, forecast_columns, whole_cents
from ._folder import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path
    from typing import Unpack

    from capsule_analytics.portfolio import OnError, Summing


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
    changes_since: date | None = None,
    by: Sequence[str] = (),
    on_error: OnError = "raise",
    inputs: Sequence[Path] = (),
    placed: Callable[[], None] | None = None,
    **options: Unpack[Summing],
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
    changes_since
        Explain how the pipelines of that day became those of `day`; None for not at all.
    by
        Further columns to group the forecast and the revenue schedule by.
    on_error
        Stop at an account that cannot be read, or skip it: it is then listed in left_out.csv.
    inputs
        Files that may not be replaced.
    placed
        As for `write_figures`.
    **options
        As for `Portfolio.by_month`; the ranges are given unless they are switched off.

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
    viewing, how = parted(options)
    placing = {
        name: how[name] for name in ("period", "fiscal_year_start", "overdue") if name in how
    }
    view = portfolio.on(day, **viewing)
    tables: dict[str, tuple[pd.DataFrame, Sequence[str]]] = {}
    each: tuple[tuple[str, Literal["account"] | None], ...] = (("", "account"), ("_total", None))
    for name, account in each:
        groups = [*([] if account is None else [account]), *by]
        total = forecast.by_month(view, by=groups, **{"ranges": True, **how})
        revenue = forecast.revenue_schedule(view, by=groups, **placing)
        tables["forecast" + name] = forecast_columns(total), FORECAST_AMOUNTS
        tables["revenue" + name] = whole_cents(revenue), REVENUE_AMOUNTS
        if changes_since is not None:
            moves = history.changes(portfolio.on(changes_since), view, by=account)
            tables["changes" + name] = moves, ("value",)
    left_out = [found for table, _ in tables.values() for found in table.attrs["left_out"]]
    unread = pd.DataFrame(left_out, columns=["account", "day", "path", "problem"]).drop_duplicates()
    tables["left_out"] = unread, ()
    with staged(folder, inputs, placed=placed) as staging:
        for name, (table, amounts) in tables.items():
            write_csv(table, staging / f"{name}.csv", amounts=amounts)
        names = sorted(path.name for path in staging.iterdir())
    return Written([folder / name for name in names], total, unread)
