"""The forecast and the revenue schedule: won and weighted open value by month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capsule_analytics._money import format_money

from ._panels import (
    about,
    by_currency,
    columns_for,
    empty,
    head,
    name_panel,
    note,
    open_board,
    require,
    say,
    wrap,
)
from ._style import INK, LATE, WEIGHTED, WON, money_axis, panel_money, plain_axes, styled
from ._timeline import PERIODS, Timeline, timeline

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels

_POLICIES = {
    "roll": "Overdue deals are moved to the as-of {period}.",
    "drop": "Overdue deals are left out.",
}
"""What a chart says of how overdue deals are treated, where it is not in their own month."""

_HEIGHTS = {1: 3.5, 2: 2.6, 3: 2.3}


@dataclass(frozen=True)
class _Chart:
    title: str
    source: str
    fills: dict[str, tuple[str, dict[str, Any]]]
    """Columns to stack, from the bottom: label and fill."""


_FORECAST = _Chart(
    title="Forecast by close {period}",
    source="forecast.by_month",
    fills={
        "won": ("won", WON),
        "due": ("open, weighted", WEIGHTED),
        "overdue": ("overdue, weighted", LATE),
    },
)
_REVENUE = _Chart(
    title="Revenue by {period} in which it is earned",
    source="forecast.revenue_schedule",
    fills={"won": ("won", WON), "due": ("open, weighted", WEIGHTED)},
)


@styled
def forecast(
    table: pd.DataFrame, *, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw the forecast: won and weighted open value, stacked by close month.

    One panel a currency. The as-of month is shaded, weighted value of overdue deals is hatched,
    and a line shows the range from P10 to P90 where the table has it. Deals without a close date,
    and periods beyond the sixty that are shown at most, are told in a note below the panel.

    Parameters
    ----------
    table
        As `capsule_analytics.forecast.by_month` gives it: by month, quarter or year. Groups are
        added up, and then have no range, as quantiles do not add up.
    ax
        Axes to draw on, one a currency, in a figure with ``layout="constrained"``, which leaves
        room for legend and notes; None makes a figure.

    Returns
    -------
    The figure, and its Axes: an array of shape (currencies,) where there are several, in the
    order of the panels: the currency with most deals first, the missing currency last.

    Raises
    ------
    ArgumentError
        If the table lacks a column, or `ax` does not hold one Axes a currency.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> import matplotlib.pyplot as plt
    >>> table = ca.forecast.by_month(ca.load_sample())
    >>> fig, axes = forecast(table[table["currency"].isin(["GBP", "EUR"])])
    >>> [ax.get_title(loc="left") for ax in axes]
    ['GBP', 'EUR']
    >>> plt.close(fig)
    """
    return _draw(table, ax, _FORECAST)


@styled
def revenue(table: pd.DataFrame, *, ax: AxesArgument | None = None) -> tuple[Figure, Axes | Panels]:
    """Draw the revenue schedule: won and weighted open value, stacked by month earned.

    Parameters
    ----------
    table
        As `capsule_analytics.forecast.revenue_schedule` gives it.
    ax
        Axes to draw on, one a currency, in a figure with ``layout="constrained"``, which leaves
        room for legend and notes; None makes a figure.

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
    ...     "month": pd.PeriodIndex(["2026-10", "2026-12"], freq="M"),
    ...     "currency": "GBP",
    ...     "open_value": [0.0, 5000.0],
    ...     "weighted_value": [0.0, 2500.0],
    ...     "won_value": [4000.0, 4000.0],
    ...     "expected_value": [4000.0, 6500.0],
    ... })
    >>> fig, ax = revenue(table)
    >>> ax.get_title(loc="right")
    'won £8K, weighted £2.5K'
    >>> plt.close(fig)
    """
    return _draw(table, ax, _REVENUE)


def _draw(
    table: pd.DataFrame, ax: AxesArgument | None, chart: _Chart
) -> tuple[Figure, Axes | Panels]:
    columns = ["open_value", "weighted_value", "won_value"]
    require(table, ["currency", *columns], chart.source)
    period = next((name for name in PERIODS if name in table.columns), "month")
    title = chart.title.format(period=period)
    if table.empty:
        return empty(ax, title)
    times = timeline(table, chart.source)
    parts = by_currency(table)
    side = columns_for(len(parts))
    notes = explain(table, parts, times)
    board = open_board(
        len(parts), ax, heights=[_HEIGHTS.get(len(parts), 2.1)] * len(parts), notes=notes
    )
    used: set[str] = set()
    for panel, (currency, rows), words in zip(board.axes, parts, notes, strict=True):
        plain_axes(panel)
        name_panel(board, panel, currency, _totals(rows, currency, brief=side > 1))
        note(board, panel, words)
        if times is None or rows[times.column].isna().all():
            say(panel, "no dated deals")
            continue
        used |= _stack(panel, times, rows, chart)
        money_axis(panel, currency)
        times.draw(panel, board.panel_width(panel))
    handles: list[Patch | Line2D] = [
        Patch(label=label, **fill) for key, (label, fill) in chart.fills.items() if key in used
    ]
    if "range" in used:
        handles.append(Line2D([], [], color=INK, linewidth=1.1, label="P10 to P90 of the total"))
    if times is not None:
        handles += times.as_of_handle()
    head(board, title, about=about(table), handles=handles)
    return board.result()


