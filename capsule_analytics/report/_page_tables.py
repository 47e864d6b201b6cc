"""The tables of the HTML report: frames turned into cells to read, sort and print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from capsule_analytics._words import (
    currency_name,
    format_money,
    percent,
    period_text,
    whole_number,
)

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

    from ._figures import Figures
    from ._options import Options

Kind = Literal[
    "text", "currency", "period", "id", "count", "money", "rate", "percent", "times", "day"
]

NONE = "\N{EN DASH}"
"""What stands in a cell without a value."""

_ROWS = 200
_FINDINGS = 100
_LARGEST = 10
_PRINTED = 10
_PRINTED_FEW = 5
Order = Sequence[str | None]
"""Currencies as they stand in the page."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name
        Its name in the frame.
    label
        Its heading.
    kind
        How its values are written; all but text, currency, period and day are numbers, aligned
        right.
    """

    name: str
    label: str
    kind: Kind = "text"

    @property
    def numeric(self) -> bool:
        """Whether the values are aligned right, and sorted largest first."""
        return self.kind not in ("text", "currency", "period", "day")


@dataclass(frozen=True)
class Cell:
    """A value as it is read, and what it is sorted by (empty where it is missing)."""

    text: str
    order: str


@dataclass(frozen=True)
class Table:
    """A table to show.

    Attributes
    ----------
    key
        Its id in the page.
    title
        Its heading.
    columns
        Its columns.
    rows
        One tuple of cells a row.
    note
        What to know to read it.
    left
        Rows that are not shown.
    file
        The CSV file that has all rows; empty if there is none.
    printed
        How many of the rows go on paper, of which there are to be four pages.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    left: int = 0
    file: str = ""
    printed: int = _PRINTED


def shown(
    key: str,
    title: str,
    frame: pd.DataFrame,
    columns: Sequence[Column],
    *,
    note: str = "",
    file: str = "",
    rows: int = _ROWS,
    printed: int = _PRINTED,
) -> Table:
    """Turn the first rows of a frame into a table; a ``currency`` column says what money is in."""
    records = frame.head(rows).to_dict("records")
    cells = tuple(
        tuple(cell(record[column.name], column.kind, record.get("currency")) for column in columns)
        for record in records
    )
    left = len(frame) - len(records)
    return Table(key, title, tuple(columns), cells, note, left, file, printed)


def cell(value: Any, kind: Kind, currency: object = None) -> Cell:  # noqa: ANN401
    """Write one value.

    Examples
    --------
    >>> cell(0.254, "percent"), cell(1234, "count").text
    (Cell(text='25%', order='0.254'), '1,234')
    """
    if kind == "currency":
        return Cell(currency_name(value), currency_name(value))
    if kind == "period":
        return Cell("undated", "") if pd.isna(value) else Cell(period_text(value), str(value))
    if value is None or pd.isna(value) or (isinstance(value, float) and not math.isfinite(value)):
        return Cell(NONE, "")
    if kind in ("text", "day"):
        text = f"{value:%Y-%m-%d}" if kind == "day" else str(value)
        return Cell(text, text)
    text = {
        "id": lambda: str(value),
        "count": lambda: f"{value:,}",
        "money": lambda: amount(value, currency),
        "rate": lambda: f"{value:,.6g}",
        "percent": lambda: percent(value),
        "times": lambda: f"{value:.1f}\N{MULTIPLICATION SIGN}",
    }[kind]()
    return Cell(text, repr(round(value, 6)))


def amount(value: float, currency: object) -> str:
    """Write an amount beside its currency: one without currency is a bare number there.

    Examples
    --------
    >>> amount(1234.4, None), amount(float("nan"), None) == NONE
    ('1,234', True)
    """
    if not math.isfinite(value):
        return NONE
    if isinstance(currency, str):
        return format_money(value, currency, whole=True)
    return whole_number(value)


def tables(figures: Figures) -> list[Table]:
    """Lay out the tables of the page, in its order."""
    order = [head.currency for head in figures.headlines]
    attainment, moved = figures.attainment_periods, figures.options.changed_deals
    return [
        forecast_table(figures.forecast_total, figures.options),
        category_table(figures.categories_total),
        *([] if attainment is None else [target_table(attainment)]),
        *([] if moved is None else [change_table(moved, order)]),
        owner_table(figures, order),
        milestone_table(figures, order),
        largest_table(figures, order),
        findings_table(figures.pipeline),
        *([] if figures.rates is None else [rate_table(figures.rates)]),
    ]


