"""Figures of one panel a currency: amounts in two currencies never share an axis."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from capsule_analytics._words import currency_name, day_words
from capsule_analytics.errors import ArgumentError

from ._style import INK, MUTED, NOTE_SIZE, name_fonts, plain_axes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

Panels = np.ndarray[Any, np.dtype[np.object_]]
"""Several Axes, shape (panels,)."""

AxesArgument = Axes | Sequence[Axes] | Panels
"""What a chart takes as ``ax``: one Axes, or one a panel."""

WIDTH = 9.0
"""Width of a figure of our own, in inches."""

_MARGIN = 0.12
_TITLE_HEIGHT = 0.42
_LEGEND_LINE = 0.25
_LEGEND_ENTRY = 1.9
_NOTE_LINE = 0.16
_ONE_COLUMN = 3
_DEAL_COUNTS = ("deals", "open_deals", "won_deals")
_NOTE_CHARACTERS_PER_INCH = 14.5
_TICK_LABELS = 0.8


@dataclass(frozen=True)
class Board:
    """A figure with its panels.

    Attributes
    ----------
    fig
        The figure.
    axes
        One Axes a panel.
    own
        Whether the figure is ours to lay out; False where the user passed Axes.
    columns
        Panels side by side.
    """

    fig: Figure
    axes: list[Axes]
    own: bool
    columns: int

    def panel_width(self, ax: Axes) -> float:
        """Return the width of a panel in inches, near enough to choose its tick labels."""
        width = float(self.fig.get_size_inches()[0])
        # The layout of our own figures is computed only when they are drawn.
        return 0.9 * width / self.columns if self.own else float(ax.get_position().width) * width

    def result(self) -> tuple[Figure, Axes | Panels]:
        """Return the figure with its Axes, an array of them where there are several panels."""
        if len(self.axes) == 1:
            return self.fig, self.axes[0]
        panels = np.empty(len(self.axes), dtype=object)
        panels[:] = self.axes
        return self.fig, panels


def by_currency(table: pd.DataFrame) -> list[tuple[str | None, pd.DataFrame]]:
    """Split a table into its currencies, most deals first, the missing currency last.

    Parameters
    ----------
    table
        Any table with the column ``currency``; one that does not count deals counts its rows.

    Returns
    -------
    Pairs of ISO code (None where missing) and the rows of that currency.
    """
    column = table["currency"].astype("object")
    counts = [name for name in _DEAL_COUNTS if name in table.columns]
    weight = table[counts].sum(axis=1) if counts else pd.Series(1, index=table.index)
    known = weight.groupby(column).sum()
    codes = sorted((str(code) for code in known.index), key=lambda code: (-known[code], code))
    parts: list[tuple[str | None, pd.DataFrame]] = [
        (code, table[(column == code).to_numpy()]) for code in codes
    ]
    if column.isna().any():
        parts.append((None, table[column.isna().to_numpy()]))
    return parts


def each_panel(
    board: Board, parts: Iterable[tuple[str | None, pd.DataFrame]], *, values: str = "y"
) -> Iterator[tuple[Axes, str | None, pd.DataFrame]]:
    """Go through the panels of a board, made plain, with the currency and the rows of each."""
    for ax, (currency, rows) in zip(board.axes, parts, strict=True):
        plain_axes(ax, values=values)
        yield ax, currency, rows


def require(table: pd.DataFrame, columns: Sequence[str], source: str) -> None:
    """Refuse a table that lacks a column, naming the function that gives one that has it."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ArgumentError(f"the table lacks the column {missing[0]!r}; use a table of {source}")


def open_board(
    panels: int,
    ax: AxesArgument | None,
    *,
    heights: Sequence[float],
    legend_lines: int = 1,
    notes: Sequence[str] = (),
    foot: str = "",
    columns: int | None = None,
    wide: int = 0,
    width: float = WIDTH,
) -> Board:
    """Take the user's Axes, or make a figure with room for title, legend and notes.

    Parameters
    ----------
    panels
        How many panels are needed.
    ax
        The user's Axes, or None.
    heights
        Height of each panel in inches.
    legend_lines
        Lines that the legend takes.
    notes
        The note under each panel, as `wrap` gives it, for the room it takes.
    foot
        A note of one line below all panels of a figure of our own.
    columns
        Panels side by side; None means as many as suit the number of panels.
    wide
        How many of the panels, from the first on, have a row to themselves.
    width
        Width of the figure in inches.

    Raises
    ------
    ArgumentError
        If `ax` does not hold one Axes a panel.
    """
    if ax is not None:
        return _given(panels, ax)
    # Only here: pyplot finds a backend, which a user who passes Axes has done already.
    import matplotlib.pyplot as plt  # noqa: PLC0415

    columns = columns_for(panels) if columns is None else columns
    needed = [
        heights[panel] + _NOTE_LINE * (notes[panel].count("\n") + 1 if any(notes) else 0)
        for panel in range(panels)
    ]
    wide = wide if columns > 1 else 0
    rows = [[panel] for panel in range(wide)]
    rows += [list(range(panels)[at : at + columns]) for at in range(wide, panels, columns)]
    room = [max(needed[panel] for panel in row) for row in rows]
    above = _TITLE_HEIGHT + _LEGEND_LINE * legend_lines + 0.08
    below = 1.5 * _NOTE_LINE if foot else 0.0
    height = above + sum(room) + below
    layout = ConstrainedLayoutEngine(
        rect=(0.005, below / height, 0.985, sum(room) / height), h_pad=0.06, w_pad=0.06, hspace=0.04
    )
    fig = plt.figure(figsize=(width, height), layout=layout)
    if foot:
        fig.text(_MARGIN / width, 0.06 / height, foot, size=NOTE_SIZE, color=MUTED)
    grid = fig.add_gridspec(len(rows), columns, height_ratios=room)
    axes = [
        fig.add_subplot(grid[number, :] if number < wide else grid[number, place])
        for number, row in enumerate(rows)
        for place in range(len(row))
    ]
    return Board(fig, axes, own=True, columns=columns)


