"""The tables of the HTML report: frames turned into cells to read, sort and print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

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
    "text", "currency", "period", "id", "count", "money", "rate", "percent", "times", "day", "days"
]

NONE = "\N{EN DASH}"
"""What stands in a cell without a value."""

_ROWS = 200
_FINDINGS = 100
_LARGEST = 10
_NEEDS = 25
_PRINTED = 6
_PRINTED_FEW = 4
_SEVERITIES = ("error", "warning", "info")
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
    bar
        Whether a bar shows how large the value is beside the others of its currency.
    chooses
        What the value stands for among the deals, as in the address of the page (``owner``);
        empty for nothing.
    """

    name: str
    label: str
    kind: Kind = "text"
    bar: bool = False
    chooses: str = ""

    @property
    def numeric(self) -> bool:
        """Whether the values are aligned right, and sorted largest first."""
        return self.kind not in ("text", "currency", "period", "day")


@dataclass(frozen=True)
class Cell:
    """A value as it is read, and what it is sorted by (empty where it is missing).

    ``share`` is the length of its bar in percent, ``link`` where it leads.
    """

    text: str
    order: str
    share: float | None = None
    link: str = ""


@dataclass(frozen=True)
class Row:
    """The cells of a row, its currency (None where it has none of its own), and what it chooses.

    ``deal`` is the id of the deal that the row is about; empty for none.
    """

    cells: tuple[Cell, ...]
    currency: str | None = None
    chosen: str = ""
    deal: str = ""


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
        Its rows.
    note
        What to know to read it.
    left
        Rows that are not shown.
    file
        The CSV file that has all rows; empty if there is none.
    printed
        How many of the rows go on paper, of which there are to be six pages.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
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
    top = frame.head(rows)
    records = top.to_dict("records")
    coded = "currency" in frame.columns
    most: dict[str, dict[Any, float]] = {}
    for column in columns:
        if column.bar:
            sizes = top[column.name].astype("float64").abs()
            codes = top["currency"].map(currency_name) if coded else pd.Series("", top.index)
            most[column.name] = sizes.groupby(codes.astype("object")).max().to_dict()
    laid = []
    for record in records:
        currency = currency_name(record["currency"]) if coded else None
        cells = [
            _linked(_barred(record, column, most, currency or ""), column, record)
            for column in columns
        ]
        chosen = [
            f"{column.chooses}={quote(_choice(record[column.name], column.kind))}"
            for column in columns
            if column.chooses
        ]
        deal = str(record["id"]) if "id" in record else ""
        laid.append(Row(tuple(cells), currency, "&".join(chosen), deal))
    left = len(frame) - len(records)
    return Table(key, title, tuple(columns), tuple(laid), note, left, file, printed)


def _barred(
    record: dict[Any, Any], column: Column, most: dict[str, dict[Any, float]], currency: str
) -> Cell:
    """Write the value of a column, with its bar where the column has bars."""
    value = record[column.name]
    written = cell(value, column.kind, record.get("currency"))
    largest = most.get(column.name, {}).get(currency, 0.0)
    if not column.bar or not written.order or not largest > 0:
        return written
    return replace(written, share=round(100 * abs(float(value)) / largest, 1))


def _linked(written: Cell, column: Column, record: dict[Any, Any]) -> Cell:
    """Let the name of a deal lead to it in Capsule, where it is known where that is."""
    link = record.get("link")
    if column.name != "name" or not isinstance(link, str):
        return written
    return replace(written, link=link)


def _choice(value: Any, kind: Kind) -> str:  # noqa: ANN401 - of any column
    """Write a value as the address of the page does; missing ones are a bare dash."""
    if kind == "period":
        return "undated" if pd.isna(value) else str(value)
    return NONE if value is None or pd.isna(value) else str(value)


