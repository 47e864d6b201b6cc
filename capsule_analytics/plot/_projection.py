"""What will probably be won, how such projections came true, and the chances of single deals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from capsule_analytics._words import format_compact, percent, period_words
from capsule_analytics.errors import ArgumentError

from ._columns import stack
from ._over_time import over_time
from ._panels import about, by_currency, empty, headed, name_panel, open_board, require
from ._rows import inches, label_rows, shorten, tail_rows
from ._style import INK, LATE, NEW, OPEN, WON, panel_money, plain_axes, styled, zero_line
from ._timeline import LONGEST, PERIODS, Timeline, timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels

_PARTS = ["won_value", "open_value", "new_value"]
_FILLS: dict[str, tuple[str, dict[str, Any]]] = {
    "won_value": ("won", WON),
    "open_value": ("from open deals", OPEN),
    "new_value": ("from new business", NEW),
}
_RANGE = ["p10", "p50", "p90"]
_PROJECTION = "projection.fit(...).by_month()"
_RECORD = "projection.fit(...).track_record()"
_DEALS = "projection.fit(...).deals()"
_CHANCES = {
    "won_this_month": ("this month", WON),
    "won_this_quarter": ("this quarter", OPEN),
    "won_within_year": ("within a year", {"facecolor": "#d3eaf8", "linewidth": 0}),
}
_CAP = 0.16


@styled
def projection(
    table: pd.DataFrame,
    won: pd.DataFrame | None = None,
    *,
    months: int = 24,
    ax: AxesArgument | None = None,
) -> tuple[Figure, Axes | Panels]:
    """Draw what was won, and what will probably be won in the coming periods.

    The bars of the coming periods are made up of what they have brought so far, what open deals
    bring on average, and what deals that are not in the list yet do. The line is the range from
    P10 to P90 of the whole, and its dot the median.

    Parameters
    ----------
    table
        As `capsule_analytics.projection.Projection.by_month` gives it, by month, quarter or year;
        parts (owners, pipelines) are added up, and then have no range, as quantiles do not add up.
    won
        What past periods brought: as `capsule_analytics.forecast.by_month` gives it, by the same
        period. None shows the coming ones alone.
    months
        How many past periods to show at most.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If a table lacks a column, the tables are by different periods, `months` is negative, or
        `ax` does not hold one Axes a currency.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> coming = pd.DataFrame({
    ...     "month": pd.PeriodIndex(["2026-11", "2026-12"], freq="M"), "currency": "GBP",
    ...     "won_value": 0.0, "open_value": [90e3, 60e3], "new_value": [10e3, 40e3],
    ...     "p10": [40e3, 30e3], "p50": [95e3, 90e3], "p90": [170e3, 190e3],
    ... })
    >>> fig, ax = projection(coming, ca.forecast.by_month(ca.load_sample()).query(
    ...     "currency == 'GBP'"))
    >>> ax.get_title(loc="left")
    'GBP'
    >>> plt.close(fig)
    """
    require(table, ["currency", *_PARTS, *_RANGE], _PROJECTION)
    if months < 0:
        raise ArgumentError(f"months must be 0 or more, not {months!r}")
    period = next((name for name in PERIODS if name in table.columns), "month")
    title = f"What will probably be won by {period}"
    if table.empty:
        return empty(ax, title)
    coming = timeline(table.drop_duplicates([period, "currency"]), _PROJECTION)
    if coming is None:
        return empty(ax, title)
    first = int(pd.PeriodIndex(table[period]).asi8.min())
    ranged = not table.duplicated([period, "currency"]).any()
    shown = table
    if won is not None:
        shown = pd.concat([_past(won, period, table, first, months), table])
    shown.attrs = table.attrs
    times = Timeline(period, coming.freq, int(_ordinals(shown, period).min()), coming.last, None)
    used: set[str] = set()

    def draw(panel: Axes, times: Timeline, rows: pd.DataFrame) -> None:
        used.update(_stacked(panel, times, rows, ranged=ranged))
        if times.first < first:
            panel.axvline(first - 0.5, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))

    board = over_time(
        shown,
        ax,
        times,
        totals=lambda rows, currency: _next(rows, currency, period, first, ranged=ranged),
        draw=draw,
    )
    handles: list[Patch | Line2D] = [
        Patch(label=label, **fill) for key, (label, fill) in _FILLS.items() if key in used
    ]
    if "range" in used:
        handles.append(
            Line2D([], [], color=INK, linewidth=1.1, marker="o", markersize=3.5,
                   label="P10 to P90, and P50")
        )  # fmt: skip
    if times.first < first:
        begins = period_words(pd.Period(ordinal=first, freq=times.freq))
        handles.append(
            Line2D([], [], color=INK, linewidth=0.8, linestyle=(0, (4, 3)),
                   label=f"projected from {begins}")
        )  # fmt: skip
    return headed(board, title, about=about(table), handles=handles)


def _ordinals(table: pd.DataFrame, period: str) -> pd.Series:
    return pd.Series(pd.PeriodIndex(table[period]).asi8, index=table.index)


def _past(
    won: pd.DataFrame, period: str, table: pd.DataFrame, first: int, months: int
) -> pd.DataFrame:
    """Give what the periods before the first projected one brought, a row each, nothing too."""
    require(won, ["currency", "won_value"], "forecast.by_month")
    freq = table[period].dtype
    if period not in won.columns or won[period].dtype != freq:
        raise ArgumentError(f"what was won must be by the same {period} as the projection ({freq})")
    last = int(pd.PeriodIndex(table[period]).asi8.max())
    before = won[won[period].notna() & (won["won_value"] != 0)]
    at = _ordinals(before, period)
    earliest = max(first - months, last - LONGEST + 1)
    past = before[((at >= earliest) & (at < first)).to_numpy()]
    # Only currencies that are projected, so that a currency long gone makes no panel.
    known = table["currency"].astype(object)
    kept = past["currency"].astype(object).isin(known[known.notna()])
    kept |= past["currency"].isna() & known.isna().any()
    past = past.loc[kept.to_numpy(), [period, "currency", "won_value"]]
    return past.assign(open_value=0.0, new_value=0.0)


def _stacked(ax: Axes, times: Timeline, rows: pd.DataFrame, *, ranged: bool) -> set[str]:
    """Stack the parts of a panel and return which it used, and whether the range."""
    sums = times.sums(rows, _PARTS)
    used = {key for key in _PARTS if (sums[key] != 0).any()}
    layers = [(sums[key].to_numpy(), _FILLS[key][1]) for key in _PARTS]
    below, above = stack(ax, sums.index.to_numpy(dtype=np.float64), layers, 0.78)
    if ranged:
        spread = rows[rows["p90"].notna() & (rows["p90"] > rows["p10"])]
        if len(spread):
            used.add("range")
            at = times.ordinals(spread).to_numpy(dtype=np.float64)
            ax.vlines(at, spread["p10"], spread["p90"], color=INK, linewidth=1.1)
            for end in ("p10", "p90"):
                ax.hlines(spread[end], at - _CAP, at + _CAP, color=INK, linewidth=1.1)
            ax.plot(at, spread["p50"], "o", color=INK, markersize=3.5)
    if below.any():
        zero_line(ax)
    elif not above.any() and "range" not in used:
        ax.set_ylim(0, 1)
    else:
        ax.set_ylim(bottom=0)
    ax.margins(y=0.08)
    return used


def _next(
    rows: pd.DataFrame, currency: str | None, period: str, first: int, *, ranged: bool
) -> str:
    """Say what the first projected period brings."""
    coming = rows[(_ordinals(rows, period) == first).to_numpy()]
    if coming.empty:
        return ""
    name = period_words(coming[period].iloc[0])
    words = f"{name}: {panel_money(coming[_PARTS].sum().sum(), currency)}"
    if not ranged:
        return words
    low, high = (panel_money(float(coming[q].iloc[0]), currency) for q in ("p10", "p90"))
    return f"{words} expected, {low} to {high}"


@styled
def track_record(
    table: pd.DataFrame, *, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw past projections of each month beside what came.

    The bar is the range from P10 to P90 as it was projected on the eve of the month, the line
    in it the median; the mark is what was won: a dot inside the range, a diamond outside.

    Parameters
    ----------
    table
        As `capsule_analytics.projection.Projection.track_record` gives it.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If the table lacks a column, or `ax` does not hold one Axes a currency.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "month": pd.PeriodIndex(["2026-08", "2026-09"], freq="M"), "currency": "GBP",
    ...     "p10": [40e3, 30e3], "p50": [95e3, 90e3], "p90": [170e3, 190e3],
    ...     "actual_value": [80e3, 240e3], "inside": [True, False],
    ... })
    >>> fig, ax = track_record(table)
    >>> ax.get_title(loc="right")
    'too few months to tell'
    >>> plt.close(fig)
    """
    from capsule_analytics.projection import track_words  # noqa: PLC0415 - most charts need no model

    require(table, ["month", "currency", *_RANGE, "actual_value", "inside"], _RECORD)
    title = "Past projections, and what was won"
    if table.empty:
        return empty(ax, title, "too few months to tell")
    found = timeline(table, _RECORD)
    if found is None:
        return empty(ax, title, "too few months to tell")
    last = int(_ordinals(table, "month").max())
    shown = table[(_ordinals(table, "month") > last - LONGEST).to_numpy()]
    shown.attrs = table.attrs
    times = Timeline("month", found.freq, int(_ordinals(shown, "month").min()), last, None)
    board = over_time(shown, ax, times, totals=lambda rows, _: track_words(rows), draw=_beside)
    handles: list[Patch | Line2D] = [
        Patch(label="projected, P10 to P90", **OPEN),
        Line2D([], [], color=INK, linewidth=1.6, label="P50, the median"),
    ]
    handles += [
        Line2D([], [], linestyle="none", label=f"won, {where} the range", **_MARKS[inside])
        for inside, where in ((True, "inside"), (False, "outside"))
        if (shown["inside"] == inside).any()
    ]
    return headed(board, title, about=about(table), handles=handles)


