"""The HTML report: one file with figures, charts, tables and deals, that needs no network.

Everything in it comes through a template that escapes what it is given; a content security policy
lets the page run the one script it brings and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from capsule_analytics import __version__
from capsule_analytics._words import day_words, period_text
from capsule_analytics.errors import missing_extra

try:
    import jinja2
    from markupsafe import Markup
except ImportError as error:  # pragma: no cover - the tests have it
    raise missing_extra("The HTML report", "html") from error

from ._page_charts import charts
from ._page_data import deals_json
from ._page_tables import amount, cell, tables

if TYPE_CHECKING:
    from ._figures import Figures
    from ._page_tables import Table

_TEMPLATES = Path(__file__).parent / "templates"
_CHARTED = 6
_FIRST = ("forecast", "scenarios")
_POLICIES = {
    "keep": "Open deals whose close date has passed stay in the period in which they should have "
    "closed.",
    "roll": "Open deals whose close date has passed are moved to the as-of day.",
    "drop": "Open deals whose close date has passed are left out of the forecast.",
}


def write_html(figures: Figures, path: Path) -> None:
    """Write the report.

    Parameters
    ----------
    figures
        What is shown. Charts and tables of the page are not split by groups.
    path
        The file to write; the CSV files that it links to are expected beside it.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    pipeline, options, heads = figures.pipeline, figures.options, figures.headlines
    drawn = {
        head.name: charts(figures, head, f"c{number}")
        for number, head in enumerate(heads[:_CHARTED])
    }
    outlooks = {outlook.name: outlook for outlook in figures.outlook or ()}
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("report.css", "report.js"))
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            account=pipeline.account or "Capsule account",
            as_of=day_words(pipeline.as_of.isoformat()),
            selection=options.selection,
            caution=figures.pipeline.caution,
            overdue_dropped=options.overdue == "drop",
            loaded_at=f"{pipeline.loaded_at:%Y-%m-%d %H:%M} UTC",
            version=__version__,
            heads=heads,
            outlooks=outlooks,
            kind="Projected" if outlooks else "Weighted",
            range_words="P10 to P90" if outlooks else "if all stated is right",
            charts=drawn,
            sections=_sections(figures, {name for made in drawn.values() for name in made}),
            uncharted=[head.name for head in heads[_CHARTED:]],
            severities=figures.severities,
            settings=_settings(figures),
            files=_files(figures),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=Markup(deals_json(figures)),  # noqa: S704 - JSON without "<"
        )
    )
    path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _Section:
    """A part of the page: a table, the chart of each currency that stands above it, or both."""

    key: str
    title: str
    chart: str = ""
    table: Table | None = None


def _sections(figures: Figures, drawn: set[str]) -> list[_Section]:
    """Put tables and charts together, in the order of the page."""
    laid = [
        _Section(table.key, table.title, table.key if table.key in drawn else "", table)
        for table in tables(figures)
    ]
    places = [section.key for section in laid]
    if "changes" in drawn and "changes" not in places:
        laid.insert(0, _Section("changes", "What changed", "changes"))
        places = [section.key for section in laid]
    if "revenue" in drawn:
        revenue = _Section("revenue", "Revenue", "revenue")
        laid.insert(places.index("categories") + 1, revenue)
    return laid


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


def _files(figures: Figures) -> list[str]:
    """Name the CSV files that are written beside the page, in the order of its tables."""
    files = [sheet.file for sheet in figures.sheets]
    first = [file for file in _FIRST if file in files]
    return [f"{file}.csv" for file in [*first, *(file for file in files if file not in first)]]


def _settings(figures: Figures) -> list[tuple[str, str]]:
    """Say in words how the figures were made."""
    options = figures.options
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
        (
            "Weighted ranges",
            (
                "P10 to P90, what the sum would be if every stated probability and date were right;"
                f" {correlation}"
            ),
        ),
        ("Fiscal year", f"begins in {pd.Timestamp(2000, options.fiscal_year_start, 1):%B}"),
        (
            "Currencies",
            "converted where a rate is known; each has its own figures"
            if figures.rates is not None
            else "never added together; each has its own figures",
        ),
    ]
