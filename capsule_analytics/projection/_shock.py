r"""The common shock: months go well or badly together.

The log odds of winning in month ``m`` carry a shock ``b_m`` that all deals share. It follows an
autoregression ``b_m = c + \phi (b_{m-1} - c) + e_m`` with ``c = -\sigma^2/2``, so that on average
it changes nothing. Given ``b`` the wins of a month are Poisson with mean ``E_m exp(b_m)``, where
``E_m`` is what the deals' own chances give. How strong (``\sigma``) and how lasting (``\phi``) it
is are not chosen but averaged over a grid, by how well each predicted the wins so far, starting
from a prior that favours weak ones. One more law has freezes: rare months from which on next to
nothing is signed, until it thaws.

All is done on a grid of ``b`` (a hidden Markov model: Rabiner 1989; Zucchini & MacDonald), so it is
exact up to the grid and draws no random number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = np.linspace(-3.0, 1.8, 41)
_SIGMAS = ((0.0, 0.22), (0.12, 0.25), (0.22, 0.2), (0.35, 0.14), (0.55, 0.06), (0.9, 0.02))
_PHIS = ((0.0, 0.3), (0.5, 0.3), (0.8, 0.25), (0.93, 0.15))
_FREEZE_PRIOR = 0.11
_BEGINS, _THAWS, _DEPTH = 0.02, 0.25, -1.8
_FACTOR_BINS = 48
_PHASE_SPREADS = ((0.05, 0.35), (0.2, 0.4), (0.5, 0.25))
_MONTH_SPREADS = ((0.05, 0.3), (0.15, 0.4), (0.35, 0.3))
_USUAL_SHOCK, _FARTHEST = 0.2, 1.2
_IMPOSSIBLE = -60.0


def _normal(mean: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Lay normals of several means on the grid, shape (means, grid); a narrow one on two points."""
    step = GRID[1] - GRID[0]
    if sigma < step / 2:
        where = ((mean - GRID[0]) / step).clip(0, len(GRID) - 1.001)
        cell = where.astype(int)
        rows = np.zeros((len(mean), len(GRID)))
        at = np.arange(len(mean))
        rows[at, cell] = 1 - (where - cell)
        rows[at, cell + 1] = where - cell
        return rows
    mass = np.exp(-0.5 * ((GRID[None, :] - mean[:, None]) / sigma) ** 2)
    return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def _laws() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give prior weights, first-month laws and transitions of every kind of shock."""
    weights, firsts, moves = [], [], []
    for sigma, of_sigma in _SIGMAS:
        for phi, of_phi in _PHIS if sigma else ((0.0, 1.0),):
            centre = -(sigma**2) / 2
            weights.append(of_sigma * of_phi)
            firsts.append(_normal(np.array([centre]), sigma)[0])
            moves.append(
                _normal(centre + phi * (GRID - centre), sigma * float(np.sqrt(1 - phi**2)))
            )
    calm = _normal(np.full(len(GRID), 0.0), 0.15)
    frozen = GRID < -0.9  # noqa: PLR2004 - less than half of what is usual is signed
    enter = _normal(np.full(len(GRID), _DEPTH), 0.4)
    stay = _normal(GRID, 0.25)
    thaw = _normal(np.full(len(GRID), 0.15), 0.3)
    move = np.where(
        frozen[:, None],
        (1 - _THAWS) * stay + _THAWS * thaw,
        (1 - _BEGINS) * calm + _BEGINS * enter,
    )
    weights.append(_FREEZE_PRIOR)
    firsts.append((1 - _BEGINS) * calm[0] + _BEGINS * enter[0])
    moves.append(move)
    total = np.array(weights)
    return total / total.sum(), np.array(firsts), np.array(moves)


USUAL_KINDS, _FIRST, _MOVES = _laws()


@dataclass(frozen=True)
class Shock:
    """What is known of the shocks after the last month that is over.

    Attributes
    ----------
    weights
        Posterior weight of every kind of shock.
    state
        Law of the last month's shock under each, shape (kinds, grid).
    past
        Logarithm of the mean factor of each past month, given all months.
    common
        What a group of accounts shares, and this shock comes on top of; None without a group.
    """

    weights: NDArray[np.float64]
    state: NDArray[np.float64]
    past: NDArray[np.float64]
    common: Shock | None = None

    @property
    def now(self) -> float:
        """The factor on the odds of winning in the last month."""
        own = float(self.weights @ (self.state @ np.exp(GRID)))
        return own if self.common is None else own * self.common.now

    def later(self, months: int) -> Shock:
        """Let months pass of which nothing is seen."""
        state, past = self.state, self.past
        for _ in range(months):
            state = np.einsum("kg,kgh->kh", state, _MOVES)
            past = np.append(past, np.log(self.weights @ (state @ np.exp(GRID))))
        return replace(self, state=state, past=past)

    @property
    def strength(self) -> float:
        """Standard deviation of a month's shock in the long run, averaged over the kinds."""
        spread = [s for s, _ in _SIGMAS for _ in (_PHIS if s else (0,))] + [0.5]
        return float(self.weights @ np.array(spread))

    def factors(
        self, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the law of a weighted mean of the coming months' factors.

        Parameters
        ----------
        weights
            How much each coming month matters, the next one first; not all 0.

        Returns
        -------
        Factors and their probabilities, some dozens.
        """
        share = weights / weights.sum()
        top = float(np.exp(GRID[-1]))
        bins = np.linspace(0.0, 1.0, _FACTOR_BINS + 1)
        bins = top * bins**1.5
        # The joint law of the state and of the sum so far, for every kind.
        joint = np.zeros((len(self.weights), len(GRID), len(bins)))
        joint[:, :, 0] = self.state
        for part in share:
            joint = _MOVES.transpose(0, 2, 1) @ joint
            if part <= 0:
                continue
            joint = _moved(joint, bins, part * np.exp(GRID))
        mass = self.weights @ joint.sum(axis=1)
        if self.common is None:
            return bins, mass
        others, of_others = self.common.factors(weights)
        return np.multiply.outer(bins, others).ravel(), np.multiply.outer(mass, of_others).ravel()


def _moved(
    joint: NDArray[np.float64], bins: NDArray[np.float64], add: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add to the sums what each state adds, split between bins so that the mean is kept."""
    kinds, states, count = joint.shape
    to = np.minimum(bins[None, :] + add[:, None], bins[-1])
    cell = np.searchsorted(bins, to, side="right").clip(1, count - 1) - 1
    upper = (to - bins[cell]) / (bins[cell + 1] - bins[cell])
    # Each mass goes to two places, one beside the other, in the flattened array of one kind.
    places = (np.arange(states)[:, None] * count + cell)[..., None] + np.array([0, 1])
    shares = np.stack([1 - upper, upper], axis=2)
    moved = [
        np.bincount(places.ravel(), (of_kind[..., None] * shares).ravel(), states * count)
        for of_kind in joint
    ]
    return np.reshape(moved, (kinds, states, count))


@dataclass(frozen=True)
class Season:
    """How much better or worse calendar months are for winning.

    Attributes
    ----------
    factor
        By calendar month, January first; 1 on average.
    spread
        Standard deviation of the logarithm of each.
    """

    factor: NDArray[np.float64]
    spread: NDArray[np.float64]


def season_of(
    wins: NDArray[np.float64],
    expected: NDArray[np.float64],
    calendar: NDArray[np.int64],
    *,
    around: Season | None = None,
    part: float = 1.0,
) -> Season:
    """Learn the season from whole months, as deals of one month share its luck.

    The log of wins over expected wins is taken as the sum of the month's place in its quarter and
    of the calendar month, both normal around 0, and of chance: Poisson's and a usual shock.

    Parameters
    ----------
    wins, expected
        Deals won in each past month, and how many the deals' own chances gave.
    calendar
        Each month's number, 0 for January.
    around
        A group's season, which the account's is one of; None without a group.
    part
        Share of the usual variance that is looked for here.
    """
    if around is not None:
        expected = expected * around.factor[calendar]
    features = np.zeros((12, 15))
    features[np.arange(12), np.arange(12) % 3] = 1.0
    features[np.arange(12), 3 + np.arange(12)] = 1.0
    apart = np.log((wins + 0.5) / (expected + 0.5)).clip(-_FARTHEST, _FARTHEST)
    noise = 1.0 / (expected + 0.5) + _USUAL_SHOCK**2
    rows = features[calendar]
    if len(wins):
        # The level is the hazards' own matter.
        apart = apart - np.sum(apart / noise) / np.sum(1 / noise)
    centred = features - features.mean(axis=0)
    evidence, effects, variances = [], [], []
    for phase, of_phase in _PHASE_SPREADS:
        for month, of_month in _MONTH_SPREADS:
            covariance = part * np.diag(np.repeat([phase, month], [3, 12]) ** 2)
            log_weight, effect = float(np.log(of_phase * of_month)), np.zeros(15)
            if len(wins):
                whole = rows @ covariance @ rows.T + np.diag(noise)
                gain = np.linalg.solve(whole, rows @ covariance).T
                effect = gain @ apart
                log_weight -= 0.5 * float(np.linalg.slogdet(whole)[1])
                log_weight -= 0.5 * float(apart @ np.linalg.solve(whole, apart))
                covariance = covariance - gain @ rows @ covariance
            evidence.append(log_weight)
            effects.append(centred @ effect)
            variances.append(np.einsum("ij,jk,ik->i", centred, covariance, centred))
    weight = np.exp(np.array(evidence) - max(evidence))
    weight /= weight.sum()
    mean = weight @ np.array(effects)
    spread = np.sqrt(weight @ (np.array(variances) + (np.array(effects) - mean) ** 2))
    factor = np.exp(mean)
    if around is not None:
        factor, spread = factor * around.factor, np.hypot(spread, around.spread)
    return Season(factor / factor.mean(), spread)


def filter_shocks(
    wins: NDArray[np.float64],
    expected: NDArray[np.float64],
    scale: NDArray[np.float64],
    *,
    kinds: NDArray[np.float64] = USUAL_KINDS,
    common: Shock | None = None,
) -> Shock:
    """Filter the shocks of past months from their wins.

    Parameters
    ----------
    wins
        Deals won in each month, oldest first.
    expected
        How many the deals' own chances gave.
    scale
        Variance of that number, without shocks, relative to Poisson's.
    kinds
        Prior weight of every kind of shock.
    common
        The shock that a group shares in these months; what is filtered comes on top of it.
    """
    if common is not None:
        expected = expected * np.exp(common.past)
    state = _FIRST.copy()
    evidence = np.log(kinds)
    forward: list[NDArray[np.float64]] = []
    likelihoods: list[NDArray[np.float64]] = []
    usual = np.maximum(expected, 1e-3)
    for number, (won, mean, part) in enumerate(zip(wins, usual, scale, strict=True)):
        if number:
            state = np.einsum("kg,kgh->kh", state, _MOVES)
        log_like = (won * GRID - mean * np.expm1(GRID)) / max(float(part), 0.3)
        # Of very many wins each number is as good as impossible but one: all must stay above 0.
        like = np.exp((log_like - log_like.max()).clip(_IMPOSSIBLE))
        state = state * like
        norm = state.sum(axis=1)
        state = state / norm[:, None]
        evidence = evidence + np.log(norm)
        forward.append(state)
        likelihoods.append(like)
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    past = np.zeros(len(forward))
    back = np.ones_like(state)
    for number in range(len(forward) - 1, -1, -1):
        smooth = forward[number] * back
        smooth /= smooth.sum(axis=1, keepdims=True)
        past[number] = float(np.log(weights @ (smooth @ np.exp(GRID))))
        back = np.einsum("kgh,kh->kg", _MOVES, back * likelihoods[number])
        back /= back.max(axis=1, keepdims=True)
    return Shock(weights, state, past if common is None else past + common.past, common)


__all__ = ["GRID", "USUAL_KINDS", "Season", "Shock", "filter_shocks", "season_of"]
