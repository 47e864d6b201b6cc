"""What an account is like: its people, its kinds of deals, its climate.

All rates are true by construction and known to nobody but the simulator and the oracle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True)
class Climate:
    """How the market treats the account.

    Attributes
    ----------
    business, arrivals
        Twelve factors by month of the year: on how fast deals move, on how many arrive.
    month_pull, quarter_pull, calm
        How much faster is signed at the end of months and of quarters, and the factor that keeps
        the average where it was.
    memory, mood, demand
        Share of a month's mood that the next one keeps, and the lasting spread of mood and demand.
    jumps, jump_mean, jump_spread
        Chance a month that the level of intake jumps, and by how much (log).
    freezes, thaws
        Chance a month that a freeze begins, and that it ends.
    frozen_work, frozen_signing, frozen_demand
        What a freeze leaves of the clocks and of intake.
    growth
        Growth of intake a year (log).
    """

    business: tuple[float, ...]
    arrivals: tuple[float, ...]
    month_pull: float
    quarter_pull: float
    calm: float
    memory: float
    mood: float
    demand: float
    jumps: float
    jump_mean: float
    jump_spread: float
    freezes: float
    thaws: float
    frozen_work: float
    frozen_signing: float
    frozen_demand: float
    growth: float


@dataclass(frozen=True)
class Kind:
    """One kind of deal: new business, renewals, small orders, a new line, a key account.

    Attributes
    ----------
    intake
        New deals a month in an average month; 0 where `gap` is given.
    gap
        Scale in days of the wait between two arrivals, where they come one at a time.
    begins, ramp
        Month from which it is sold, and months until its intake is full.
    pipeline
        Number of its pipeline.
    waits
        Scale of the wait at each milestone, on the working clock (about working days).
    shape
        Shape of all waits (log-logistic; the smaller, the heavier the tail).
    advance
        Log odds of going on at the end of each wait, for an average deal.
    close
        Log odds of being won at the end of signing, for an average deal.
    promise
        Scale in days from the last milestone to the date that the customer has in mind.
    slip
        Scale of the wait from that date to the decision, on the signing clock.
    mean, spread
        Of the log of the value.
    tail, tail_factor
        Share of deals that are several times larger, and how much on average.
    recurring
        Share of deals sold by the month.
    """

    name: str
    intake: float
    gap: float
    begins: int
    ramp: int
    pipeline: int
    waits: tuple[float, ...]
    shape: float
    advance: tuple[float, ...]
    close: float
    promise: float
    slip: float
    mean: float
    spread: float
    tail: float
    tail_factor: float
    recurring: float


@dataclass(frozen=True)
class Owner:
    """Who sells: what they are good at, and how they keep the list.

    Attributes
    ----------
    share
        Share of new deals.
    skill, pace
        Added to the log odds of every step; factor on waits.
    optimism
        Typed dates lie at this share of the way to where they should.
    care
        Chance that a passed date is put right within days, that a dead deal is closed as such.
    """

    name: str
    share: float
    skill: float
    pace: float
    optimism: float
    care: float


@dataclass(frozen=True)
class Pipe:
    """A pipeline's milestones as they are called from a day on.

    Attributes
    ----------
    milestones
        Id, name and stated probability of each open milestone.
    of_stage
        The milestone that each true stage is entered as.
    """

    name: str
    number: int
    milestones: tuple[tuple[int, str, float], ...]
    of_stage: tuple[int, ...]


@dataclass(frozen=True)
class Account:
    """Everything that does not change by chance.

    Attributes
    ----------
    anchor
        Month (since year 0) in which the growth factor is 1: the first of the 30.
    opens
        Ordinal of the first simulated day.
    connected
        Ordinal of the day on which the account was set up; what had closed before is not in it.
    months
        Month ends on which it is looked at.
    pipes
        Pipelines, in the state before and after `renamed`.
    renamed, keeps_ids
        Ordinal of the day on which milestones were renamed, and whether their ids stayed.
    silent
        Share of dead deals that nobody closes at once.
    forgotten
        Scale in days until a dead deal is closed all the same.
    cleanups
        Ordinals of days on which old dead deals are closed in bulk.
    paused
        Share of failed deals that are closed as lost and come back.
    deleted, doubled
        Share of dead deals that are deleted instead, of new ones that are typed twice.
    undated, unvalued
        Share of new deals without an expected close, without a value.
    overrides
        Share of probabilities that are typed by hand.
    """

    name: str
    seed: tuple[int, ...]
    climate: Climate
    kinds: tuple[Kind, ...]
    owners: tuple[Owner, ...]
    pipes: tuple[tuple[Pipe, ...], tuple[Pipe, ...]]
    anchor: int
    opens: int
    connected: int
    months: tuple[date, ...]
    renamed: int
    keeps_ids: bool
    silent: float
    forgotten: float
    cleanups: tuple[int, ...]
    paused: float
    deleted: float
    doubled: float
    undated: float
    unvalued: float
    overrides: float
    currencies: tuple[str, ...]
    shares: tuple[float, ...]
    rates: tuple[float, ...]
