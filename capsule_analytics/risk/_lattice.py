"""Sums of independent random amounts, as outcomes with their probabilities.

A :class:`Law` is a list of possible amounts, each with its mass. While there are few of them they
are kept as they are and every sum is exact. Past that they are laid on a lattice: the multiples of
a step that is a power of two, so that two lattices always share the coarser step and sums of
lattice points are lattice points again, without rounding.

An amount between two lattice points is split between both so that its mean stays where it was:
``x = (i + f) step`` becomes ``i step`` with weight ``1 - f``, ``(i + 1) step`` with weight ``f``.
Rounding to the nearest point instead would bias every sum of many amounts. The split adds a
variance of at most ``step**2 / 4``, paid once a group of deals and not once a deal, because groups
of eight are first summed exactly (256 outcomes) and only then laid down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

# A sum of up to so many outcomes stays exact: 2**12, so twelve unlike deals are never approximated.
EXACT_OUTCOMES = 4096
_EXACT_DEALS = 12
# Deals are summed exactly by eights; eight eights share one product in Fourier space.
_GROUP = 8
_BLOCK = 64
# The lattice of one block among many: a step is about 1/30 of a deal, split once in eight deals.
_BLOCK_CELLS = 2000
# From so many equal deals on, a binomial replaces them.
_BINOMIAL_FROM = _GROUP + 1
# Deals so few and so large that a lattice for all would blur the rest are added outcome by outcome.
_GIANTS = 2
# Tails are cut where a cell holds less than this; the transform's noise lies an order below it.
_TAIL = 1e-18


@dataclass(frozen=True, slots=True)
class Law:
    """A discrete law of an amount.

    Attributes
    ----------
    amounts
        The possible amounts, ascending.
    mass
        Their probabilities, of the same length, summing to 1.
    step
        The lattice step where every amount is a multiple of it; 0 where they are as they came.
    """

    amounts: Floats
    mass: Floats
    step: float = 0.0

    @property
    def span(self) -> float:
        """The distance between the smallest and the largest amount."""
        return float(self.amounts[-1] - self.amounts[0])

    @property
    def is_nothing(self) -> bool:
        """Whether the amount is 0 for certain."""
        return len(self.amounts) == 1 and self.amounts[0] == 0

    def crps(self, came: float) -> float:
        """Give the continuous ranked probability score of what came; in its unit, 0 is best.

        The integral of ``(F(x) - [x >= came])**2`` (Gneiting & Raftery, Journal of the American
        Statistical Association, 2007); the absolute error where one amount is certain.

        Parameters
        ----------
        came
            The amount that came true.

        Examples
        --------
        >>> Law(np.array([0.0, 10.0]), np.array([0.5, 0.5])).crps(10.0)
        2.5
        """
        points = np.append(self.amounts, came)
        order = np.argsort(points, kind="stable")
        points = points[order]
        reached = np.cumsum(np.append(self.mass, 0.0)[order])
        passed = points >= came
        return float(np.sum((reached[:-1] - passed[:-1]) ** 2 * np.diff(points)))


NOTHING = Law(np.zeros(1), np.ones(1))


def total(values: Floats, probability: Floats, cells: int) -> Law:
    """Sum independent deals, each worth its value with its probability and else nothing.

    Parameters
    ----------
    values
        Shape (n,), finite.
    probability
        Shape (n,), in [0, 1].
    cells
        Upper limit of the lattice points of the sum.

    Returns
    -------
    The law of the sum; exact where it has few outcomes.

    Examples
    --------
    >>> law = total(np.array([10.0, 4.0]), np.array([0.5, 0.25]), cells=1024)
    >>> law.amounts.tolist(), law.mass.tolist()
    ([0.0, 4.0, 10.0, 14.0], [0.375, 0.125, 0.375, 0.125])
    """
    matters = (values != 0) & (probability > 0)
    values, probability = values[matters], probability[matters]
    # Like sizes side by side: a block then has the step that its own deals need.
    order = np.lexsort((probability, values, np.abs(values)))
    values, probability = values[order], probability[order]
    binomials, values, probability = _take_binomials(values, probability)
    if len(values) <= _EXACT_DEALS:
        parts = [_exact(values, probability)]
        giants = NOTHING
    else:
        small = slice(None, -_GIANTS)
        block_cells = min(cells, max(_BLOCK_CELLS, cells * _BLOCK // len(values)))
        parts = [
            _block(values[small][i : i + _BLOCK], probability[small][i : i + _BLOCK], block_cells)
            for i in range(0, len(values) - _GIANTS, _BLOCK)
        ]
        giants = _exact(values[-_GIANTS:], probability[-_GIANTS:])
    parts = sorted(parts + binomials, key=lambda law: law.span)
    # In halves: both factors of a product are about equally long, and errors grow with the depth.
    while len(parts) > 1:
        paired = [add(a, b, cells) for a, b in zip(parts[::2], parts[1::2], strict=False)]
        parts = paired + parts[2 * len(paired) :]
    return add(parts[0], giants, cells)


def add(left: Law, right: Law, cells: int) -> Law:
    """Convolve two laws: the law of the sum of two independent amounts.

    Parameters
    ----------
    left, right
        The laws of the two amounts.
    cells
        Upper limit of the lattice points of the sum.

    Returns
    -------
    The law of the sum, on the coarsest of both lattices and of the one that ``cells`` asks for.
    """
    if right.is_nothing:
        return left
    if left.is_nothing:
        return right
    finer = max(left.step, right.step)
    step = max(finer, step_for(left.span + right.span, cells))
    short = finer == 0 and len(left.amounts) * len(right.amounts) <= EXACT_OUTCOMES
    few = min(len(left.amounts), len(right.amounts)) <= 2**_GIANTS
    if short or (few and 0 < 4 * finer < step):
        return merge(
            np.add.outer(left.amounts, right.amounts).ravel(),
            np.multiply.outer(left.mass, right.mass).ravel(),
        )
    first, mass = place(left.amounts, left.mass, step)
    other_first, other_mass = place(right.amounts, right.mass, step)
    return _on_lattice(first + other_first, _convolve(mass, other_mass), step)


def mix(laws: list[Law], weights: Floats, cells: int) -> Law:
    """Mix laws: one of them is drawn by its weight, then the amount from it.

    Parameters
    ----------
    laws
        The laws, at least one.
    weights
        Their probabilities, of the same length, summing to 1.
    cells
        Upper limit of the lattice points of the mixture.

    Returns
    -------
    The law of the mixture; exact where it has few outcomes.
    """
    values = np.concatenate([law.amounts for law in laws])
    mass = np.concatenate([law.mass * w for law, w in zip(laws, weights, strict=True)])
    step = max(law.step for law in laws)
    if step == 0:
        mixed = merge(values, mass)
        if len(mixed.amounts) <= EXACT_OUTCOMES:
            return mixed
    step = max(step, step_for(float(np.ptp(values)), cells))
    return _on_lattice(*place(values, mass, step), step)


def merge(values: Floats, mass: Floats) -> Law:
    """Sort outcomes and add up the masses of equal ones.

    Parameters
    ----------
    values
        Amounts in any order. Two that differ by the rounding of a float are one.
    mass
        Their masses. Outcomes without mass are dropped.

    Returns
    -------
    The law, its masses scaled to sum to 1.
    """
    values, mass = values[mass > 0], mass[mass > 0]
    order = np.argsort(values, kind="stable")
    values, mass = values[order], mass[order]
    apart = 1e-13 * max(abs(values[0]), abs(values[-1]))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values) > apart]))
    mass = np.add.reduceat(mass, starts)
    return Law(values[starts], mass / mass.sum())


def step_for(span: float, cells: int) -> float:
    """Give the smallest power of two that covers a span in so many cells.

    Parameters
    ----------
    span
        The distance to cover, in the unit of the amounts.
    cells
        How many steps may cover it.

    Returns
    -------
    The step, in the unit of the amounts; 0 for a span of 0.

    Examples
    --------
    >>> step_for(1000.0, 250), step_for(1000.0, 249)
    (4.0, 8.0)
    """
    if span == 0:
        return 0.0
    fraction, exponent = np.frexp(span / cells)
    return float(np.ldexp(1.0, int(exponent) - (fraction == 0.5)))  # noqa: PLR2004


def place(values: Floats, mass: Floats, step: float) -> tuple[int, Floats]:
    """Lay outcomes on the lattice of a step, each split so that its mean is kept.

    Parameters
    ----------
    values
        Amounts in any order. What is on this lattice or on a coarser one needs no split.
    mass
        Their masses.
    step
        The step, a power of two.

    Returns
    -------
    The first cell (the value divided by the step) and the masses from there on.
    """
    where = values / step
    first = int(np.floor(where.min()))
    where -= first
    return first, _split(where, mass, int(where.max()) + 2)


def _split(where: Floats, mass: Floats, length: int) -> Floats:
    """Share each mass between the two cells around its place, given in cells from the first."""
    cell = where.astype(np.int64)
    upper = mass * (where - cell)
    placed = np.bincount(cell, mass - upper, length).astype(np.float64)
    placed[1:] += np.bincount(cell, upper, length)[:-1]
    return placed


def _on_lattice(first: int, mass: Floats, step: float) -> Law:
    """Cut the empty tails, drop the noise below zero and scale the masses to sum to 1."""
    inside = np.flatnonzero(mass > _TAIL)
    low, high = int(inside[0]), int(inside[-1]) + 1
    mass = np.maximum(mass[low:high], 0.0)
    amounts = np.arange(first + low, first + high, dtype=np.float64) * step
    return Law(amounts, mass / mass.sum(), step)


def _convolve(left: Floats, right: Floats) -> Floats:
    length = len(left) + len(right) - 1
    if min(len(left), len(right)) <= 32:  # noqa: PLR2004 - where the transform starts to pay
        return np.convolve(left, right)
    size = 1 << (length - 1).bit_length()
    return np.fft.irfft(np.fft.rfft(left, size) * np.fft.rfft(right, size), size)[:length]


def _outcomes(values: Floats, probability: Floats) -> tuple[Floats, Floats]:
    """List all ``2**k`` outcomes of rows of k deals: two arrays of shape (rows, 2**k)."""
    amounts, mass = np.zeros((len(values), 1)), np.ones((len(values), 1))
    for value, p in zip(values.T[:, :, None], probability.T[:, :, None], strict=True):
        amounts = np.concatenate([amounts, amounts + value], axis=1)
        mass = np.concatenate([mass * (1 - p), mass * p], axis=1)
    return amounts, mass


def _exact(values: Floats, probability: Floats) -> Law:
    amounts, mass = _outcomes(values[None, :], probability[None, :])
    return merge(amounts[0], mass[0])


def _block(values: Floats, probability: Floats, cells: int) -> Law:
    """Sum up to 64 deals: exactly by eights, then the eights by one product in Fourier space."""
    lack = -len(values) % _GROUP
    values = np.pad(values, (0, lack)).reshape(-1, _GROUP)
    probability = np.pad(probability, (0, lack)).reshape(-1, _GROUP)
    amounts, mass = _outcomes(values, probability)
    step = step_for(float(np.abs(values).sum()), cells)
    where = amounts / step
    firsts = np.floor(where.min(axis=1))
    where -= firsts[:, None]
    length = int(where.max()) + 2
    size = 1 << (int(where.max(axis=1).sum()) + 2 * len(values)).bit_length()
    rows = np.arange(len(values))[:, None] * length
    placed = _split((where + rows).ravel(), mass.ravel(), len(values) * length)
    factors = np.fft.rfft(placed.reshape(len(values), length), size, axis=1)
    return _on_lattice(int(firsts.sum()), np.fft.irfft(factors.prod(axis=0), size), step)


def _take_binomials(values: Floats, probability: Floats) -> tuple[list[Law], Floats, Floats]:
    """Turn runs of equal deals, in sorted input, into binomials; give those and the other deals."""
    changes = (np.diff(values) != 0) | (np.diff(probability) != 0)
    starts = np.flatnonzero(np.concatenate([[True], changes])) if len(values) else np.zeros(0, int)
    counts = np.diff(np.append(starts, len(values)))
    many = counts >= _BINOMIAL_FROM
    binomials = [
        _binomial(values[start], probability[start], int(count))
        for start, count in zip(starts[many], counts[many], strict=True)
    ]
    single = ~np.repeat(many, counts)
    return binomials, values[single], probability[single]


def _binomial(value: float, probability: float, count: int) -> Law:
    """Give the law of ``count`` equal deals, by logarithms since the powers leave float's range."""
    if probability == 1:
        return Law(np.array([count * value]), np.ones(1))
    won = np.arange(1, count + 1)
    odds = np.log(probability) - np.log1p(-probability)
    log_mass = np.concatenate([[0.0], np.cumsum(np.log((count - won + 1) / won) + odds)])
    mass = np.exp(log_mass - log_mass.max())
    likely = np.flatnonzero(mass > _TAIL * mass.sum())
    kept = slice(likely[0], likely[-1] + 1)
    return merge(np.arange(count + 1, dtype=np.float64)[kept] * value, mass[kept])
