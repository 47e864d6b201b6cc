"""Charts of upright bars: stacks of them, and words on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._style import INK, NOTE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def stack(
    ax: Axes, places: Floats, layers: Iterable[tuple[Floats, dict[str, Any]]], width: float
) -> tuple[Floats, Floats]:
    """Stack bars; what is below zero, such as credit notes, stacks downwards.

    Parameters
    ----------
    ax
        The panel.
    places
        Where the stacks stand, shape (stacks,).
    layers
        From the bottom: heights of shape (stacks,), and the fill.
    width
        Width of the bars.

    Returns
    -------
    Where the stacks end below zero and above it, shape (stacks,) each.
    """
    below, above = np.zeros(len(places)), np.zeros(len(places))
    for height, fill in layers:
        drawn = height != 0
        if drawn.any():
            bottom = np.where(height >= 0, above, below)
            ax.bar(places[drawn], height[drawn], width, bottom[drawn], **fill)
        above += np.maximum(height, 0)
        below += np.minimum(height, 0)
    return below, above


def crown(ax: Axes, place: float, top: float, words: str) -> None:
    """Write words on top of a bar."""
    ax.annotate(
        words,
        (place, top),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        size=NOTE_SIZE - 0.5,
        color=INK,
    )
