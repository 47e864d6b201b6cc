"""What an account can teach others: its likelihood, what its months brought, how its deals end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._evidence import day_number, month_of, month_start, read
from ._fit import Evidence
from ._open_deals import spread_of
from ._track import LOOKED_BACK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from numpy.typing import NDArray

    from capsule_analytics.schema import Pipeline

    from ._features import Feature
    from ._fit import Fitted, Months
    from ._new_business import Wins
    from ._open_deals import Endings

_EVERY = 3
# A month of a deal's life is seen from several months before, and counts about twice in all.
_ONCE = 0.5


@dataclass(frozen=True)
class Told:
    """What an account told up to a day.

    Attributes
    ----------
    features
        Those that other accounts may have too.
    precision, weighed
        Of their coefficients' likelihood, of winning and of losing, shapes (2, n, n) and (2, n):
        the second derivative, and its product with the peak.
    endings, months, wins
        What it stands on, what past months brought, when entered deals were won.
    """

    features: tuple[Feature, ...]
    precision: NDArray[np.float64]
    weighed: NDArray[np.float64]
    endings: Endings
    months: Months
    wins: Wins


@dataclass(frozen=True)
class Lesson:
    """What an account can teach others; made by `lesson`.

    Attributes
    ----------
    account
        Its name.
    told
        What it told up to each of the days; None where it told nothing yet.
    """

    account: str
    told: tuple[Told | None, ...]


def lesson_days(day: date) -> tuple[int, ...]:
    """Give the days as of which accounts teach, so that a year of the past can be looked back at.

    Parameters
    ----------
    day
        The day from which a group is looked at, the last of them.
    """
    today = day_number(day)
    now = int(month_of(today + 1))
    past = [int(month_start(now - back)) - 1 for back in range(LOOKED_BACK, 0, -_EVERY)]
    return (*past, today)


def lesson(pipelines: Pipeline | Iterable[Pipeline], day: date) -> Lesson:
    """Learn what an account can teach others.

    Parameters
    ----------
    pipelines
        One or more pipelines of one account, as for `fit`.
    day
        The day from which the group is looked at; the same for all its accounts.

    Returns
    -------
    What `pool` takes; some hundred kilobytes, whatever the size of the account.

    Raises
    ------
    ArgumentError
        As `fit` raises it.
    """
    history = read(pipelines)
    evidence = Evidence.of(history)
    told: list[Told | None] = []
    fitted: Fitted | None = None
    for number in lesson_days(day):
        until = min(number, history.today)
        if until < month_start(history.first) or not (history.deals.known <= until).any():
            told.append(None)
            continue
        if fitted is None or fitted.today != until:
            fitted = evidence.fitted(until, fitted.hazards if fitted else None)
        told.append(_told(fitted))
    return Lesson(history.account, tuple(told))


def _told(fitted: Fitted) -> Told:
    """Take what may be shared out of a fit: the likelihood, without the priors and the people."""
    hazards = fitted.hazards
    features = hazards.design.features
    size = len(features)
    spread = spread_of(hazards.design, hazards.centre)
    prior = np.array([[f.win for f in features], [f.lose for f in features]])
    precision = np.stack(
        [hazards.curvature[:size, :size], hazards.curvature[size:, size:]]
    ) - np.diag(spread**-2.0)
    weighed = np.einsum("hij,hj->hi", precision, hazards.coef) + (hazards.coef - prior) / spread**2
    names = [f.name for f in features]
    own = np.array([f.group == "owner" or names.count(f.name) > 1 for f in features])
    precision, weighed = without(_ONCE * precision, _ONCE * weighed, own, prior, spread)
    shared = tuple(f for f, of_own in zip(features, own, strict=True) if not of_own)
    # The last digits of solved equations depend on how many processors there are.
    months, wins = fitted.months, fitted.wins
    months = replace(months, expected=np.round(months.expected, 6), scale=np.round(months.scale, 6))
    wins = replace(wins, exposure=np.round(wins.exposure, 6))
    precision, weighed = np.round(precision, 6), np.round(weighed, 6)
    return Told(shared, precision, weighed, hazards.endings, months, wins)


def without(
    precision: NDArray[np.float64],
    weighed: NDArray[np.float64],
    own: NDArray[np.bool_],
    prior: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Integrate some coefficients out of a normal likelihood, under their priors."""
    if not own.any():
        return precision, weighed
    inner = precision[:, own][:, :, own] + np.diag(spread[own] ** -2.0)
    cross = precision[:, ~own][:, :, own]
    gain = cross @ np.linalg.inv(inner)
    pull = weighed[:, own] + prior[:, own] / spread[own] ** 2
    rest = precision[:, ~own][:, :, ~own] - gain @ cross.transpose(0, 2, 1)
    return rest, weighed[:, ~own] - np.einsum("hij,hj->hi", gain, pull)


__all__ = ["Lesson", "Told", "lesson", "lesson_days", "without"]
