"""The open pipeline as it stands today: by milestone, and by age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from capsule_analytics import forecast

from ._columns import crown, stack
from ._panels import (
    about,
    by_currency,
    columns_for,
    each_panel,
    empty,
    headed,
    name_panel,
    note,
    open_board,
    plural,
    require,
    say,
    wrap,
)
from ._rows import inches, label_rows, shorten, tail_rows
from ._style import MUTED, WEIGHTED, WON, money_axis, panel_money, styled, zero_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from capsule_analytics._deals import Probability
    from capsule_analytics.schema import Pipeline

    from ._panels import AxesArgument, Panels

_UNKNOWN = "no milestone"
_LEGEND_COLUMNS = 6
_NOT_CONFIGURED = "#a3a3a3"
_LONGEST_START = 10  # letters of a pipeline before a milestone
_COLUMNS = ["pipeline", "milestone", "configured", "open_deals", "open_value", "weighted_value"]


@styled
def milestones(
    deals: Pipeline | pd.DataFrame,
    *,
    probability: Probability = None,
    ax: AxesArgument | None = None,
) -> tuple[Figure, Axes | Panels]:
    """Draw the open deals by milestone: their number, TCV and weighted value.

    Every open deal counts, the overdue ones too.

    Parameters
    ----------
    deals
        The account, or the table that `capsule_analytics.forecast.open_by_milestone` makes of it.
        Milestones stand in the account's order, those without open deals too, so that gaps in the
        funnel are seen; deals at an unknown milestone come last.
    probability
        For an account: other probabilities for the weighted value, as for
        `capsule_analytics.forecast.by_month`; None for Capsule's own.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If `ax` does not hold one Axes a currency, `probability` is none, or the table is not one
        of `open_by_milestone`.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> import matplotlib.pyplot as plt
    >>> fig, axes = milestones(ca.load_sample())
    >>> [label.get_text() for label in axes[0].get_yticklabels()][:3]
    ['Sales: Lead', 'Sales: Qualified', 'Sales: Proposal']
    >>> plt.close(fig)
    """
    title = "Open deals by milestone"
    table = (
        deals
        if isinstance(deals, pd.DataFrame)
        else forecast.open_by_milestone(deals, probability=probability)
    )
    require(table, _COLUMNS, "forecast.open_by_milestone")
    if table.empty:
        return empty(ax, title)
    table, shades = _named(table)
    order = list(shades)
    parts = by_currency(table)
    board = open_board(len(parts), ax, heights=[inches(len(order))] * len(parts))
    for panel, currency, rows in each_panel(board, parts, values="x"):
        sums = rows.groupby("at")[_COLUMNS[-3:]].sum().reindex(order, fill_value=0)
        place = np.arange(len(order), dtype=np.float64)
        panel.barh(place, sums["open_value"], 0.66, **WEIGHTED)
        panel.barh(place, sums["weighted_value"], 0.3, **WON)
        label_rows(panel, [shorten(name) for name in order])
        tail_rows(
            panel,
            [
                f"{plural(count)}, {panel_money(value, currency)}" if count else ""
                for count, value in zip(sums["open_deals"], sums["open_value"], strict=True)
            ],
        )
        money_axis(panel, currency, axis="x", ticks=7 // board.columns)
        name_panel(board, panel, currency, _totals(rows, currency))
    handles = [Patch(label="total contract value", **WEIGHTED), Patch(label="weighted", **WON)]
    return headed(board, title, about=about(table), handles=handles)


@styled
def ageing(
    deals: Pipeline | pd.DataFrame, *, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw the open deals by age: TCV by days since they were entered, split by milestone.

    Every open deal counts, the overdue ones too.

    Parameters
    ----------
    deals
        The account, or the table that `capsule_analytics.forecast.open_by_age` makes of it; ages
        are counted up to the as-of day. A deal without a creation date is told in a note, one
        entered after the as-of day counts as new.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If `ax` does not hold one Axes a currency, or the table is not one of `open_by_age`.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> import matplotlib.pyplot as plt
    >>> fig, axes = ageing(ca.load_sample())
    >>> [label.get_text() for label in axes[0].get_xticklabels()]
    ['under 30', '30-89', '90-179', '180-364', '365+']
    >>> plt.close(fig)
    """
    title = "Age of open deals, days since entered"
    table = deals if isinstance(deals, pd.DataFrame) else forecast.open_by_age(deals)
    require(table, ["age", *_COLUMNS], "forecast.open_by_age")
    if table.empty:
        return empty(ax, title)
    table, shades = _named(table)
    present = set(table.loc[table["open_deals"] > 0, "at"])
    shades = {name: shade for name, shade in shades.items() if name in present}
    parts = by_currency(table)
    side = columns_for(len(parts))
    notes = [wrap(_undated(rows), side) for _, rows in parts]
    handles = [
        Patch(facecolor=shade, linewidth=0, label=shorten(name)) for name, shade in shades.items()
    ]
    widest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = _LEGEND_COLUMNS if widest <= _LONGEST_START * 2 else _LEGEND_COLUMNS - 1
    board = open_board(
        len(parts),
        ax,
        heights=[3.4 if len(parts) == 1 else 2.3] * len(parts),
        notes=notes,
        legend_lines=-(-len(handles) // columns),
    )
    for (panel, currency, rows), words in zip(each_panel(board, parts), notes, strict=True):
        note(board, panel, words)
        if not rows.loc[rows["age"].notna(), "open_deals"].any():
            say(panel, "no creation dates")
        else:
            _age_bars(panel, rows, shades, currency)
            money_axis(panel, currency)
        name_panel(board, panel, currency, _totals(rows, currency))
    return headed(board, title, about=about(table), handles=handles, ncols=columns)


def _named(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Name the milestone of each row in a column ``at``, and give each name a colour, in order.

    The later a milestone, the darker its blue. Those that the configuration lacks have no place in
    that order, and are grey. Where there are several pipelines, the name tells which.
    """
    names = table["milestone"].astype("object").where(table["milestone"].notna(), _UNKNOWN)
    if len(set(table["pipeline"].dropna())) > 1:
        # Cut where it is long: the milestone tells more, and bars need room.
        prefix = table["pipeline"].astype("object").map(_start, na_action="ignore") + ": "
        names = prefix.where(table["pipeline"].notna(), "") + names
    known = list(dict.fromkeys(names[table["configured"].to_numpy(dtype=bool)]))
    ramp = mpl.colormaps["Blues"]
    levels = np.linspace(0.28, 1.0, max(len(known), 2))
    shades = {name: to_hex(ramp(level)) for name, level in zip(known, levels, strict=False)}
    return table.assign(at=names), shades | {
        name: _NOT_CONFIGURED for name in dict.fromkeys(names) if name not in shades
    }


def _start(pipeline: str) -> str:
    return pipeline if len(pipeline) <= _LONGEST_START else f"{pipeline[: _LONGEST_START - 1]}…"


def _age_bars(ax: Axes, rows: pd.DataFrame, shades: dict[str, str], currency: str | None) -> None:
    ages = list(forecast.AGES)
    places = np.arange(len(ages), dtype=np.float64)
    sums = rows.pivot_table("open_value", "age", "at", aggfunc="sum", observed=True)
    sums = sums.reindex(index=ages, columns=list(shades)).fillna(0.0)
    layers = [
        (sums[name].to_numpy(), {"facecolor": shade, "linewidth": 0})
        for name, shade in shades.items()
    ]
    below, above = stack(ax, places, layers, 0.72)
    counts = rows.groupby("age", observed=True)["open_deals"].sum().reindex(ages, fill_value=0)
    for place, (count, top, value) in enumerate(zip(counts, above, sums.sum(axis=1), strict=True)):
        if count:
            crown(ax, place, top, f"{panel_money(value, currency)}\n{plural(count)}")
    ax.set_xticks(places, ages, color=MUTED)
    ax.set_xlim(-0.6, len(ages) - 0.4)
    low, high = below.min(), above.max()
    span = high - low or 1.0
    ax.set_ylim(low * 1.06, high + 0.26 * span)
    if low < 0:
        zero_line(ax)


def _undated(rows: pd.DataFrame) -> str:
    count = int(rows.loc[rows["age"].isna(), "open_deals"].sum())
    return f"Not in the chart: {count:,} without a creation date." if count else ""


def _totals(rows: pd.DataFrame, currency: str | None) -> str:
    count, value = int(rows["open_deals"].sum()), rows["open_value"].sum()
    return f"{plural(count)}, {panel_money(value, currency)}"
