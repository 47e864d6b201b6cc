"""The HTML report: one file with figures, charts and tables, that needs no network.

Everything in it comes through a template that escapes what it is given; a content security policy
lets the page run the one script it brings and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from capsule_analytics import __version__, forecast, fx, scenarios
from capsule_analytics._words import currency_name, day_words, period_text
from capsule_analytics.errors import missing_extra

try:
    import jinja2
    from markupsafe import Markup
except ImportError as error:  # pragma: no cover - the tests have it
    raise missing_extra("The HTML report", "html") from error

from capsule_analytics.plot import by_currency

from ._page_charts import Source, charts
from ._page_tables import (
    amount,
    category_table,
    cell,
    change_table,
    findings_table,
    forecast_table,
    largest_table,
    milestone_table,
    overdue_words,
    owner_table,
    rate_table,
    target_period,
    target_table,
)

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

    from ._options import Options

_TEMPLATES = Path(__file__).parent / "templates"
_CHARTED = 4
_POLICIES = {
    "keep": "Open deals whose close date has passed stay in the period in which they should have "
    "closed.",
    "roll": "Open deals whose close date has passed are moved to the as-of day.",
    "drop": "Open deals whose close date has passed are left out of the forecast.",
}


@dataclass(frozen=True)
class Outlook:
    """What a period is expected to come to, in one currency."""

    name: str
    won: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Headline:
    """The figures a reader asks for first, in one currency."""

    currency: str | None
    month: Outlook
    quarter: Outlook
    open_deals: int
    open_value: float
    weighted_value: float
    overdue_deals: int
    overdue_value: float
    target: dict[str, object] | None

    @property
    def name(self) -> str:
        """The currency's code, or words where there is none."""
        return currency_name(self.currency)


