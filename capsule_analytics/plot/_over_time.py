"""The panels of a table over time, one a currency, and what is said below them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capsule_analytics._words import format_money

from ._panels import by_currency, columns_for, each_panel, name_panel, note, open_board, say, wrap
from ._style import money_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes

    from ._panels import AxesArgument, Board
    from ._timeline import Timeline

_POLICIES = {
    "roll": "Overdue deals are moved to the as-of {period}.",
    "drop": "Overdue deals are left out.",
}
"""What a chart says of how overdue deals are treated, where it is not in their own month."""

_HEIGHTS = {1: 3.5, 2: 2.6, 3: 2.3}


def over_time(
    table: pd.DataFrame,
    ax: AxesArgument | None,
    times: Timeline | None,
    *,
    totals: Callable[[pd.DataFrame, str | None], str],
    draw: Callable[[Axes, Timeline, pd.DataFrame], None],
) -> Board:
    """Draw a panel a currency over the same periods, and say below it what it does not show.

    Parameters
    ----------
    table
        A table by month, quarter or year, with rows.
    ax
        The user's Axes, or None.
    times
        The periods shown; None where no row has a date.
    totals
        Writes the totals of a panel from its rows and currency.
    draw
        Draws the rows of a currency into its panel.
    """
    parts = by_currency(table)
    notes, foot = _explain(table, parts, times, own=ax is None)
    heights = [_HEIGHTS.get(len(parts), 2.1)] * len(parts)
    board = open_board(len(parts), ax, heights=heights, notes=notes, foot=foot)
    for (panel, currency, rows), words in zip(each_panel(board, parts), notes, strict=True):
        name_panel(board, panel, currency, totals(rows, currency))
        note(board, panel, words)
        if times is None or rows[times.column].isna().all():
            say(panel, "no dated deals")
            continue
        draw(panel, times, rows)
        money_axis(panel, currency)
        times.draw(panel, board.panel_width(panel))
    return board


def _explain(
    table: pd.DataFrame,
    parts: list[tuple[str | None, pd.DataFrame]],
    times: Timeline | None,
    *,
    own: bool,
) -> tuple[list[str], str]:
    """Write the note of each panel: what it does not show, and how overdue deals are treated.

    In a figure of our own with several panels the latter stands below them all, and is given apart.
    """
    side = columns_for(len(parts))
    notes = [wrap(_note(rows, currency, times), side) for currency, rows in parts]
    period = "month" if times is None else times.column
    policy = _POLICIES.get(table.attrs.get("overdue", "keep"), "").format(period=period)
    if own and len(parts) > 1:
        return notes, policy
    notes[-1] = "\n".join(part for part in (notes[-1], wrap(policy, side)) if part)
    return notes, ""


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
