"""Sums of deals that one market factor moves together: the one-factor Gaussian copula.

Deal ``j`` is won where ``sqrt(r) Z + sqrt(1 - r) e_j >= -Phi^-1(p_j)``; the market factor ``Z``
and the deals' own ``e_j`` are independent standard normal, ``r`` is the correlation. So a deal
keeps its probability, and given ``Z = z`` the deals are independent with the probability
``Phi((Phi^-1(p_j) + sqrt(r) z) / sqrt(1 - r))``. The law of the total is the mixture over ``z``.
Source: O. Vasicek, "Loan portfolio value", Risk, December 2002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from capsule_analytics.errors import missing_extra

from . import _lattice

if TYPE_CHECKING:
    from ._lattice import Floats, Law

# The factor is cut at this many standard deviations: 8e-11 of its mass lies beyond.
_REACH = 6.5
# A correlation closer to 1 would need ever more nodes and shows no other figures.
_NEARLY_ONE = 0.9999
# Fewer deals scatter further than their mean moves between two nodes of the factor.
_FEW = 64
# Into so many parts a node's stretch of the factor is divided for the mean of many deals.
_PARTS = 16
# A move of the mean below this share of the scatter adds less than 0.2 % to it.
_VISIBLE = 0.125
_ENDS = np.array([-0.5, 0.5])


def total(values: Floats, probability: Floats, correlation: float, cells: int) -> tuple[Law, float]:
    """Sum correlated deals, each worth its value with its probability and else nothing.

    Parameters
    ----------
    values
        Shape (n,), finite.
    probability
        Shape (n,), in [0, 1).
    correlation
        In (0, 1]. From 0.9999 to below 1 it is taken as 0.9999.
    cells
        Upper limit of the lattice points of the sum.

    Returns
    -------
    The law of the sum, and its variance from the deals themselves.

    Raises
    ------
    MissingExtraError
        If scipy is not installed; a correlation of 1 does without.

    Examples
    --------
    >>> law, variance = total(np.array([10.0, 4.0]), np.array([0.5, 0.25]), 1.0, cells=1024)
    >>> law.amounts.tolist(), law.mass.tolist(), variance
    ([0.0, 10.0, 14.0], [0.5, 0.25, 0.25], 38.0)
    """
    if correlation == 1:
        return _thresholds(values, probability, cells)
    return _mixture(values, probability, min(correlation, _NEARLY_ONE), cells)


def _thresholds(values: Floats, probability: Floats, cells: int) -> tuple[Law, float]:
    """Sum deals that one common draw decides: n + 1 outcomes, the likelier deals won first."""
    order = np.argsort(-probability, kind="stable")
    amounts = np.concatenate([[0.0], np.cumsum(values[order])])
    mass = -np.diff(np.concatenate([[1.0], probability[order], [0.0]]))
    mean = mass @ amounts
    variance = float(mass @ (amounts - mean) ** 2)
    return _lattice.mix([_lattice.merge(amounts, mass)], np.ones(1), cells), variance


def _mixture(
    values: Floats, probability: Floats, correlation: float, cells: int
) -> tuple[Law, float]:
    """Mix the laws given the factor by the trapezoidal rule on an even grid of it.

    The rule converges geometrically here: all is smooth at the scale of ``sqrt(1 - correlation)``.
    """
    ndtri, ndtr = _normal()
    # Smallest first, for the sums over the small deals in _given_stretch.
    order = np.argsort(np.abs(values), kind="stable")
    values, latent = values[order], ndtri(probability[order])
    spacing = min(0.2, 0.25 * np.sqrt(1 - correlation))
    reach = np.ceil(_REACH / spacing)
    nodes = np.arange(-reach, reach + 1) * spacing

    def given(factor: Floats) -> Floats:
        shift = np.sqrt(correlation) * factor[:, None]
        return np.asarray(ndtr((latent + shift) / np.sqrt(1 - correlation)))

    parts = _PARTS if any(_shows(values, given(z + spacing * _ENDS)) for z in nodes) else 1
    within = spacing * ((np.arange(parts) + 0.5) / parts - 0.5)
    laws, weights, means, variances = [], [], [], []
    for z in nodes:
        density = np.exp(-((z + within) ** 2) / 2)
        chances = given(z + within)
        laws.append(_given_stretch(values, chances, density / density.sum(), cells))
        weights.append(density)
        means.append(chances @ values)
        variances.append((chances * (1 - chances)) @ values**2)
    weight = np.array(weights) / np.sum(weights)
    mean = np.array(means)
    variance = (weight * (variances + (mean - (weight * mean).sum()) ** 2)).sum()
    return _lattice.mix(laws, weight.sum(axis=1), cells), float(variance)


def _shows(values: Floats, chances: Floats) -> bool:
    """Whether a node would show as a bump: many deals that move further than they scatter."""
    drift = np.abs(np.cumsum(values * (chances[1] - chances[0])))
    scatter = _scatter(values, chances.mean(axis=0))
    return bool((drift > scatter)[_FEW:].any())


def _given_stretch(values: Floats, chances: Floats, density: Floats, cells: int) -> Law:
    """Sum the deals over one node's stretch of the factor, whose parts have these densities.

    ``chances`` has a row a part. All deals take their mean chance over the stretch. The small ones,
    up to about the size where their mean moves most against their scatter, also take the mean of
    each part, so that neighbouring stretches meet without a gap. The large ones, a few whose
    scatter drowns such moves, stay where they are.
    """
    middle = np.minimum(density @ chances, 1.0)  # weights may sum to a float above 1
    if len(density) == 1:
        return _lattice.total(values, middle, cells)
    moved = np.cumsum(values * (chances - middle), axis=1)
    moves = np.ptp(moved, axis=0) / _scatter(values, middle)
    many = int(np.flatnonzero(moves >= 0.7 * moves.max())[-1]) + 1
    if many <= _FEW or moves[many - 1] < _VISIBLE:
        return _lattice.total(values, middle, cells)
    small = _lattice.total(values[:many], middle[:many], cells)
    means = _lattice.merge(moved[:, many - 1], density)
    large = _lattice.total(values[many:], middle[many:], cells)
    return _lattice.add(_lattice.add(small, means, cells), large, cells)


def _scatter(values: Floats, chances: Floats) -> Floats:
    """Give the standard deviation of the sum of the first deals, for each number of them."""
    variance = np.cumsum(values**2 * chances * (1 - chances))
    return np.asarray(np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny)))


def _normal() -> tuple[Any, Any]:
    try:
        from scipy.special import ndtr, ndtri  # noqa: PLC0415 - only correlations need scipy
    except ImportError as error:
        raise missing_extra("A correlation between deals", "risk") from error
    return ndtri, ndtr
