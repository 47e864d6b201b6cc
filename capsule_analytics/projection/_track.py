r"""How past projections came true, and what today's are corrected by.

The model is fitted again as of earlier month ends, each time knowing nothing later, and its
projections of the month after are held against what came. From that follow

*Recalibration.* With ``u`` the place of what came in the projected distribution (PIT), its normal
score ``z`` should have mean 0 and standard deviation 1. Both are estimated with recent months
counting more and with a prior worth a dozen months that says "as they should be"; the projected
distribution ``F`` becomes ``Phi((Phi^-1(F) - m) / s)``. It follows drifting errors as adaptive
conformal inference does (Gibbs & Candes 2021, arXiv:2106.00170), but keeps a whole distribution
(recalibration by PIT: Dawid 1984; Kuleshov et al. 2018).

*Blend.* Beside the model stands the naive of the account's own months: the mean of the last three,
spread by how that rule's past ratios came out. It gets weight as far as its continuous ranked
probability score was the better one (opinion pools: Gneiting & Ranjan 2013).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import erf, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from capsule_analytics.risk import Law, mix

from ._evidence import WON, month_of, month_start
from ._known import NO_PRIOR, Prior
from ._totals import CELLS, Projected
from ._window import Outlooks, window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ._evidence import History
    from ._fit import Evidence, Fitted

LOOKED_BACK = 12
"""How many past months are projected again."""
_EVERY = 3
_LEAST_HISTORY = 6
_PRIOR_MONTHS = 12.0
_PRIOR_SHIFT = 60.0
_PAST_CELLS, _PAST_NODES = 500, 7
_HALF_LIFE = 9.0
_LEAST_SCALE, _MOST_SCALE = 0.75, 1.8
_NAIVE_PRIOR = 12.0
_NAIVE_PRIOR_GAIN = 0.2
_MOST_NAIVE = 0.5
_UNKNOWN_SPREAD = 0.6
_LEVELS = (np.arange(60) + 0.5) / 60
_inverse = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
_cumulative = np.vectorize(lambda z: 0.5 * (1 + erf(z / sqrt(2))), otypes=[np.float64])


@dataclass(frozen=True)
class Correction:
    """What past projections teach today's.

    Attributes
    ----------
    months
        How many past projections were scored.
    scale, shift
        Spread and mean of their normal scores; 1 and 0 change nothing.
    naive
        Weight of the naive.
    inside
        How many of them held what came between P10 and P90, before correction.
    """

    months: int = 0
    scale: float = 1.0
    shift: float = 0.0
    naive: float = 0.0
    inside: int = 0


def monthly(evidence: Evidence, currency: int, until: int) -> NDArray[np.float64]:
    """Sum what was won in each month from the account's first to before another."""
    deals, first = evidence.history.deals, evidence.history.first
    won = (deals.kind == WON) & (deals.currency == currency) & np.isfinite(deals.tcv)
    won &= (deals.end >= month_start(first)) & (deals.end < month_start(until))
    return np.bincount(
        month_of(deals.end[won]) - first, deals.tcv[won], max(until - first, 0)
    ).astype(np.float64)


def naive_law(series: NDArray[np.float64], ahead: int, length: int) -> Law | None:
    """Give the naive's distribution of months that begin some months after the last of a series.

    Parameters
    ----------
    series
        Past months, oldest first.
    ahead, length
        How many months lie between, and how many are summed.
    """
    size = len(series)
    if size < _EVERY or not series[-_EVERY:].sum() > 0:
        return None
    total = np.concatenate([[0.0], np.cumsum(series)])
    ends = np.arange(_EVERY, size - ahead - length + 1)
    said = (total[ends] - total[ends - _EVERY]) * length / _EVERY
    came = total[ends + ahead + length] - total[ends + ahead]
    ratios = (came[said > 0] / said[said > 0])[-24:]
    base = series[-_EVERY:].mean() * length
    if len(ratios) < _LEAST_HISTORY:
        ratios = np.exp(_UNKNOWN_SPREAD * _inverse(_LEVELS))
    amounts, counts = np.unique(base * ratios, return_counts=True)
    return Law(amounts, counts / counts.sum())


@dataclass(frozen=True)
class Past:
    """What the model would have said of a month on the eve of it, beside what came.

    Attributes
    ----------
    month
        The month, counted from year 0.
    law
        The projection, before correction.
    simple
        The naive's, where there is one.
    came
        What the month brought.
    """

    month: int
    law: Projected
    simple: Law | None
    came: float

    @cached_property
    def score(self) -> tuple[float, float, bool]:
        """The PIT of what came, how much the naive was worse, and whether it lay inside."""
        law, came = self.law, self.came
        below, upto = law.cdf(came - 1e-6 * (1 + abs(came))), law.cdf(came)
        low, high = law.quantile([0.1, 0.9])
        gain = np.nan
        if self.simple is not None:
            worse = self.simple.crps(came) - law.crps(came)
            gain = 2 * worse / max(abs(law.mean) + came, 1e-9)
        return (below + upto) / 2, gain, bool(low <= came <= high)


