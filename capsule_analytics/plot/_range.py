"""The weighted range of each month's total: P10, P50 and P90, with what is won already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capsule_analytics.errors import ArgumentError

from ._over_time import over_time
from ._panels import about, empty, headed, require
from ._style import INK, WEIGHTED, WON, panel_money, styled, zero_line
from ._timeline import PERIODS, Timeline, timeline

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels

_NEEDED = ("currency", "open_value", "weighted_value", "won_value", "p10", "p50", "p90")
_SOURCE = "forecast.by_month(..., ranges=True)"


@styled
def fan(table: pd.DataFrame, *, ax: AxesArgument | None = None) -> tuple[Figure, Axes | Panels]:
    """Draw the weighted range of each month's total: from P10 to P90, with the median.

    It shows what the total would be if every stated probability and date were right: then it
    exceeds P10 in nine cases of ten and P90 in one. What will probably be won draws `projection`.
    What is won already is the dark part; a month that holds only won deals has no range.

    Parameters
    ----------
    table
        As ``capsule_analytics.forecast.by_month(..., ranges=True)`` gives it, without groups,
        since quantiles do not add up.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If the table lacks a column or has groups, or `ax` does not hold one Axes a currency.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> import matplotlib.pyplot as plt
    >>> table = ca.forecast.by_month(ca.load_sample(), ranges=True)
    >>> fig, ax = fan(table[table["currency"] == "GBP"])
    >>> ax.get_title(loc="left")
    'GBP'
    >>> plt.close(fig)
    """
    require(table, _NEEDED, _SOURCE)
    period = next((name for name in PERIODS if name in table.columns), "month")
    title = f"Total by close {period}, if every probability and date were right"
    if table.empty:
        return empty(ax, title)
    times = timeline(table, _SOURCE)
    if table.duplicated([period, "currency"]).any():
        raise ArgumentError(f"the table has groups, whose ranges do not add up; use {_SOURCE}")
    board = over_time(table, ax, times, totals=_totals, draw=_bars)
    handles: list[Patch | Line2D] = [
        Patch(label="won", **WON),
        Patch(label="P10 to P90", **WEIGHTED),
        Line2D([], [], color=INK, linewidth=1.6, label="P50, the median"),
    ]
    if times is not None:
        handles += times.as_of_handle()
    return headed(board, title, about=about(table), handles=handles)


def _totals(rows: pd.DataFrame, currency: str | None) -> str:
    return f"won {panel_money(rows['won_value'].sum(), currency)}"


def _bars(ax: Axes, times: Timeline, rows: pd.DataFrame) -> None:
    sums = times.sums(rows, ["won_value", "p10", "p50", "p90"])
    won = sums[sums["won_value"] != 0]
    ax.bar(won.index.to_numpy(dtype=float), won["won_value"], 0.78, **WON)
    spread = sums[sums["p90"] > sums["p10"]]
    at = spread.index.to_numpy(dtype=float)
    ax.bar(at, spread["p90"] - spread["p10"], 0.56, spread["p10"], **WEIGHTED)
    ax.hlines(spread["p50"], at - 0.48, at + 0.48, color=INK, linewidth=1.6, clip_on=False)
    lowest = min(sums["won_value"].min(), sums["p10"].min())
    if lowest < 0:
        zero_line(ax)
    elif won.empty and spread.empty:
        ax.set_ylim(0, 1)
    else:
        ax.set_ylim(bottom=0)
    ax.margins(y=0.08)
