"""A report's folder: every file written aside, all moved into place at the end."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from capsule_analytics import forecast, fx, scenarios, targets
from capsule_analytics._words import round_cents
from capsule_analytics.errors import ArgumentError

from ._csv import write_csv
from ._options import FORMATS, Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capsule_analytics.schema import Pipeline


MANIFEST = ".capsule-report"
"""In the folder of a report: the names of its files, of which the next one removes the stale."""

FORECAST_AMOUNTS = (
    "open_value",
    "weighted_value",
    "won_value",
    "expected_value",
    "p10",
    "p50",
    "p90",
)
REVENUE_AMOUNTS = ("open_value", "weighted_value", "won_value", "expected_value")
_CATEGORY_AMOUNTS = ("won_value", "commit_value", "best_case_value", "pipeline_value")
_TARGET_AMOUNTS = ("target", "won_value", "expected_value", "gap")
_FRAME_AMOUNTS = ("value", "tcv", "original_value", "original_tcv")
_FRAME_DAYS = ("expected_close", "closed_at", "fx_date")
_DPI = 144


def write_report(pipeline: Pipeline, folder: Path, options: Options | None = None) -> list[Path]:
    """Write the report's files into a folder.

    Parameters
    ----------
    pipeline
        What to report.
    folder
        Created if it does not exist. Files of an earlier report in it are replaced, or removed
        where this one has none of that name; other files stay.
    options
        How the figures are made.

    Returns
    -------
    The files, charts first.

    Raises
    ------
    ArgumentError
        If an option is not valid, or a file of the report would replace one of its inputs.
    OSError
        If the folder cannot be written to; the old report is then as it was.
    """
    options = options or Options()
    if unknown := set(options.formats) - set(FORMATS):
        raise ArgumentError(f"unknown format {min(unknown)!r}; valid are {', '.join(FORMATS)}")
    table = forecast.by_month(
        pipeline,
        **options.placing(),
        ranges=True,
        correlation=options.correlation,
        target=options.target,
    )
    revenue = whole_cents(forecast.revenue_schedule(pipeline, **options.placing()))
    reached = _attainment(pipeline, options)
    changes = options.changes
    categories = scenarios.by_category(pipeline, thresholds=options.thresholds, **options.placing())
    deals = pipeline.opportunities.reset_index()
    converted = "fx_rate" in deals.columns
    rates = fx.rates_used(pipeline) if converted else None
    charted = (table, revenue)
    if options.by:
        # A chart shows the whole; a deal with two tags stands in two groups.
        together = options.placing() | {"by": ()}
        charted = (
            forecast.by_month(pipeline, **together, ranges=True, correlation=options.correlation),
            forecast.revenue_schedule(pipeline, **together),
        )
    with staged(folder, options.inputs) as staging:
        _write_charts(
            {"forecast": charted[0], "revenue": charted[1], "targets": reached, "changes": changes},
            staging,
            options.formats,
        )
        write_csv(forecast_columns(table), staging / "forecast.csv", amounts=FORECAST_AMOUNTS)
        write_csv(revenue, staging / "revenue.csv", amounts=REVENUE_AMOUNTS)
        write_csv(deals, staging / "opportunities.csv", amounts=_FRAME_AMOUNTS, days=_FRAME_DAYS)
        write_csv(pipeline.issues, staging / "data_quality.csv")
        write_csv(categories, staging / "scenarios.csv", amounts=_CATEGORY_AMOUNTS)
        if rates is not None:
            write_csv(
                rates,
                staging / "rates.csv",
                amounts=("original_tcv", "tcv"),
                days=("date", "rate_date"),
            )
        if reached is not None:
            write_csv(reached, staging / "targets.csv", amounts=_TARGET_AMOUNTS)
        if changes is not None:
            write_csv(changes, staging / "changes.csv", amounts=("value",))
        if options.changed_deals is not None:
            write_csv(options.changed_deals, staging / "changed_deals.csv", amounts=("value",))
        if options.html:
            from ._page import write_html  # noqa: PLC0415 - needs an extra

            write_html(pipeline, options, staging / "report.html", attainment=reached)
        if options.xlsx:
            from ._workbook import write_workbook  # noqa: PLC0415 - needs an extra

            sheets = {
                "Forecast": forecast_columns(table),
                "Revenue": revenue,
                "Categories": categories,
                "Targets": reached,
                "Changes": changes,
                "Changed deals": options.changed_deals,
                "Opportunities": deals,
                "Data quality": pipeline.issues,
                "Rates": rates,
            }
            write_workbook(
                {name: sheet for name, sheet in sheets.items() if sheet is not None},
                staging / "report.xlsx",
            )
        names = sorted(staging.iterdir(), key=lambda path: (_order(path), path.name))
    return [folder / path.name for path in names]


def _order(path: Path) -> int:
    """Put charts first, then the report in one file, then the tables."""
    return (*(f".{suffix}" for suffix in FORMATS), ".html", ".xlsx", ".csv").index(path.suffix)


def _attainment(pipeline: Pipeline, options: Options) -> pd.DataFrame | None:
    if options.targets is None:
        return None
    return targets.attainment(
        pipeline,
        options.targets,
        fiscal_year_start=options.fiscal_year_start,
        overdue=options.overdue,
        probability=options.probability,
        correlation=options.correlation,
    )


def forecast_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of ``forecast.csv``: the table without the parts that are overdue."""
    return table.drop(columns=["overdue_deals", "overdue_value", "overdue_weighted"])


