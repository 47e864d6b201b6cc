"""Invented sales accounts whose truth is known: what the projection is held to.

`worlds` lists the accounts of a half. Each can be looked at as Capsule would have shown it on any
day (`World.snapshot`), knows what was won (`World.won`), and has an oracle (`World.oracle`) that
replays the future from the true hidden state: the deals' quality, which ones are dead, the dates
that customers have in mind, the mood of the market. What the oracle misses, nobody can know.

Choose on the half ``choose``; ``report`` is for the figures that are reported. The halves share no
account: other seeds, and other draws of every parameter.

How deals arrive and end is in `worlds.deals`, the market in `worlds.market`, what people type in
`worlds.history`, what is seen in `worlds.frames`, the ranges of all parameters in
`worlds.temperaments`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .deals import ALIVE, WON, Standing, arrivals, play
from .frames import Screen
from .history import History
from .market import Days, Market
from .temperaments import ACCOUNTS, HALVES, TEMPERAMENTS, draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    import capsule_analytics as ca

    from .account import Account

__all__ = ["ACCOUNTS", "HALVES", "TEMPERAMENTS", "World", "draw", "worlds"]


@dataclass(frozen=True)
class World:
    """An account whose past and possible futures are known; simulated when first asked.

    Attributes
    ----------
    name
        Temperament and number.
    temperament
        What is the matter with it, one of `TEMPERAMENTS`.
    half
        ``choose`` or ``report``.
    months
        Month ends on which it is looked at; that day counts as over.
    account
        Its true parameters.
    """

    name: str
    temperament: str
    half: str
    months: tuple[date, ...]
    account: Account

    @cached_property
    def history(self) -> History:
        """What happened."""
        return History.of(self.account)

    @cached_property
    def screen(self) -> Screen:
        """What was seen of it."""
        return Screen(self.history)

    def __getstate__(self) -> dict[str, object]:
        """Send the description alone to another process: the rest follows from it."""
        return {k: v for k, v in self.__dict__.items() if k not in {"history", "screen"}}

    def snapshot(self, day: date) -> ca.Pipeline:
        """Show the account as it stood at the end of a day.

        Parameters
        ----------
        day
            The day, at the latest some months after the last month end.

        Returns
        -------
        The pipeline as of that day. Closed deals have probability 1 or 0 and stand at Won or Lost;
        deleted ones are gone.
        """
        return self.screen.pipeline(day)

    def won(self, start: date, end: date) -> dict[str, float]:
        """Sum what was won.

        Parameters
        ----------
        start, end
            First day, and the day after the last one.

        Returns
        -------
        Currency to total contract value, in that currency; every currency of the account.
        """
        history, log = self.history, self.history.log
        since, until = history.column(start.toordinal()), history.column(end.toordinal())
        at = (log.state == WON) & (log.column >= since) & (log.column < until)
        currency = history.traits.currency[log.deal[at]]
        codes = self.account.currencies
        sums = np.bincount(currency, weights=log.tcv[at], minlength=len(codes))
        return dict(zip(codes, sums.tolist(), strict=True))

    def oracle(
        self, day: date, horizons: Sequence[tuple[date, date]], draws: int
    ) -> dict[tuple[str, int], NDArray[np.float64]]:
        """Replay the future from the true hidden state at the end of a day.

        Parameters
        ----------
        day
            From this day's end on everything is left to chance.
        horizons
            Periods after that day, each by its first day and the day after its last.
        draws
            Number of replays.

        Returns
        -------
        Currency and number of the horizon to what is won then, shape (draws,). The same arguments
        give the same replays.
        """
        account, history = self.account, self.history
        origin = day.toordinal()
        rng = np.random.default_rng((13, *account.seed, origin))
        column = history.column(origin)
        last = max(end for _, end in horizons).toordinal() - 1
        days = Days.after(origin, last - origin)
        months = history.market.months.of(int(days.month[0]))
        columns = int(days.month[-1] - days.month[0]) + 1
        market = Market.over(account, days, months.replay(rng, account.climate, draws, columns))

        listed = self._standing(column)
        count = listed.deal.size
        again = np.tile(np.arange(count), draws)
        listed = replace(listed.take(again), row=np.repeat(np.arange(draws), count))
        ended = play(rng, account, market, history.traits, listed, only_won=True)
        found = [(history.traits.currency[won.deal], won) for won in ended]

        traits, starts = arrivals(rng, account, market, self._since(column))
        ended = play(rng, account, market, traits, starts, only_won=True)
        found += [(traits.currency[won.deal], won) for won in ended]
        currency = np.concatenate([codes for codes, _ in found])
        won = Standing.joined([won for _, won in found])

        result = {}
        for number, (start, end) in enumerate(horizons):
            within = (won.column >= start.toordinal() - origin) & (
                won.column < end.toordinal() - origin
            )
            for code, name in enumerate(account.currencies):
                at = within & (currency == code)
                sums = np.bincount(won.row[at], weights=won.tcv[at], minlength=draws)
                result[name, number] = sums
        return result

    def _standing(self, column: int) -> Standing:
        """How the deals that may still be won stand, as of column 0 of a replay."""
        history = self.history
        entry = history.at(column)
        now = history.log.take(entry)
        now = now.take(np.isin(now.state, ALIVE))
        clocks = history.market
        passed = np.select(
            [now.state == ALIVE[0], now.state == ALIVE[2]],
            [
                clocks.working[0, column] - clocks.working[0, now.column],
                clocks.signing[0, column] - clocks.signing[0, now.column],
            ],
            (column - now.column).astype(float),
        )
        nothing = np.zeros(now.deal.size, dtype=np.int64)
        return replace(now, row=nothing, column=nothing, passed=passed, target=now.target - column)

    def _since(self, column: int) -> NDArray[np.int64]:
        """Days since the last arrival of each kind, of interest where they come one at a time."""
        history = self.history
        created, kind = history.created, history.traits.kind
        since = np.full(len(self.account.kinds), column, dtype=np.int64)
        past = created <= column
        for number in range(since.size):
            came = created[past & (kind == number)]
            if came.size:
                since[number] = column - came.max()
        return since


def worlds(half: str) -> list[World]:
    """List the accounts of a half, three or more of each temperament.

    Parameters
    ----------
    half
        ``choose`` or ``report``.
    """
    found = []
    for temperament in TEMPERAMENTS:
        for number in range(ACCOUNTS[temperament]):
            account = draw(temperament, half, number)
            found.append(World(account.name, temperament, half, account.months, account))
    return found
