"""The firms: ranges of all parameters, by what kind of business it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ._calendar import BEFORE, FIRST, STARTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

GROUPS = {"choose": 71, "report": 72, "fresh": 73}
EACH = 2
YOUNG = 3


@dataclass(frozen=True)
class Firm:
    """What is true of a firm, its customers and the people who sell.

    Rates are by the month unless said otherwise, times in days, shares and chances 0 to 1.
    """

    name: str
    temperament: str
    seed: tuple[int, ...]
    months_seen: int = 30
    opened: int = 6
    """Months with a list before the first month end that is looked at; what was open then was
    carried over from elsewhere, what was closed was not."""

    needs: float = 26.0
    """Purchases that customers begin to think of."""
    growth: float = 0.0
    """Of the needs, by the year, as a logarithm."""
    season: str = "flat"
    fair: int = -1
    """Calendar month of a trade fair that brings needs, January 0."""
    size: float = 9_000.0
    """Median worth of a purchase."""
    spread: float = 0.8
    """Standard deviation of the log worth."""
    price_rise: float = 0.0
    """Each January."""
    cycle: float = 75.0
    """Days that a plain purchase takes."""
    edge: float = 0.4
    """Chance of being chosen over the others."""
    committee: float = 1.0
    """Members beside the first, on average, where the purchase is of median worth."""
    funded: float = 0.55
    """Share of purchases whose money is set aside already."""
    fades: float = 0.35
    """Share of needs that would fade within a cycle."""
    tenders: float = 0.0
    """Share of needs that are put out to tender."""
    partners: float = 0.0
    """Sales of partners, reported on the day on which they are made."""
    contracts: float = 0.25
    """Share of purchases that run for a term and come up again."""
    churn: float = 0.15
    calls: float = 0.0
    """Orders under one large customer's framework, while its programme runs."""
    call_size: float = 0.0
    customers: int = 400
    currencies: tuple[str, ...] = ("EUR",)

    mood: float = 0.15
    """Standard deviation of the log of demand, which wanders over months."""
    rivalry: float = 0.3
    """The same of the log odds of being chosen."""
    freezes: float = 0.1
    """By the year: all customers hold their money back at once."""
    freeze_lasts: float = 90.0
    launch: bool = False
    """A new product comes, on a day that nobody knows, and takes months to be asked for."""

    desks: int = 4
    turnover: float = 0.15
    """By the year: a seller leaves, and another takes over what is open."""
    attention: float = 9.0
    """Days between two looks at a deal."""
    learns: float = 0.3
    """Chance that a look finds out that a purchase is off."""
    sprees: float = 2.0
    """By the year: old deals are closed as lost at one go."""
    optimism: float = 0.8
    """Of the remaining days, what is stated at first."""
    sandbags: float = 0.15
    """Share of sellers who keep an order for the next quarter."""
    misuse: float = 0.25
    """Share of sellers who use milestones in a way of their own."""
    pull: float = 0.02
    """Chance by the day, at a quarter's end, that a discount brings a ready customer to sign."""
    unpriced: float = 0.03
    """Share of deals entered without a value."""
    renamed_in: int | None = None
    """Month in which the milestones change, counted from the first that is looked at."""
    migrated: bool = False
    """Whether all open deals changed milestones on that day, or each when it was next looked at."""
    second_pipeline: bool = False
    """From then on, contracts that come up again have a pipeline of their own."""

    @property
    def first_month(self) -> int:
        """The month of the calendar whose end is the first that is looked at."""
        return BEFORE + self.opened

    @property
    def months(self) -> tuple[date, ...]:
        """The month ends that are looked at."""
        last = STARTS[self.first_month + 1 + np.arange(self.months_seen)] - 1
        return tuple((FIRST + last).tolist())


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw evenly on a log scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _draw(rng: np.random.Generator) -> dict[str, Any]:
    """Draw what every temperament has, before its own traits."""
    return {
        "opened": int(rng.integers(1, 12)),
        "needs": _between(rng, 18, 40),
        "growth": rng.normal(0.03, 0.08),
        "season": str(rng.choice(["flat", "flat", "summer_hole", "year_end", "spring"])),
        "fair": int(rng.choice([-1, -1, -1, 2, 4, 9])),
        "size": _between(rng, 2_000, 30_000),
        "spread": rng.uniform(0.5, 1.0),
        "price_rise": float(rng.choice([0.0, 0.02, 0.05])),
        "cycle": _between(rng, 40, 110),
        "edge": rng.uniform(0.3, 0.5),
        "committee": rng.uniform(0.4, 1.6),
        "funded": rng.uniform(0.4, 0.8),
        "fades": rng.uniform(0.2, 0.45),
        "tenders": float(rng.choice([0.0, 0.0, 0.05, 0.1])),
        "partners": float(rng.choice([0.0, 0.0, 0.6, 1.5])),
        "contracts": float(rng.choice([0.0, 0.2, 0.4])),
        "churn": rng.uniform(0.08, 0.25),
        "customers": int(rng.integers(150, 900)),
        "currencies": (str(rng.choice(["EUR", "GBP", "USD", "CHF"])),),
        "mood": rng.uniform(0.08, 0.25),
        "rivalry": rng.uniform(0.1, 0.4),
        "desks": int(rng.integers(2, 7)),
        "turnover": rng.uniform(0.05, 0.3),
        "attention": _between(rng, 5, 16),
        "learns": rng.uniform(0.15, 0.45),
        "sprees": rng.uniform(0.5, 4),
        "optimism": rng.uniform(0.5, 1.1),
        "sandbags": rng.uniform(0, 0.3),
        "misuse": rng.uniform(0.1, 0.4),
        "pull": _between(rng, 0.005, 0.05),
        "unpriced": float(rng.choice([0.0, 0.03, 0.08])),
    }


