r"""The law of what will have been won: open deals and new business under a shared factor.

Given the factor ``G`` on the coming months' chances (common shock and what is not known of the
coefficients together) deals are independent: deal ``i`` is won with ``1 - (1 - p_i)^G``, and the
number of new deals is negative binomial with mean ``G mu``. Both sums are convolved on the exact
lattice of `capsule_analytics.risk`; the law of the total is their mixture over ``G`` (quadrature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from capsule_analytics.risk import (
    NOTHING,
    Distribution,
    Law,
    add,
    merge,
    mix,
    place,
    step_for,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ._new_business import Values

CELLS = 1500
NODES = 11
_TAIL = 1e-13


@dataclass(frozen=True, eq=False, repr=False)
class Projected(Distribution):
    """What will have been won in a period: a distribution, and what its mean is made of.

    Attributes
    ----------
    open_value
        Mean of what open deals bring.
    new_value
        Mean of what deals that are not in the list yet bring.
    """

    open_value: float = 0.0
    new_value: float = 0.0

    @property
    def won_value(self) -> float:
        """What was won in the period already."""
        return self.sure

    @overload
    def cdf(self, x: float) -> float: ...
    @overload
    def cdf(self, x: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]: ...
    def cdf(self, x: float | Sequence[float] | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Give the probability that the total is at most x.

        Parameters
        ----------
        x
            One amount or several, in the currency of the projection.

        Returns
        -------
        ``P(total <= x)``; an array of the shape of ``x`` where that is not a number.
        """
        asked = np.asarray(x, dtype=np.float64)
        reached = np.append(np.cumsum(self.mass), 0.0)
        tolerance = 1e-9 * max(1.0, float(np.abs(self.values).max()))
        cell = np.searchsorted(self.values, asked + tolerance, side="right") - 1
        below = np.where(cell < 0, 0.0, reached[cell])
        if self.law.step:
            # Half of a smooth cell lies above its middle, and half of the next below it.
            at = cell.clip(0, len(self.mass) - 1)
            after = (cell + 1).clip(0, len(self.mass) - 1)
            into = ((asked - self.values[at]) / self.law.step).clip(0.0, 1.0)
            into = np.where(cell < 0, 0.0, into)
            here = np.where(self._spread[at], self.mass[at] * (0.5 - into).clip(0.0, None), 0.0)
            there = np.where(
                self._spread[after], self.mass[after] * (into - 0.5).clip(0.0, None), 0.0
            )
            below = np.where(cell < 0, 0.0, below - here + np.where(after > at, there, 0.0))
        below = below.clip(0.0, 1.0)
        return float(below) if asked.ndim == 0 else below

    def __repr__(self) -> str:
        """Show the figures a reader asks for first."""
        p10, p50, p90 = self.quantile([0.1, 0.5, 0.9])
        return (
            f"<Projected: {self.mean:,.2f} expected (won {self.won_value:,.2f}, open "
            f"{self.open_value:,.2f}, new {self.new_value:,.2f}), P10 {p10:,.2f}, "
            f"P50 {p50:,.2f}, P90 {p90:,.2f}>"
        )


