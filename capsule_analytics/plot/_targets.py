"""Attainment of targets: won and expected value against what was agreed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capsule_analytics._words import percent

from ._panels import about, by_currency, empty, headed, name_panel, open_board, require
from ._rows import inches, label_rows, shorten, tail_rows
from ._style import INK, WEIGHTED, WON, money_axis, panel_money, plain_axes, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ._panels import AxesArgument, Panels


@styled
def targets(table: pd.DataFrame, *, ax: AxesArgument | None = None) -> tuple[Figure, Axes | Panels]:
    """Draw won and expected value against the target, a row for each period and owner.

    Parameters
    ----------
    table
        As `capsule_analytics.targets.attainment` gives it: ``period``, ``currency``, ``target``,
        ``won_value`` and ``expected_value``, and where there are, ``owner``, ``pipeline``,
        ``measure``, ``attainment`` and ``chance`` (0 to 1). A missing target leaves its mark out; a
        row without an owner is for the whole team. Targets of a number of deals have a panel of
        their own, after the currencies.
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
    ...     "period": ["2026 Q4"],
    ...     "currency": ["GBP"],
    ...     "target": [100_000.0],
    ...     "won_value": [62_000.0],
    ...     "expected_value": [94_000.0],
    ...     "attainment": [0.62],
    ... })
    >>> fig, ax = targets(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['2026 Q4']
    >>> plt.close(fig)
    """
    needed = ["period", "currency", "target", "won_value", "expected_value"]
    require(table, needed, "targets.attainment")
    title = "Won and expected value against target"
    if table.empty:
        return empty(ax, title, "no targets")
    of_deals = np.zeros(len(table), dtype=bool)
    if "measure" in table.columns:
        of_deals = (table["measure"] == "deals").fillna(value=False).to_numpy(dtype=bool)
    # What stands over the panel, the currency of its amounts, its rows.
    parts = [(currency, currency, rows) for currency, rows in by_currency(table[~of_deals])]
    if of_deals.any():
        parts.append(("number of deals", None, table[of_deals]))
    owned = "owner" in table.columns and bool(table["owner"].notna().any())
    board = open_board(
        len(parts), ax, heights=[inches(len(rows), each=0.34) for *_, rows in parts], columns=1
    )
    for panel, (heading, currency, rows) in zip(board.axes, parts, strict=True):
        plain_axes(panel, values="x")
        name_panel(board, panel, heading)
        place = np.arange(len(rows), dtype=np.float64)
        panel.barh(place, rows["expected_value"], 0.6, **WEIGHTED)
        panel.barh(place, rows["won_value"], 0.6, **WON)
        # The white edge keeps the mark apart from a dark bar.
        for color, linewidth in (("white", 4.5), (INK, 2)):
            panel.vlines(
                rows["target"], place - 0.42, place + 0.42, color=color, linewidth=linewidth
            )
        label_rows(panel, _names(rows, owned=owned))
        tail_rows(panel, [_words(*row, currency) for row in _figures(rows)])
        money_axis(panel, currency, axis="x", ticks=7)
    handles = [
        Patch(label="won", **WON),
        Patch(label="open, weighted", **WEIGHTED),
        Line2D([], [], color=INK, linewidth=2, label="target", marker="|", linestyle="none"),
    ]
    handles[-1].set(markersize=11, markeredgewidth=2)
    return headed(board, title, about=about(table), handles=handles)


def _names(rows: pd.DataFrame, *, owned: bool) -> list[str]:
    """Say what each row is for: owner, pipeline, period, and the currency of some deals alone."""
    shown = rows.astype("object").where(rows.notna(), None).to_dict("records")
    names = []
    for row in shown:
        parts = [
            shorten(str(row["owner"] or "whole team")) if owned else None,
            shorten(str(row["pipeline"])) if row.get("pipeline") else None,
            str(row["period"] or "no period"),
            row["currency"] if row.get("measure") == "deals" else None,
        ]
        names.append(", ".join(part for part in parts if part))
    return names


def _figures(rows: pd.DataFrame) -> list[tuple[float, float, float]]:
    names = ["target", "attainment", "chance"]
    figures = rows.reindex(columns=names).to_numpy(dtype=np.float64, na_value=np.nan)
    return [(float(target), float(share), float(chance)) for target, share, chance in figures]


def _words(target: float, share: float, chance: float, currency: str | None) -> str:
    if np.isnan(target):
        return "no target"
    words = [f"target {panel_money(target, currency)}"]
    if not np.isnan(share):
        words.append(f"won {percent(share)}")
    if not np.isnan(chance):
        words.append(f"chance {percent(chance)}")
    return ", ".join(words)