def whole_cents(revenue: pd.DataFrame) -> pd.DataFrame:
    """Round a revenue schedule so that the months of a currency still sum to their total.

    Each month shows the difference of two rounded running totals, so no cent is lost or made
    and no amount is off by a whole cent; the expected value, a sum of two, by no two.

    Parameters
    ----------
    revenue
        As `forecast.revenue_schedule` makes it.

    Examples
    --------
    >>> third = pd.DataFrame({"month": [1, 2, 3], "currency": "GBP", "won_value": [100 / 3] * 3,
    ...     "open_value": 0.0, "weighted_value": 0.0, "expected_value": [100 / 3] * 3})
    >>> whole_cents(third)["won_value"].round(2).tolist()
    [33.33, 33.34, 33.33]
    """
    rounded = revenue.copy()
    series = [name for name in revenue.columns[1:] if name not in REVENUE_AMOUNTS]
    running = revenue.groupby(series, dropna=False, observed=True)
    for name in REVENUE_AMOUNTS:
        total = running[name].cumsum()
        cents = pd.Series(round_cents(total.to_numpy()), index=revenue.index)
        earlier = cents.groupby([revenue[key] for key in series], dropna=False).shift(fill_value=0)
        rounded[name] = cents - earlier
    rounded["expected_value"] = rounded["won_value"] + rounded["weighted_value"]
    return rounded


def _write_charts(
    tables: dict[str, pd.DataFrame | None], folder: Path, formats: Sequence[str]
) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - a second to import, needed here alone

    from capsule_analytics import plot  # noqa: PLC0415
    from capsule_analytics.plot import missing_letters_told  # noqa: PLC0415

    with missing_letters_told():
        for name, table in tables.items():
            if table is None or not formats:
                continue
            figure, _ = getattr(plot, name)(table)
            for suffix in formats:
                figure.savefig(folder / f"{name}.{suffix}", dpi=_DPI, bbox_inches="tight")
            plt.close(figure)


@contextmanager
def staged(folder: Path, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """Give a folder to write into; move its files into place if all went well.

    Parameters
    ----------
    folder
        Where they belong. What an earlier report left there, and this one has not, is removed.
    inputs
        Files that may not be replaced.

    Yields
    ------
    The folder to write into.

    Raises
    ------
    ArgumentError
        If an input would be replaced.
    """
    existed = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
    manifest = folder / MANIFEST
    try:
        yield staging
        written = {path.name for path in staging.iterdir()}
        taken = {path.resolve() for path in inputs}
        for name in sorted(written):
            if (folder / name).resolve() in taken:
                raise ArgumentError(
                    f"the report would replace {folder / name}, which it reads: choose another"
                    " folder for it"
                )
        earlier = manifest.read_text("utf-8").splitlines() if manifest.is_file() else []
        stale = {Path(name).name for name in earlier} - written
        for name in written:
            (staging / name).replace(folder / name)
        for name in stale:
            if (folder / name).resolve() not in taken:
                (folder / name).unlink(missing_ok=True)
        manifest.write_text("".join(f"{name}\n" for name in sorted(written)), "utf-8")
    finally:
        shutil.rmtree(staging)
        if not existed and not any(folder.iterdir()):
            folder.rmdir()
