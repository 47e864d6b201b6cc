"""How deals arrive and end: one set of rules for the truth and for every replay of it.

A deal works its way through milestones. Each wait is log-logistic (heavy-tailed) on a clock that
the market drives, and the longer it took, the worse the odds of going on. At the last milestone the
customer has a date in mind; the signature comes that day or, more often, later. A deal that fails
is closed as lost, paused (closed as lost, and opened again some weeks later) or just left in the
list, dead, until somebody tidies up.

Where a deal stands in a wait is known by the clock time that has passed, and the law of a wait
given that is known exactly, so a replay from any day follows the same law as the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from .market import Market, when

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .account import Account

WORKING, PROMISED, SIGNING, PAUSED, DEAD, DOUBLE, LOST, WON, DELETED = range(9)
ALIVE = (WORKING, PROMISED, SIGNING, PAUSED)
"""States from which a deal may still be won."""

PROMISE_SHAPE, SLIP_SHAPE = 2.5, 1.3
REACH = 10**9
"""Later than any day."""

TIDIED_AFTER = 100
"""Days for which a deal has been dead when it is closed in a clean-up."""


@dataclass(frozen=True)
class Traits:
    """What a deal is, as arrays with one entry a deal.

    Attributes
    ----------
    kind, owner, currency
        Positions in the account's lists.
    quality
        How good it is, standard normal; unknown to those who sell it.
    size
        Log of its value at first against its kind's average.
    pace
        Factor on its waits.
    tcv
        Value at first.
    """

    kind: NDArray[np.int64]
    owner: NDArray[np.int64]
    currency: NDArray[np.int64]
    quality: NDArray[np.float64]
    size: NDArray[np.float64]
    pace: NDArray[np.float64]
    tcv: NDArray[np.float64]

    def take(self, at: NDArray[np.int64]) -> Traits:
        """Select deals."""
        return Traits(*(getattr(self, field.name)[at] for field in fields(self)))


@dataclass(frozen=True)
class Standing:
    """Where deals stand: the row and column of the market, and the wait they are in.

    Attributes
    ----------
    deal
        Position in the traits.
    row, column
        Replay and day on which they stand so.
    state, stage
        One of the states; number of the milestone.
    passed
        Clock time of the present wait that has passed by then.
    target
        Column of the date that the customer has in mind (state PROMISED).
    tcv
        Value by now.
    """

    deal: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    state: NDArray[np.int64]
    stage: NDArray[np.int64]
    passed: NDArray[np.float64]
    target: NDArray[np.int64]
    tcv: NDArray[np.float64]

    def take(self, at: NDArray[np.int64] | NDArray[np.bool_]) -> Standing:
        """Select entries."""
        return Standing(*(getattr(self, field.name)[at] for field in fields(self)))

    @staticmethod
    def joined(parts: list[Standing]) -> Standing:
        """Put entries one after another."""
        return Standing(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Standing))
        )


def odds(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn log odds into a probability."""
    return 1 / (1 + np.exp(-log_odds))


