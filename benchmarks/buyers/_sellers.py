"""What sellers write: entries, milestones, dates and values, when they look, and in their own way.

A deal is entered when its seller gets to it. At a look it moves towards the milestone at which the
customer truly is, by the seller's own use of milestones; a date that has passed is put off, often;
a value is drawn nearer to what it will be; a purchase that is off is found out sometimes. Old deals
are closed in sprees, and opened again if the customer comes back with an order. Sellers leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._calendar import AWAY, DAY_OF_MONTH, IN_YEAR, MONTH_OF, QUARTER_END, WEEKDAY
from ._customers import arise, comes_up_again, decide
from ._life import (
    COMMITTEE,
    COMPARES,
    EAGER,
    FUNDS,
    GONE,
    LATE,
    LOST,
    NO_ANSWER,
    OFFERS_FIRST,
    OPEN,
    ORDERED,
    PAPERS,
    PARTNER,
    PURCHASE,
    REMOVED,
    RENEWAL,
    SELLERS,
    TENDER,
    TWICE,
    UNSEEN,
    WON,
    Life,
    habits,
    month_end,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def live_a_day(life: Life) -> None:
    """Live through the next day; weekends pass without anything."""
    life.day += 1
    if WEEKDAY[life.day] > 4:
        return
    if WEEKDAY[life.day] == 0:
        life.settle()
        _leave(life)
        _merge(life)
        _clean_up(life)
        arise(life)
    decide(life)
    _enter(life)
    _look(life)
    _reopen(life)
    _register(life)


def _hour(life: Life, count: int) -> NDArray[np.float64]:
    """Draw moments of the working day."""
    return life.day + life.rng.uniform(0.33, 0.75, count)


def _enter(life: Life) -> None:
    """Enter what sellers have heard of and get around to."""
    deals, rng = life.deals, life.rng
    heard = (deals["status"] == UNSEEN) & (deals["phase"] >= deals["enters_at"])
    at = np.flatnonzero(heard & (deals["phase"] <= ORDERED) & (deals["kind"] != PARTNER))
    # What was ordered before anybody wrote it down is entered and closed on one day.
    ordered = (deals["phase"][at] == ORDERED) & (deals["due"][at] <= life.day)
    entered(life, at[ordered | (rng.random(at.size) < (0.05 if AWAY[life.day] else 0.3))])


def entered(life: Life, at: NDArray[np.int64]) -> None:
    """Write new deals as their sellers first see them."""
    if not at.size:  # as on most days
        return
    deals, rng, firm = life.deals, life.rng, life.firm
    seller = deals["seller"][at]
    deals["status"][at] = OPEN
    deals["id"][at] = life.ids + np.arange(at.size)
    life.ids += at.size
    moment = _hour(life, at.size)
    for name in ("created", "looked", "stage_since"):
        deals[name][at] = moment
    unpriced = rng.random(at.size) < firm.unpriced
    guess = deals["worth"][at] * np.exp(rng.normal(0.08, 0.35, at.size))
    size = 10 ** np.floor(np.log10(np.maximum(guess, 1)) - 1)
    deals["shown"][at] = np.where(unpriced, np.nan, np.maximum(np.round(guess / size), 1) * size)
    left = firm.cycle * np.clip(1.1 - 0.2 * deals["phase"][at], 0.15, 1)
    left *= habits(firm).optimism[seller] * np.exp(rng.normal(0, 0.4, at.size))
    date = life.day + np.round(left) + 1
    date = np.where(rng.random(at.size) < 0.65, month_end(date), date)
    tender = (deals["kind"][at] == TENDER) & (deals["phase"][at] == COMPARES)
    date = np.where(tender, deals["due"][at], date)
    deals["expected"][at] = np.where(deals["kind"][at] == RENEWAL, deals["ends"][at], date)
    use = habits(firm).use[seller]
    honest = np.minimum(_place(life, at), rng.integers(0, 3, at.size))
    deals["stage"][at] = np.select([use == OFFERS_FIRST, use == LATE], [2, 0], honest)
    now = firm.renamed_in is not None and month_seen(life) >= firm.renamed_in
    if now:
        own = firm.second_pipeline & (deals["kind"][at] == RENEWAL)
        deals["process"][at] = np.where(own, 2, 1)


def month_seen(life: Life) -> int:
    """Give the month of the day, counted from the first that is looked at."""
    return int(MONTH_OF[life.day]) - life.firm.first_month


def _place(life: Life, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the milestone that a customer has truly reached; of a dead purchase, where it stood."""
    phase = life.deals["phase"][at]
    return np.where(phase == GONE, life.deals["stage"][at], np.clip(phase, 0, 4))


