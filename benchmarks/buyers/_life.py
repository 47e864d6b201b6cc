"""The state of a firm: every purchase under way and its entry in the list, in one or many futures.

One row a purchase, in columns. What customers do (`_customers`) and what sellers write (`_sellers`)
are steps of a day over these rows; a row knows which future it belongs to, so that a hundred
futures are lived through by the same steps as the one that came true.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._calendar import FISCAL, MONTH_END

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from ._firms import Firm

PURCHASE, TENDER, PARTNER, RENEWAL, CALL = range(5)
WAITS, NEED, COMPARES, COMMITTEE, FUNDS, PAPERS, ORDERED, GONE = range(-1, 7)
"""Where the customer truly is."""
UNSEEN, OPEN, LOST, WON, REMOVED = range(5)
"""What the list says; a purchase that nobody has entered is unseen."""
HONEST, EAGER, LATE, OFFERS_FIRST = range(4)
"""How a seller uses milestones."""
SELLERS = 60
BEATEN, NO_DECISION, NO_ANSWER, NO_MONEY, TWICE = range(5)
"""Why deals are lost; the customers' reasons and the sellers' words for them."""

_COLUMNS: dict[str, tuple[type, float]] = {
    "draw": (np.int32, 0), "kind": (np.int8, PURCHASE), "customer": (np.int32, 0),
    "currency": (np.int8, 0), "phase": (np.int8, WAITS), "due": (np.float64, np.nan),
    "members": (np.int8, 1), "agreed": (np.int8, 0), "refused": (np.int8, 0),
    "edge": (np.float64, 0.5), "speed": (np.float64, 1), "funded": (np.bool_, False),
    "why": (np.int8, NO_DECISION), "worth": (np.float64, 0), "term": (np.int32, 0),
    "ends": (np.float64, np.nan),
    # The list:
    "id": (np.int64, 0), "status": (np.int8, UNSEEN), "enters_at": (np.int8, NEED),
    "seller": (np.int16, 0), "shown": (np.float64, np.nan), "expected": (np.float64, np.nan),
    "stage": (np.int8, 0), "stated": (np.float64, np.nan), "created": (np.float64, np.nan),
    "looked": (np.float64, np.nan), "stage_since": (np.float64, np.nan),
    "closed": (np.float64, np.nan), "pushes": (np.int16, 0), "quiet_until": (np.float64, 0),
    "process": (np.int8, 0), "reason": (np.int8, -1),
}  # fmt: skip

_BY_DRAW = ("mood", "rivalry", "frozen", "programme", "launched", "staff", "hired")

Rows = dict[str, "NDArray[Any]"]


class Habits(NamedTuple):
    """What is fixed for a firm: its customers by number and its sellers by number."""

    fiscal: NDArray[np.int64]
    rounds: NDArray[np.int64]
    signs: NDArray[np.int64]
    attention: NDArray[np.float64]
    optimism: NDArray[np.float64]
    learns: NDArray[np.float64]
    sandbags: NDArray[np.bool_]
    use: NDArray[np.int64]


@lru_cache(maxsize=256)
def habits(firm: Firm) -> Habits:
    """Draw the customers' calendars and the sellers' ways once."""
    rng = np.random.default_rng((*firm.seed, 1))
    count = firm.customers + 1
    use = np.where(rng.random(SELLERS) < firm.misuse, rng.integers(1, 4, SELLERS), HONEST)
    return Habits(
        fiscal=rng.choice([0, 3, 6, 9], count, p=FISCAL[firm.season]),
        rounds=rng.choice([1, 3], count, p=[0.6, 0.4]),
        signs=rng.choice([1, 7, 14, 30], count, p=[0.4, 0.3, 0.15, 0.15]),
        attention=np.exp(rng.normal(0, 0.4, SELLERS)) / firm.attention,
        optimism=firm.optimism * np.exp(rng.normal(0, 0.3, SELLERS)),
        learns=np.clip(firm.learns * np.exp(rng.normal(0, 0.3, SELLERS)), 0.02, 0.95),
        sandbags=rng.random(SELLERS) < firm.sandbags,
        use=use,
    )


def rows(count: int, **given: NDArray[Any] | float) -> Rows:
    """Make rows in which only what is given differs from a purchase that nobody thinks of yet."""
    return {
        name: np.full(count, given.get(name, default), dtype)
        if np.ndim(given.get(name, default)) == 0
        else np.asarray(given[name]).astype(dtype)
        for name, (dtype, default) in _COLUMNS.items()
    }


def joined(parts: list[Rows]) -> Rows:
    """Put rows below each other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}


