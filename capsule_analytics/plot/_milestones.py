"""The open pipeline as it stands today: by milestone, and by age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.patches import Patch

from capsule_analytics._deals import chances
from capsule_analytics._words import day_words

from ._columns import crown, stack
from ._panels import (
    by_currency,
    columns_for,
    empty,
    head,
    name_panel,
    note,
    open_board,
    plural,
    say,
    wrap,
)
from ._rows import inches, label_rows, shorten, tail_rows
from ._style import MUTED, WEIGHTED, WON, money_axis, panel_money, plain_axes, styled, zero_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from capsule_analytics._deals import Probability
    from capsule_analytics.schema import Pipeline

    from ._panels import AxesArgument, Panels

_UNKNOWN = "no milestone"
_DAYS = (30, 90, 180, 365)
_AGES = ("under 30", "30-89", "90-179", "180-364", "365+")
_LEGEND_COLUMNS = 6


@styled
def milestones(
    pipeline: Pipeline, *, probability: Probability = None, ax: AxesArgument | None = None
) -> tuple[Figure, Axes | Panels]:
    """Draw the open deals by milestone: their number, TCV and weighted value.

    Every open deal counts, the overdue ones too.

    Parameters
    ----------
    pipeline
        The account. Milestones stand in its order, those without open deals too, so that gaps in
        the funnel are seen; deals at an unknown milestone come last.
    probability
        Other probabilities for the weighted value, as for `capsule_analytics.forecast.by_month`;
        None for Capsule's own.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If `ax` does not hold one Axes a currency, or `probability` is none.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> import matplotlib.pyplot as plt
    >>> fig, axes = milestones(ca.load_sample())
    >>> [label.get_text() for label in axes[0].get_yticklabels()][:5]
    ['Lead', 'Qualified', 'Proposal', 'Negotiation', 'Contract out']
    >>> plt.close(fig)
    """
    title = "Open deals by milestone"
    deals, order, _ = _open(pipeline, probability)
    if deals.empty:
        return empty(ax, title)
    parts = by_currency(deals)
    board = open_board(len(parts), ax, heights=[inches(len(order))] * len(parts))
    for panel, (currency, rows) in zip(board.axes, parts, strict=True):
        by = rows.groupby("at")
        sums = by[["tcv", "weighted"]].sum().reindex(order, fill_value=0.0)
        counts = by.size().reindex(order, fill_value=0)
        plain_axes(panel, values="x")
        place = np.arange(len(order), dtype=np.float64)
        panel.barh(place, sums["tcv"], 0.66, **WEIGHTED)
        panel.barh(place, sums["weighted"], 0.3, **WON)
        label_rows(panel, [shorten(name) for name in order])
        tail_rows(
            panel,
            [
                f"{plural(count)}, {panel_money(value, currency)}" if count else ""
                for count, value in zip(counts, sums["tcv"], strict=True)
            ],
        )
        money_axis(panel, currency, axis="x", ticks=7 // board.columns)
        name_panel(board, panel, currency, _totals(rows, currency))
    handles = [Patch(label="total contract value", **WEIGHTED), Patch(label="weighted", **WON)]
    head(board, title, about=_about(pipeline), handles=handles)
    return board.result()


@styled
def ageing(pipeline: Pipeline, *, ax: AxesArgument | None = None) -> tuple[Figure, Axes | Panels]:
    """Draw the open deals by age: TCV by days since they were entered, split by milestone.

    Every open deal counts, the overdue ones too.

    Parameters
    ----------
    pipeline
        The account; ages are counted up to its as-of day. A deal without a creation date is told
        in a note, one entered after the as-of day counts as new.
    ax
        Axes to draw on, as `forecast` takes them; None makes a figure.

    Returns
    -------
    The figure, and its Axes, as `forecast` returns them.

    Raises
    ------
    ArgumentError
        If `ax` does not hold one Axes a currency.

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
    deals, order, known = _open(pipeline, None)
    if deals.empty:
        return empty(ax, title)
    age = (pd.Timestamp(pipeline.as_of, tz="UTC") - deals["created_at"].dt.normalize()).dt.days
    bucket = np.searchsorted(_DAYS, age.to_numpy(dtype=np.float64, na_value=np.nan), side="right")
    deals = deals.assign(age=bucket).assign(age=lambda rows: rows["age"].where(age.notna()))
    parts = by_currency(deals)
    side = columns_for(len(parts))
    notes = [wrap(_undated(rows), side) for _, rows in parts]
    shades = _shades(deals, order, known)
    handles = [
        Patch(facecolor=shade, linewidth=0, label=shorten(name)) for name, shade in shades.items()
    ]
    board = open_board(
        len(parts),
        ax,
        heights=[3.4 if len(parts) == 1 else 2.3] * len(parts),
        notes=notes,
        legend_lines=-(-len(handles) // _LEGEND_COLUMNS),
    )
    for panel, (currency, rows), words in zip(board.axes, parts, notes, strict=True):
        plain_axes(panel)
        note(board, panel, words)
        if rows["age"].isna().all():
            say(panel, "no creation dates")
        else:
            _age_bars(panel, rows, shades, currency)
            money_axis(panel, currency)
        name_panel(board, panel, currency, _totals(rows, currency))
    head(board, title, about=_about(pipeline), handles=handles, ncols=_LEGEND_COLUMNS)
    return board.result()


def _open(pipeline: Pipeline, probability: Probability) -> tuple[pd.DataFrame, list[str], int]:
    """Return the open deals by milestone, the names in order, and how many are configured."""
    frame = pipeline.opportunities
    frame = frame[(frame["status"] == "open").to_numpy()]
    configured = pipeline.milestones[~pipeline.milestones["complete"].astype(bool).to_numpy()]
    several = len(set(pipeline.milestones["pipeline"].dropna())) > 1
    deals = pd.DataFrame(
        {
            "currency": frame["currency"].astype("object"),
            "created_at": frame["created_at"],
            "tcv": frame["tcv"],
            "weighted": frame["tcv"] * chances(frame, probability),
            "at": _stage(frame["pipeline"], frame["milestone"], several=several),
        }
    )
    known = _stage(configured["pipeline"], configured["name"], several=several)
    # Milestones that the configuration lacks stand after its own, and deals without one last.
    strange = sorted(set(deals["at"]) - set(known), key=lambda name: (name == _UNKNOWN, name))
    names = list(dict.fromkeys(known))
    return deals, [*names, *strange], len(names)


def _stage(pipeline: pd.Series, milestone: pd.Series, *, several: bool) -> pd.Series:
    """Name milestones, with their pipeline where there are several."""
    names = milestone.astype("object").where(milestone.notna(), _UNKNOWN)
    if not several:
        return names
    prefix = pipeline.astype("object") + ": "
    return prefix.where(pipeline.notna(), "") + names


def _age_bars(ax: Axes, rows: pd.DataFrame, shades: dict[str, str], currency: str | None) -> None:
    places = np.arange(len(_AGES), dtype=np.float64)
    sums = rows.pivot_table("tcv", "age", "at", aggfunc="sum")
    sums = sums.reindex(index=range(len(_AGES)), columns=list(shades)).fillna(0.0)
    layers = [
        (sums[name].to_numpy(), {"facecolor": shade, "linewidth": 0})
        for name, shade in shades.items()
    ]
    below, above = stack(ax, places, layers, 0.72)
    counts = rows.groupby("age").size().reindex(range(len(_AGES)), fill_value=0)
    for place, (count, top, value) in enumerate(zip(counts, above, sums.sum(axis=1), strict=True)):
        if count:
            crown(ax, place, top, f"{panel_money(value, currency)}\n{plural(count)}")
    ax.set_xticks(places, list(_AGES), color=MUTED)
    ax.set_xlim(-0.6, len(_AGES) - 0.4)
    low, high = below.min(), above.max()
    span = high - low or 1.0
    ax.set_ylim(low * 1.06, high + 0.26 * span)
    if low < 0:
        zero_line(ax)


def _shades(deals: pd.DataFrame, order: list[str], known: int) -> dict[str, str]:
    """Give the milestones that have deals their colours: the later, the darker blue.

    Those that the configuration lacks have no place in that order, and are grey.
    """
    ramp = mpl.colormaps["Blues"]
    blues = [to_hex(ramp(level)) for level in np.linspace(0.28, 1.0, max(known, 2))[:known]]
    shades = [*blues, *["#a3a3a3"] * (len(order) - known)]
    present = set(deals["at"])
    return {name: shade for name, shade in zip(order, shades, strict=True) if name in present}


def _undated(rows: pd.DataFrame) -> str:
    count = int(rows["age"].isna().sum())
    return f"Not in the chart: {count:,} without a creation date." if count else ""


def _totals(rows: pd.DataFrame, currency: str | None) -> str:
    count, value = len(rows), rows["tcv"].sum()
    return f"{plural(count)}, {panel_money(value, currency)}"


def _about(pipeline: Pipeline) -> str:
    day = f"as of {day_words(pipeline.as_of.isoformat())}"
    return f"{pipeline.account}, {day}" if pipeline.account else day