_OWN: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "steady": lambda r: {
        "needs": _between(r, 35, 60),
        "season": "flat",
        "fair": -1,
        "mood": 0.06,
        "growth": 0.0,
        "spread": 0.5,
        "freezes": 0.0,
    },
    "lumpy": lambda r: {
        "needs": _between(r, 12, 18),
        "spread": r.uniform(1.3, 1.7),
        "size": _between(r, 4e3, 2e4),
    },
    "seasonal": lambda r: {
        "season": str(r.choice(["year_end", "summer_hole", "march", "spring"])),
        "pull": 0.06,
    },
    "growing": lambda r: {"growth": r.uniform(0.3, 0.55), "needs": _between(r, 14, 22)},
    "declining": lambda r: {"growth": r.uniform(-0.5, -0.3), "needs": _between(r, 40, 60)},
    "launch": lambda r: {"launch": True, "needs": _between(r, 12, 20)},
    "freeze": lambda r: {"freezes": r.uniform(0.6, 1.0), "freeze_lasts": r.uniform(70, 150)},
    "careless": lambda r: {
        "attention": r.uniform(30, 60),
        "learns": r.uniform(0.05, 0.15),
        "sprees": 1.2,
        "misuse": 0.6,
        "unpriced": 0.15,
        "optimism": 0.4,
    },
    "whale": lambda r: {
        "calls": _between(r, 0.6, 1.5),
        "call_size": _between(r, 5e4, 1.2e5),
        "size": _between(r, 3e3, 8e3),
    },
    "young": lambda r: {"months_seen": int(r.integers(4, 9)), "opened": 0},
    "renamed": lambda r: {
        "renamed_in": int(r.integers(10, 20)),
        "migrated": bool(r.random() < 0.5),
        "second_pipeline": bool(r.random() < 0.6),
        "contracts": 0.4,
    },
    "tenders": lambda r: {
        "tenders": r.uniform(0.6, 0.9),
        "season": "march",
        "edge": r.uniform(0.25, 0.35),
        "cycle": 90.0,
    },
    "short_cycle": lambda r: {
        "cycle": r.uniform(12, 18),
        "committee": 0.2,
        "funded": 0.95,
        "needs": _between(r, 25, 45),
        "size": _between(r, 400, 2e3),
    },
    "long_cycle": lambda r: {
        "cycle": r.uniform(380, 480),
        "committee": r.uniform(1.0, 1.8),
        "needs": _between(r, 28, 45),
        "size": _between(r, 3e4, 9e4),
        "funded": 0.4,
        "optimism": 0.5,
    },
    "tiny": lambda r: {
        "needs": _between(r, 6, 8),
        "partners": 0.0,
        "desks": 1,
        "contracts": 0.2,
        "opened": 12,
    },
    "high_volume": lambda r: {
        "needs": _between(r, 60, 75),
        "edge": 0.7,
        "committee": 0.1,
        "funded": 0.95,
        "opened": 1,
        "cycle": r.uniform(18, 30),
        "fades": 0.15,
        "partners": _between(r, 15, 30),
        "desks": 8,
        "size": _between(r, 300, 1_500),
    },
    "currencies": lambda r: {
        "currencies": ("EUR", "USD") if r.random() < 0.5 else ("GBP", "EUR", "USD"),
        "needs": _between(r, 35, 60),
    },
    "handovers": lambda r: {"turnover": r.uniform(0.9, 1.5), "sprees": 0.3, "desks": 4},
}
"""Each temperament's own traits, in place of those that `_draw` gives to all."""

TEMPERAMENTS = tuple(_OWN)


def firms(group: str) -> list[Firm]:
    """List the firms of a group, each drawn from a seed of its own.

    Parameters
    ----------
    group
        One of `GROUPS`.
    """
    found = []
    for place, temperament in enumerate(TEMPERAMENTS):
        for number in range(YOUNG if temperament == "young" else EACH):
            seed = (GROUPS[group], place, number)
            rng = np.random.default_rng(seed)
            firm = Firm(f"{temperament}-{group}-{number}", temperament, seed)
            found.append(replace(firm, **_draw(rng) | _OWN[temperament](rng)))
    return found
