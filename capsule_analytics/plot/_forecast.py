"""The forecast and the revenue schedule: won and weighted open value by month."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capsule_analytics.errors import ArgumentError

from ._columns import stack
from ._over_time import over_time
from ._panels import about, columns_for, empty, headed, require
from ._style import INK, LATE, WEIGHTED, WON, panel_money, styled, zero_line
from ._timeline import PERIODS, Timeline, timeline

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels


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
    and a line shows the range from P10 to P90 where the table has it: what the total would be if
    every stated probability and date were right. Deals without a close date,
    and periods beyond the sixty that are shown at most, are told in a note below the panel.

    Parameters
    ----------
    table
        As `capsule_analytics.forecast.by_month` gives it: by month, quarter or year. Groups are
        added up, and then no panel has a range, as quantiles do not add up. Tags cannot be added
        up, as a deal counts under each of its own.
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
        If the table lacks a column or has several tags, or `ax` does not hold one Axes a currency.

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
        As `capsule_analytics.forecast.revenue_schedule` gives it; groups as for `forecast`.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If the table lacks a column or has several tags, or `ax` does not hold one Axes a currency.

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
    if "tag" in table.columns and len(table["tag"].dropna().unique()) > 1:
        raise ArgumentError(
            "the table has several tags, and a deal counts under each of its own, so that bars "
            "would count it more than once: pass a table without tag, or the rows of one tag"
        )
    times = timeline(table, chart.source)
    # One legend speaks for all panels: where one has groups, none has a range.
    ranged = {"p10", "p90"} <= set(table.columns) and not table.duplicated(
        [period, "currency"]
    ).any()
    brief = columns_for(table["currency"].nunique(dropna=False)) > 1
    used: set[str] = set()

    def draw(panel: Axes, times: Timeline, rows: pd.DataFrame) -> None:
        used.update(_stack(panel, times, rows, chart, ranged=ranged))

    board = over_time(table, ax, times, totals=partial(_totals, brief=brief), draw=draw)
    handles: list[Patch | Line2D] = [
        Patch(label=label, **fill) for key, (label, fill) in chart.fills.items() if key in used
    ]
    if "range" in used:
        words = "P10 to P90, if all is as stated"
        handles.append(Line2D([], [], color=INK, linewidth=1.1, label=words))
    if times is not None:
        handles += times.as_of_handle()
    return headed(board, title, about=about(table), handles=handles)


def _stack(
    ax: Axes, times: Timeline, rows: pd.DataFrame, chart: _Chart, *, ranged: bool
) -> set[str]:
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
    used = {key for key in chart.fills if (heights[key] != 0).any()}
    layers = [(heights[key], fill) for key, (_, fill) in chart.fills.items()]
    below, above = stack(ax, sums.index.to_numpy(dtype=np.float64), layers, 0.78)
    if ranged:
        shown = rows.assign(at=times.ordinals(rows)).dropna(subset=["at", "p10", "p90"])
        shown = shown[shown["at"].between(times.first, times.last) & (shown["p90"] > shown["p10"])]
        if len(shown):
            used.add("range")
            at = shown["at"].to_numpy(dtype=np.float64)
            ax.vlines(at, shown["p10"], shown["p90"], color=INK, linewidth=1.1)
            for end in ("p10", "p90"):
                ax.hlines(shown[end], at - 0.14, at + 0.14, color=INK, linewidth=1.1)
    if below.any():
        zero_line(ax)
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
