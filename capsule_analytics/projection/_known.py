"""What other accounts have told, which a fit starts from; nothing, where there is no group."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ._new_business import USUAL, Experience
from ._shock import USUAL_KINDS, Season, Shock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._features import Design

OWN_SEASON = 0.25
"""Share of a season's variance that an account of a group is taken to have for itself."""


@dataclass(frozen=True)
class Centre:
    """Where a coefficient is expected, in log odds ratios.

    Attributes
    ----------
    win, lose
        Of winning and of losing.
    spread
        Standard deviation of both.
    """

    win: float
    lose: float
    spread: float


@dataclass(frozen=True)
class Known:
    """What other accounts told up to a day; as it is made without arguments, nothing.

    Attributes
    ----------
    day
        The day, which counts as over.
    centres
        Of coefficients, by the feature's name; those of other features stay as they are.
    taught
        How many endings the coefficients stand on that snapshots had seen before.
    wins
        When entered deals are won.
    season
        The season that the accounts share.
    kinds
        Prior weights of the kinds of shock that an account has for itself.
    shock, first
        The shock that the accounts share, and the first month of its past.
    """

    day: int = -(10**6)
    centres: Mapping[str, Centre] = field(default_factory=dict)
    taught: float = 0.0
    wins: Experience = USUAL
    season: Season | None = None
    kinds: NDArray[np.float64] = field(default_factory=lambda: USUAL_KINDS)
    shock: Shock | None = None
    first: int = 0

    def design(self, own: Design) -> Design:
        """Set the priors of an account's features."""
        if not self.centres:
            return own
        features = tuple(
            replace(one, win=centre.win, lose=centre.lose, spread=centre.spread)
            if (centre := self.centres.get(one.name))
            else one
            for one in own.features
        )
        return replace(own, features=features, taught=self.taught)

    @property
    def season_part(self) -> float:
        """Share of a season's variance that is left to the account."""
        return 1.0 if self.season is None else OWN_SEASON

    def common(self, first: int, months: int) -> Shock | None:
        """Give the shared shock with a past of some months from a first one on."""
        if self.shock is None:
            return None
        last = self.first + len(self.shock.past)
        shock = self.shock.later(max(first + months - last, 0))
        past = shock.past[max(first - self.first, 0) : first + months - self.first]
        # Nobody told of the months before the group's first.
        return replace(shock, past=np.concatenate([np.zeros(months - len(past)), past]))


ALONE = Known()


@dataclass(frozen=True)
class Prior:
    """What a fit starts from: what other accounts had told, as of several days.

    Made by `Group.prior`.

    Attributes
    ----------
    known
        Oldest first.
    """

    known: tuple[Known, ...] = ()

    def at(self, day: int) -> Known:
        """Give the newest that was known at the end of a day."""
        past = [known for known in self.known if known.day <= day]
        return past[-1] if past else ALONE


NO_PRIOR = Prior()

__all__ = ["ALONE", "NO_PRIOR", "OWN_SEASON", "Centre", "Known", "Prior"]