def cell(value: Any, kind: Kind, currency: object = None) -> Cell:  # noqa: ANN401
    """Write one value.

    Examples
    --------
    >>> cell(0.254, "percent").text, cell(1234, "count").text
    ('25%', '1,234')
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
        "days": lambda: f"{value:,.0f}",
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
    laid = [
        None if moved is None else change_table(moved, order),
        need_table(figures, order),
        deal_table(figures, order),
        forecast_table(figures.forecast_total, figures.options),
        category_table(figures.categories_total),
        milestone_table(figures, order),
        plain_table(
            "conversion",
            "From milestone to milestone",
            figures.conversion,
            order,
            "Conversion is moved on of moved on and lost there.",
        ),
        owner_table(figures, order),
        plain_table(
            "win_rates_by_owner", "Win rate by owner", figures.win_rates_by_owner, order, WIN_RATE
        ),
        plain_table(
            "win_rates_by_quarter",
            "Win rate by quarter",
            None if (rates := figures.win_rates_by_quarter) is None else rates.iloc[::-1],
            order,
            WIN_RATE,
        ),
        plain_table(
            "lost_reasons",
            "Why deals were lost",
            figures.lost_reasons.assign(
                counts=np.where(figures.lost_reasons["counts"], "counts", "left out")
            ),
            order,
        ),
        plain_table(
            "velocity",
            "Velocity",
            figures.velocity,
            order,
            "Open deals x win rate x average won value / days from entry to win: what the list "
            "brings in a day if it goes on as it did.",
        ),
        age_table(figures, order),
        plain_table("slippage", "Slippage by owner", figures.slippage_by_owner, order),
        None if attainment is None else target_table(attainment),
        track_table(figures, order),
        quality_table(figures.quality_by_owner, "owner"),
        findings_table(figures.pipeline),
        None if figures.rates is None else rate_table(figures.rates),
    ]
    return [table for table in laid if table is not None]


WIN_RATE = (
    "Won of won and lost; lost deals whose reason is left out of conversion do not count, except "
    "where all are counted."
)


def track_table(figures: Figures, order: Order) -> Table | None:
    """Show past projections of each month beside what came, the last first."""
    if figures.track is None:
        return None
    rows = figures.track.assign(place=places(figures.track, order))
    rows = rows.sort_values(["place", "month"], ascending=[True, False], kind="stable")
    rows = rows.assign(held=np.where(rows["inside"], "inside", "outside"))
    columns = [
        Column("month", "Month", "period"),
        Column("currency", "Currency", "currency"),
        Column("expected_value", "Projected", "money"),
        Column("p10", "P10", "money"),
        Column("p90", "P90", "money"),
        Column("actual_value", "Came", "money"),
        Column("held", "Range"),
    ]
    note = "Each month as it was projected one month ahead, from what was known then."
    return shown(
        "track", "Track record", rows, columns, note=note, file="track_record.csv",
        printed=_PRINTED_FEW,
    )  # fmt: skip


def forecast_table(
    table: pd.DataFrame, options: Options, *, lists_deals: bool = True, file: str = "forecast.csv"
) -> Table:
    """Show the forecast from the as-of period on."""
    period, now, rows = ahead(table)
    chooses = "status=any&period" if lists_deals else ""
    columns = [
        Column(period, period.capitalize(), "period", chooses=chooses),
        Column("currency", "Currency", "currency"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money"),
        Column("weighted_value", "Weighted", "money"),
        Column("won_value", "Won", "money"),
        Column("expected_value", "Expected", "money"),
    ]
    ranges = ""
    if options.ranges:
        columns += [Column("p10", "P10", "money"), Column("p90", "P90", "money")]
        ranges = "; P10 to P90 would be its range if every probability and date were right"
    if options.target is not None:
        columns.append(Column("chance", f"Chance of {whole_number(options.target)}", "percent"))
    note = (
        f"From {period_text(now)} on; earlier {period}s are in {file}. "
        f"Expected is won plus weighted{ranges}."
    )
    title = f"Weighted forecast by close {period}"
    return shown("forecast", title, rows, columns, note=note, file=file)


def ahead(table: pd.DataFrame) -> tuple[str, pd.Period, pd.DataFrame]:
    """Return the kind of period of a table, the one that is running, and the rows from it on."""
    period = str(table.columns[0])
    now = pd.Period(table.attrs["as_of"], freq=table[period].dt.freq)
    rows = table[~(table[period] < now).to_numpy(dtype=bool)]
    return period, now, rows


def category_table(categories: pd.DataFrame) -> Table:
    """Show what is won, committed, likely and open from the as-of period on."""
    period, _, rows = ahead(categories)
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
    title = f"Forecast categories by {period}"
    file = "scenarios.csv"
    return shown("categories", title, rows, columns, note=note, file=file, printed=_PRINTED_FEW)


def change_table(changed_deals: pd.DataFrame, order: Order) -> Table:
    """List the deals behind the bridge."""
    rows = changed_deals.assign(place=places(changed_deals, order))
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
    rows = by_size(rows, "weighted_value", order)
    columns = [
        Column("owner", "Owner", chooses="owner"),
        Column("currency", "Currency", "currency"),
        Column("won_value", "Won this quarter", "money"),
        Column("expected_value", "Expected this quarter", "money"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money"),
        Column("weighted_value", "Weighted", "money", bar=True),
        Column("overdue_deals", "Overdue deals", "count"),
        Column("overdue_value", "Overdue", "money"),
    ]
    return shown("owners", "By owner", rows, columns, note=overdue_words(figures.options))


def milestone_table(figures: Figures, order: Order) -> Table:
    """Show the open deals at each milestone, in the account's order."""
    rows = figures.milestones
    rows = rows[rows["open_deals"] > 0]
    rows = rows.assign(place=places(rows, order)).sort_values("place", kind="stable")
    columns = [
        Column("milestone", "Milestone", chooses="milestone"),
        Column("currency", "Currency", "currency"),
        Column("open_deals", "Open deals", "count"),
        Column("open_value", "Open", "money", bar=True),
        Column("weighted_value", "Weighted", "money"),
        Column("overdue_deals", "Overdue deals", "count"),
    ]
    if len(rows["pipeline"].unique()) > 1:
        columns.insert(0, Column("pipeline", "Pipeline", chooses="pipeline"))
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