def write_html(
    pipeline: Pipeline,
    options: Options,
    path: Path,
    *,
    attainment: pd.DataFrame | None = None,
) -> None:
    """Write the report.

    Parameters
    ----------
    pipeline
        What to report.
    options
        How the figures are made. Charts and tables of the report are not split by its groups.
    path
        The file to write; the CSV files that it links to are expected beside it.
    attainment
        How far targets are reached, as `capsule_analytics.targets.attainment` gives it.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    placing = options.placing() | {"by": ()}
    ranges: dict[str, Any] = {"ranges": True, "correlation": options.correlation}
    month, quarter = (
        forecast.by_month(pipeline, **(placing | {"period": period}), **ranges)
        for period in ("month", "quarter")
    )
    if attainment is not None:
        freq = _now(quarter).freqstr
        periods = [target_period(text, freq) for text in attainment["period"]]
        attainment = attainment.assign(
            period=pd.Series(periods, index=attainment.index, dtype=object)
        )
    table = forecast.by_month(pipeline, **placing, **ranges, target=options.target)
    revenue = forecast.revenue_schedule(pipeline, **placing)
    # Whatever the forecast does with overdue deals, they are open and overdue.
    whole = forecast.by_month(pipeline, period="year", probability=options.probability)
    heads = [
        _headline(currency, rows, month, quarter, attainment)
        for currency, rows in by_currency(whole)
    ]
    categories = scenarios.by_category(pipeline, **placing, thresholds=options.thresholds)
    order = [head.currency for head in heads]
    source = Source(
        pipeline, table, revenue, options.changes, attainment, options.probability,
        overdue_words(options),
    )  # fmt: skip
    sections = [
        (head.name, charts(source, head.currency, f"c{number}"))
        for number, head in enumerate(heads[:_CHARTED])
    ]
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("report.css", "sort.js"))
    moved = options.changed_deals
    converted = "fx_rate" in pipeline.opportunities.columns
    page = _environment().get_template("report.html.j2")
    text = page.render(
        account=pipeline.account or "Capsule account",
        as_of=day_words(pipeline.as_of.isoformat()),
        selection=options.selection,
        overdue_dropped=options.overdue == "drop",
        loaded_at=f"{pipeline.loaded_at:%Y-%m-%d %H:%M} UTC",
        version=__version__,
        heads=heads,
        sections=sections,
        uncharted=[head.name for head in heads[_CHARTED:]],
        tables=[
            forecast_table(table, options),
            category_table(categories),
            *([] if attainment is None else [target_table(attainment)]),
            *([] if moved is None else [change_table(moved, order)]),
            *(
                build(pipeline, options, order)
                for build in (owner_table, milestone_table, largest_table)
            ),
            findings_table(pipeline),
            *([rate_table(fx.rates_used(pipeline))] if converted else []),
        ],
        severities=pipeline.issues["severity"].value_counts().to_dict(),
        settings=_settings(pipeline, options),
        files=_files(options, converted=converted),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    path.write_text(text, encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["money"] = amount
    environment.filters["percent"] = lambda value: cell(value, "percent").text
    environment.filters["period"] = period_text
    environment.filters["times"] = lambda value: cell(value, "times").text
    return environment


def _headline(
    currency: str | None,
    whole: pd.DataFrame,
    month: pd.DataFrame,
    quarter: pd.DataFrame,
    attainment: pd.DataFrame | None,
) -> Headline:
    sums = whole.sum(numeric_only=True)
    return Headline(
        currency,
        month=_outlook(month, currency),
        quarter=_outlook(quarter, currency),
        open_deals=int(sums["open_deals"]),
        open_value=sums["open_value"],
        weighted_value=sums["weighted_value"],
        overdue_deals=int(sums["overdue_deals"]),
        overdue_value=sums["overdue_value"],
        target=_current_target(attainment, currency, quarter, month),
    )


def _outlook(table: pd.DataFrame, currency: str | None) -> Outlook:
    """Read the as-of period of a currency from its forecast; zeros if nothing is in it."""
    period = str(table.columns[0])
    now = _now(table)
    rows = table[(table[period] == now).to_numpy(dtype=bool)]
    column = rows["currency"].astype("object")
    rows = rows[(column.isna() if currency is None else column == currency).to_numpy(dtype=bool)]
    name = now.strftime("%B %Y") if period == "month" else period_text(now)
    if rows.empty:
        return Outlook(name, 0.0, 0.0, 0.0, 0.0)
    row = rows.iloc[0]
    return Outlook(name, row["won_value"], row["expected_value"], row["p10"], row["p90"])


def _now(table: pd.DataFrame) -> pd.Period:
    return pd.Period(table.attrs["as_of"], freq=table[str(table.columns[0])].dt.freq)


def _current_target(
    attainment: pd.DataFrame | None,
    currency: str | None,
    quarter: pd.DataFrame,
    month: pd.DataFrame,
) -> dict[str, object] | None:
    """Find the whole team's target that is running: the quarter's, else the month's or year's."""
    if attainment is None:
        return None
    now = _now(quarter)
    periods = [now, _now(month), target_period(f"{now.qyear}", now.freqstr)]
    rows = attainment[(attainment["currency"] == currency).fillna(value=False).to_numpy(dtype=bool)]
    if "owner" in rows.columns:
        rows = rows[rows["owner"].isna()]
    found = rows[rows["period"].isin(periods)]
    if found.empty:
        return None
    first = found["period"].map(periods.index).idxmin()
    return {str(name): value for name, value in found.loc[first].items()}


def _files(options: Options, *, converted: bool) -> list[str]:
    """Name the CSV files that are written beside the report."""
    names = ["forecast", "scenarios", "revenue"]
    if options.targets is not None:
        names.append("targets")
    if options.changes is not None:
        names.append("changes")
    if options.changed_deals is not None:
        names.append("changed_deals")
    names += ["opportunities", "data_quality"]
    if converted:
        names.append("rates")
    return [f"{name}.csv" for name in names]


def _settings(pipeline: Pipeline, options: Options) -> list[tuple[str, str]]:
    """Say in words how the figures were made."""
    correlation = (
        "deals are won or lost independently of each other"
        if options.correlation == 0
        else f"deals rise and fall together with a correlation of {options.correlation:g}"
    )
    return [
        ("Deals", options.selection or "all opportunities of the account"),
        (
            "Probability",
            "as stated in Capsule"
            if options.probability is None
            else "corrected by what earlier deals became",
        ),
        ("Overdue deals", _POLICIES[options.overdue]),
        ("Ranges", f"P10 to P90, four outcomes in five; {correlation}"),
        ("Fiscal year", f"begins in {pd.Timestamp(2000, options.fiscal_year_start, 1):%B}"),
        (
            "Currencies",
            "converted where a rate is known; each has its own figures"
            if "fx_rate" in pipeline.opportunities.columns
            else "never added together; each has its own figures",
        ),
    ]