def past_months(history: History) -> range:
    """Give the months whose projections are looked back at, oldest first."""
    now = int(month_of(history.today + 1))
    return range(max(history.first + _LEAST_HISTORY, now - LOOKED_BACK), now)


def past_fits(evidence: Evidence, months: Iterable[int], prior: Prior = NO_PRIOR) -> list[Fitted]:
    """Fit the model as of the eve of past months, oldest first, each knowing nothing later.

    Hazards are fitted anew every third time and used for the two after it as well; all else is
    brought up to date every month. What other accounts told is taken as of that day too.
    """
    fits: list[Fitted] = []
    for number, month in enumerate(months):
        day = int(month_start(month)) - 1
        if number % _EVERY == 0:
            start = fits[-1].hazards if fits else None
            fits.append(evidence.fitted(day, start, others=prior.at(day)))
        else:
            fits.append(evidence.fitted(day, hazards=fits[-1].hazards, others=prior.at(day)))
    return fits


def pasts_of(evidence: Evidence, fits: Sequence[Fitted]) -> dict[int, dict[int, Past]]:
    """Project past months from the fits of their eves; by month and currency code.

    Parameters
    ----------
    evidence
        The account.
    fits
        The fits as of past month ends.
    """
    history = evidence.history
    found: dict[int, dict[int, Past]] = {}
    for fitted in fits:
        at = history.sightings
        outlooks = Outlooks(fitted, at.where(at.day == fitted.today))
        month = int(month_of(fitted.today + 1))
        start, end = int(month_start(month)), int(month_start(month + 1))
        found[month] = {}
        for code in fitted.levels:
            if not (outlooks.present.currency == code).any():
                continue
            law = window(history, outlooks, start, end, code, _PAST_NODES).total(_PAST_CELLS)
            series = monthly(evidence, code, month + 1)
            simple = naive_law(series[:-1], 0, 1)
            found[month][code] = Past(month, law, simple, float(series[-1]))
    return found


def correction_of(pasts: Sequence[Past]) -> Correction:
    """Turn the projections of past months of a currency, oldest first, into a correction."""
    if not pasts:
        return Correction()
    scores = [past.score for past in pasts]
    pits, gains, inside = (np.array(column) for column in zip(*scores, strict=True))
    z = _inverse(pits.clip(0.01, 0.99))
    fade = 0.5 ** (np.arange(len(z))[::-1] / _HALF_LIFE)
    shift = float(fade @ z) / (float(fade.sum()) + _PRIOR_SHIFT)
    variance = (float(fade @ (z - shift) ** 2) + _PRIOR_MONTHS) / (fade.sum() + _PRIOR_MONTHS)
    scale = float(np.clip(np.sqrt(variance), _LEAST_SCALE, _MOST_SCALE))
    told = gains[~np.isnan(gains)]
    naive = 0.0
    if len(told):
        count = len(told) + _NAIVE_PRIOR
        mean = (told.sum() + _NAIVE_PRIOR * _NAIVE_PRIOR_GAIN) / count
        spread = sqrt((told.var() * len(told) + _NAIVE_PRIOR * 0.1) / count / count)
        naive = _MOST_NAIVE * float(_cumulative(np.array([-mean / spread]))[0])
    # What the processors of another machine would find differs in the last digits.
    scale, shift, naive = round(scale, 9), round(shift, 9), round(naive, 9)
    return Correction(len(scores), scale, shift, naive, int(inside.sum()))


def corrected(law: Projected, correction: Correction, simple: Law | None) -> Projected:
    """Apply a correction to a projection; its parts keep their proportions."""
    changed = law.law
    if correction.scale != 1 or correction.shift != 0:
        reached = np.cumsum(changed.mass).clip(1e-12, 1 - 1e-12)
        moved = _cumulative((_inverse(reached) - correction.shift) / correction.scale)
        moved[-1] = 1.0
        mass = np.diff(moved, prepend=0.0)
        changed = Law(changed.amounts, mass / mass.sum(), changed.step)
    if simple is not None and correction.naive > 0:
        apart = Law(simple.amounts - law.sure, simple.mass)
        changed = mix([changed, apart], np.array([1 - correction.naive, correction.naive]), CELLS)
    if changed is law.law:
        return law
    mean = float(changed.amounts @ changed.mass)
    spread = float(np.sqrt(max(float(changed.mass @ (changed.amounts - mean) ** 2), 0.0)))
    before = law.open_value + law.new_value
    ratio = mean / before if before else 1.0
    return replace(
        law,
        law=changed,
        mean=law.sure + mean,
        std=spread,
        open_value=law.open_value * ratio,
        new_value=law.new_value * ratio,
    )


__all__ = [
    "LOOKED_BACK",
    "Correction",
    "Past",
    "corrected",
    "correction_of",
    "monthly",
    "naive_law",
    "past_fits",
    "past_months",
    "pasts_of",
]
