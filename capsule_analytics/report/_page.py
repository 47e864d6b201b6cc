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
from capsule_analytics._words import counted, day_words, period_text
from capsule_analytics.errors import missing_extra

try:
    import jinja2
    from markupsafe import Markup
except ImportError as error:  # pragma: no cover - the tests have it
    raise missing_extra("The HTML report", "html") from error

from ._figures import Attention, Figures
from ._group import GroupFigures
from ._page_charts import charts
from ._page_data import deals_json
from ._page_group import accounts_json, group_cautions, group_parts
from ._page_tables import amount, cell, links, tables

if TYPE_CHECKING:
    from ._page_tables import Table
    from ._summed import Summed

_TEMPLATES = Path(__file__).parent / "templates"
_CHARTED = 6
_FIRST = ("forecast", "scenarios")
_PROJECTED = (
    "each account from its own snapshots, drawn to what is usual among the others; the range of "
    "all together knows that months are partly good or bad for all of them"
)
_POLICIES = {
    "keep": "Open deals whose close date has passed stay in the period in which they should have "
    "closed.",
    "roll": "Open deals whose close date has passed are moved to the as-of day.",
    "drop": "Open deals whose close date has passed are left out of the forecast.",
}


@dataclass(frozen=True)
class _Page:
    """What differs between the page of an account and that of a group.

    Attributes
    ----------
    title
        Whose forecast it is.
    read
        From when its deals are, in words.
    cautions
        What must be known before any figure.
    attention
        The few deals of each currency to begin with, by the currency's name.
    deal_url
        What the address of a deal in Capsule begins with; empty for none.
    found_at
        The section of the data-quality findings.
    tables
        Its tables, in order.
    lead
        The chart that stands beneath the first figures.
    settings
        How the figures were made.
    data
        What its script reads, as JSON.
    """

    title: str
    read: str
    cautions: list[str]
    attention: dict[str, Attention]
    deal_url: str
    found_at: str
    tables: list[Table]
    lead: str
    settings: list[tuple[str, str]]
    data: str


def write_html(figures: Summed, path: Path) -> None:
    """Write the report.

    Parameters
    ----------
    figures
        What is shown: `Figures`, or those of a group. Charts and tables are not split by groups.
    path
        The file to write; the CSV files that it links to are expected beside it.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    options, heads = figures.options, figures.headlines
    page = _of_group(figures) if isinstance(figures, GroupFigures) else _of_account(figures)
    drawn = {
        head.name: charts(figures, head, f"c{number}")
        for number, head in enumerate(heads[:_CHARTED])
    }
    outlooks = {outlook.name: outlook for outlook in figures.outlook}
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("report.css", "report.js"))
    text = (
        _environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            as_of=day_words(figures.source.as_of.isoformat()),
            selection=options.selection,
            overdue_dropped=options.overdue == "drop",
            lists_deals=figures.lists_deals,
            version=__version__,
            heads=heads,
            outlooks=outlooks,
            kind="Projected" if outlooks else "Weighted",
            range_words="P10 to P90" if outlooks else "if all stated is right",
            charts=drawn,
            sections=_sections(page, {name for made in drawn.values() for name in made}),
            uncharted=[head.name for head in heads[_CHARTED:]],
            severities=figures.severities,
            files=_files(figures),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=Markup(page.data),  # noqa: S704 - JSON without "<"
        )
    )
    path.write_text(text, encoding="utf-8")


def _of_account(figures: Summed) -> _Page:
    assert isinstance(figures, Figures)  # noqa: S101 - there are two kinds
    pipeline = figures.pipeline
    return _Page(
        title=pipeline.account or "Capsule account",
        read=f"read from Capsule on {pipeline.loaded_at:%Y-%m-%d %H:%M} UTC",
        cautions=[pipeline.caution] if pipeline.caution else [],
        attention={one.name: one for one in figures.attention},
        deal_url=links(figures),
        found_at="findings",
        tables=tables(figures),
        lead="projection",
        settings=_settings(figures),
        data=deals_json(figures),
    )


def _of_group(figures: GroupFigures) -> _Page:
    parts = group_parts(figures)
    days = sorted({*figures.view.days.values()})
    ends = " to ".join(day_words(f"{day}") for day in dict.fromkeys((days[0], days[-1])))
    return _Page(
        title=f"group of {counted(len(figures.view.days), 'account')}",
        read=f"from snapshots of {ends}",
        cautions=group_cautions(figures),
        attention={},
        deal_url="",
        found_at="quality",
        tables=[part.table for part in parts if part.table is not None],
        lead="projection" if figures.outlook else "forecast",
        settings=_settings(figures),
        data=accounts_json(figures, parts),
    )


@dataclass(frozen=True)
class _Section:
    """A part of the page: a table, the chart of each currency that stands above it, or both."""

    key: str
    title: str
    chart: str = ""
    table: Table | None = None


def _sections(page: _Page, drawn: set[str]) -> list[_Section]:
    """Put tables and charts together, in the order of the page; the leading chart stands before."""
    beside = drawn - {page.lead}
    laid = [
        _Section(table.key, table.title, table.key if table.key in beside else "", table)
        for table in page.tables
    ]
    places = [section.key for section in laid]
    if "changes" in drawn and "changes" not in places:
        laid.insert(0, _Section("changes", "What changed", "changes"))
        places = [section.key for section in laid]
    if "revenue" in drawn:
        revenue = _Section("revenue", "Revenue", "revenue")
        after = "categories" if "categories" in places else "milestones"
        at = places.index(after) + 1 if after in places else len(laid)
        laid.insert(at, revenue)
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


def _files(figures: Summed) -> list[str]:
    """Name the CSV files that are written beside the page, in the order of its tables."""
    files = [sheet.file for sheet in figures.sheets]
    first = [file for file in _FIRST if file in files]
    return [f"{file}.csv" for file in [*first, *(file for file in files if file not in first)]]


def _settings(figures: Summed) -> list[tuple[str, str]]:
    """Say in words how the figures were made."""
    options = figures.options
    correlation = (
        "deals are won or lost independently of each other"
        if options.correlation == 0
        else f"deals rise and fall together with a correlation of {options.correlation:g}"
    )
    projected = isinstance(figures, GroupFigures) and figures.projected is not None
    return [
        (
            "Deals",
            options.selection
            or f"all opportunities of {'the account' if figures.lists_deals else 'each account'}",
        ),
        (
            "Probability",
            "as stated in Capsule"
            if options.probability is None
            else "corrected by what earlier deals became",
        ),
        *([("Projection", _PROJECTED)] if projected else []),
        ("Overdue deals", _POLICIES[options.overdue]),
        *(
            [
                (
                    "Weighted ranges",
                    (
                        "P10 to P90, what the sum would be if every stated probability and date "
                        f"were right; {correlation}"
                    ),
                )
            ]
            if options.ranges
            else []
        ),
        ("Fiscal year", f"begins in {pd.Timestamp(2000, options.fiscal_year_start, 1):%B}"),
        (
            "Currencies",
            "converted where a rate is known; each has its own figures"
            if figures.converted
            else "never added together; each has its own figures",
        ),
    ]