def deal_table(figures: Figures, order: Order) -> Table:
    """Show the largest open deals of each currency, which the page's script replaces by all."""
    frame = figures.open_deals
    prefix = links(figures)
    rows = frame.assign(late=np.where(frame["late"], "overdue", "")).dropna(subset=["tcv"])
    rows = by_size(rows, "tcv", order).groupby("place").head(_LARGEST)
    rows = rows.assign(link=[f"{prefix}{number}" if prefix else None for number in rows["id"]])
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
    table = shown("deals", "Deals", rows, columns, note=note)
    return replace(table, left=len(frame) - len(table.rows), file="opportunities.csv")


def links(figures: Figures) -> str:
    """Tell what the address of a deal in Capsule begins with; nothing for other servers."""
    return f"{figures.options.web}/opportunity/" if figures.options.web else ""


def need_table(figures: Figures, order: Order) -> Table:
    """List the deals that need someone, what is at stake first."""
    needs = figures.needs[(figures.needs["urgency"] != "note").to_numpy(dtype=bool)]
    columns = [
        Column("name", "Deal"),
        Column("party", "Party"),
        Column("owner", "Owner", chooses="owner"),
        Column("tcv", "TCV", "money"),
        Column("stake", "At stake", "money", bar=True),
        Column("reason", "Why"),
    ]
    note = "At stake is TCV times the chance that the deal is won."
    worth_knowing = len(figures.needs) - len(needs)
    if worth_knowing:
        are = "deal is" if worth_knowing == 1 else "deals are"
        note += f" {worth_knowing:,} more {are} only worth knowing of, and in attention.csv."
    rows = by_size(needs, "stake", order)
    rows = pd.concat([part.head(_NEEDS) for _, part in rows.groupby("place")] or [rows])
    table = shown("needs", "Deals that need someone", rows, columns, note=note, printed=_PRINTED)
    return replace(table, left=len(needs) - len(table.rows), file="attention.csv")


_ASIDE = {
    column.name: column
    for column in (
        Column("owner", "Owner", chooses="owner"),
        Column("quarter", "Quarter", "period"),
        Column("milestone", "Milestone", chooses="milestone"),
        Column("currency", "Currency", "currency"),
        Column("lost_reason", "Lost for", chooses="status=lost&reason"),
        Column("deals", "Deals", "count"),
        Column("tcv", "TCV", "money", bar=True),
        Column("open_deals", "Open deals", "count"),
        Column("won_deals", "Won", "count"),
        Column("won", "Won", "count"),
        Column("lost_deals", "Lost", "count"),
        Column("reached", "Reached", "count"),
        Column("moved_on", "Moved on", "count"),
        Column("lost", "Lost", "count"),
        Column("undecided", "Still there", "count"),
        Column("left_out", "Left out", "count"),
        Column("counts", "In the win rate"),
        Column("win_rate", "Win rate", "percent", bar=True),
        Column("raw_rate", "Win rate", "percent", bar=True),
        Column("rate_of_all", "All lost deals counted", "percent"),
        Column("rate", "Drawn to the account's", "percent"),
        Column("low", "From", "percent"),
        Column("high", "To", "percent"),
        Column("share", "Share of those that count", "percent", bar=True),
        Column("share_of_all", "Share of all lost", "percent"),
        Column("conversion", "Conversion", "percent", bar=True),
        Column("days", "Days at it, median", "days"),
        Column("average_won", "Average won", "money"),
        Column("cycle_days", "Days to win", "days"),
        Column("velocity", "Velocity a day", "money", bar=True),
        Column("account", "Account", chooses="account"),
        Column("pushed", "Pushed out", "count"),
        Column("mean_days", "Days later, mean", "days", bar=True),
    )
}
"""How the columns of tables are shown that are shown as they are."""


