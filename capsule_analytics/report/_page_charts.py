"""The charts of the HTML report: columns over time whose every column tells its figures.

Drawn as plain SVG in percent of its room, by the template, from what is laid out here: so a chart
fits any width with letters of one size, and a column is an element that can be pointed at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from capsule_analytics._words import compact_number, currency_name, format_money, period_words

from ._outlook import in_currency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._summed import Headline, Summed

PAST_MONTHS = 24
_PAST_PERIODS = 6
_LABELS = 9
_WORDS_WIDE = 72
_LABEL_WIDE = 60
_STEPS = (1, 2, 2.5, 5, 10)
_TICKS = 4

KINDS = {
    "won": "won",
    "open": "open deals",
    "new": "business not yet in the list",
    "weighted": "open deals, weighted",
    "expected": "expected",
    "came": "what came",
    "target": "target",
    "total": "open pipeline",
    "more": "added",
    "less": "gone",
    "range": "P10 to P90",
}
"""What the marks of a chart stand for; the style sheet colours them by these names."""

_IF_RIGHT = "P10 to P90 if every stated probability and date were right"


@dataclass(frozen=True)
class Mark:
    """A part of a column: a bar, a range, a dot or a line, from `low` to `high` in its amounts."""

    kind: str
    low: float
    high: float


@dataclass(frozen=True)
class Slot:
    """A column of a chart.

    Attributes
    ----------
    label
        What stands below it.
    words
        Its figures, as they are read out.
    marks
        What is drawn.
    chosen
        What it stands for among the deals, as in the address of the page; empty for nothing.
    key
        Its period or part, by which the figures of one account are found.
    """

    label: str
    words: str
    marks: tuple[Mark, ...]
    chosen: str = ""
    key: str = ""


@dataclass(frozen=True)
class Drawn:
    """A mark in percent of the room, from the top."""

    kind: str
    top: float
    height: float


@dataclass(frozen=True)
class Chart:
    """A chart of one currency.

    Attributes
    ----------
    key
        Its id in the page.
    title
        Its heading, with the currency.
    words
        What it says, in a sentence.
    slots
        Its columns.
    note
        What to know to read it.
    base
        The amount at which its scale begins, where all are far from nothing.
    ranges
        What its ranges are called.
    least
        How many pixels a column is wide at least, its label apart; a chart that does not fit
        scrolls.
    """

    key: str
    title: str
    words: str
    slots: tuple[Slot, ...]
    note: str = ""
    base: float = 0.0
    ranges: str = KINDS["range"]
    least: int = 24
    _scale: tuple[float, float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the amounts between which it is drawn, and the step of its grid."""
        ends = [end for slot in self.slots for mark in slot.marks for end in (mark.low, mark.high)]
        finite = [end for end in ends if math.isfinite(end)]
        low, high = min([self.base, *finite]), max([self.base, *finite])
        step = _step((high - low) or 1.0)
        scale = (math.floor(low / step) * step, (math.ceil(high / step) or 1) * step, step)
        object.__setattr__(self, "_scale", scale)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """The lines of the grid: percent from the top, and the amount."""
        low, high, step = self._scale
        amounts = [low + number * step for number in range(round((high - low) / step) + 1)]
        return [(self._place(amount), compact_number(amount)) for amount in amounts]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The kinds of marks that are drawn, with their names."""
        used = {mark.kind for slot in self.slots for mark in slot.marks}
        names = KINDS | {"range": self.ranges}
        return [(kind, name) for kind, name in names.items() if kind in used]

    @property
    def every(self) -> int:
        """Each how many columns a label stands, so that none covers its neighbour."""
        if self.least == _WORDS_WIDE:
            return 1
        fits = (1, 2, 3, 6, 12)
        return next((n for n in fits if len(self.slots) / n <= _LABELS), fits[-1])

    @property
    def wide(self) -> int:
        """How many pixels a column is wide at least, so that its label fits, too."""
        return max(self.least, math.ceil(_LABEL_WIDE / self.every))

    def drawn(self, slot: Slot) -> list[Drawn]:
        """Place the marks of a column; none for an amount that is not known."""
        placed = [(mark, self._place(mark.high), self._place(mark.low)) for mark in slot.marks]
        return [
            Drawn(mark.kind, round(top, 2), round(bottom - top, 2))
            for mark, top, bottom in placed
            if math.isfinite(top) and math.isfinite(bottom)
        ]

    def _place(self, amount: float) -> float:
        low, high, _ = self._scale
        return round(100 * (high - amount) / (high - low), 2)


def _step(length: float) -> float:
    """Choose the step of a grid, a round number."""
    size = 10.0 ** math.floor(math.log10(length / _TICKS))
    return next(size * step for step in _STEPS if length / (size * step) <= _TICKS)


def _base(least: float, most: float) -> float:
    """Choose where a bridge begins, so that small moves of a large pipeline can be seen."""
    span = (most - least) or 0.1 * most
    if least < 2 * span or span <= 0:
        return 0.0
    step = _step(2 * span)
    return math.floor((least - span / 2) / step) * step


@dataclass(frozen=True)
class _Money:
    currency: str | None

    @property
    def name(self) -> str:
        return currency_name(self.currency)

    def __call__(self, amount: float) -> str:
        return format_money(amount, self.currency, whole=True)


def projection_chart(figures: Summed, head: Headline, key: str) -> Chart | None:
    """Draw what was won in each of the last months, and what will probably be in the coming."""
    if figures.projected is None:
        return None
    money = _Money(head.currency)
    coming = in_currency(figures.projected, head.currency)
    if coming.empty:
        return None
    # As the deals are told apart in the page, where it has them.
    chooses = figures.lists_deals and figures.options.period == "month"
    first = coming["month"].min()
    past = in_currency(figures.forecast_month, head.currency)
    won = past.set_index("month")["won_value"]
    months = pd.period_range(first - PAST_MONTHS, first - 1, freq="M")
    started = won[won > 0].index.min()
    slots = [
        Slot(
            period_words(month),
            f"{period_words(month)}: {money(float(won.get(month, 0.0)))} won",
            (Mark("won", 0.0, float(won.get(month, 0.0))),),
            f"status=won&period={month}" if chooses else "",
            code(month),
        )
        for month in months
        if not pd.isna(started) and month >= started
    ]
    for row in coming.to_dict("records"):
        name, so_far = period_words(row["month"]), row["won_value"]
        with_open = so_far + row["open_value"]
        slots.append(
            Slot(
                name,
                f"{name}: {money(row['expected_value'])} expected: {money(so_far)} won so far, "
                f"{money(row['open_value'])} from open deals, {money(row['new_value'])} from "
                f"business not yet in the list; P10 to P90 {money(row['p10'])} to "
                f"{money(row['p90'])}",
                (
                    Mark("won", 0.0, so_far),
                    Mark("open", so_far, with_open),
                    Mark("new", with_open, row["expected_value"]),
                    Mark("range", row["p10"], row["p90"]),
                ),
                f"status=any&period={row['month']}" if chooses else "",
                code(row["month"]),
            )
        )
    now = coming.iloc[0]
    told = (
        f"{period_words(now['month'])}: {money(now['expected_value'])} expected, P10 to P90 "
        f"{money(now['p10'])} to {money(now['p90'])}."
    )
    title = f"Won, and projected, by month, {money.name}"
    return Chart(f"{key}-projection", title, told, tuple(slots))


def forecast_chart(figures: Summed, head: Headline, key: str) -> Chart:
    """Draw won and weighted by close period, with what the sum would be if all were right."""
    money = _Money(head.currency)
    table, period = recent(in_currency(figures.forecast_total, head.currency))

    def ranged(row: dict[Any, Any]) -> str:
        if not figures.options.ranges:
            return ""
        return (
            f"; if every stated probability and date were right {money(row['p10'])} to "
            f"{money(row['p90'])} (P10 to P90)"
        )

    slots = tuple(
        Slot(
            _period(row[period]),
            f"{_period(row[period])}: {money(row['won_value'])} won, "
            f"{row['open_deals']:,} open deal{'' if row['open_deals'] == 1 else 's'} of "
            f"{money(row['open_value'])}, weighted {money(row['weighted_value'])}{ranged(row)}",
            (
                Mark("won", 0.0, row["won_value"]),
                Mark("weighted", row["won_value"], row["won_value"] + row["weighted_value"]),
                *([Mark("range", row["p10"], row["p90"])] if figures.options.ranges else []),
            ),
            f"status=any&period={code(row[period])}" if figures.lists_deals else "",
            code(row[period]),
        )
        for row in table.to_dict("records")
    )
    now = pd.Period(table.attrs["as_of"], freq=table[period].dt.freq)
    sums = table.groupby(period)[["won_value", "expected_value"]].sum()
    this, after = sums.reindex([now, now + 1], fill_value=0.0).to_dict("records")
    told = (
        f"In {period_words(now)} {money(this['won_value'])} won and, with open deals weighted, "
        f"{money(this['expected_value'])}; in {period_words(now + 1)} "
        f"{money(after['expected_value'])}."
    )
    title = f"Weighted forecast by close {period}, {money.name}"
    return Chart(f"{key}-forecast", title, told, slots, ranges=_IF_RIGHT)


def revenue_chart(figures: Summed, head: Headline, key: str) -> Chart:
    """Draw revenue in the period in which it is earned."""
    money = _Money(head.currency)
    revenue = in_currency(figures.revenue_total, head.currency)
    table, period = recent(revenue)
    slots = tuple(
        Slot(
            _period(row[period]),
            f"{_period(row[period])}: {money(row['won_value'])} from won deals, "
            f"{money(row['weighted_value'])} from open ones, weighted",
            (
                Mark("won", 0.0, row["won_value"]),
                Mark("weighted", row["won_value"], row["won_value"] + row["weighted_value"]),
            ),
            key=code(row[period]),
        )
        for row in table.to_dict("records")
    )
    dated = revenue[period].dropna()
    span = f" from {_period(dated.min())} to {_period(dated.max())}" if len(dated) else ""
    told = (
        f"Revenue earned{span}: won {money(revenue['won_value'].sum())}, open deals weighted "
        f"{money(revenue['weighted_value'].sum())}."
    )
    title = f"Revenue by {period} in which it is earned, {money.name}"
    return Chart(f"{key}-revenue", title, told, slots)


def change_chart(figures: Summed, head: Headline, key: str) -> Chart | None:
    """Draw the bridge from an earlier day's open pipeline to today's."""
    if figures.changes is None:
        return None
    bridge = in_currency(figures.changes, head.currency)
    if bridge.empty:
        return None
    money = _Money(head.currency)
    opening = float(bridge.loc[(bridge["part"] == "opening").to_numpy(bool), "value"].iloc[0])
    moves = bridge.loc[~bridge["part"].isin(["opening", "closing"]).to_numpy(bool), "value"]
    levels = [opening, *(opening + moves.cumsum()).tolist()]
    base = _base(min(levels), max(levels))
    slots, running = [], opening
    for row in bridge.to_dict("records"):
        part, amount = str(row["part"]), float(row["value"])
        name = part.replace("_", " ")
        if part in ("opening", "closing"):
            mark = Mark("total", base, amount)
        else:
            if not row["deals"]:
                continue
            ends = sorted((running, running + amount))
            running, mark = running + amount, Mark("more" if amount >= 0 else "less", *ends)
        count = f"{row['deals']:,} deal{'' if row['deals'] == 1 else 's'}"
        slots.append(Slot(name, f"{name}: {money(amount)}, {count}", (mark,), key=part))
    value = bridge.set_index(bridge["part"].astype("object"))["value"]
    parts = ", ".join(
        f"{name.replace('_', ' ')} {money(amount)}"
        for name, amount in value.items()
        if name not in ("opening", "closing") and amount
    )
    told = (
        f"From {money(value['opening'])} open on {bridge.attrs['before']} to "
        f"{money(value['closing'])} on {bridge.attrs['after']}: {parts or 'no change'}."
    )
    title = f"What changed since {bridge.attrs['before']}, {money.name}"
    note = f"The scale begins at {money(base)}, not at nothing." if base else ""
    return Chart(f"{key}-changes", title, told, tuple(slots), note, base, least=_WORDS_WIDE)


def track_chart(figures: Summed, head: Headline, key: str) -> Chart | None:
    """Draw past projections of each month, and what came."""
    record = figures.track
    if record is None:
        return None
    rows = in_currency(record, head.currency)
    if rows.empty:
        return None
    money = _Money(head.currency)
    slots = tuple(
        Slot(
            period_words(row["month"]),
            f"{period_words(row['month'])}: {money(row['actual_value'])} came, "
            f"{'inside' if row['inside'] else 'outside'} the range of {money(row['p10'])} to "
            f"{money(row['p90'])}; {money(row['expected_value'])} was expected",
            (
                Mark("range", row["p10"], row["p90"]),
                Mark("expected", row["expected_value"], row["expected_value"]),
                Mark("came", row["actual_value"], row["actual_value"]),
            ),
        )
        for row in rows.to_dict("records")
    )
    told = (
        f"Of the last {len(rows)} months {int(rows['inside'].sum())} came inside the range that "
        "was projected one month ahead."
    )
    return Chart(f"{key}-track", f"Track record by month, {money.name}", told, slots)


def target_chart(figures: Summed, head: Headline, key: str) -> Chart | None:
    """Draw won and expected value beside each target."""
    if figures.attainment_periods is None:
        return None
    rows = in_currency(figures.attainment_periods, head.currency)
    if rows.empty:
        return None
    money = _Money(head.currency)
    slots = []
    for row in rows.to_dict("records"):
        owner = row.get("owner")
        name = period_words(row["period"]) + ("" if pd.isna(owner) else f", {owner}")
        told = (
            f"{name}: {money(row['won_value'])} won of {money(row['target'])}, expected "
            f"{money(row['expected_value'])}"
        )
        marks = (
            Mark("won", 0.0, row["won_value"]),
            Mark("weighted", row["won_value"], row["expected_value"]),
            Mark("target", row["target"], row["target"]),
        )
        slots.append(Slot(name, told, marks))
    title = f"Won and expected value against target, {money.name}"
    told = f"{'; '.join(slot.words for slot in slots[:6])}."
    return Chart(f"{key}-targets", title, told, tuple(slots), least=_WORDS_WIDE)


def charts(figures: Summed, head: Headline, key: str) -> dict[str, Chart]:
    """Lay out the charts of one currency, by the section in which they stand.

    Parameters
    ----------
    figures
        The figures, of all currencies.
    head
        Those of the currency in short.
    key
        Begins the ids of the elements; unique in the page.
    """
    made: dict[str, Chart | None] = {
        "projection": projection_chart(figures, head, key),
        "forecast": forecast_chart(figures, head, key),
        "revenue": revenue_chart(figures, head, key),
        "changes": change_chart(figures, head, key),
        "track": track_chart(figures, head, key),
        "targets": target_chart(figures, head, key),
    }
    return {name: chart for name, chart in made.items() if chart is not None}


def recent(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the last periods and the coming ones, and what the periods are called."""
    period = str(table.columns[0])
    now = pd.Period(table.attrs["as_of"], freq=table[period].dt.freq)
    late: Any = table[period] < now - _PAST_PERIODS
    return table[~late.to_numpy(dtype=bool)], period


def _period(period: pd.Period) -> str:
    return "undated" if pd.isna(period) else period_words(period)


def code(period: pd.Period) -> str:
    return "undated" if pd.isna(period) else str(period)


__all__: Sequence[str] = ["Chart", "Drawn", "Mark", "Slot", "charts"]
