"""The bridge from one day's open pipeline to another's, as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Patch

from ._panels import (
    about,
    by_currency,
    day_words,
    empty,
    head,
    name_panel,
    open_board,
    plural,
    require,
)
from ._style import (
    INK,
    LATE,
    NOTE_SIZE,
    TOTAL,
    WEIGHTED,
    WON,
    money_axis,
    panel_money,
    plain_axes,
    styled,
)

if TYPE_CHECKING:
    from typing import Any

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels

_TOTALS = ("opening", "closing")
_HEIGHTS = {1: 3.4, 2: 2.7}


@styled
def changes(table: pd.DataFrame, *, ax: AxesArgument | None = None) -> tuple[Figure, Axes | Panels]:
    """Draw the bridge from the opening to the closing pipeline: what came, what went.

    Won deals leave the open pipeline as lost ones do, and are told apart by colour. Parts without
    a deal in any currency are left out.

    Parameters
    ----------
    table
        As `capsule_analytics.history.changes` gives it: ``currency``, ``part``, ``deals``,
        ``value``, negative for what went; in each currency all parts sum to ``closing``.
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
    part = table["part"].astype("object")
    seen = set(part[(table["deals"] != 0) | part.isin(_TOTALS)])
    order = [name for name in dict.fromkeys(part) if name in seen]
    parts = by_currency(table)
    board = open_board(
        len(parts), ax, heights=[_HEIGHTS.get(len(parts), 2.4)] * len(parts), columns=1
    )
    for panel, (currency, rows) in zip(board.axes, parts, strict=True):
        plain_axes(panel)
        name_panel(board, panel, currency)
        money_axis(panel, currency)
        _waterfall(panel, rows.set_index(rows["part"].astype("object")).reindex(order), currency)
    handles = [
        Patch(label="open pipeline", **TOTAL),
        Patch(label="came or grew", **WEIGHTED),
        Patch(label="won", **WON),
        Patch(label="went or shrank", **LATE),
    ]
    head(board, title, about=_days(table), handles=handles)
    return board.result()


def _waterfall(ax: Axes, rows: pd.DataFrame, currency: str | None) -> None:
    """Draw a row a part, in the order of the bridge: totals from zero, the rest floating."""
    names = rows.index.tolist()
    values = rows["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.nan_to_num(values, nan=0.0)
    total = np.isin(np.array(names, dtype=object), _TOTALS)
    # The bridge is level with the closing total before that bar is drawn.
    level = np.cumsum(np.where(np.array(names, dtype=object) == "closing", 0.0, values))
    bottom = np.where(total, 0.0, level - values)
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        ax.bar(place, value, 0.66, bottom[place], **_fill(name, value))
    for place in range(len(names) - 1):
        ax.hlines(level[place], place - 0.33, place + 0.67, color="#9a9a9a", linewidth=0.8)
    counts = rows["deals"].fillna(0).astype(int)
    for place, (value, deals) in enumerate(zip(values, counts, strict=True)):
        if not (deals or total[place]):
            continue
        plus = "+" if value > 0 and not total[place] else ""
        ax.annotate(
            f"{plus}{panel_money(value, currency)}\n{plural(deals)}",
            (place, max(bottom[place], bottom[place] + value)),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            size=NOTE_SIZE - 0.5,
            color=INK,
            linespacing=1.15,
        )
    ax.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], color=INK)
    ax.set_xlim(-0.6, len(names) - 0.4)
    tops = np.concatenate([[0.0], bottom, bottom + values])
    low, high = tops.min(), tops.max()
    span = high - low or 1.0
    # The labels stand on the bars and need room above the highest.
    ax.set_ylim(low - (0.06 * span if low < 0 else 0.0), high + 0.24 * span)
    if low < 0:
        ax.axhline(0, color="#9a9a9a", linewidth=0.8)


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
