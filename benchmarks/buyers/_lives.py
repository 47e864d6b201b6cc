"""The one life that came true, and the many that could have followed on a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._calendar import BEFORE, STARTS
from ._life import LOST, OPEN, UNSEEN, Life
from ._sellers import live_a_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ._firms import Firm


def live(firm: Firm, months: int, look: Callable[[int, Life], None]) -> Life:
    """Live from the firm's first day to the end of so many months; look at each of their ends."""
    life = Life.begin(firm)
    for month in range(firm.first_month + months):
        if month == BEFORE:
            _open_the_list(life)
        while life.day < STARTS[month + 1] - 1:
            live_a_day(life)
        if month >= firm.first_month:
            look(month - firm.first_month, life)
    return life


def _open_the_list(life: Life) -> None:
    """Carry what is open over into a new list, as entered on that day; leave the past behind."""
    life.settle()
    life.ended = []
    deals = life.deals
    opened = deals["status"] == OPEN
    for name in ("created", "looked", "stage_since"):
        deals[name][opened] = life.day + 0.9
    lost = deals["status"] == LOST
    deals["status"][lost] = UNSEEN
    deals["closed"][lost] = np.nan
    deals["reason"][lost] = -1


def futures(life: Life, months: int, draws: int) -> NDArray[np.float64]:
    """Sum what is won in each of the coming months, in futures that begin with the state as it is.

    Returns
    -------
    numpy.ndarray
        Shape (draws, months, currencies).
    """
    month = int(np.searchsorted(STARTS, life.day, side="right"))
    rng = np.random.default_rng((*life.firm.seed, 3, month))
    many = life.copied(draws, rng)
    many.came = np.zeros((draws, months, len(life.firm.currencies)))
    many.came_from = month
    while many.day < STARTS[month + months] - 1:
        live_a_day(many)
    return many.came
