r"""Business that is not in the list yet: deals to come, whether and when they are won, their value.

Of the ``a`` deals entered in a month a share ``g_j`` is won ``j`` calendar months later, so

.. math:: E N_k = s_k \sum_{j \le k} a_{k-j} \, g_j

deals that are not in the list today will be won in the month ``k`` months ahead (``s`` is the
season). The level of ``a`` is filtered month by month: within a run without breaks it is
Gamma-distributed and fades (West & Harrison's discount models), and a break may have begun at any
month (Bayesian online change-point detection, Adams & MacKay 2007, arXiv:0710.3742); several
speeds of fading are averaged by how well they predicted. Months from before a likely break weigh
little by themselves. Counts spread more widely than Poisson's, as negative binomials.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import lgamma
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ._evidence import WON, Deals, month_of, month_start
from ._shock import season_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_lgamma = np.vectorize(lgamma, otypes=[np.float64])
_FADES = np.array([1.0, 0.95, 0.88, 0.75])
_FADE_PRIOR = np.array([0.35, 0.3, 0.2, 0.15])
_BREAK = 1 / 40.0
_BREAK_SHOWN = 0.6
_LAGS = 24
_HALF_LIFE = 18.0
# What an account without history is taken for: a quarter of deals are won, half of them within
# four months; as much as eight deals of its own would say.
_PRIOR_DEALS = 8.0
_PRIOR_WINS = 0.25
_PRIOR_DECAY = 0.82
_CURRENT_LAGS = 3
_IMPORTED, _IMPORT_TOLD = 6, 2


@dataclass(frozen=True)
class Level:
    """How many deals are entered in a month.

    Attributes
    ----------
    mean
        Deals in a month of no season.
    spread
        Variance of the mean relative to its square.
    dispersion
        Variance of a month's count relative to Poisson's.
    season
        Factor of each calendar month, January first.
    began
        The month with which the present level began, or None where no break was found.
    """

    mean: float
    spread: float
    dispersion: float
    season: NDArray[np.float64]
    began: int | None


@dataclass(frozen=True)
class Kernel:
    """How likely a deal is won so many calendar months after the one in which it was entered.

    Attributes
    ----------
    chance
        By lag.
    spread
        Variance of the sum of the first lags, relative to its square.
    """

    chance: NDArray[np.float64]
    spread: float


@dataclass(frozen=True)
class Wins:
    """What an account's deals told of the time from entry to win; those of several add up.

    Attributes
    ----------
    won
        Deals won, by lag; older ones count less.
    exposure
        Deals that had the time to be won, by lag.
    """

    won: NDArray[np.float64]
    exposure: NDArray[np.float64]


@dataclass(frozen=True)
class Experience:
    """What is expected of the time from entry to win before an account has told.

    Attributes
    ----------
    chance
        By lag, as a `Kernel` has it.
    deals, wins
        How many deals of the account's own weigh as much, and how many won ones.
    """

    chance: NDArray[np.float64]
    deals: float
    wins: float


def level_of(counts: NDArray[np.float64], share: NDArray[np.float64], first: int) -> Level:
    """Filter the number of deals entered in a month.

    Parameters
    ----------
    counts
        Deals entered in each month.
    share
        How much of each month is over; 1 but for the last.
    first
        The first month.
    """
    # The months before the first deal are not this account's (or currency's) time.
    lead = int(np.argmax(counts > 0)) if (counts > 0).any() else max(len(counts) - 1, 0)
    counts, share, first = counts[lead:], share[lead:], first + lead
    if not len(counts):
        return Level(0.0, 1.0, 1.0, np.ones(12), None)
    season = _season(counts, share, first)
    exposure = share * season[(np.arange(len(counts)) + first) % 12]
    pairs = counts[1:] + counts[:-1]
    apart = np.diff(counts) ** 2 / np.maximum(pairs, 1.0)
    # The largest leaps are breaks, not spread.
    apart = np.sort(apart)[: max(1, int(np.ceil(0.9 * len(apart))))] if len(apart) else apart
    dispersion = float(np.clip((1.1 * apart.sum() + 6 * 1.3) / (len(apart) + 6), 1.0, 8.0))
    typical = max(float(np.median(counts / np.maximum(exposure, 0.2))), 0.3)
    # A new run begins anywhere around what is usual: worth one month, widely spread.
    prior_a, prior_b = 0.7, 0.7 / typical
    y, e = counts / dispersion, exposure / dispersion
    a = np.full((1, len(_FADES)), prior_a)
    b = np.full((1, len(_FADES)), prior_b)
    log_w = np.log(_FADE_PRIOR)[None, :]
    run = np.zeros(1, dtype=np.int64)
    for t in range(len(counts)):
        predictive = _gamma_poisson(y[t], e[t], a, b, lgamma(y[t] + 1.0))
        log_joint = log_w + predictive
        # Either the run goes on, or a new one begins with this month.
        fresh = (
            np.logaddexp.reduce(log_w, axis=0)
            + _gamma_poisson(
                y[t],
                e[t],
                np.full((1, len(_FADES)), prior_a),
                np.full((1, len(_FADES)), prior_b),
                lgamma(y[t] + 1.0),
            )[0]
        )
        if t:
            log_w = np.concatenate(
                [log_joint + np.log1p(-_BREAK), (fresh + np.log(_BREAK))[None, :]]
            )
            a = np.concatenate([a * _FADES + y[t], np.full((1, len(_FADES)), prior_a + y[t])])
            b = np.concatenate([b * _FADES + e[t], np.full((1, len(_FADES)), prior_b + e[t])])
            run = np.append(run, t)
        else:
            log_w, a, b = log_joint, a + y[t], b + e[t]
        log_w = log_w - np.logaddexp.reduce(log_w, axis=None)
    weight = np.exp(log_w)
    mean = float((weight * a / b).sum())
    second = float((weight * (a / b**2 + (a / b) ** 2)).sum())
    by_run = weight.sum(axis=1)
    began = None
    if by_run[0] < 1 - _BREAK_SHOWN:
        likely = int(np.argmax(by_run))
        near = np.abs(run - run[likely]) <= 2  # noqa: PLR2004 - a break is found to a few months
        if likely and by_run[near].sum() > _BREAK_SHOWN:
            began = first + int(run[likely])
    return Level(mean, second / mean**2 - 1.0, dispersion, season, began)


def _gamma_poisson(
    y: float, e: float, a: NDArray[np.float64], b: NDArray[np.float64], log_factorial: float
) -> NDArray[np.float64]:
    """Give the log probability of a count whose mean is e times a Gamma(a, b)."""
    e = max(e, 1e-6)
    chance = _lgamma(a + y) - _lgamma(a) - log_factorial
    return np.asarray(chance + a * np.log(b / (b + e)) + y * np.log(e / (b + e)))


def _season(
    counts: NDArray[np.float64], share: NDArray[np.float64], first: int
) -> NDArray[np.float64]:
    """Compare each calendar month with the year around it."""
    if len(counts) < 24:  # noqa: PLR2004 - few months were seen twice
        return np.ones(12)
    year = np.ones(13)
    around = np.convolve(counts, year, "same") / np.convolve(share, year, "same") * share
    calendar = (np.arange(len(counts)) + first) % 12
    return season_of(counts, around, calendar).factor


def arrived(deals: Deals, first: int, today: int) -> NDArray[np.bool_]:
    """Tell which deals came one by one, and not with the list that an account was begun with.

    The day on which an account's first deals were entered, more than on any two later ones, is an
    import, once there are some later ones to tell: how many came on it says nothing of how many
    come in a month. How often they are won still tells how often deals are, where little else does.
    """
    known = deals.known[deals.known <= today]
    if not len(known) or first != month_of(known.min()):
        return np.ones(len(deals.known), dtype=bool)
    days, counts = np.unique(known, return_counts=True)
    if len(days) <= _IMPORT_TOLD or counts[0] < max(_IMPORTED, 2 * counts[1:].max() + 1):
        return np.ones(len(deals.known), dtype=bool)
    return np.asarray(deals.known > days[0])


def wins_of(deals: Deals, first: int, today: int, season: NDArray[np.float64]) -> Wins:
    """Count when deals were won after they were entered.

    Parameters
    ----------
    deals
        The deals.
    first
        The first month of the account.
    today
        The as-of day; what comes later is not known.
    season
        Factor of winning in each calendar month.
    """
    last = int(month_of(today + 1)) - 1
    months = np.arange(first, last + 1)
    entered = month_of(deals.known)
    known = deals.known <= today
    intake = (
        np.bincount(
            (entered - first)[known & (entered >= first) & (entered <= last)], minlength=len(months)
        ).astype(np.float64)
        if len(months)
        else np.zeros(0)
    )
    ended = month_of(np.minimum(deals.end, 10**7))
    lag = ended - entered
    won = known & (deals.kind == WON) & (deals.end <= today) & (ended <= last) & (entered >= first)
    won &= (lag >= 0) & (lag < _LAGS)
    fade = 0.5 ** ((last - ended[won]) / _HALF_LIFE)
    wins = np.bincount(lag[won], fade, _LAGS)
    exposure = np.zeros(_LAGS)
    for j in range(min(_LAGS, len(months))):
        closing = months[: len(months) - j] + j
        exposure[j] = np.sum(
            intake[: len(months) - j]
            * season[closing % 12]
            * 0.5 ** ((last - closing) / _HALF_LIFE)
        )
    return Wins(wins.astype(np.float64), exposure)


def _usual() -> Experience:
    """Give what any account is taken for."""
    prior = _PRIOR_WINS * (1 - _PRIOR_DECAY) * _PRIOR_DECAY ** np.arange(_LAGS, dtype=np.float64)
    # The month of entry is shorter than the others.
    prior[0] /= 2
    return Experience(prior, _PRIOR_DEALS, _PRIOR_DEALS * _PRIOR_WINS)


USUAL = _usual()


def kernel_of(told: Wins, before: Experience = USUAL) -> Kernel:
    """Learn when deals are won after they were entered.

    Parameters
    ----------
    told
        What the deals told.
    before
        What was expected before.
    """
    wins, exposure = told.won, told.exposure
    # Beside what the prior gives for the same months: young deals have not had the time to be won.
    share_won = (wins.sum() + before.wins) / (float(exposure @ before.chance) + before.wins)
    prior = before.chance * float(np.clip(share_won, 0.2, 2.5))
    chance = (wins + before.deals * prior) / (exposure + before.deals)
    effective = wins[: _CURRENT_LAGS + 1].sum() + max(1.0, before.wins / 2)
    return Kernel(chance, 1.0 / (effective + 1.0))


def intake_of(
    deals: Deals, currency: int, first: int, today: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Count the deals of a currency entered in each month, and how much of the month is over."""
    last = int(month_of(today))
    entered = month_of(deals.known)
    mine = (deals.currency == currency) & (deals.known <= today) & (entered >= first)
    mine &= arrived(deals, first, today)
    counts = np.bincount((entered - first)[mine], minlength=last - first + 1).astype(np.float64)
    share = np.ones(len(counts))
    begin, end = int(month_start(last)), int(month_start(last + 1))
    share[-1] = (today + 1 - begin) / (end - begin)
    return counts, share