def _look(life: Life) -> None:
    """Let sellers look at some of their deals and write down what they see."""
    deals, rng, day = life.deals, life.rng, life.day
    ways = habits(life.firm)
    # Reviews at the beginning of a month, and the end of a quarter, bring more looks.
    busy = 2.0 if DAY_OF_MONTH[day] < 4 or QUARTER_END[day] - day < 8 else 0.85
    busy *= 0.15 if AWAY[day] else 1.0
    opened = np.flatnonzero(deals["status"] == OPEN)
    often = ways.attention[deals["seller"][opened]] * busy
    looks = (rng.random(opened.size) < often) & (deals["quiet_until"][opened] <= day)
    looks &= deals["looked"][opened] < day  # not what was entered today
    at = opened[looks]
    seller = deals["seller"][at]
    deals["looked"][at] = _hour(life, at.size)
    off = (deals["phase"][at] == GONE) & (rng.random(at.size) < ways.learns[seller])
    silent = rng.random(int(off.sum())) < 0.25
    _lose(life, at[off], np.where(silent, NO_ANSWER, deals["why"][at[off]]))
    at, seller = at[~off], seller[~off]
    use = ways.use[seller]
    true = _place(life, at)
    goal = np.select(
        [use == EAGER, use == LATE, use == OFFERS_FIRST],
        [np.minimum(true + 1, 4), np.where(true < 4, true // 3, 3), np.maximum(true, 2)],
        true + (rng.random(at.size) < 0.04),
    )
    stage = deals["stage"][at]
    step = np.where(rng.random(at.size) < 0.6, np.minimum(goal, stage + 1), goal)
    moved = (step > stage) & (rng.random(at.size) < 0.8)
    deals["stage"][at[moved]] = np.minimum(step[moved], 4)
    deals["stage_since"][at[moved]] = deals["looked"][at[moved]]
    deals["stated"][at[moved]] = np.nan
    own = at[rng.random(at.size) < 0.03]
    deals["stated"][own] = rng.choice([0.05, 0.3, 0.5, 0.75, 0.9], own.size)
    _value(life, at)
    _date(life, at)
    _turn_to_new_milestones(life, at)


def _value(life: Life, at: NDArray[np.int64]) -> None:
    """Draw some stated values nearer to what the purchase is worth."""
    deals, rng = life.deals, life.rng
    offered = (deals["phase"][at] >= COMMITTEE) & (deals["phase"][at] <= ORDERED)
    revised = rng.random(at.size) < np.where(offered, 0.3, 0.03)
    revised |= np.isnan(deals["shown"][at]) & (rng.random(at.size) < 0.3)
    at = at[revised]
    deals["shown"][at] = np.round(deals["worth"][at] * np.exp(rng.normal(0.02, 0.1, at.size)), 2)


def _date(life: Life, at: NDArray[np.int64]) -> None:
    """Put off dates that are passed or about to pass, by a month again and again."""
    deals, rng, day = life.deals, life.rng, life.day
    papers = (deals["phase"][at] == PAPERS) & (rng.random(at.size) < 0.35)
    known = at[papers]
    deals["expected"][known] = np.maximum(deals["due"][known].round() + 2, day)
    passing = (deals["expected"][at] < day + 4) & ~papers & (rng.random(at.size) < 0.7)
    at = at[passing & (deals["phase"][at] != ORDERED)]
    later = np.maximum(deals["expected"][at], day)
    way = rng.random(at.size)
    by_quarter = QUARTER_END[np.clip(later + 20, 0, QUARTER_END.size - 1).astype(int)]
    deals["expected"][at] = np.select(
        [way < 0.65, way < 0.85], [month_end(later + 28), by_quarter], later + 14
    )
    deals["pushes"][at] += 1


def _turn_to_new_milestones(life: Life, at: NDArray[np.int64]) -> None:
    """Move deals to the milestones that took the place of the old ones."""
    firm = life.firm
    if firm.renamed_in is None or month_seen(life) < firm.renamed_in:
        return
    deals = life.deals
    if firm.migrated:
        at = np.flatnonzero(deals["status"] == OPEN)
    at = at[deals["process"][at] == 0]
    deals["process"][at] = 1
    deals["stage_since"][at] = life.day + 0.5


def _lose(life: Life, at: NDArray[np.int64], reason: NDArray[np.int64] | int) -> None:
    """Close deals as lost."""
    deals = life.deals
    deals["status"][at] = LOST
    deals["closed"][at] = life.day
    deals["reason"][at] = reason
    deals["stage_since"][at] = life.day + 0.76


def _reopen(life: Life) -> None:
    """Open deals again that were given up while their customers went on to buy."""
    deals = life.deals
    buys = (deals["phase"] >= FUNDS) & (deals["phase"] <= ORDERED)
    at = np.flatnonzero((deals["status"] == LOST) & buys)
    at = at[(life.rng.random(at.size) < 0.15) | (deals["phase"][at] == ORDERED)]
    deals["status"][at] = OPEN
    deals["closed"][at] = np.nan
    deals["reason"][at] = -1
    deals["looked"][at] = deals["stage_since"][at] = _hour(life, at.size)
    deals["expected"][at] = month_end(np.full(at.size, life.day + 10.0))


def _register(life: Life) -> None:
    """Write down the orders that have come as won."""
    deals, day = life.deals, life.day
    waiting = (deals["status"] == UNSEEN) | (deals["status"] == OPEN)
    at = np.flatnonzero(waiting & (deals["phase"] == ORDERED) & (deals["due"] <= day))
    entered(life, at[deals["status"][at] == UNSEEN])
    units = np.maximum(deals["term"][at], 1)
    deals["worth"][at] = np.round(deals["worth"][at] / units, 2) * units
    deals["shown"][at] = deals["worth"][at]
    deals["status"][at] = WON
    deals["closed"][at] = day
    deals["stage_since"][at] = day + 0.76
    if life.came is not None:
        month = MONTH_OF[day] - life.came_from
        place = (deals["draw"][at], month, deals["currency"][at])
        np.add.at(life.came, place, deals["worth"][at])
    comes_up_again(life, at[deals["term"][at] > 0])


def _leave(life: Life) -> None:
    """Let sellers leave; who takes over needs weeks to look at what they left."""
    firm, rng, draws = life.firm, life.rng, len(life.mood)
    for desk in range(firm.desks):
        gone = np.flatnonzero(
            (rng.random(draws) < firm.turnover * 7 / 365) & (life.hired < SELLERS)
        )
        if not gone.size:
            continue
        successor = np.full(draws, -1)
        successor[gone] = life.hired[gone]
        deals = life.deals
        left = (successor[deals["draw"]] >= 0) & (
            deals["seller"] == life.staff[deals["draw"], desk]
        )
        left &= np.isin(deals["status"], (UNSEEN, OPEN))
        deals["seller"][left] = successor[deals["draw"][left]]
        deals["quiet_until"][left] = life.day + rng.uniform(10, 60, int(left.sum()))
        life.staff[gone, desk] = life.hired[gone]
        life.hired[gone] += 1


def _merge(life: Life) -> None:
    """Put two open deals of one customer together, or strike one out as entered twice."""
    deals, rng = life.deals, life.rng
    early = (deals["status"] == OPEN) & (deals["phase"] <= COMMITTEE) & (deals["kind"] == PURCHASE)
    at = np.flatnonzero(early)
    at = at[np.lexsort((deals["customer"][at], deals["draw"][at]))]
    first, second = at[:-1], at[1:]
    pair = deals["customer"][first] == deals["customer"][second]
    pair &= deals["draw"][first] == deals["draw"][second]
    pair &= deals["currency"][first] == deals["currency"][second]
    # Of three in a row only one pair.
    pair[1:] &= ~pair[:-1]
    pair &= rng.random(pair.size) < 0.08
    first, second = first[pair], second[pair]
    deals["worth"][first] += deals["worth"][second]
    deals["shown"][first] += deals["shown"][second]
    deals["phase"][second] = GONE
    struck = rng.random(second.size) < 0.4
    _lose(life, second[struck], TWICE)
    deals["status"][second[~struck]] = REMOVED


def _clean_up(life: Life) -> None:
    """Close old deals at one go, most often when a year or quarter begins."""
    deals, rng, day, firm = life.deals, life.rng, life.day, life.firm
    often = 3.0 if DAY_OF_MONTH[day] < 14 and IN_YEAR[day] % 3 == 0 else 0.65
    spree = rng.random(len(life.mood)) < firm.sprees * often * 7 / 365
    old = (day - deals["stage_since"] > 60 + firm.cycle) | (deals["pushes"] >= 5)
    at = np.flatnonzero((deals["status"] == OPEN) & old & spree[deals["draw"]])
    at = at[(deals["phase"][at] < PAPERS) | (deals["phase"][at] == GONE)]
    at = at[rng.random(at.size) < 0.7]
    _lose(life, at, NO_ANSWER)
