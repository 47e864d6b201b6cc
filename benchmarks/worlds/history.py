"""The true history of an account, day by day, with what people typed into it.

The log holds every change of state of every deal, in order of deal and day, so that how all deals
stood on any day is one search. What people type (dates, probabilities) depends on the hidden state
and on chance, never on the future.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .deals import (
    DEAD,
    DELETED,
    DOUBLE,
    PAUSED,
    PROMISED,
    SIGNING,
    WON,
    WORKING,
    Standing,
    Traits,
    arrivals,
    play,
    wait,
)
from .market import Days, Market, Months
from .temperaments import AHEAD, first_day

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .account import Account

REACH = 100_000
"""More than there are days: spreads deals on one sorted line."""

SHOWN_OPEN = (WORKING, PROMISED, SIGNING, DEAD, DOUBLE)
DAYS_A_WORKING_DAY = 1.45
FARTHEST = 3000


@dataclass(frozen=True)
class Typed:
    """Expected closes as they were typed, in order of deal and day; column -1 is no date."""

    line: NDArray[np.int64]
    close: NDArray[np.int64]
    pushes: NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """What happened.

    Attributes
    ----------
    created
        Column in which each deal arrived.
    log
        Every change of state, in order of deal and day.
    line
        Deal and column of each entry of the log as one ascending number.
    moved
        Column of the last change of milestone up to each entry of the log.
    typed
        Expected closes.
    stated
        Probability that is typed at each stage, shape (deals, stages).
    """

    account: Account
    market: Market
    traits: Traits
    created: NDArray[np.int64]
    log: Standing
    line: NDArray[np.int64]
    moved: NDArray[np.int64]
    typed: Typed
    stated: NDArray[np.float64]

    @classmethod
    def of(cls, account: Account) -> History:
        """Simulate an account."""
        rng = np.random.default_rng((7, *account.seed))
        last = account.months[-1]
        end = first_day(last.year * 12 + last.month + AHEAD)
        days = Days.after(account.opens - 1, end - account.opens)
        first, months = int(days.month[0]), int(days.month[-1] - days.month[0]) + 1
        state = Months.at_rest(first).replay(rng, account.climate, 1, months)
        # Jumps are counted from the first of the 30 months, for which intake is stated.
        stated_for = max(account.anchor - first, 0)
        state = replace(state, level=state.level - state.level[:, [stated_for]])
        market = Market.over(account, days, state)
        nothing = np.zeros(len(account.kinds), dtype=np.int64)
        traits, starts = arrivals(rng, account, market, nothing)
        log = Standing.joined([starts, *play(rng, account, market, traits, starts)])
        # Stable, so that several changes of one day stay in their order.
        log = log.take(np.argsort(log.deal * REACH + log.column, kind="stable"))
        line = log.deal * REACH + log.column
        stated = _probabilities(rng, account, traits)
        typed = _expected_closes(rng, account, market, traits, log)
        return cls(account, market, traits, starts.column, log, line, _moves(log), typed, stated)

    def column(self, ordinal: int) -> int:
        """Give the column of a day."""
        return ordinal - self.market.days.origin

    def at(self, column: int) -> NDArray[np.int64]:
        """Find the entry of the log at which each deal stands; only deals that exist by then."""
        count = self.traits.tcv.size
        found = np.searchsorted(self.line, np.arange(count) * REACH + column, side="right") - 1
        ours = found >= 0
        ours[ours] = self.log.deal[found[ours]] == np.flatnonzero(ours)
        return found[ours]


def open_on_screen(state: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which states look open."""
    return np.isin(state, SHOWN_OPEN)


def _moves(log: Standing) -> NDArray[np.int64]:
    """Carry the column of the last change that shows as a change of milestone."""
    shown = np.where(open_on_screen(log.state), log.stage, np.where(log.state == WON, -1, -2))
    shown = np.where(log.state == DELETED, -3, shown)
    fresh = np.ones(shown.size, dtype=bool)
    fresh[1:] = (shown[1:] != shown[:-1]) | (log.deal[1:] != log.deal[:-1])
    return log.column[np.maximum.accumulate(np.where(fresh, np.arange(shown.size), 0))]


def _probabilities(
    rng: np.random.Generator, account: Account, traits: Traits
) -> NDArray[np.float64]:
    """Type a probability for each deal at each stage: its milestone's, or one's own feeling."""
    count = traits.tcv.size
    most = max(len(pipe.of_stage) for pipe in account.pipes[0])
    feeling = rng.normal(0.05, 0.1, (count, most)) + 0.12 * traits.quality[:, None]
    own = rng.random((count, most)) < account.overrides
    return np.where(own, feeling, np.nan)


