"""``capsule-report --portfolio``: many accounts in place of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ._account import options, typed_wins

if TYPE_CHECKING:
    from pathlib import Path

portfolio_options = options(
    click.option(
        "--portfolio",
        metavar="PATH",
        callback=typed_wins,
        help="Report many accounts instead: the Parquet export of capsule-snapshot, a folder or"
        " an address such as s3://bucket/export. Tables only.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Read the portfolio on this Dask cluster, as tcp://host:8786; default DuckDB here.",
    ),
    click.option(
        "--unreadable",
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="An account of the portfolio that cannot be read: stop, or leave it out and list it.",
    ),
    click.option(
        "--no-ranges",
        is_flag=True,
        help="Leave p10, p50 and p90 out of the portfolio's forecast: most of the time and"
        " memory of a large one.",
    ),
)


def report_portfolio(out: Path, chosen: dict[str, Any]) -> None:
    """Write the tables of many accounts.

    Parameters
    ----------
    out
        The folder of the report.
    chosen
        The options, by name. With an as-of day each account counts with its newest snapshot at or
        before it.
    """
    from capsule_analytics import fx  # noqa: PLC0415 - pandas, not for --help
    from capsule_analytics.report import write_portfolio_report  # noqa: PLC0415 - needs an extra

    from . import _terminal  # noqa: PLC0415 - pandas, not for --help

    home, rates = chosen["home_currency"], chosen["rates"]
    same = (
        "as_of", "changes_since", "by", "period", "fiscal_year_start", "overdue", "missing_rate",
        "scheduler", "correlation", "target",
    )  # fmt: skip
    written = write_portfolio_report(
        chosen["portfolio"],
        out,
        day=chosen["as_of"],
        home_currency=home,
        rates=None if rates is None or home is None else fx.read_rates(rates, home),
        ranges=not chosen["no_ranges"],
        inputs=() if rates is None else (rates,),
        on_error="skip" if chosen["unreadable"] == "skip" else "raise",
        **{name: chosen[name] for name in same},
    )
    _terminal.portfolio_summary(written)