def nodes_of(
    factors: NDArray[np.float64], mass: NDArray[np.float64], spread: float, count: int = NODES
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the law of a factor up in a dozen nodes, after widening it by a lognormal of mean 1.

    Parameters
    ----------
    factors, mass
        The law of the shock's factor.
    spread
        Standard deviation of the logarithm of what else moves all chances.
    count
        How many nodes.
    """
    kept = mass > 1e-9  # noqa: PLR2004 - what cannot be seen in any quantile
    factors, mass = factors[kept], mass[kept]
    z = np.linspace(-2.6, 2.6, 15)
    noise = np.exp(-0.5 * z**2)
    noise /= noise.sum()
    factors = np.multiply.outer(factors, np.exp(spread * z - 0.5 * spread**2)).ravel()
    mass = np.multiply.outer(mass, noise).ravel()
    order = np.argsort(factors, kind="stable")
    mass = mass[order] / mass.sum()
    # Finer at both ends, where quantiles are asked for. What lies across an edge is split by it, so
    # that a last digit moves no node.
    edges = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, count + 1))
    reached = np.append(0.0, np.cumsum(mass))
    moment = np.append(0.0, np.cumsum(mass * factors[order]))
    weight = np.diff(edges)
    return np.diff(np.interp(edges, reached, moment)) / weight, weight


def scaled(chance: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Scale chances by a factor on the rate at which they come true."""
    return -np.expm1(factor * np.log1p(-np.minimum(chance, 1 - 1e-12)))


def new_law(mean: float, spread: float, values: Values, cells: int = CELLS) -> Law:
    """Give the law of the value of new business: a negative binomial number of winners.

    Parameters
    ----------
    mean
        Expected number.
    spread
        Variance of the number beyond Poisson's, relative to the square of the mean.
    values
        What one is worth.
    cells
        Upper limit of the lattice points.
    """
    if mean <= 1e-9 or not values.amounts.max() > 0:  # noqa: PLR2004 - no deal in a million years
        return NOTHING
    deviation = np.sqrt(mean * values.second + spread * (mean * values.mean) ** 2)
    top = mean * values.mean + 9 * deviation + 2 * float(values.amounts.max())
    step = step_for(float(top), cells)
    size = 1 << int(np.ceil(np.log2(top / step + 2)))
    _, placed = place(np.append(values.amounts, 0.0), np.append(values.weight, 0.0), step)
    transform = np.fft.rfft(placed, size)
    if spread > 1e-6:  # noqa: PLR2004 - as good as Poisson
        transform = (1 + spread * mean * (1 - transform)) ** (-1 / spread)
    else:
        transform = np.exp(-mean * (1 - transform))
    mass = np.fft.irfft(transform, size)
    length = int(np.flatnonzero(mass > _TAIL)[-1]) + 1
    mass = np.maximum(mass[:length], 0.0)
    return Law(np.arange(length, dtype=np.float64) * step, np.asarray(mass / mass.sum()), step)


def total_of(
    *,
    sure: float,
    values: NDArray[np.float64],
    chance: NDArray[np.float64],
    new_mean: float,
    new_spread: float,
    new_values: Values,
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    cells: int = CELLS,
) -> Projected:
    """Build the distribution of what will have been won in a period.

    Parameters
    ----------
    sure
        What was won already.
    values, chance
        Value of each open deal and its chance of being won in the period.
    new_mean, new_spread, new_values
        New business, as `new_law` takes it.
    nodes, weights
        The law of the shared factor.
    cells
        Upper limit of the lattice points.
    """
    order = np.lexsort((chance, -np.abs(values)))
    values, chance = values[order], chance[order]
    giants = _giants(values, chance, new_mean, new_values)
    laws, shares = [], np.zeros((len(nodes), 2**giants))
    open_mean = new_value = second = 0.0
    for number, (node, weight) in enumerate(zip(nodes.tolist(), weights.tolist(), strict=True)):
        chances = scaled(chance, node)
        fresh = new_law(new_mean * node, new_spread, new_values, cells)
        laws.append(add(total(values[giants:], chances[giants:], cells), fresh, cells))
        shares[number] = weight
        for giant in range(giants):
            is_won = (np.arange(2**giants) >> giant) & 1 == 1
            shares[number] *= np.where(is_won, chances[giant], 1 - chances[giant])
        from_open, from_new = float(values @ chances), new_mean * node * new_values.mean
        variance = float((values**2) @ (chances * (1 - chances)))
        variance += new_mean * node * new_values.second
        variance += new_spread * from_new**2
        open_mean += weight * from_open
        new_value += weight * from_new
        second += weight * (variance + (from_open + from_new) ** 2)
    law = _mixed(laws, shares, values[:giants], cells)
    expected = open_mean + new_value
    return Projected(
        sure=sure,
        law=law,
        mean=sure + expected,
        std=float(np.sqrt(max(second - expected**2, 0.0))),
        deals=len(values),
        left_out=0,
        open_value=open_mean,
        new_value=new_value,
    )


def _giants(
    values: NDArray[np.float64], chance: NDArray[np.float64], new_mean: float, new_values: Values
) -> int:
    """Count the deals, at most two, each larger than all that the others are likely to bring.

    On one lattice with them the others would be lost between two points.
    """
    new = new_mean * new_values.mean
    new_variance = new_mean * new_values.second
    for count in (2, 1):
        if len(values) < count:
            continue
        rest, odds = values[count:], chance[count:]
        usual = float(np.abs(rest) @ odds) + new
        usual += 4 * float(np.sqrt((rest**2) @ (odds * (1 - odds)) + new_variance))
        if usual > 0 and abs(values[count - 1]) > usual:
            return count
    return 0


def _mixed(
    laws: list[Law], shares: NDArray[np.float64], giants: NDArray[np.float64], cells: int
) -> Law:
    """Mix the laws of all nodes, for every way in which the giants may turn out."""
    if not len(giants):
        return laws[0] if len(laws) == 1 else mix(laws, shares[:, 0], cells)
    amounts, mass = [], []
    for way in range(shares.shape[1]):
        weight = float(shares[:, way].sum())
        if weight > 0:
            law = mix(laws, shares[:, way] / weight, cells)
            shift = sum(float(v) for number, v in enumerate(giants) if way >> number & 1)
            amounts.append(law.amounts + shift)
            mass.append(law.mass * weight)
    return merge(np.concatenate(amounts), np.concatenate(mass))


__all__ = ["Projected", "new_law", "nodes_of", "scaled", "total_of"]
