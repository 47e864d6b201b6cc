"""Charts of horizontal bars: a named row each, read from the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._style import EDGE, INK, MUTED, NOTE_SIZE, name_fonts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_LONGEST_NAME = 30
_FEWEST_ROWS = 2


def shorten(name: str) -> str:
    """Cut a long name, so that labels leave room for the bars."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"


def inches(rows: int, *, each: float = 0.3) -> float:
    """Return the height of a panel of rows, with its title and axis."""
    return 0.75 + each * max(rows, _FEWEST_ROWS)


def label_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, … of a panel, the first one at the top."""
    ax.set_yticks(range(len(names)), list(names), color=INK, parse_math=False, family=name_fonts())
    ax.tick_params(axis="y", labelcolor=INK)
    # A single row in a panel for two is a bar and not a slab.
    spare = max(0, _FEWEST_ROWS - len(names)) / 2
    ax.set_ylim(len(names) - 0.4 + spare, -0.6 - spare)
    left, right = ax.dataLim.intervalx
    if not right > left:
        ax.set_xlim(0, 1)
    elif left < 0:
        ax.spines["left"].set_visible(False)
        ax.axvline(0, color=EDGE, linewidth=0.8)


def tail_rows(ax: Axes, words: Sequence[str]) -> None:
    """Write words at the right of each row, outside the panel, where no bar reaches."""
    for row, text in enumerate(words):
        ax.annotate(
            text,
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            size=NOTE_SIZE,
            color=MUTED,
            annotation_clip=False,
        )
