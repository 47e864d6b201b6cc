"""The bridge from one day's open pipeline to another's, as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from capsule_analytics._words import currency_name, day_words

from ._columns import crown
from ._panels import (
    about,
    by_currency,
    columns_for,
    each_panel,
    empty,
    headed,
    name_panel,
    open_board,
    plural,
    require,
)
from ._style import (
    EDGE,
    INK,
    LATE,
    TOTAL,
    WEIGHTED,
    WON,
    money_axis,
    panel_money,
    styled,
    zero_line,
)

if TYPE_CHECKING:
    from typing import Any

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels

_TOTALS = ("opening", "closing")
_HEIGHTS = {1: 3.4, 2: 2.7}
_NARROW = 5
"""Most bars that a panel of half the width has room for, with their words."""

_THIN = 0.012
"""The part of a panel below which a bar is hardly seen."""


@styled
def changes(table: pd.DataFrame, *, ax: AxesArgument | None = None) -> tuple[Figure, Axes | Panels]:
    """Draw the bridge from the opening to the closing pipeline: what came, what went.

    Won deals leave the open pipeline as lost ones do, and are told apart by colour. Parts without
    a deal are left out. In a figure of our own so are currencies in which nothing changed, which
    are named below, unless nothing changed in any; from four on the panels stand two abreast, the
    first across both. Where the changes are small beside the pipeline, the axis does not begin at
    0: the bars of opening and closing are torn then, and the legend says so. The changes keep
    their scale among each other.

    Parameters
    ----------
    table
        As `capsule_analytics.history.changes` gives it: ``currency``, ``part``, ``deals``,
        ``value``, negative for what went; in each currency all parts sum to ``closing``.
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
    ...     "currency": "GBP",
    ...     "part": ["opening", "new", "won", "closing"],
    ...     "deals": [4, 2, 1, 5],
    ...     "value": [90_000.0, 30_000.0, -20_000.0, 100_000.0],
    ... })
    >>> fig, ax = changes(table)
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['opening', 'new', 'won', 'closing']
    >>> plt.close(fig)
    """
    require(table, ["currency", "part", "deals", "value"], "history.changes")
    title = _title(table)
    if table.empty:
        return empty(ax, title)
    parts = by_currency(table)
    moved = [rows for _, rows in parts if _moved(rows)] if ax is None else []
    still = [currency_name(code) for code, rows in parts if moved and not _moved(rows)]
    parts = [(code, rows) for code, rows in parts if not moved or _moved(rows)]
    columns = columns_for(len(parts))
    # One below the other, panels share their parts; two abreast, each has its own.
    orders = [_order(rows if columns > 1 else table) for _, rows in parts]
    wide = 1 + max(at for at, order in enumerate(orders) if at == 0 or len(order) > _NARROW)
    board = open_board(
        len(parts),
        ax,
        heights=[_HEIGHTS.get(len(parts), 2.4)] * len(parts),
        foot=f"Nothing changed in {', '.join(still)}." if still else "",
        columns=columns,
        wide=wide,
    )
    torn = False
    for (panel, currency, rows), order in zip(each_panel(board, parts), orders, strict=True):
        name_panel(board, panel, currency)
        torn |= _waterfall(
            panel, rows.set_index(rows["part"].astype("object")).reindex(order), currency
        )
        money_axis(panel, currency)
    handles = [
        Patch(label=f"open pipeline{' (torn: not from 0)' if torn else ''}", **TOTAL),
        Patch(label="came or grew", **WEIGHTED),
        Patch(label="won", **WON),
        Patch(label="went or shrank", **LATE),
    ]
    return headed(board, title, about=_days(table), handles=handles)


def _moved(rows: pd.DataFrame) -> bool:
    """Tell whether a bridge has anything between its totals."""
    return bool((rows["deals"] != 0)[~rows["part"].isin(_TOTALS).to_numpy(dtype=bool)].any())


def _order(rows: pd.DataFrame) -> list[str]:
    """Name the parts that have deals, and the totals, in the order of the bridge."""
    part = rows["part"].astype("object")
    return list(dict.fromkeys(part[(rows["deals"] != 0) | part.isin(_TOTALS)]))


def _waterfall(ax: Axes, rows: pd.DataFrame, currency: str | None) -> bool:
    """Draw a row a part, in the order of the bridge: totals from zero, the rest floating.

    Returns
    -------
    Whether the bars of the totals are torn, as the axis does not begin at 0.
    """
    names = rows.index.tolist()
    values = rows["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.nan_to_num(values, nan=0.0)
    total = np.isin(np.array(names, dtype=object), _TOTALS)
    # The bridge is level with the closing total before that bar is drawn.
    level = np.cumsum(np.where(np.array(names, dtype=object) == "closing", 0.0, values))
    bottom = np.where(total, 0.0, level - values)
    floor, ceiling = _limits(np.concatenate([level, bottom[~total], values[total]]))
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        fill = _fill(name, value)
        ax.bar(place, value, 0.66, bottom[place], **fill)
        if 0 < abs(value) < _THIN * (ceiling - floor):
            # Too thin a bar to be seen; its line has the colour that tells what it is.
            color = fill.get("edgecolor", fill["facecolor"])
            middle = bottom[place] + value / 2
            ax.hlines(middle, place - 0.33, place + 0.33, color=color, linewidth=2, zorder=3)
    for place in range(len(names) - 1):
        ax.hlines(level[place], place - 0.33, place + 0.67, color=EDGE, linewidth=0.8)
    counts = rows["deals"].fillna(0).astype(int)
    for place, (value, deals) in enumerate(zip(values, counts, strict=True)):
        if not (deals or total[place]):
            continue
        plus = "+" if value > 0 and not total[place] else ""
        words = f"{plus}{panel_money(value, currency)}\n{plural(deals)}"
        crown(ax, place, max(bottom[place], bottom[place] + value), words)
    ax.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], color=INK)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_ylim(floor, ceiling)
    if floor < 0:
        zero_line(ax)
    torn = floor > 0
    if torn:
        _tear(ax, np.flatnonzero(total), floor + 0.07 * (ceiling - floor))
    return torn


def _limits(ends: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Choose the axis for where bars end, with room for the words above the highest one.

    Where all the changes happen in the upper half, the lower one would say nothing, and the axis
    begins nearer to them; yet not so near that its ticks would differ by less than is written.
    """
    lowest, highest = float(ends.min()), float(max(ends.max(), 0.0))
    if lowest > highest / 2 and lowest < highest:
        low = min(lowest - (highest - lowest) / 3, 0.8 * highest)
        return low, highest + 0.24 * (highest - low)
    low = min(lowest, 0.0)
    span = highest - low or 1.0
    return low - (0.06 * span if low < 0 else 0.0), highest + 0.24 * span