def _stack(ax: Axes, times: Timeline, rows: pd.DataFrame, chart: _Chart) -> set[str]:
    """Stack the bars of a panel and return which fills, or the range, it used."""
    late = "overdue_weighted" in rows.columns and "overdue" in chart.fills
    sums = times.sums(
        rows, ["weighted_value", "won_value", *(["overdue_weighted"] if late else [])]
    )
    overdue = sums["overdue_weighted"].to_numpy() if late else np.zeros(len(sums))
    heights = {
        "won": sums["won_value"].to_numpy(),
        "due": sums["weighted_value"].to_numpy() - overdue,
        "overdue": overdue,
    }
    place = sums.index.to_numpy(dtype=np.float64)
    # Credit notes are below zero, and stack downwards.
    above, below = np.zeros(len(place)), np.zeros(len(place))
    used = set()
    for key, (_, fill) in chart.fills.items():
        height = heights[key]
        drawn = np.abs(height) > 0
        if drawn.any():
            used.add(key)
            bottom = np.where(height >= 0, above, below)
            ax.bar(place[drawn], height[drawn], 0.78, bottom[drawn], **fill)
        above += np.maximum(height, 0)
        below += np.minimum(height, 0)
    if {"p10", "p90"} <= set(rows.columns) and not times.ordinals(rows).duplicated().any():
        shown = rows.assign(at=times.ordinals(rows)).dropna(subset=["at", "p10", "p90"])
        shown = shown[shown["at"].between(times.first, times.last) & (shown["p90"] > shown["p10"])]
        if len(shown):
            used.add("range")
            at = shown["at"].to_numpy(dtype=np.float64)
            ax.vlines(at, shown["p10"], shown["p90"], color=INK, linewidth=1.1)
            for end in ("p10", "p90"):
                ax.hlines(shown[end], at - 0.14, at + 0.14, color=INK, linewidth=1.1)
    if below.any():
        ax.axhline(0, color="#9a9a9a", linewidth=0.8)
    elif not above.any() and "range" not in used:
        ax.set_ylim(0, 1)
    ax.margins(y=0.08)
    return used


def _totals(rows: pd.DataFrame, currency: str | None, *, brief: bool) -> str:
    won, weighted = rows["won_value"].sum(), rows["weighted_value"].sum()
    words = f"won {panel_money(won, currency)}, weighted {panel_money(weighted, currency)}"
    if not brief and "overdue_weighted" in rows.columns and rows["overdue_weighted"].any():
        words += f" (overdue {panel_money(rows['overdue_weighted'].sum(), currency)})"
    return words


def explain(
    table: pd.DataFrame, parts: list[tuple[str | None, pd.DataFrame]], times: Timeline | None
) -> list[str]:
    """Write the note of each panel: what it does not show, and how overdue deals are treated.

    Parameters
    ----------
    table
        The whole table, for its attrs.
    parts
        Its currencies, as `by_currency` gives them.
    times
        The periods shown; None where no row has a date.

    Returns
    -------
    One note a panel, wrapped to its width; empty where there is nothing to say.
    """
    side = columns_for(len(parts))
    notes = [wrap(_note(rows, currency, times), side) for currency, rows in parts]
    period = "month" if times is None else times.column
    policy = _POLICIES.get(table.attrs.get("overdue", "keep"), "").format(period=period)
    if policy:
        notes[-1] = "\n".join(part for part in (notes[-1], wrap(policy, side)) if part)
    return notes


def _note(rows: pd.DataFrame, currency: str | None, times: Timeline | None) -> str:
    """Tell what the panel does not show."""
    outside = {"undated": rows} if times is None else times.outside(rows)
    words = [word for when, part in outside.items() for word in _missing(part, currency, when)]
    return f"Not in the chart: {'; '.join(words)}." if words else ""


def _missing(rows: pd.DataFrame, currency: str | None, when: str) -> list[str]:
    words = []
    undated = "undated " if when == "undated" else ""
    for status in ("open", "won"):
        value = rows[f"{status}_value"].sum()
        counted = f"{status}_deals" in rows.columns
        if counted:
            count = int(rows[f"{status}_deals"].sum())
            what = f"{count:,} {undated}{status} deal{'' if count == 1 else 's'}"
        else:
            # A schedule of revenue does not count deals.
            count = int(value != 0)
            what = f"{undated}{status} value"
        if not count:
            continue
        where = what if undated else f"{what} {when}"
        worth = format_money(value, currency, whole=True)
        weighted = (
            f" (weighted {format_money(rows['weighted_value'].sum(), currency, whole=True)})"
            if status == "open"
            else ""
        )
        of = "worth" if counted else "of"
        words.append(f"{where} {of} {worth}{weighted}")
    return words