_MARKS: dict[bool, dict[str, Any]] = {
    True: {"marker": "o", "markersize": 6, "color": WON["facecolor"]},
    False: {"marker": "D", "markersize": 6.5, "color": LATE["edgecolor"]},
}


def _beside(ax: Axes, times: Timeline, rows: pd.DataFrame) -> None:
    """Draw the ranges of a panel, and what came."""
    at = times.ordinals(rows).to_numpy(dtype=np.float64)
    low, high = rows["p10"].to_numpy(), rows["p90"].to_numpy()
    ax.bar(at, high - low, 0.56, low, **OPEN)
    ax.hlines(rows["p50"], at - 0.36, at + 0.36, color=INK, linewidth=1.6, clip_on=False)
    for inside, mark in _MARKS.items():
        these = rows["inside"].to_numpy(dtype=bool) == inside
        ax.plot(
            at[these], rows["actual_value"].to_numpy()[these], linestyle="none",
            markeredgecolor="white", clip_on=False, zorder=5, **mark,
        )  # fmt: skip
    drawn = np.concatenate([low, high, rows["actual_value"].to_numpy()])
    if drawn.min() < 0:
        zero_line(ax)
    else:
        top = float(drawn.max())
        ax.set_ylim(0, 1.08 * top if top > 0 else 1.0)