@dataclass
class Life:
    """A firm on a day.

    Attributes
    ----------
    deals
        Every purchase that can still change.
    born
        Rows that join the others at the next week's beginning.
    mood, rivalry, frozen, programme, launched, staff, hired
        By future: log demand, log odds of the others, whether money is held back, whether the
        large customer's programme runs, since when the new product is sold (NaN: not yet), who
        sits at each desk, how many sellers there have been.
    came
        By future, month since `came_from` and currency: what was won (of replays only).
    ended
        Deals that are over (of the one life that came true only).
    """

    firm: Firm
    day: int
    rng: np.random.Generator
    deals: Rows
    mood: NDArray[np.float64]
    rivalry: NDArray[np.float64]
    frozen: NDArray[np.bool_]
    programme: NDArray[np.bool_]
    launched: NDArray[np.float64]
    staff: NDArray[np.int64]
    hired: NDArray[np.int64]
    born: list[Rows] = field(default_factory=list)
    came: NDArray[np.float64] | None = None
    came_from: int = 0
    ended: list[Rows] = field(default_factory=list)
    ids: int = 1000

    @classmethod
    def begin(cls, firm: Firm) -> Life:
        """Start a firm before its first day, with nothing under way."""
        rng = np.random.default_rng((*firm.seed, 2))
        return cls(
            firm=firm,
            day=-1,
            rng=rng,
            deals=rows(0),
            mood=rng.normal(0, firm.mood, 1),
            rivalry=rng.normal(0, firm.rivalry, 1),
            frozen=np.zeros(1, bool),
            programme=rng.random(1) < 0.7,
            launched=np.full(1, np.nan),
            staff=np.arange(firm.desks)[None, :],
            hired=np.full(1, firm.desks),
        )

    def copied(self, draws: int, rng: np.random.Generator) -> Life:
        """Copy the state into so many futures, which know nothing of each other."""

        def spread(deals: Rows) -> Rows:
            many = {name: np.tile(column, draws) for name, column in deals.items()}
            many["draw"] = np.repeat(np.arange(draws, dtype=np.int32), len(deals["draw"]))
            return many

        by_draw: dict[str, Any] = {
            name: np.repeat(getattr(self, name), draws, axis=0) for name in _BY_DRAW
        }
        return replace(
            self,
            rng=rng,
            deals=spread(self.deals),
            born=[spread(part) for part in self.born],
            ended=[],
            **by_draw,
        )

    def listed(self) -> Rows:
        """Give every deal that the list has, open and closed, in the order of their ids."""
        every = joined([*self.ended, self.deals, *self.born])
        at = np.flatnonzero((every["status"] >= OPEN) & (every["status"] <= WON))
        at = at[np.argsort(every["id"][at])]
        return {name: column[at] for name, column in every.items()}

    def settle(self) -> None:
        """Take in what was born, and put aside what cannot change any more."""
        deals = joined([self.deals, *self.born])
        self.born = []
        over = np.isin(deals["status"], (WON, REMOVED)) | (
            (deals["phase"] == GONE) & (deals["status"] != OPEN)
        )
        if self.came is None:
            shown = over & np.isin(deals["status"], (WON, LOST))
            self.ended.append({name: column[shown] for name, column in deals.items()})
        self.deals = {name: column[~over] for name, column in deals.items()}


def month_end(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the last day of the month of each day, as far as the calendar goes."""
    places = np.clip(days, 0, MONTH_END.size - 1).astype(int)
    return np.asarray(MONTH_END[places], float)
