"""How far stated probabilities and close dates can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from ._panels import about, empty, headed, open_board, plural, require
from ._rows import inches, label_rows, shorten, tail_rows
from ._style import GRID, INK, LATE, MUTED, NOTE_SIZE, WEIGHTED, WON, plain_axes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels


@styled
def reliability(
    table: pd.DataFrame, *, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw the share of deals won against the probability stated for them.

    On the dashed line deals are won as often as stated; a point below it was too hopeful. The
    bars show how sure each share is, the figures how many deals it rests on.

    Parameters
    ----------
    table
        As `capsule_analytics.calibration.reliability` gives it: ``stated``, ``won_rate``,
        ``low`` and ``high`` (0 to 1) and ``deals``. Bins without deals are left out.
    ax
        One Axes to draw on; None makes a figure.

    Returns
    -------
    The figure and its Axes.

    Raises
    ------
    ArgumentError
        If the table lacks a column, or `ax` does not hold one Axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> table = pd.DataFrame({
    ...     "bin_low": [0.2], "bin_high": [0.3], "deals": [40],
    ...     "stated": [0.25], "won_rate": [0.2], "low": [0.1], "high": [0.35],
    ... })
    >>> fig, ax = reliability(table)
    >>> ax.get_xlabel()
    'probability stated'
    >>> plt.close(fig)
    """
    require(table, ["deals", "stated", "won_rate", "low", "high"], "calibration.reliability")
    title = "Stated probability and what was won"
    rows = table[(table["deals"] > 0) & table["stated"].notna() & table["won_rate"].notna()]
    if rows.empty:
        return empty(ax, title)
    board = open_board(1, ax, heights=[4.9], width=6.2)
    panel = board.axes[0]
    plain_axes(panel)
    panel.grid(axis="both", color=GRID, linewidth=0.8)
    panel.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    stated, rate = rows["stated"].to_numpy(), rows["won_rate"].to_numpy()
    panel.vlines(stated, rows["low"], rows["high"], color=WEIGHTED["facecolor"], linewidth=4)
    panel.plot(stated, rate, "o", color=WON["facecolor"], markersize=7)
    for at, won, deals in zip(stated, rate, rows["deals"], strict=True):
        panel.annotate(
            f"{int(deals):,}",
            (at, won),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            size=NOTE_SIZE,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
        )
    panel.set(xlim=(-0.02, 1.04), ylim=(-0.02, 1.04), aspect="equal")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    panel.set_xlabel("probability stated")
    panel.set_ylabel("share of deals won")
    handles = [
        Line2D(
            [],
            [],
            color=WON["facecolor"],
            marker="o",
            linestyle="none",
            label="share won, of how many deals",
        ),
        Line2D([], [], color=WEIGHTED["facecolor"], linewidth=4, label="likely range"),
        Line2D([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="as stated"),
    ]
    return headed(board, title, about=about(table), handles=handles)


@styled
def slippage(
    table: pd.DataFrame, *, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw by how many days each owner's deals were pushed out on average.

    Parameters
    ----------
    table
        As `capsule_analytics.history.slippage_by_owner` gives it: ``owner``, ``deals``,
        ``pushed`` (how many of them were moved to a later day) and ``mean_days`` (days pushed a
        deal, over all of the owner's deals).
    ax
        One Axes to draw on; None makes a figure.

    Returns
    -------
    The figure and its Axes; owners with the longest delays at the top.

    Raises
    ------
    ArgumentError
        If the table lacks a column, or `ax` does not hold one Axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"owner": ["ann", "bob"], "deals": [8, 5], "pushed": [2, 4], "mean_days": [6.0, 21.0]}
    ... )
    >>> fig, ax = slippage(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['bob', 'ann']
    >>> plt.close(fig)
    """
    require(table, ["owner", "deals", "pushed", "mean_days"], "history.slippage_by_owner")
    title = "Slippage: how far close dates were pushed out"
    if table.empty:
        return empty(ax, title)
    rows = table.sort_values("mean_days", ascending=False, kind="stable", na_position="last")
    board = open_board(1, ax, heights=[inches(len(rows))], legend_lines=0)
    panel = board.axes[0]
    plain_axes(panel, values="x")
    panel.barh(range(len(rows)), rows["mean_days"].fillna(0), 0.6, facecolor=LATE["facecolor"])
    owners = rows["owner"].astype("object").where(rows["owner"].notna(), "no owner")
    label_rows(panel, [shorten(str(name)) for name in owners])
    tail_rows(
        panel,
        [
            ("" if pd.isna(mean) else f"{mean:.0f} days, ")
            + f"{int(pushed):,} of {plural(int(deals))} pushed"
            for mean, pushed, deals in zip(
                rows["mean_days"], rows["pushed"], rows["deals"], strict=True
            )
        ],
    )
    panel.set_xlabel("days pushed out, mean of all deals")
    return headed(board, title, about=about(table))
