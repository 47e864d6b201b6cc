"""The charts of the HTML report: inline SVG of one currency each, with words for those who listen.

One currency a picture, so that a narrow screen shows one below the other, still readable.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd
from lxml import etree
from markupsafe import Markup
from matplotlib.figure import Figure

from capsule_analytics import plot
from capsule_analytics._words import currency_name, format_money, period_text

from ._figures import in_currency
from ._page_tables import overdue_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from ._figures import Figures, Headline

_WIDTH = 5.0
_WIDE = 9.0
_HEIGHT = 3.0
_LINE = 0.24
_OLD_DAYS = 180
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FONT_FAMILY = re.compile(r"font-family: [^;]+;?\s*")
_FONT = re.compile(r"font: (?:(?P<weight>\d+) )?(?P<size>[\d.]+px) [^;]+")
"""How matplotlib before 3.9 writes size, weight and family."""


@dataclass(frozen=True)
class Chart:
    """A picture.

    Attributes
    ----------
    svg
        Its SVG element.
    wide
        Whether it takes the whole width of the page.
    note
        What to know to read it.
    """

    svg: Markup
    wide: bool = False
    note: str = ""


def charts(figures: Figures, head: Headline, key: str) -> list[Chart]:
    """Draw the charts of one currency.

    Parameters
    ----------
    figures
        The figures, of all currencies.
    head
        Those of the currency in short.
    key
        Begins the ids of the elements; unique in the page.
    """
    money = _Money(head.currency)
    table = in_currency(figures.forecast_total, head.currency)
    revenue = in_currency(figures.revenue_total, head.currency)
    milestones = in_currency(figures.milestones, head.currency)
    ages = in_currency(figures.ages, head.currency)
    period = str(table.columns[0])
    stages = len(milestones)
    included = overdue_words(figures.options)
    drawn = [
        _draw(
            lambda ax: plot.forecast(table, ax=ax),
            f"{key}-forecast",
            f"Forecast by close {period}, {money.name}",
            _forecast_words(table, money),
        ),
        _draw(
            lambda ax: plot.revenue(revenue, ax=ax),
            f"{key}-revenue",
            f"Revenue by {period} in which it is earned, {money.name}",
            _revenue_words(revenue, money),
        ),
        _draw(
            lambda ax: plot.milestones(milestones, ax=ax),
            f"{key}-milestones",
            f"Open deals by milestone, {money.name}",
            _milestone_words(milestones, head, money),
            note=included,
            height=max(_HEIGHT, 1 + _LINE * stages),
        ),
        _draw(
            lambda ax: plot.ageing(ages, ax=ax),
            f"{key}-ageing",
            f"Age of open deals, {money.name}",
            f"{money.name}: {head.old_deals:,} of {head.open_deals:,} open deals were entered "
            f"{_OLD_DAYS} days ago or earlier, worth {money(head.old_value)}.",
            note=included,
            height=_HEIGHT + _LINE * (stages // 3),
        ),
    ]
    if figures.attainment_periods is not None:
        attainment = in_currency(figures.attainment_periods, head.currency)
        attainment = attainment.assign(period=[period_text(one) for one in attainment["period"]])
        if len(attainment):
            drawn.append(
                _draw(
                    lambda ax: plot.targets(attainment, ax=ax),
                    f"{key}-targets",
                    f"Won and expected value against target, {money.name}",
                    _target_words(attainment, money),
                    wide=True,
                    height=1 + 2 * _LINE * len(attainment),
                )
            )
    if figures.options.changes is not None:
        bridge = in_currency(figures.options.changes, head.currency)
        if len(bridge):
            drawn.append(
                _draw(
                    lambda ax: plot.changes(bridge, ax=ax),
                    f"{key}-changes",
                    f"Changes of the open pipeline, {money.name}",
                    _change_words(bridge, money),
                    wide=True,
                )
            )
    return drawn


def _draw(
    draw: Callable[[Axes], object],
    key: str,
    title: str,
    words: str,
    *,
    note: str = "",
    wide: bool = False,
    height: float = _HEIGHT,
) -> Chart:
    figure = Figure(figsize=(_WIDE if wide else _WIDTH, height), layout="constrained")
    draw(figure.add_subplot())
    written = io.BytesIO()
    # Text stays text: it can be searched, and takes the reader's fonts, so that it does not
    # matter which letters matplotlib's own font lacks.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": key}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from ")
        figure.savefig(written, format="svg", transparent=True)
    return Chart(inline(written.getvalue(), key, title, words), wide, note)


def inline(svg: bytes, key: str, title: str, words: str) -> Markup:
    """Make an SVG file an element of a page that may hold others.

    Parameters
    ----------
    svg
        The file, as matplotlib writes it.
    key
        Begins its ids, which matplotlib counts anew in every file.
    title, words
        Its text alternative.
    """
    # Names of milestones and owners may hold control characters, which XML does not allow.
    parser = etree.XMLParser(
        recover=True, remove_blank_text=True, remove_comments=True, resolve_entities=False
    )
    root = etree.fromstring(svg, parser)
    for element in root.findall(f"{_SVG}metadata") + root.findall(f".//{_SVG}style/.."):
        element.getparent().remove(element)
    used = {
        name
        for element in root.iter()
        for value in element.attrib.values()
        for name in (*_REFERENCE.findall(value), *([value[1:]] if value[:1] == "#" else []))
    }
    names = {name: f"{key}-{number}" for number, name in enumerate(sorted(used))}
    for element in root.iter():
        for attribute, value in list(element.attrib.items()):
            if attribute == "id":
                del element.attrib["id"]
                if value in names:
                    element.set("id", names[value])
            elif attribute == _LINK:
                element.set(attribute, f"#{names[value[1:]]}")
            elif attribute in ("style", "clip-path"):
                shorter = _FONT.sub(_without_family, _FONT_FAMILY.sub("", value))
                element.set(
                    attribute, _REFERENCE.sub(lambda hit: f"url(#{names[hit[1]]})", shorter)
                )
    for attribute in ("width", "height", "version"):
        del root.attrib[attribute]
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-words")
    for place, (name, text) in enumerate((("title", title), ("desc", words))):
        element = etree.Element(f"{_SVG}{name}", id=f"{key}-{'words' if place else 'title'}")
        element.text = _NOT_XML.sub("", text)
        root.insert(place, element)
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704 - lxml has escaped it


def _without_family(font: re.Match[str]) -> str:
    weight = f"; font-weight: {font['weight']}" if font["weight"] else ""
    return f"font-size: {font['size']}{weight}"


@dataclass(frozen=True)
class _Money:
    currency: str | None

    @property
    def name(self) -> str:
        return currency_name(self.currency)

    def __call__(self, amount: float) -> str:
        return format_money(amount, self.currency, whole=True)


def _forecast_words(table: pd.DataFrame, money: _Money) -> str:
    period = str(table.columns[0])
    now = pd.Period(table.attrs["as_of"], freq=table[period].dt.freq)
    sums = table.groupby(period)[["won_value", "weighted_value", "expected_value"]].sum()
    sums = sums.reindex([now, now + 1], fill_value=0.0)
    this, following = sums.iloc[0], sums.iloc[1]
    return (
        f"{money.name}: in {period_text(now)} won {money(this['won_value'])} and expected "
        f"{money(this['expected_value'])}; expected in {period_text(now + 1)} "
        f"{money(following['expected_value'])}. The table of the forecast has the figures."
    )


def _revenue_words(revenue: pd.DataFrame, money: _Money) -> str:
    period = str(revenue.columns[0])
    dated = revenue[period].dropna()
    span = f" from {period_text(dated.min())} to {period_text(dated.max())}" if len(dated) else ""
    return (
        f"{money.name}: revenue earned{span}: won {money(revenue['won_value'].sum())}, "
        f"open deals weighted {money(revenue['weighted_value'].sum())}."
    )


def _milestone_words(milestones: pd.DataFrame, head: Headline, money: _Money) -> str:
    if not head.open_deals:
        return f"{money.name}: no open deals."
    named = milestones.dropna(subset=["milestone"]).groupby("milestone", sort=False)
    counts = named["open_deals"].sum()
    most = f"; most at {counts.idxmax()}, {counts.max():,}" if counts.any() else ""
    return (
        f"{money.name}: {head.open_deals:,} open deals worth {money(head.open_value)}, weighted "
        f"{money(head.weighted_value)}{most}."
    )


def _target_words(attainment: pd.DataFrame, money: _Money) -> str:
    told = [
        f"{row['period']}: {money(row['won_value'])} won of {money(row['target'])}, "
        f"expected {money(row['expected_value'])}"
        for row in attainment.head(6).to_dict("records")
    ]
    return f"{money.name}: {'; '.join(told)}."


def _change_words(bridge: pd.DataFrame, money: _Money) -> str:
    value = bridge.set_index(bridge["part"].astype("object"))["value"]
    parts = ", ".join(
        f"{name.replace('_', ' ')} {money(amount)}"
        for name, amount in value.items()
        if amount and name not in ("opening", "closing")
    )
    return (
        f"{money.name}: from {money(value.get('opening', 0.0))} open on "
        f"{bridge.attrs.get('before', 'the first day')} to {money(value.get('closing', 0.0))} on "
        f"{bridge.attrs.get('after', 'the last')}: {parts or 'no changes'}."
    )
