"""A third world of invented firms, seen from the buyers' side.

`worlds` moves deals between milestones, `daybook` lets customers decide on a day of their own. Here
a purchase goes through its buyer's house whether or not a seller knows of it: a need, a comparison,
a committee whose members agree one by one, a budget round by the customer's fiscal year, papers,
and days on which the customer signs. Beside these there are tenders with a day of their own, sales
that partners report when they are made, contracts that come up again, calls under a large
customer's framework. What the list says follows from what sellers notice and how they use it: they
enter deals late, put dates off month by month, hold orders back, give discounts at a quarter's end,
leave the dead standing and clean up in sprees, part and merge deals, leave and are succeeded.
Demand wanders, rivals come and go, money freezes, a product is launched, milestones change.

`worlds` lists the firms of a group; each is looked at, counted and replayed as `worlds.World` is.
Choose on ``choose``, report on ``report``; ``fresh`` is for whoever wants a group that nobody saw.

Customers are in `buyers._customers`, sellers in `buyers._sellers`, the state of both and its copies
in `buyers._life`, the ranges of all parameters in `buyers._firms`, what Capsule would show in
`buyers._frames`. The orders of magnitude (a quarter to a third of entered deals won, fewer of large
ones; more deals lost to no decision than to others; a third and more of the dates put off; odds
that fall with the number of people who decide) are those that surveys of business sales report.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ._calendar import FIRST
from ._firms import EACH, GROUPS, TEMPERAMENTS, YOUNG, Firm, firms
from ._frames import pipeline
from ._life import WON, Life
from ._lives import futures, live

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
    def _lived(self) -> tuple[dict[date, ca.Pipeline], dict[date, Life], dict[str, NDArray[Any]]]:
        """Live through all months once: what was shown, how it truly stood, how it ended."""
        shown, stood = {}, {}

        def look(month: int, life: Life) -> None:
            if month < len(self.months):
                shown[self.months[month]] = pipeline(life)
                stood[self.months[month]] = life.copied(1, life.rng)

        last = live(self.account, len(self.months) + AHEAD, look)
        return shown, stood, last.listed()

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
        at = (deals["status"] == WON) & (deals["closed"] >= since) & (deals["closed"] < until)
        codes = self.account.currencies
        sums = np.bincount(deals["currency"][at], deals["worth"][at], len(codes))
        return dict(zip(codes, sums.tolist(), strict=True))

    def oracle(
        self, day: date, horizons: Sequence[tuple[date, date]], draws: int
    ) -> dict[tuple[str, int], NDArray[np.float64]]:
        """Replay the coming months from the true state at a month end, as `worlds.World` does.

        The horizons are whole months that follow on the day.
        """
        first = day.year * 12 + day.month
        spans = [
            (start.year * 12 + start.month - 1 - first, end.year * 12 + end.month - 1 - first)
            for start, end in horizons
        ]
        came = futures(self._lived[1][day], max(end for _, end in spans), draws)
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
    return [World(firm.name, firm.temperament, half, firm.months, firm) for firm in firms(half)]