def to_ten(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round amounts as people do."""
    return np.maximum(np.round(amounts, -1), 10.0)


def wait(
    rng: np.random.Generator,
    scale: NDArray[np.float64] | float,
    shape: NDArray[np.float64] | float,
    passed: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Draw what is left of log-logistic waits of which some time has passed."""
    survived = 1 + (passed / scale) ** shape
    whole = scale * (survived / (1 - rng.random(passed.shape)) - 1) ** (1 / shape)
    return np.maximum(whole - passed, 0)


def arrivals(
    rng: np.random.Generator,
    account: Account,
    market: Market,
    since: NDArray[np.int64],
) -> tuple[Traits, Standing]:
    """Let new deals arrive in every row.

    Parameters
    ----------
    rng
        Source of chance.
    account
        The account.
    market
        The days on which they arrive.
    since
        For each kind that comes one at a time, days since the last came, by column 0.

    Returns
    -------
    Their traits and how they stand on the day on which they arrive, in order of row and day.
    """
    rows = market.demand.shape[0]
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for number, kind in enumerate(account.kinds):
        if kind.gap:
            row = np.arange(rows)
            column = np.zeros(rows, dtype=np.int64)
            passed = np.full(rows, float(since[number]))
            while row.size:
                column = column + np.ceil(wait(rng, kind.gap, 3.0, passed)).astype(np.int64)
                keep = column <= market.last
                row, column = row[keep], column[keep]
                passed = np.zeros(row.size)
                found.append((row, column, np.full(row.size, number)))
            continue
        age = market.days.month - kind.begins
        ramp = np.clip((age + 1) / (kind.ramp + 1), 0, 1)
        counts = rng.poisson(market.demand * (kind.intake / 21 * ramp))
        row, column = np.nonzero(counts)
        times = counts[row, column]
        row, column = row.repeat(times), column.repeat(times)
        found.append((row, column, np.full(row.size, number)))
    row, column, kinds = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((kinds, column, row))
    row, column, kinds = row[order], column[order], kinds[order]
    count = row.size

    def of_kind(name: str) -> NDArray[np.float64]:
        return np.array([getattr(kind, name) for kind in account.kinds], dtype=float)[kinds]

    shares = np.cumsum([owner.share for owner in account.owners])
    owner = np.minimum(
        np.searchsorted(shares, rng.random(count) * shares[-1]), len(account.owners) - 1
    )
    currency = np.searchsorted(np.cumsum(account.shares)[:-1], rng.random(count))
    size = of_kind("spread") * rng.standard_normal(count)
    huge = rng.random(count) < of_kind("tail")
    size += huge * np.log(of_kind("tail_factor")) * rng.gamma(4.0, 0.25, count)
    tcv = to_ten(np.exp(of_kind("mean") + size) * np.asarray(account.rates)[currency])
    traits = Traits(
        kinds,
        owner,
        currency,
        rng.standard_normal(count),
        size,
        np.exp(0.3 * rng.standard_normal(count) + 0.12 * size)
        * np.array([owner.pace for owner in account.owners])[owner],
        tcv,
    )
    stages = np.array([len(kind.waits) for kind in account.kinds])[kinds]
    stage = np.minimum(
        (rng.random(count) < 0.2).astype(np.int64) + (rng.random(count) < 0.05), stages
    )
    ready = stage == stages
    pause = np.where(ready, wait(rng, of_kind("promise"), PROMISE_SHAPE, np.zeros(count)), 0.0)
    double = rng.random(count) < account.doubled
    standing = Standing(
        np.arange(count),
        row,
        column,
        np.where(double, DOUBLE, np.where(ready, PROMISED, WORKING)),
        stage,
        np.zeros(count),
        column + np.round(pause).astype(np.int64),
        tcv,
    )
    return traits, standing


@dataclass(frozen=True)
class Rules:
    """An account's numbers as arrays by kind and by owner, as `play` needs them."""

    account: Account
    scales: NDArray[np.float64]
    steps: NDArray[np.float64]
    lengths: NDArray[np.int64]
    shapes: NDArray[np.float64]
    slips: NDArray[np.float64]
    closes: NDArray[np.float64]
    promises: NDArray[np.float64]
    skills: NDArray[np.float64]
    cares: NDArray[np.float64]

    @classmethod
    def of(cls, account: Account) -> Rules:
        """Lay them out."""
        kinds, owners = account.kinds, account.owners
        most = max(len(kind.waits) for kind in kinds)
        scales = np.ones((len(kinds), most + 1))
        steps = np.zeros((len(kinds), most + 1))
        for number, kind in enumerate(kinds):
            scales[number, : len(kind.waits)] = kind.waits
            steps[number, : len(kind.waits)] = kind.advance
        return cls(
            account,
            scales,
            steps,
            np.array([len(kind.waits) for kind in kinds]),
            np.array([kind.shape for kind in kinds]),
            np.array([kind.slip for kind in kinds]),
            np.array([kind.close for kind in kinds]),
            np.array([kind.promise for kind in kinds]),
            np.array([owner.skill for owner in owners]),
            np.array([owner.care for owner in owners]),
        )


def play(
    rng: np.random.Generator,
    account: Account,
    market: Market,
    traits: Traits,
    standing: Standing,
    *,
    only_won: bool = False,
) -> list[Standing]:
    """Let deals go on until they have ended or the days are over.

    Parameters
    ----------
    rng
        Source of chance.
    account
        The account.
    market
        The days.
    traits
        The deals.
    standing
        Where they stand at first.
    only_won
        Whether what becomes of deals that cannot be won any more is of no interest.

    Returns
    -------
    Each change of state of a deal, as the entry of how it stands from that day on.
    """
    rules = Rules.of(account)
    going = ALIVE if only_won else (*ALIVE, DEAD, DOUBLE)
    log: list[Standing] = []
    now = standing.take(np.isin(standing.state, going))
    while now.deal.size:
        end, whole = _ends(rng, rules, market, traits, now)
        come = end <= market.last
        now = _after(rng, rules, market, traits, now.take(come), end=end[come], whole=whole[come])
        log.append(now.take(now.state == WON) if only_won else now)
        now = now.take(np.isin(now.state, going))
    return log


def _ends(
    rng: np.random.Generator,
    rules: Rules,
    market: Market,
    traits: Traits,
    now: Standing,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw the column in which each present wait ends, and its length against its scale."""
    row, column, state = now.row, now.column, now.state
    kind, owner = traits.kind[now.deal], traits.owner[now.deal]
    pace = traits.pace[now.deal]
    end = np.full(now.deal.size, market.last + 1)
    whole = np.zeros(now.deal.size)

    at = np.flatnonzero(state == WORKING)
    scale = rules.scales[kind[at], now.stage[at]] * pace[at]
    left = wait(rng, scale, rules.shapes[kind[at]], now.passed[at])
    whole[at] = (now.passed[at] + left) / scale
    end[at] = when(market.working, row[at], market.working[row[at], column[at]] + left)

    at = np.flatnonzero(state == PROMISED)
    end[at] = now.target[at]

    at = np.flatnonzero(state == SIGNING)
    scale = rules.slips[kind[at]] * pace[at]
    left = wait(rng, scale, SLIP_SHAPE, now.passed[at])
    whole[at] = (now.passed[at] + left) / scale
    end[at] = when(market.signing, row[at], market.signing[row[at], column[at]] + left)

    at = np.flatnonzero(state == PAUSED)
    end[at] = column[at] + np.ceil(wait(rng, 70.0, 2.0, now.passed[at])).astype(np.int64)

    at = np.flatnonzero(state == DOUBLE)
    end[at] = column[at] + rng.integers(1, 12, at.size)

    at = np.flatnonzero(state == DEAD)
    scale = rules.account.forgotten * (1.6 - rules.cares[owner[at]])
    end[at] = column[at] + np.ceil(wait(rng, scale, 1.6, now.passed[at])).astype(np.int64)
    cleanups = np.array([*rules.account.cleanups, REACH]) - market.days.origin
    bulk = cleanups[np.searchsorted(cleanups, column[at] + TIDIED_AFTER)]
    swept = (bulk < end[at]) & (rng.random(at.size) < 0.9)
    end[at] = np.where(swept, bulk, end[at])
    return np.maximum(end, column), whole


def _after(
    rng: np.random.Generator,
    rules: Rules,
    market: Market,
    traits: Traits,
    now: Standing,
    *,
    end: NDArray[np.int64],
    whole: NDArray[np.float64],
) -> Standing:
    """Decide what follows on waits that have ended."""
    deal, row, state, stage = now.deal, now.row, now.state, now.stage
    kind, owner = traits.kind[deal], traits.owner[deal]
    last = rules.lengths[kind]
    chance = rng.random((4, deal.size))

    # Go on, or fail: long waits, low quality and bad months make failing likely.
    base = np.where(state == SIGNING, rules.closes[kind], rules.steps[kind, stage])
    log_odds = (
        base
        + 0.9 * traits.quality[deal]
        + rules.skills[owner]
        - 0.15 * traits.size[deal]
        - 0.45 * np.log1p(whole)
        + market.willing[row, end]
    )
    good = chance[0] < odds(log_odds)
    failed = ((state == WORKING) | (state == SIGNING)) & ~good
    closed_at_once = chance[1] >= rules.account.silent * (1.5 - rules.cares[owner])
    new = np.where(failed, np.where(closed_at_once, LOST, DEAD), state)
    new = np.where(failed & (chance[2] < rules.account.paused), PAUSED, new)
    new = np.where(good & (state == SIGNING), WON, new)

    moves, back = good & (state == WORKING), state == PAUSED
    step = np.where(chance[3] < 0.04, -1, np.where(chance[3] > 0.92, 2, 1))
    stage = np.where(moves, np.clip(stage + step, 0, last), stage)
    arrives = (moves | back) & (stage == last)
    new = np.where(back, WORKING, new)
    new = np.where(arrives, PROMISED, new)
    new = np.where(state == PROMISED, SIGNING, new)
    new = np.where(state == DOUBLE, DELETED, new)
    new = np.where(state == DEAD, np.where(chance[1] < rules.account.deleted, DELETED, LOST), new)
    target = now.target.copy()
    at = np.flatnonzero(arrives)
    ahead = wait(rng, rules.promises[kind[at]], PROMISE_SHAPE, np.zeros(at.size))
    target[at] = end[at] + np.round(ahead).astype(np.int64)
    # Scope and price are settled on the way.
    revised = moves & (rng.random(deal.size) < 0.3)
    factor = np.exp(-0.05 + 0.18 * rng.standard_normal(deal.size))
    tcv = np.where(revised, to_ten(now.tcv * factor), now.tcv)
    return Standing(deal, row, end, new, stage, np.zeros(deal.size), target, tcv)
