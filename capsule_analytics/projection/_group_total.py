r"""The total of several accounts whose months are partly good and bad together.

The accounts' totals are joined by one factor ``z``, standard normal (a Gaussian copula with one
factor: Vasicek 2002; Li 2000): given ``z`` account ``a`` stays below what it reaches with
probability ``u`` with probability ``Phi((Phi^-1(u) - r_a z) / sqrt(1 - r_a^2))``, independently of
the others. With ``S`` the relative variance of the shock that the accounts share, ``E_a`` what an
account may still win on average and ``D_a`` its standard deviation, ``r_a = sqrt(S) E_a / D_a``:
two accounts then covary by about ``S E_a E_b``, as under a shared factor on all that is won. Each
account keeps its own distribution, corrections included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capsule_analytics.risk import NOTHING, Law, add, mix

from ._totals import CELLS, Projected
from ._track import _cumulative, _inverse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_POINTS = 120
_NODES = 11
_MOST_SHARED = 0.95


@dataclass(frozen=True)
class Share:
    """What an account adds to the total of its group: a distribution in some hundred points.

    Attributes
    ----------
    sure, open_value, new_value
        As `Projected` has them.
    std
        Standard deviation.
    amounts, mass
        What may come beside what is sure, ascending, and how likely.
    """

    sure: float
    open_value: float
    new_value: float
    std: float
    amounts: NDArray[np.float64]
    mass: NDArray[np.float64]

    @classmethod
    def of(cls, law: Projected) -> Share:
        """Sum a distribution up in cells that each keep their mean, finer at both ends."""
        mass, amounts = law.law.mass, law.law.amounts
        middle = np.cumsum(mass) - mass / 2
        edges = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, _POINTS + 1))
        cell = np.searchsorted(edges[1:-1], middle, side="right")
        weight = np.bincount(cell, mass, _POINTS).astype(np.float64)
        sums = np.bincount(cell, mass * amounts, _POINTS)
        kept = weight > 0
        return cls(
            law.sure,
            law.open_value,
            law.new_value,
            law.std,
            sums[kept] / weight[kept],
            weight[kept],
        )

    def given(self, nodes: NDArray[np.float64], shared: float) -> NDArray[np.float64]:
        """Give the masses under each value of the factor, shape (nodes, points)."""
        expected = abs(self.open_value + self.new_value)
        load = min(np.sqrt(shared) * expected / self.std, _MOST_SHARED) if self.std > 0 else 0.0
        if load <= 0 or len(self.mass) == 1:
            return np.broadcast_to(self.mass, (len(nodes), len(self.mass)))
        reached = _inverse(np.cumsum(self.mass)[:-1].clip(1e-12, 1 - 1e-12))
        moved = (reached[None, :] - load * nodes[:, None]) / np.sqrt(1 - load**2)
        upto = np.ones((len(nodes), len(self.mass)))
        upto[:, :-1] = _cumulative(moved)
        return np.diff(upto, axis=1, prepend=0.0)


def total_of_shares(shares: Sequence[Share], shared: float) -> Projected:
    """Build the distribution of the total of several accounts.

    Parameters
    ----------
    shares
        What each adds, in an order that is always the same.
    shared
        Relative variance of the shock that they share; 0 where they share none.

    Returns
    -------
    The distribution; its mean and its parts are the sums of theirs.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    if shared <= 0 or len(shares) < 2:  # noqa: PLR2004 - one shares with nobody
        nodes, weights = np.zeros(1), np.ones(1)
    weights = weights / weights.sum()
    by_node: list[list[Law]] = [[] for _ in nodes]
    for share in shares:
        masses = share.given(nodes, shared if len(nodes) > 1 else 0.0)
        for laws, mass in zip(by_node, masses, strict=True):
            possible = mass > 0
            part = mass[possible]
            laws.append(Law(share.amounts[possible], part / part.sum()))
    laws = [_sum(of_node) for of_node in by_node]
    law = laws[0] if len(laws) == 1 else mix(laws, weights, CELLS)
    middle = float(law.amounts @ law.mass)
    sure = sum(share.sure for share in shares)
    open_value = sum(share.open_value for share in shares)
    new_value = sum(share.new_value for share in shares)
    return Projected(
        sure=sure,
        law=law,
        mean=sure + open_value + new_value,
        std=float(np.sqrt(law.mass @ (law.amounts - middle) ** 2)),
        deals=0,
        left_out=0,
        open_value=open_value,
        new_value=new_value,
    )


def _sum(laws: list[Law]) -> Law:
    """Convolve laws in halves, so that both sides are about equally long."""
    while len(laws) > 1:
        paired = [add(a, b, CELLS) for a, b in zip(laws[::2], laws[1::2], strict=False)]
        laws = paired + laws[2 * len(paired) :]
    return laws[0] if laws else NOTHING


__all__ = ["Share", "total_of_shares"]
