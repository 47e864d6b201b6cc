"""A second world of invented firms, by other rules than the first: customers decide by the day.

In `worlds` every deal walks from milestone to milestone at rates of its own. Here a deal has a
customer who decides on a day of their own, or who was never going to buy; the list learns of it
when its owner looks, and milestones, dates and probabilities are what owners believe on the days
on which they look. Owners leave, quarter ends pull decisions, frozen decisions pile up and thaw,
dead deals stand until somebody cleans up, contracts come up again, campaigns bring bursts, and some
sales are entered when they are already made. Time runs by the day, with weekends and holidays.

`worlds` lists the firms of a group; each is looked at, counted and replayed as `worlds.World` is.
Choose on ``choose``, report on ``report``; ``fresh`` is for whoever wants a group that nobody saw.

What a day does is in `daybook._days`, the ranges of all parameters in `daybook._firms`, what
Capsule would show in `daybook._frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ._days import FIRST, WON, Days, futures, live, month_end_day
from ._firms import EACH, GROUPS, TEMPERAMENTS, YOUNG, Firm, firms
from ._frames import pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    import capsule_analytics as ca

HALVES = tuple(GROUPS)
AHEAD = 4
"""Months lived beyond the last month end, so that what came is known."""

__all__ = ["EACH", "HALVES", "TEMPERAMENTS", "YOUNG", "Firm", "World", "firms", "worlds"]


@dataclass(frozen=True)
class World:
    """A firm whose past and possible futures are known; lived through when first asked.

    Attributes
    ----------
    name, temperament
        What it is called, and what kind of business it is.
    half
        The group that it belongs to, one of `HALVES`.
    months
        Month ends on which it is looked at; that day counts as over.
    account
        Its true parameters.
    """

    name: str
    temperament: str
    half: str
    months: tuple[date, ...]
    account: Firm

    @cached_property
    def _lived(self) -> tuple[dict[date, ca.Pipeline], dict[date, Days], dict[str, NDArray[Any]]]:
        """Live through all months once: what was shown, how it truly stood, how it ended."""
        shown, stood = {}, {}

        def look(month: int, state: Days) -> None:
            if month < len(self.months):
                shown[self.months[month]] = pipeline(state)
                stood[self.months[month]] = state.frozen_copy()

        last = live(self.account, len(self.months) + AHEAD, look)
        return shown, stood, last.all_deals()

    def __getstate__(self) -> dict[str, object]:
        """Send the description alone to another process: the rest follows from it."""
        return {name: value for name, value in self.__dict__.items() if name != "_lived"}

    def snapshot(self, day: date) -> ca.Pipeline:
        """Show the list as it stood at one of the month ends."""
        return self._lived[0][day]

    def won(self, start: date, end: date) -> dict[str, float]:
        """Sum what was won from a day to before another, by currency."""
        deals = self._lived[2]
        since, until = (int((np.datetime64(day) - FIRST).astype(int)) for day in (start, end))
        at = (deals["outcome"] == WON) & (deals["closed"] >= since) & (deals["closed"] < until)
        worth = deals["value"][at] * np.maximum(deals["duration"][at], 1)
        codes = self.account.currencies
        sums = np.bincount(deals["currency"][at], worth, len(codes))
        return dict(zip(codes, sums.tolist(), strict=True))

    def oracle(
        self, day: date, horizons: Sequence[tuple[date, date]], draws: int
    ) -> dict[tuple[str, int], NDArray[np.float64]]:
        """Replay the coming months from the true state at a month end, as `worlds.World` does.

        The horizons are whole months that follow on the day.
        """
        month = self.months.index(day)
        first = day.year * 12 + day.month
        spans = [
            (start.year * 12 + start.month - 1 - first, end.year * 12 + end.month - 1 - first)
            for start, end in horizons
        ]
        came = futures(self._lived[1][day], month, max(end for _, end in spans), draws)
        return {
            (name, number): came[:, start:end, code].sum(axis=1)
            for number, (start, end) in enumerate(spans)
            for code, name in enumerate(self.account.currencies)
        }


def worlds(half: str) -> list[World]:
    """List the firms of a group, two or more of each temperament.

    Parameters
    ----------
    half
        One of `HALVES`.
    """
    found = []
    for firm in firms(half):
        ends = [(FIRST + month_end_day(month)).item() for month in range(firm.months_seen)]
        found.append(World(firm.name, firm.temperament, half, tuple(ends), firm))
    return found