def _tear(ax: Axes, places: np.ndarray[Any, np.dtype[np.intp]], height: float) -> None:
    """Mark the foot of bars as torn off, and the baseline as none."""
    ragged = np.linspace(-0.34, 0.34, 13)
    up = 0.015 * np.diff(ax.get_ylim())[0] * np.where(np.arange(13) % 2, 1.0, -1.0)
    for place in places:
        ax.plot(place + ragged, height + up, color="white", linewidth=4)
    ax.spines["bottom"].set_linestyle((0, (4, 3)))


def _fill(part: str, value: float) -> dict[str, Any]:
    if part in _TOTALS:
        return TOTAL
    if part == "won":
        return WON
    return WEIGHTED if value >= 0 else LATE


def _title(table: pd.DataFrame) -> str:
    period = table.attrs.get("period")
    if not period:
        return "Changes of the open pipeline"
    return f"Changes of the pipeline to close {' to '.join(day_words(day) for day in period)}"


def _days(table: pd.DataFrame) -> str:
    """Name the two days of the bridge, as far as the attrs of the table tell them."""
    before, after = table.attrs.get("before"), table.attrs.get("after")
    account = table.attrs.get("account")
    if not (before and after):
        return about(table)
    days = f"{day_words(before)} to {day_words(after)}"
    return f"{account}, {days}" if account else days
