"""What customers do: needs arise, are compared, agreed upon, funded, put on paper and signed.

A need passes through these on its customer's own time, and may end at each: it fades, another
supplier is chosen, a member of the committee says no, the budget round refuses it, papers fail.
Money that is not set aside waits for a budget round, which is kinder at the ends of the customer's
fiscal year; papers wait for the day on which the customer signs. No seller is needed for any of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._calendar import (
    AWAY,
    DAY_OF_MONTH,
    IN_YEAR,
    MONTH_END,
    NEEDS,
    PACE,
    QUARTER_END,
    STARTS,
    WEEKDAY,
    YEARS,
)
from ._life import (
    BEATEN,
    CALL,
    COMMITTEE,
    COMPARES,
    FUNDS,
    GONE,
    NEED,
    NO_MONEY,
    OPEN,
    ORDERED,
    PAPERS,
    PARTNER,
    PURCHASE,
    RENEWAL,
    TENDER,
    WAITS,
    Life,
    habits,
    rows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORKDAYS = 5 / 7
HELD_BACK = 0.2
"""How fast customers decide while money is held back, of their usual pace."""
REFUSED = 0.06
"""Chance that one member of a committee says no for all."""
JOINS = 0.12
FAILS = 0.04
"""Chance that an agreed purchase fails over its papers."""


def arise(life: Life) -> None:
    """Draw the needs of a week, and let what all customers share move on."""
    firm, rng, day, draws = life.firm, life.rng, life.day, len(life.mood)
    _wander(life)
    month = IN_YEAR[day]
    usual = np.exp(life.mood + firm.growth * (day / 365 - 2.5)) * NEEDS[firm.season][month]
    usual *= np.where(life.frozen, 0.6, 1.0) * (0.2 if AWAY[day] else 1.0)
    if firm.fair == month and 7 <= DAY_OF_MONTH[day] < 14:
        usual *= 4.0
    asked_for = np.clip((day - life.launched) / 180, 0, 1)
    needs = usual * firm.needs * (1 + 0.8 * np.nan_to_num(asked_for)) * 7 / 30.4
    pushed = 1.8 if QUARTER_END[day] - day < 14 else 0.9
    counts = {
        PURCHASE: needs * (1 - firm.tenders),
        TENDER: needs * firm.tenders,
        PARTNER: np.exp(life.mood) * firm.partners * pushed * 7 / 30.4,
        CALL: firm.calls * np.where(life.programme, 1.3, 0.1) * 7 / 30.4,
    }
    for kind, expected in counts.items():
        number = rng.poisson(np.broadcast_to(expected, draws))
        if number.sum():
            _need(life, kind, np.repeat(np.arange(draws), number))


def _wander(life: Life) -> None:
    """Move demand, rivals, frozen budgets, the programme and the launch by a week."""
    firm, rng, draws = life.firm, life.rng, len(life.mood)
    keep = 0.5 ** (1 / 16)
    new = np.sqrt(1 - keep**2)
    life.mood = keep * life.mood + rng.normal(0, firm.mood * new, draws)
    life.rivalry = keep * life.rivalry + rng.normal(0, firm.rivalry * new, draws)
    turns = np.where(life.frozen, 7 / firm.freeze_lasts, firm.freezes * 7 / 365)
    life.frozen = life.frozen ^ (rng.random(draws) < turns)
    turns = np.where(life.programme, 7 / 240, 7 / 90)
    life.programme = life.programme ^ (rng.random(draws) < turns)
    if firm.launch:
        begins = np.isnan(life.launched) & (rng.random(draws) < 7 / 420)
        life.launched = np.where(begins & (life.day > 400), life.day, life.launched)


def _need(life: Life, kind: int, draw: NDArray[np.int64]) -> None:
    """Make the needs of one kind that arise in a week."""
    firm, rng, count = life.firm, life.rng, draw.size
    apart = rng.normal(0, 1, count)
    if kind == PARTNER:
        worth = firm.size * 0.6 * np.exp(0.5 * apart)
    elif kind == CALL:
        worth = firm.call_size * np.exp(0.9 * apart)
    else:
        worth = firm.size * (1 + 0.5 * (kind == TENDER)) * np.exp(firm.spread * apart)
    large = np.where(kind in {PURCHASE, TENDER}, apart * firm.spread, 0.0)
    odds = np.log(firm.edge / (1 - firm.edge)) - 0.25 * large + rng.normal(0, 0.8, count)
    runs = (rng.random(count) < firm.contracts) & (kind == PURCHASE)
    term = np.where(runs, rng.choice([6, 12, 12, 12, 24], count), 0)
    start = life.day + rng.integers(0, 5, count)
    life.born.append(
        rows(
            count,
            draw=draw,
            kind=kind,
            customer=0 if kind == CALL else rng.integers(1, firm.customers + 1, count),
            currency=_currency(life, count),
            due=start,
            members=1 + rng.poisson(firm.committee * np.exp(0.5 * np.clip(large, -1, 2))),
            edge=1 / (1 + np.exp(-odds)),
            speed=np.exp(rng.normal(0, 0.5, count) - 0.2 * large),
            funded=rng.random(count) < firm.funded,
            worth=worth * (1 + firm.price_rise) ** YEARS[life.day],
            term=term,
            enters_at=rng.choice(
                [NEED, COMPARES, COMMITTEE, PAPERS], count, p=[0.35, 0.45, 0.15, 0.05]
            )
            if kind != PARTNER
            else ORDERED,
            seller=life.staff[draw, rng.integers(0, firm.desks, count)],
        )
    )


def _currency(life: Life, count: int) -> NDArray[np.int64]:
    """Draw currencies, the first one most often."""
    codes = len(life.firm.currencies)
    weights = 0.5 ** np.arange(codes)
    return life.rng.choice(codes, count, p=weights / weights.sum())


def decide(life: Life) -> None:
    """Let every customer live through a working day."""
    deals, firm, rng, day = life.deals, life.firm, life.rng, life.day
    phase, kind = deals["phase"], deals["kind"]
    _wake(life, np.flatnonzero((phase == WAITS) & (deals["due"] <= day)))
    live = np.flatnonzero((phase >= NEED) & (phase <= PAPERS))
    frozen = life.frozen[deals["draw"][live]]
    pace = PACE[firm.season][IN_YEAR[day]] * (0.1 if AWAY[day] else 1.0)
    speed = pace * deals["speed"][live] * np.where(frozen, HELD_BACK, 1.0)
    before = phase[live].copy()
    early = (before <= COMMITTEE) & ~np.isin(kind[live], (TENDER, RENEWAL, CALL))
    fades = np.where(early, firm.fades * np.where(frozen, 2.0, 1.0), 0.0) / firm.cycle / WORKDAYS
    gone = rng.random(live.size) < fades
    phase[live[gone]] = GONE
    shares = np.array([0.25, 0.4, 0.12, 0.01, np.inf])  # of a cycle, in the order of the phases
    rates = 1 / (shares * firm.cycle * WORKDAYS)
    moves = ~gone & (rng.random(live.size) < -np.expm1(-speed * rates[before]))
    tender = kind[live] == TENDER
    _papers(life, live[(before == PAPERS) & ~gone])
    _funds(life, live[(before == FUNDS) & ~gone])
    _agree(life, live[(before == COMMITTEE) & moves])
    _choose(life, live[(before == COMPARES) & moves & ~tender])
    _award(life, live[(before == COMPARES) & tender & (deals["due"][live] <= day)])
    phase[live[(before == NEED) & moves]] = COMPARES


def _wake(life: Life, at: NDArray[np.int64]) -> None:
    """Begin a purchase at the place where its kind begins."""
    deals, rng = life.deals, life.rng
    begins = np.array([NEED, COMPARES, ORDERED, COMMITTEE, PAPERS])
    deals["phase"][at] = begins[deals["kind"][at]]
    tender = at[deals["kind"][at] == TENDER]
    days = life.day + rng.integers(40, 120, tender.size)
    deals["due"][tender] = days - WEEKDAY[days] + 1
    call = at[deals["kind"][at] == CALL]
    deals["due"][call] = life.day + rng.gamma(2.0, 6.0, call.size)


def _choose(life: Life, at: NDArray[np.int64]) -> None:
    """Let customers who have compared choose this firm or another."""
    deals = life.deals
    edge = deals["edge"][at]
    odds = edge / (1 - edge) * np.exp(-life.rivalry[deals["draw"][at]])
    chosen = life.rng.random(at.size) < odds / (1 + odds)
    deals["phase"][at] = np.where(chosen, COMMITTEE, GONE)
    deals["why"][at[~chosen]] = BEATEN


def _award(life: Life, at: NDArray[np.int64]) -> None:
    """Decide tenders on their day; some are put off, winners wait through a standstill."""
    deals, rng = life.deals, life.rng
    put_off = rng.random(at.size) < np.where(life.frozen[deals["draw"][at]], 0.6, 0.15)
    deals["due"][at[put_off]] += 28
    now = at[~put_off]
    _choose(life, now)
    won = now[deals["phase"][now] == COMMITTEE]
    deals["phase"][won] = PAPERS
    deals["due"][won] = life.day + rng.integers(10, 22, won.size)


def _agree(life: Life, at: NDArray[np.int64]) -> None:
    """Let one more member agree, say no for all, or bring another to the table."""
    deals, rng, firm = life.deals, life.rng, life.firm
    renewal = deals["kind"][at] == RENEWAL
    refuses = np.where(renewal, firm.churn / deals["members"][at], REFUSED)
    gone = rng.random(at.size) < refuses
    deals["phase"][at[gone]] = GONE
    at = at[~gone]
    deals["members"][at] += ((rng.random(at.size) < JOINS) & (deals["members"][at] < 12)).astype(
        np.int8
    )
    deals["agreed"][at] += 1
    done = at[deals["agreed"][at] >= deals["members"][at]]
    again = deals["kind"][done] == RENEWAL
    deals["phase"][done] = np.where(again, PAPERS, FUNDS)
    scope = np.exp(rng.normal(-0.02, 0.25, done.size))
    deals["worth"][done] *= np.where(rng.random(done.size) < 0.5, scope, 1.0)
    _to_papers(life, done[again])


def _funds(life: Life, at: NDArray[np.int64]) -> None:
    """Let those with money go on; the others wait for their round, two refusals often end it."""
    deals, rng, day = life.deals, life.rng, life.day
    ready = deals["funded"][at] & ~life.frozen[deals["draw"][at]]
    _to_papers(life, at[ready])
    if not (WEEKDAY[day] == 2 and 14 <= DAY_OF_MONTH[day] < 21):
        return
    at = at[~deals["funded"][at]]
    ways = habits(life.firm)
    place = (IN_YEAR[day] - ways.fiscal[deals["customer"][at]]) % 12
    every = ways.rounds[deals["customer"][at]]
    sits = place % every == every - 1
    at, place = at[sits], place[sits]
    chance = np.select([place >= 10, place == 0], [0.75, 0.6], 0.45)
    chance = np.where(life.frozen[deals["draw"][at]], 0.05, chance)
    granted = rng.random(at.size) < chance
    deals["funded"][at[granted]] = True
    refused = at[~granted]
    deals["refused"][refused] += 1
    ends = (deals["refused"][refused] >= 2) & (rng.random(refused.size) < 0.5)
    deals["phase"][refused[ends]] = GONE
    deals["why"][refused[ends]] = NO_MONEY


def _to_papers(life: Life, at: NDArray[np.int64]) -> None:
    """Send agreed purchases to those who write contracts; a few are bought in two parts."""
    deals, rng = life.deals, life.rng
    deals["phase"][at] = PAPERS
    takes = (
        rng.gamma(2.0, 0.06 * life.firm.cycle, at.size) / PACE[life.firm.season][IN_YEAR[life.day]]
    )
    ready = life.day + takes
    # A contract that comes up again is signed about when the old one ends.
    around = deals["ends"][at] + rng.normal(0, 12, at.size)
    deals["due"][at] = np.fmax(ready, around)
    parts = at[(deals["status"][at] == OPEN) & (rng.random(at.size) < 0.04)]
    if parts.size:
        second = {name: column[parts].copy() for name, column in deals.items()}
        share = rng.uniform(0.2, 0.6, parts.size)
        deals["worth"][parts] *= 1 - share
        second["worth"] *= share
        second["shown"] *= share
        second["due"] += rng.uniform(15, 70, parts.size)
        second["created"] = second["looked"] = np.full(parts.size, life.day + 0.6)
        second["stage_since"] = second["created"].copy()
        second["id"] = life.ids + np.arange(parts.size)
        life.ids += parts.size
        life.born.append(second)


def _papers(life: Life, at: NDArray[np.int64]) -> None:
    """Sign what is ready, on days on which the customer signs, or earlier for a discount."""
    deals, firm, rng, day = life.deals, life.firm, life.rng, life.day
    left = QUARTER_END[day] - day
    rises = firm.price_rise > 0 and IN_YEAR[day] == 11
    pull = firm.pull * (left <= 10) + 0.02 * rises
    drawn = (rng.random(at.size) < pull) & np.isin(deals["kind"][at], (PURCHASE, RENEWAL))
    signs = habits(firm).signs[deals["customer"][at]]
    last_days = MONTH_END[day] - day < 3
    sits = np.where(signs == 30, last_days, (day + deals["customer"][at]) % signs < 3)
    sits |= (signs <= 1) | (deals["kind"][at] == TENDER)
    ready = (deals["due"][at] <= day) & sits & ~(life.frozen[deals["draw"][at]] & (day % 5 > 0))
    deals["worth"][at[drawn & ~ready]] *= rng.uniform(0.8, 0.97, int((drawn & ~ready).sum()))
    at = at[drawn | ready]
    fails = rng.random(at.size) < FAILS
    deals["phase"][at[fails]] = GONE
    at = at[~fails]
    deals["phase"][at] = ORDERED
    deals["due"][at] = day + rng.integers(0, 5, at.size)
    # An order that the seller does not need for this quarter's target waits for the next.
    keeps = habits(firm).sandbags[deals["seller"][at]] & (left <= 8) & (rng.random(at.size) < 0.5)
    deals["due"][at[keeps]] = QUARTER_END[day] + rng.integers(1, 8, int(keeps.sum()))


def comes_up_again(life: Life, at: NDArray[np.int64]) -> None:
    """Plan the renewal of contracts that were just won, some months before they end."""
    if not at.size:
        return
    deals, rng, day = life.deals, life.rng, life.day
    last = STARTS[-1] - 1
    ends = np.minimum(day + deals["term"][at] * 30.4, last)
    ahead = rng.uniform(30, 150, at.size)
    life.born.append(
        rows(
            at.size,
            draw=deals["draw"][at],
            kind=RENEWAL,
            customer=deals["customer"][at],
            currency=deals["currency"][at],
            due=np.maximum(ends - ahead, day + 1),
            members=1 + (rng.random(at.size) < 0.5),
            speed=np.exp(rng.normal(0, 0.4, at.size)),
            worth=deals["worth"][at] * np.exp(rng.normal(0.02, 0.12, at.size)),
            term=deals["term"][at],
            ends=ends,
            enters_at=COMMITTEE,
            seller=deals["seller"][at],
        )
    )