def _days_ahead(account: Account) -> NDArray[np.float64]:
    """Add up what is left at each stage, in days, if all goes well, as a seller sees it."""
    most = max(len(kind.waits) for kind in account.kinds)
    ahead = np.zeros((len(account.kinds), most + 1))
    for number, kind in enumerate(account.kinds):
        waits = np.append(kind.waits, 0.0)
        left = np.cumsum(waits[::-1])[::-1] * DAYS_A_WORKING_DAY
        ahead[number, : waits.size] = left + kind.promise + kind.slip
        ahead[number, waits.size :] = kind.promise + kind.slip
    return ahead


def _rounded(
    rng: np.random.Generator, market: Market, guess: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Turn guesses into the days that people type: often the end of the month."""
    # Waits with heavy tails give dates beyond any calendar, and months beyond the simulated days
    # have no known end.
    days = np.minimum(np.round(guess).astype(np.int64), market.last + FARTHEST)
    month = market.days.month
    last = np.searchsorted(month, month[np.minimum(days, market.last)], side="right") - 1
    to_end = (rng.random(days.size) < 0.45) & (days <= market.last)
    return np.where(to_end, last, days)


def _expected_closes(
    rng: np.random.Generator, account: Account, market: Market, traits: Traits, log: Standing
) -> Typed:
    """Type dates at the start and at new milestones, and push those that have passed.

    Deals are followed together, one event each at a time: the next change of state or the next
    push, whichever comes first.
    """
    count = traits.tcv.size
    pointer = np.searchsorted(log.deal, np.arange(count))
    stop = np.searchsorted(log.deal, np.arange(count), side="right")
    owners = account.owners
    care = np.array([o.care for o in owners])[traits.owner]
    optimism = np.array([o.optimism for o in owners])[traits.owner]
    ahead = _days_ahead(account)

    def believed(deal: NDArray[np.int64], entry: NDArray[np.int64]) -> NDArray[np.int64]:
        stage, now = log.stage[entry], log.column[entry]
        left = ahead[traits.kind[deal], stage] * traits.pace[deal] * optimism[deal]
        guess = now + left * np.exp(0.45 * rng.standard_normal(deal.size))
        told = log.target[entry] + rng.normal(-3, 8, deal.size) - 10 * (1 - optimism[deal])
        guess = np.where(log.state[entry] == PROMISED, told, guess)
        return _rounded(rng, market, np.maximum(guess, now + 1))

    deal = np.arange(count)
    close = np.where(rng.random(count) < account.undated, -1, believed(deal, pointer))
    pushes = np.zeros(count, dtype=np.int64)
    found = [(deal, log.column[pointer], close.copy(), pushes.copy())]
    now = log.column[pointer].copy()
    while deal.size:
        entry = pointer[deal]
        state = log.state[entry]
        nudge = np.where(state == DEAD, 130.0, 5.0) * (1.05 - care[deal]) ** 2 * 4 + 1
        delay = np.ceil(wait(rng, nudge, 1.5, np.zeros(deal.size))).astype(np.int64)
        dated = (close[deal] >= 0) & np.isin(state, (WORKING, PROMISED, SIGNING, DEAD))
        push = np.where(dated, np.maximum(close[deal], now[deal]) + delay, market.last + 1)
        follows = entry + 1 < stop[deal]
        after = np.where(follows, log.column[np.minimum(entry + 1, log.column.size - 1)], 10**7)
        turns = after <= push
        push_now = ~turns & (push <= market.last)

        at = deal[push_now]
        further = wait(rng, 42.0, 1.8, np.zeros(at.size)) + 5
        now[at] = push[push_now]
        close[at] = _rounded(rng, market, now[at] + further)
        pushes[at] += 1
        found.append((at, now[at].copy(), close[at].copy(), pushes[at].copy()))

        at = deal[turns & follows]
        pointer[at] += 1
        now[at] = log.column[pointer[at]]
        before, entry = pointer[at] - 1, pointer[at]
        anew = (log.state[entry] == PROMISED) | (
            (log.state[entry] == WORKING)
            & ((log.stage[entry] != log.stage[before]) | (log.state[before] == PAUSED))
        )
        anew &= rng.random(at.size) < 0.35 + 0.5 * care[at]
        typing = at[anew]
        if typing.size:
            close[typing] = believed(typing, pointer[typing])
            found.append((typing, now[typing].copy(), close[typing].copy(), pushes[typing].copy()))
        deal = deal[push_now | (turns & follows)]
    deals, columns, closes, times = (np.concatenate(part) for part in zip(*found, strict=True))
    line = deals * REACH + columns
    order = np.argsort(line, kind="stable")
    return Typed(line[order], closes[order], times[order])