def forecast_table(table: pd.DataFrame, options: Options) -> Table:
    """Show the forecast from the as-of period on."""
    period, now, rows = _ahead(table)
    columns = [
        Column(period, period.capitalize(), "period"),
        Column("currency", "Currency", "currency"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money"),
        Column("weighted_value", "Weighted", "money"),
        Column("won_value", "Won", "money"),
        Column("expected_value", "Expected", "money"),
        Column("p10", "P10", "money"),
        Column("p90", "P90", "money"),
    ]
    if options.target is not None:
        columns.append(Column("chance", f"Chance of {whole_number(options.target)}", "percent"))
    note = (
        f"From {period_text(now)} on; earlier {period}s are in forecast.csv. "
        "Expected is won plus weighted; P10 to P90 would be its range if every stated probability "
        "and date were right."
    )
    title = f"Forecast by {period} and currency"
    return shown("forecast", title, rows, columns, note=note, file="forecast.csv")


def _ahead(table: pd.DataFrame) -> tuple[str, pd.Period, pd.DataFrame]:
    """Return the kind of period of a table, the one that is running, and the rows from it on."""
    period = str(table.columns[0])
    now = pd.Period(table.attrs["as_of"], freq=table[period].dt.freq)
    rows = table[~(table[period] < now).to_numpy(dtype=bool)]
    return period, now, rows


def category_table(categories: pd.DataFrame) -> Table:
    """Show what is won, committed, likely and open from the as-of period on."""
    period, _, rows = _ahead(categories)
    columns = [
        Column(period, period.capitalize(), "period"),
        Column("currency", "Currency", "currency"),
        Column("won_value", "Won", "money"),
        Column("commit_value", "Commit", "money"),
        Column("best_case_value", "Best case", "money"),
        Column("pipeline_value", "Pipeline", "money"),
    ]
    least = categories.attrs["thresholds"]
    note = (
        f"Commit is won and open at {least['commit']:.0%} or above, best case at"
        f" {least['best_case']:.0%} or above, each in full; pipeline is all that is open, without"
        " what is won."
    )
    title = f"Forecast categories by {period} and currency"
    file = "scenarios.csv"
    return shown("categories", title, rows, columns, note=note, file=file, printed=_PRINTED_FEW)


def change_table(changed_deals: pd.DataFrame, order: Order) -> Table:
    """List the deals behind the bridge."""
    rows = changed_deals.assign(place=_places(changed_deals, order))
    rows = rows.sort_values("place", kind="stable")
    rows = rows.assign(part=rows["part"].astype(object).str.replace("_", " "))
    columns = [
        Column("part", "Change"),
        Column("opportunity_id", "Id", "id"),
        Column("name", "Deal"),
        Column("owner", "Owner"),
        Column("value", "Value", "money"),
        Column("detail", "What happened"),
    ]
    before, after = changed_deals.attrs["before"], changed_deals.attrs["after"]
    title = f"Changes from {before} to {after}"
    file = "changed_deals.csv"
    return shown("changes", title, rows, columns, file=file, printed=_PRINTED_FEW)


def rate_table(rates: pd.DataFrame) -> Table:
    """List the exchange rates that were used, the newest first."""
    rows = rates.sort_values(["date", "currency"], ascending=[False, True])
    columns = [
        Column("currency", "From"),
        Column("date", "For", "day"),
        Column("rate", "Rate", "rate"),
        Column("rate_date", "Published", "day"),
        Column("deals", "Deals", "count"),
    ]
    note = (
        "Units of the home currency for one. Open deals take the rate of the as-of day, won ones"
        " that of the day on which they closed."
    )
    return shown(
        "rates", "Exchange rates", rows, columns, note=note, file="rates.csv", rows=_FINDINGS,
        printed=_PRINTED_FEW,
    )  # fmt: skip


def owner_table(figures: Figures, order: Order) -> Table:
    """Show what each owner has won and expects this quarter, and holds open."""
    rows = figures.owners
    rows = rows[(rows["open_deals"] > 0) | (rows["expected_value"] != 0)]
    rows = _by_size(rows, "weighted_value", order)
    columns = [
        Column("owner", "Owner"),
        Column("currency", "Currency", "currency"),
        Column("won_value", "Won this quarter", "money"),
        Column("expected_value", "Expected this quarter", "money"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money"),
        Column("weighted_value", "Weighted", "money"),
        Column("overdue_deals", "Overdue deals", "count"),
        Column("overdue_value", "Overdue", "money"),
    ]
    return shown("owners", "By owner", rows, columns, note=overdue_words(figures.options))


def milestone_table(figures: Figures, order: Order) -> Table:
    """Show the open deals at each milestone, in the account's order."""
    rows = figures.milestones
    rows = rows[rows["open_deals"] > 0]
    rows = rows.assign(place=_places(rows, order)).sort_values("place", kind="stable")
    columns = [
        Column("milestone", "Milestone"),
        Column("currency", "Currency", "currency"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money"),
        Column("weighted_value", "Weighted", "money"),
        Column("overdue_deals", "Overdue deals", "count"),
    ]
    if len(rows["pipeline"].unique()) > 1:
        columns.insert(0, Column("pipeline", "Pipeline"))
    title = "Open deals by milestone"
    return shown("milestones", title, rows, columns, note=overdue_words(figures.options))


def overdue_words(options: Options) -> str:
    """Say that overdue deals are among the open ones, where the forecast leaves them out."""
    dropped = options.overdue == "drop"
    return "Overdue deals are included, unlike in the forecast." if dropped else ""


def target_table(attainment: pd.DataFrame) -> Table:
    """Show how far each target is reached."""
    columns = [
        Column("period", "Period", "period"),
        Column("currency", "Currency", "currency"),
        *([Column("owner", "Owner")] if "owner" in attainment.columns else []),
        Column("target", "Target", "money"),
        Column("won_value", "Won", "money"),
        Column("attainment", "Attained", "percent"),
        Column("expected_value", "Expected", "money"),
        Column("gap", "Gap", "money"),
        Column("coverage", "Coverage", "times"),
        Column("chance", "Chance", "percent"),
    ]
    note = (
        "Gap is what is still to be won, coverage how many times the open deals of the period "
        "cover it, chance how likely won and open deals together reach the target."
    )
    rows = attainment
    if "owner" in rows.columns:
        rows = rows.assign(owner=rows["owner"].fillna("whole team"))
    return shown("targets", "Targets", rows, columns, note=note, file="targets.csv")


def largest_table(figures: Figures, order: Order) -> Table:
    """Show the largest open deals of each currency."""
    frame = figures.open_deals
    rows = frame.assign(late=np.where(frame["late"], "overdue", "")).dropna(subset=["tcv"])
    rows = _by_size(rows, "tcv", order).groupby("place").head(_LARGEST)
    columns = [
        Column("id", "Id", "id"),
        Column("name", "Deal"),
        Column("party", "Party"),
        Column("owner", "Owner"),
        Column("milestone", "Milestone"),
        Column("expected_close", "Expected close", "day"),
        Column("late", "Note"),
        Column("probability", "Probability", "percent"),
        Column("tcv", "TCV", "money"),
        Column("weighted", "Weighted", "money"),
    ]
    note = f"Up to {_LARGEST} a currency, by total contract value (TCV)."
    table = shown("largest", "Largest open deals", rows, columns, note=note)
    return replace(table, left=len(frame) - len(table.rows), file="opportunities.csv")


def findings_table(pipeline: Pipeline) -> Table:
    """Show the data-quality findings, what changes a figure first."""
    names = pipeline.opportunities["name"]
    issues = pipeline.issues
    rank = issues["severity"].map({"error": 0, "warning": 1, "info": 2})
    rows = issues.assign(rank=rank, name=issues["opportunity_id"].map(names))
    rows = rows.sort_values(["rank", "check", "opportunity_id"], kind="stable")
    rows["check"] = rows["check"].astype("object").str.replace("_", " ")
    columns = [
        Column("severity", "Severity"),
        Column("check", "Check"),
        Column("opportunity_id", "Id", "id"),
        Column("name", "Deal"),
        Column("detail", "Detail"),
    ]
    note = "An error makes a figure wrong or incomplete, a warning may, information does not."
    return shown(
        "findings",
        "Data quality",
        rows,
        columns,
        note=note,
        file="data_quality.csv",
        rows=_FINDINGS,
        printed=_PRINTED_FEW,
    )


def _places(rows: pd.DataFrame, order: Order) -> pd.Series:
    """Give each row the place of its currency in the page."""
    places = {currency: place for place, currency in enumerate(order)}
    column = rows["currency"].astype("object")
    return column.where(column.notna(), None).map(lambda code: places.get(code, len(places)))


def _by_size(rows: pd.DataFrame, amounts: str, order: Order) -> pd.DataFrame:
    """Sort by currency, and by amount with the largest first."""
    rows = rows.assign(place=_places(rows, order))
    return rows.sort_values(["place", amounts], ascending=[True, False], kind="stable")