def columns_for(panels: int) -> int:
    """Return how many panels stand side by side."""
    return 1 if panels <= _ONE_COLUMN else 2


def _given(panels: int, ax: AxesArgument) -> Board:
    axes = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, dtype=object)))
    if len(axes) != panels or not all(isinstance(one, Axes) for one in axes):
        needed = "one Axes" if panels == 1 else f"{panels} Axes, one a currency"
        raise ArgumentError(f"this table needs {needed}, but ax holds {len(axes)}")
    figure = axes[0].figure
    root = figure.figure if isinstance(figure, SubFigure) else figure
    return Board(root, axes, own=False, columns=1)


def headed(
    board: Board, title: str, *, about: str = "", handles: Sequence[Artist] = (), ncols: int = 6
) -> tuple[Figure, Axes | Panels]:
    """Write the title and the legend above the panels, where they cover nothing: a chart is done.

    Parameters
    ----------
    board
        The panels.
    title
        What the chart shows.
    about
        Account and as-of day, at the right.
    handles
        The entries of the legend.
    ncols
        Entries in a line of the legend.

    Returns
    -------
    What every chart returns: the figure with its Axes.
    """
    legend: dict[str, Any] = {
        "handles": list(handles),
        "ncols": ncols,
        "prop": {"family": name_fonts()},
        "loc": "upper left",
        "frameon": False,
        "borderaxespad": 0.0,
        "borderpad": 0.0,
        "handlelength": 1.4,
        "handleheight": 0.9,
        "columnspacing": 1.4,
    }
    if not board.own:
        first = board.axes[0]
        ncols = max(1, min(ncols, int(board.panel_width(first) / _LEGEND_ENTRY)))
        legend |= {"ncols": ncols, "loc": "lower left", "bbox_to_anchor": (0.0, 1.02)}
        if handles:
            first.legend(**legend)
        lines = math.ceil(len(handles) / ncols)
        panel = first.get_title(loc="left")
        first.set_title(
            f"{title}, {panel}" if panel else title,
            loc="left",
            weight="bold",
            pad=6 + 14 * lines,
        )
        return board.result()
    width, height = board.fig.get_size_inches()
    left = _MARGIN / width
    board.fig.suptitle(
        title, x=left, y=1 - 0.12 / height, ha="left", va="top", size=12, weight="bold"
    )
    board.fig.text(
        1 - left,
        1 - 0.16 / height,
        about,
        ha="right",
        va="top",
        size=NOTE_SIZE + 0.5,
        color=MUTED,
        family=name_fonts(),
    )
    if handles:
        anchor = (left, 1 - _TITLE_HEIGHT / height)
        board.fig.legend(**legend, bbox_to_anchor=anchor)
    return board.result()


def name_panel(board: Board, ax: Axes, currency: str | None, totals: str = "") -> None:
    """Title a panel with its currency, and its totals at the right."""
    # With a place of its own, no draw measures all tick labels to see if one is in its way.
    place: dict[str, Any] = {"y": 1.0} if board.own else {}
    ax.set_title(
        currency_name(currency), **place, loc="left", weight="bold", color=INK, parse_math=False
    )
    if board.own:
        ax.set_title(totals, **place, loc="right", size=NOTE_SIZE, color=MUTED, parse_math=False)


def plural(deals: int) -> str:
    """Count deals in words.

    Examples
    --------
    >>> plural(1), plural(1200)
    ('1 deal', '1,200 deals')
    """
    return f"{deals:,} deal{'' if deals == 1 else 's'}"


def wrap(text: str, columns: int = 1) -> str:
    """Break a note into lines that fit under a panel."""
    return _fill(text, WIDTH / columns - _TICK_LABELS)


def _fill(text: str, inches: float) -> str:
    return textwrap.fill(text, max(20, int(inches * _NOTE_CHARACTERS_PER_INCH)))


def note(board: Board, ax: Axes, text: str) -> None:
    """Write a note, as `wrap` gives it, below a panel."""
    if text:
        if not board.own:
            text = _fill(text, board.panel_width(ax))
        ax.set_xlabel(text, loc="left", size=NOTE_SIZE, color=MUTED, parse_math=False)


def empty(
    ax: AxesArgument | None, title: str, words: str = "no deals"
) -> tuple[Figure, Axes | Panels]:
    """Draw the chart of a table without rows: its title, and words in place of a picture."""
    board = open_board(1, ax, heights=[2.6], legend_lines=0)
    say(board.axes[0], words)
    return headed(board, title)


def say(ax: Axes, words: str) -> None:
    """Put words in place of a picture."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("#d8d8d8")
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color=MUTED, size=11)


def about(table: pd.DataFrame) -> str:
    """Name the account and the as-of day of a table, as far as its attrs tell them."""
    account, as_of = table.attrs.get("account"), table.attrs.get("as_of")
    day = f"as of {day_words(as_of)}" if as_of else ""
    return ", ".join(part for part in (account, day) if part)