@styled
def deal_chances(
    table: pd.DataFrame, *, top: int = 10, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw how likely the largest open deals are won: this month, this quarter, within a year.

    Parameters
    ----------
    table
        As `capsule_analytics.projection.Projection.deals` gives it; with a column ``name`` its
        names are shown, else the ids.
    top
        How many deals of each currency to show at most: those that bring most on average within
        a year (``tcv`` times ``won_within_year``).
    ax
        Axes to draw on, one a currency; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If the table lacks a column, `top` is below 1, or `ax` does not hold one Axes a currency.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "currency": "GBP", "tcv": [40e3, 9e3], "won_this_month": [0.1, 0.3],
    ...     "won_this_quarter": [0.25, 0.5], "won_within_year": [0.4, 0.6],
    ...     "likely_month": pd.PeriodIndex(["2026-12", "2026-11"], freq="M"),
    ... }, index=pd.Index([17, 4], name="id"))
    >>> fig, ax = deal_chances(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['deal 17', 'deal 4']
    >>> plt.close(fig)
    """
    require(table, ["currency", "tcv", *_CHANCES, "likely_month"], _DEALS)
    if top < 1:
        raise ArgumentError(f"top must be 1 or more, not {top!r}")
    title = "How likely open deals are won"
    if table.empty:
        return empty(ax, title, "no open deals")
    parts = []
    for currency, rows in by_currency(table):
        brings = (rows["tcv"] * rows["won_within_year"]).fillna(0)
        order = brings.sort_values(ascending=False, kind="stable").index[:top]
        parts.append((currency, rows.loc[order], len(rows)))
    heights = [inches(len(rows)) for _, rows, _ in parts]
    board = open_board(len(parts), ax, heights=heights, columns=1)
    for panel, (currency, rows, of) in zip(board.axes, parts, strict=True):
        plain_axes(panel, values="x")
        told = f"{len(rows)} of {of:,} open deals" if len(rows) < of else ""
        name_panel(board, panel, currency, told)
        _chances(panel, rows, currency)
    board.axes[-1].set_xlabel("chance to be won")
    handles = [Patch(label=f"won {label}", **fill) for label, fill in _CHANCES.values()]
    return headed(board, title, about=about(table), handles=handles)


def _chances(ax: Axes, rows: pd.DataFrame, currency: str | None) -> None:
    """Draw the deals of a panel, a bar each, parted where the month and the quarter end."""
    places = np.arange(len(rows))
    reached = np.zeros(len(rows))
    for column, (_, fill) in _CHANCES.items():
        chance = np.maximum(rows[column].to_numpy(dtype=np.float64), reached)
        ax.barh(places, chance - reached, 0.6, reached, **fill)
        reached = chance
    names = rows["name"] if "name" in rows.columns else pd.Series(pd.NA, index=rows.index)
    label_rows(
        ax,
        [
            f"deal {number}" if pd.isna(name) or not str(name).strip() else shorten(str(name))
            for number, name in names.items()
        ],
    )
    tail_rows(
        ax,
        [
            (
                f"{percent(chance)}, value unknown"
                if pd.isna(tcv)
                else f"{percent(chance)} of {format_compact(tcv, currency)}"
            )
            + f", likeliest in {period_words(month)}"
            for chance, tcv, month in zip(reached, rows["tcv"], rows["likely_month"], strict=True)
        ],
    )
    ax.set_xlim(0, 1)
    ax.set_xticks(np.linspace(0, 1, 5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