def plain_table(
    key: str,
    title: str,
    frame: pd.DataFrame | None,
    order: Order,
    note: str = "",
    *,
    rows: int = _ROWS,
    file: str = "",
    labels: Mapping[str, str] | None = None,
    chooses: bool = True,
) -> Table | None:
    """Show a frame as it is, in the columns that are known here; None where there is none."""
    if frame is None or frame.empty:
        return None
    if "currency" in frame.columns:
        frame = frame.assign(place=places(frame, order)).sort_values("place", kind="stable")
    columns = [_ASIDE[name] for name in map(str, frame.columns) if name in _ASIDE]
    named = labels or {}
    columns = [
        replace(
            column,
            label=named.get(column.name, column.label),
            chooses=column.chooses if chooses else "",
        )
        for column in columns
    ]
    return shown(key, title, frame, columns, note=note, file=file, rows=rows, printed=_PRINTED_FEW)


def age_table(figures: Figures, order: Order) -> Table | None:
    """Show for how long the open deals have stood at their milestone, a column an age."""
    rows = figures.time_at_milestone
    rows = rows[(rows["open_deals"] > 0).to_numpy(dtype=bool)]
    if rows.empty:
        return None
    keys = ["currency", "pipeline", "milestone"]
    ages = list(dict.fromkeys(rows["age"].astype("object")))
    # Rows in the order in which they come, which is the account's.
    groups = rows.groupby(keys, dropna=False, sort=False, observed=True)
    table = groups["open_value"].sum().reset_index()
    number = groups.ngroup().to_numpy()
    age = rows["age"].astype("object").to_numpy()
    for one in ages:
        at = age == one
        counts = np.bincount(number[at], rows["open_deals"].to_numpy()[at], len(table))
        table[f"age {one}"] = counts.astype(np.int64)
    table = table.assign(place=places(table, order)).sort_values("place", kind="stable")
    several = len(table["pipeline"].unique()) > 1
    columns = [
        *([Column("pipeline", "Pipeline", chooses="pipeline")] if several else []),
        Column("milestone", "Milestone", chooses="milestone"),
        Column("currency", "Currency", "currency"),
        *(Column(f"age {one}", f"{one} days", "count") for one in ages),
        Column("open_value", "Open", "money", bar=True),
    ]
    note = "Open deals by the days that they have stood at their milestone."
    return shown("ageing", "Ageing", table, columns, note=note, printed=_PRINTED_FEW)


def quality_table(
    found: pd.DataFrame, whose: str, *, note: str = "", file: str = ""
) -> Table | None:
    """Show who has to mend what, those with the most findings first."""
    if found.empty:
        return None
    columns = [
        Column(whose, whose.capitalize(), chooses=whose),
        Column("error", "Errors", "count"),
        Column("warning", "Warnings", "count"),
        Column("info", "Notes", "count"),
        Column("what", "What to mend"),
    ]
    title = f"Data quality by {whose}"
    rows = to_mend(found, whose)
    return shown(
        "quality", title, rows, columns, note=note, file=file, rows=_FINDINGS, printed=_PRINTED_FEW
    )


def to_mend(found: pd.DataFrame, whose: str) -> pd.DataFrame:
    """Count the findings of each owner or account by severity, and name them in a sentence."""
    owner = found[whose].astype("object").where(found[whose].notna(), None)
    what = found["check"].astype("object").str.replace("_", " ")
    parts = found.assign(
        whose=owner, what=[f"{name} ({n:,})" for name, n in zip(what, found["deals"], strict=True)]
    )
    for severity in _SEVERITIES:
        parts[severity] = parts["deals"].where(parts["severity"] == severity, 0)
    sums = dict.fromkeys(_SEVERITIES, "sum")
    groups = parts.groupby("whose", dropna=False, sort=False)
    held = groups.agg({**sums, "what": "; ".join}).reset_index(names=whose)
    return held.sort_values([*_SEVERITIES], ascending=False, kind="stable", ignore_index=True)


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
        "Data-quality findings",
        rows,
        columns,
        note=note,
        file="data_quality.csv",
        rows=_FINDINGS,
        printed=_PRINTED_FEW,
    )


def places(rows: pd.DataFrame, order: Order) -> pd.Series:
    """Give each row the place of its currency in the page."""
    known = {currency: place for place, currency in enumerate(order)}
    column = rows["currency"].astype("object")
    return column.where(column.notna(), None).map(lambda code: known.get(code, len(known)))


def by_size(rows: pd.DataFrame, amounts: str, order: Order) -> pd.DataFrame:
    """Sort by currency, and by amount with the largest first."""
    rows = rows.assign(place=places(rows, order))
    return rows.sort_values(["place", amounts], ascending=[True, False], kind="stable")