def expected_wins(
    level: Level, kernel: Kernel, today: int, months: int, season: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the expected number of deals won in each month ahead that are not in the list today."""
    now = int(month_of(today + 1))
    begin, end = int(month_start(now)), int(month_start(now + 1))
    share = (end - today - 1) / (end - begin)
    intake = level.mean * level.season[(now + np.arange(months)) % 12]
    intake[:1] *= share
    chance = np.concatenate([kernel.chance, np.zeros(max(months - _LAGS, 0))])
    wins = np.convolve(intake, chance)[:months]
    wins[:1] *= share
    return wins * season[(now + np.arange(months)) % 12]


@dataclass(frozen=True)
class Values:
    """What won deals are worth: possible values and their weights.

    Attributes
    ----------
    amounts, weight
        Values and probabilities.
    """

    amounts: NDArray[np.float64]
    weight: NDArray[np.float64]

    @cached_property
    def mean(self) -> float:
        """The mean value."""
        return float(self.amounts @ self.weight)

    @cached_property
    def second(self) -> float:
        """The mean of the squared value."""
        return float(self.weight @ self.amounts**2)

    @classmethod
    def mixed(cls, parts: Sequence[Values], shares: NDArray[np.float64]) -> Values:
        """Mix values by shares, which need not add up to 1; not all are 0."""
        amounts = np.concatenate([part.amounts for part in parts])
        weight = [share * part.weight for part, share in zip(parts, shares, strict=True)]
        return cls(amounts, np.concatenate(weight) / shares.sum())


_NODES = np.array([-1.7, -1.0, -0.5, 0.0, 0.5, 1.0, 1.7])
_NODE_WEIGHT = np.exp(-0.5 * _NODES**2) / np.exp(-0.5 * _NODES**2).sum()
_VALUE_HALF_LIFE = 15.0
_MOST_VALUES = 300
_ALIKE_PRIOR = 8.0
LAGS_TOLD = 6
"""How many months ahead values are told apart; later ones are taken to be like the last."""


def values_of(deals: Deals, currency: int, today: int, ahead: int) -> Values:
    """Learn what deals are worth that are entered after today and won so many months ahead.

    Winners of the last months count most. Quick deals are often other ones than slow deals: past
    winners that were as quick stand for them as far as there are some, and beside them stand all
    winners, moved by the slope of log value on time to close, as far as there is one. Each value is
    smoothed, the more the fewer there are; one that is far beyond what the others' spread
    allows (a customer that dwarfs the rest) is drawn in to what they allow once in twice as many.
    """
    won = (deals.kind == WON) & (deals.end <= today) & (deals.currency == currency)
    won &= np.isfinite(deals.tcv) & (deals.tcv > 0)
    if not won.any():
        won = (deals.known <= today) & (deals.currency == currency)
        won &= np.isfinite(deals.tcv) & (deals.tcv > 0)
    if not won.any():
        return Values(np.zeros(1), np.ones(1))
    latest = np.flatnonzero(won)[np.argsort(deals.end[won], kind="stable")][-_MOST_VALUES:]
    logs = np.log(deals.tcv[latest])
    ended = np.minimum(deals.end[latest], today)
    ago = (today - ended) / 30.4375
    weight = 0.5 ** (ago / _VALUE_HALF_LIFE)
    weight /= weight.sum()
    effective = 1.0 / float(weight @ weight)
    took = np.log1p(np.maximum(ended - deals.known[latest], 0) / 30.4375)
    centre = float(weight @ logs)
    # The spread is read between quartiles, which one customer cannot move.
    order = np.argsort(logs, kind="stable")
    reached = np.cumsum(weight[order])
    q1, q3 = logs[order][np.searchsorted(reached, [0.25, 0.75]).clip(0, len(logs) - 1)]
    robust = (q3 - q1) / 1.349
    plain = float(np.sqrt(weight @ (logs - centre) ** 2))
    robust = (effective * min(plain, max(robust, 0.3 * plain)) + 4 * 0.8) / (effective + 4)
    middle = float(logs[order][np.searchsorted(reached, 0.5).clip(0, len(logs) - 1)])
    most = middle + NormalDist().inv_cdf(1 - 0.5 / (2 * effective + 2)) * max(robust, 0.25) * 1.15
    logs = np.minimum(logs, most)
    apart = took - weight @ took
    noise = max(float(weight @ (logs - centre) ** 2), 0.05)
    slope = float((weight * apart) @ logs) * effective
    slope /= float(weight @ apart**2) * effective + noise / 0.2**2
    moved = logs + slope * (np.log1p((ahead + 0.5) / 2) - took)
    quick = month_of(ended) - month_of(deals.known[latest]) <= ahead
    among = float(weight[quick].sum())
    share = 0.0
    if among > 0:
        alike = among**2 / float(weight[quick] @ weight[quick])
        share = alike / (alike + _ALIKE_PRIOR)
    weight = np.concatenate([(1 - share) * weight, share * weight[quick] / max(among, 1e-12)])
    logs = np.concatenate([moved, logs[quick]])
    width = 0.6 * robust * (effective + 1) ** -0.2
    # Smoothing logs lifts the mean; half of it is taken back, as few values miss the tail.
    amounts = np.exp(logs[:, None] + width * _NODES[None, :] - 0.25 * width**2)
    weights = weight[:, None] * _NODE_WEIGHT[None, :]
    return Values(amounts.ravel(), weights.ravel())


__all__ = [
    "LAGS_TOLD",
    "USUAL",
    "Experience",
    "Kernel",
    "Level",
    "Values",
    "Wins",
    "expected_wins",
    "intake_of",
    "kernel_of",
    "level_of",
    "values_of",
    "wins_of",
]
