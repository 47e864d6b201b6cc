"""The charts of the HTML report: inline SVG of one currency each, with words for those who listen.

One currency a picture, so that a narrow screen shows one below the other, still readable.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd
from lxml import etree
from markupsafe import Markup
from matplotlib.figure import Figure

from capsule_analytics import plot
from capsule_analytics._deals import chances
from capsule_analytics._words import currency_name, format_money, period_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from capsule_analytics._deals import Probability
    from capsule_analytics.schema import Pipeline

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


@dataclass(frozen=True)
class Source:
    """What the charts are drawn from.

    Attributes
    ----------
    pipeline
        The account.
    table, revenue
        Its forecast and its revenue schedule, without groups.
    bridge, attainment
        As `history.changes` and `targets.attainment` give them, periods as periods; may be missing.
    probability
        The probabilities of the forecast.
    overdue
        What to say of overdue deals where all open deals are shown.
    """

    pipeline: Pipeline
    table: pd.DataFrame
    revenue: pd.DataFrame
    bridge: pd.DataFrame | None
    attainment: pd.DataFrame | None
    probability: Probability
    overdue: str

    def of(self, currency: str | None) -> Source:
        """Return what is in one currency."""
        opportunities = self.pipeline.opportunities
        return replace(
            self,
            pipeline=replace(self.pipeline, opportunities=_only(opportunities, currency)),
            table=_only(self.table, currency),
            revenue=_only(self.revenue, currency),
            bridge=None if self.bridge is None else _only(self.bridge, currency),
            attainment=None if self.attainment is None else _only(self.attainment, currency),
        )


def charts(source: Source, currency: str | None, key: str) -> list[Chart]:
    """Draw the charts of one currency.

    Parameters
    ----------
    source
        The tables, of all currencies.
    currency
        ISO code; None for deals without one.
    key
        Begins the ids of the elements; unique in the page.
    """
    part = source.of(currency)
    period = str(part.table.columns[0])
    money = _Money(currency)
    stages = max(len(part.pipeline.milestones), part.pipeline.opportunities["milestone"].nunique())
    title = f"Forecast by close {period}, {money.name}"
    drawn = [
        _draw(
            lambda ax: plot.forecast(part.table, ax=ax),
            f"{key}-forecast",
            title,
            _forecast_words(part.table, money),
        ),
        _draw(
            lambda ax: plot.revenue(part.revenue, ax=ax),
            f"{key}-revenue",
            f"Revenue by {period} in which it is earned, {money.name}",
            _revenue_words(part.revenue, money),
        ),
        _draw(
            lambda ax: plot.milestones(part.pipeline, probability=part.probability, ax=ax),
            f"{key}-milestones",
            f"Open deals by milestone, {money.name}",
            _milestone_words(part, money),
            note=part.overdue,
            height=max(_HEIGHT, 1 + _LINE * stages),
        ),
        _draw(
            lambda ax: plot.ageing(part.pipeline, ax=ax),
            f"{key}-ageing",
            f"Age of open deals, {money.name}",
            _ageing_words(part.pipeline, money),
            note=part.overdue,
            height=_HEIGHT + _LINE * (stages // 3),
        ),
    ]
    attainment, bridge = part.attainment, part.bridge
    if attainment is not None and len(attainment):
        attainment = attainment.assign(period=[period_text(one) for one in attainment["period"]])
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
    if bridge is not None and len(bridge):
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


def _only(frame: pd.DataFrame, currency: str | None) -> pd.DataFrame:
    column = frame["currency"].astype("object")
    rows = column.isna() if currency is None else (column == currency)
    return frame[rows.to_numpy(dtype=bool)]


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


def _open(pipeline: Pipeline) -> pd.DataFrame:
    frame = pipeline.opportunities
    return frame[(frame["status"] == "open").to_numpy()]


def _milestone_words(part: Source, money: _Money) -> str:
    frame = _open(part.pipeline)
    if frame.empty:
        return f"{money.name}: no open deals."
    counts = frame["milestone"].astype("object").value_counts()
    most = f"; most at {counts.index[0]}, {counts.iloc[0]:,}" if len(counts) else ""
    weighted = (frame["tcv"] * chances(frame, part.probability)).sum()
    return (
        f"{money.name}: {len(frame):,} open deals worth {money(frame['tcv'].sum())}, weighted "
        f"{money(weighted)}{most}."
    )


def _ageing_words(pipeline: Pipeline, money: _Money) -> str:
    frame = _open(pipeline)
    ages = (pd.Timestamp(pipeline.as_of, tz="UTC") - frame["created_at"].dt.normalize()).dt.days
    old = frame[(ages >= _OLD_DAYS).fillna(value=False).to_numpy(dtype=bool)]
    return (
        f"{money.name}: {len(old):,} of {len(frame):,} open deals were entered {_OLD_DAYS} days "
        f"ago or earlier, worth {money(old['tcv'].sum())}."
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
