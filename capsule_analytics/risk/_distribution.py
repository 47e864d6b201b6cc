"""The law of a total of deals that each are won or not."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsule_analytics._card import card
from capsule_analytics.errors import ArgumentError

from . import _copula, _lattice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._lattice import Floats, Law

# Just under a power of two, as sums of lattices need a little room in their Fourier transforms.
_CELLS = 8000
_STATUSES = ("open", "won", "lost")
# Differences of probabilities below it are the rounding of sums.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Distribution:
    """The distribution of a total: what it may come to, and how likely that is.

    Made by :func:`distribution`. Two are added with ``+`` where they are independent.

    Attributes
    ----------
    sure
        The certain part: won value and open deals of probability 1.
    law
        The uncertain part, as possible amounts and their masses.
    mean
        The expected value, from the deals themselves: sure + sum of tcv times probability.
    std
        The standard deviation, from the deals themselves.
    deals
        How many open deals the total counts.
    left_out
        How many deals could not be counted, their TCV or probability being missing.
    """

    sure: float
    law: Law
    mean: float
    std: float
    deals: int
    left_out: int

    @property
    def values(self) -> Floats:
        """The possible totals, ascending, shape (k,), in the unit of the TCV."""
        return self.sure + self.law.amounts

    @property
    def mass(self) -> Floats:
        """The probability of each of ``values``, shape (k,), summing to 1."""
        return self.law.mass

    @overload
    def quantile(self, q: float) -> float: ...
    @overload
    def quantile(self, q: Sequence[float] | Floats) -> Floats: ...
    def quantile(self, q: float | Sequence[float] | Floats) -> float | Floats:
        """Give the total that is not exceeded with probability q.

        The smallest total ``x`` with ``P(total <= x) >= q``. On a lattice the mass of a cell counts
        as spread evenly over the cell, unless it outweighs both its neighbours together: such a
        cell holds one outcome (nothing is won, say) and is taken as it stands.

        Parameters
        ----------
        q
            One probability or several, in [0, 1].

        Returns
        -------
        The total in the unit of the TCV; an array of the shape of ``q`` where that is not a number.

        Raises
        ------
        ArgumentError
            If a probability lies outside [0, 1].

        Examples
        --------
        >>> distribution([1000.0, 3000.0], [0.5, 0.5]).quantile([0.1, 0.5, 0.9]).tolist()
        [0.0, 1000.0, 4000.0]
        """
        asked = np.asarray(q, dtype=np.float64)
        if not ((asked >= 0) & (asked <= 1)).all():
            raise ArgumentError(f"a quantile takes probabilities from 0 to 1, not {q!r}")
        reached = np.cumsum(self.mass)
        cell = np.searchsorted(reached, asked - _ROUNDING).clip(0, len(reached) - 1)
        beyond = ((reached[cell] - asked) / self.mass[cell]).clip(0, 1)
        found = self.values[cell] + np.where(self._spread[cell], self.law.step * (0.5 - beyond), 0)
        return float(found) if asked.ndim == 0 else found

    def chance_of(self, target: float) -> float:
        """Give the probability that the total reaches a target.

        Parameters
        ----------
        target
            The target, in the unit of the TCV.

        Returns
        -------
        ``P(total >= target)``, in [0, 1]; cells of a lattice count as in :meth:`quantile`. Exactly
        1 where even the least possible total reaches the target.

        Raises
        ------
        ArgumentError
            If the target is no finite number.

        Examples
        --------
        >>> distribution([1000.0, 3000.0], [0.5, 0.5]).chance_of(3000)
        0.5
        """
        _check_number("a target", target)
        values = self.values
        tolerance = 1e-12 * float(np.abs(values).max())
        if target <= values[0] + tolerance:
            return 1.0  # the sum of all masses may fall short of it by a rounding
        share = (values >= target - tolerance).astype(np.float64)
        if self.law.step:
            within = ((values - target) / self.law.step + 0.5).clip(0, 1)
            share = np.where(self._spread, within, share)
        return min(float(share @ self.mass), 1.0)

    def crps(self, came: float) -> float:
        """Give the continuous ranked probability score of what came true.

        It asks for a distribution that is both narrow and right: the integral of
        ``(F(x) - [x >= came])**2`` over all totals ``x``, which is the absolute error where one
        total is certain (Gneiting & Raftery, Journal of the American Statistical Association,
        2007). Cells of a lattice count at their middle.

        Parameters
        ----------
        came
            The total that came true, in the unit of the TCV.

        Returns
        -------
        The score in the unit of the TCV; lower is better.

        Raises
        ------
        ArgumentError
            If it is no finite number.

        Examples
        --------
        >>> distribution([1000.0], [0.5]).crps(1000.0)
        250.0
        """
        _check_number("what came", came)
        return self.law.crps(came - self.sure)

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Give the range that holds the total with a probability, equal risks on both sides.

        Parameters
        ----------
        level
            The probability of the range, in [0, 1]: 0.8 is from P10 to P90.

        Returns
        -------
        The lower and the upper end, in the unit of the TCV.

        Raises
        ------
        ArgumentError
            If the level lies outside [0, 1].

        Examples
        --------
        >>> distribution([1000.0, 3000.0], [0.5, 0.5]).interval(0.8)
        (0.0, 4000.0)
        """
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def __add__(self, other: Distribution) -> Distribution:
        """Add an independent total: of other deals, of another period, of a partition."""
        if not isinstance(other, Distribution):
            return NotImplemented
        return Distribution(
            sure=self.sure + other.sure,
            law=_lattice.add(self.law, other.law, _CELLS),
            mean=self.mean + other.mean,
            std=float(np.hypot(self.std, other.std)),
            deals=self.deals + other.deals,
            left_out=self.left_out + other.left_out,
        )

    def __repr__(self) -> str:
        """Show the figures a reader asks for first."""
        p10, p50, p90 = self.quantile([0.1, 0.5, 0.9])
        left_out = f", {self.left_out:,} left out" if self.left_out else ""
        return (
            f"<Distribution: mean {self.mean:,.2f}, std {self.std:,.2f}, P10 {p10:,.2f}, "
            f"P50 {p50:,.2f}, P90 {p90:,.2f}, {self.deals:,} open deals{left_out}>"
        )

    def _repr_html_(self) -> str:
        """Show a card in a notebook."""
        p10, p50, p90 = self.quantile([0.1, 0.5, 0.9])
        left_out = f", {self.left_out:,} left out" if self.left_out else ""
        figures = {"Mean": self.mean, "Std": self.std, "P10": p10, "P50": p50, "P90": p90}
        return card(
            "Distribution of a total",
            f"{self.deals:,} open deals{left_out}",
            ["If every probability that was given is right."],
            tuple(figures),
            [tuple(f"{amount:,.2f}" for amount in figures.values())],
            names=False,
        )

    @property
    def _spread(self) -> npt.NDArray[np.bool_]:
        """Where a mass stands for all amounts of its lattice cell, not for one outcome."""
        if not self.law.step:
            return np.zeros(len(self.mass), dtype=bool)
        padded = np.pad(self.mass, 1)
        return self.mass <= padded[:-2] + padded[2:]


def distribution(
    tcv: npt.ArrayLike,
    probability: npt.ArrayLike,
    *,
    won: float = 0.0,
    correlation: float = 0.0,
    cells: int = _CELLS,
) -> Distribution:
    """Build the distribution of won value plus open deals, if their probabilities are right.

    Deal ``j`` is worth ``tcv[j]`` with ``probability[j]`` and else 0. By default the deals are
    independent. With a correlation ``r`` a common market factor ``Z`` moves them all (the
    one-factor Gaussian copula): given ``Z = z`` they are independent with the probability
    ``Phi((Phi^-1(p) + sqrt(r) z) / sqrt(1 - r))``. The mean stays the same, the range widens.

    Parameters
    ----------
    tcv
        Total contract value of each open deal, shape (n,), in one currency; negative for a credit.
    probability
        Probability of each deal, shape (n,), in [0, 1]. A deal without TCV or probability (NaN) is
        left out and counted in ``left_out``.
    won
        The value already won, in the same currency.
    correlation
        Correlation of the deals' latent success through the market factor, in [0, 1]. At 1 a deal
        is won whenever a less likely one is. From 0.9999 to below 1 it is taken as 0.9999.
    cells
        How fine the lattice is: its points across the range of the total, at least 100.

    Returns
    -------
    The distribution, ``mean`` and ``std`` exact. Twelve open deals or fewer give exact quantiles;
    more give them to about a cell, one in some thousands across the range.

    Raises
    ------
    ArgumentError
        If the lengths differ, an input is no number, an amount is infinite, a probability or the
        correlation lies outside [0, 1], or ``cells`` is below 100.
    MissingExtraError
        If a correlation is asked for and scipy is not installed.

    Examples
    --------
    >>> total = distribution([10_000, 4_000], [0.5, 0.25], won=2_000)
    >>> total.values.tolist(), total.mass.tolist()
    ([2000.0, 6000.0, 12000.0, 16000.0], [0.375, 0.125, 0.375, 0.125])
    >>> total
    <Distribution: mean 8,000.00, std 5,291.50, P10 2,000.00, P50 6,000.00, P90 16,000.00,
    2 open deals>
    """
    values, chances = _floats(tcv), _floats(probability)
    _check(values, chances, won, correlation, cells)
    known = ~(np.isnan(values) | np.isnan(chances))
    values, chances = values[known], chances[known]
    certain = chances == 1
    sure = won + float(values[certain].sum())
    deals, left_out = len(values), int((~known).sum())
    values, chances = values[~certain], chances[~certain]
    if correlation == 0 or len(values) < 2:  # noqa: PLR2004 - one deal has none to go with
        law = _lattice.total(values, chances, cells)
        variance = float((values**2 * chances * (1 - chances)).sum())
    else:
        law, variance = _copula.total(values, chances, correlation, cells)
    mean = sure + float(values @ chances)
    return Distribution(sure, law, mean, float(np.sqrt(variance)), deals, left_out)


def quantiles_by(
    deals: pd.DataFrame,
    keys: list[str],
    *,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
    correlation: float = 0.0,
    target: float | None = None,
) -> pd.DataFrame:
    """Give the quantiles of the total of each group of deals.

    Parameters
    ----------
    deals
        One row a deal: the key columns, ``tcv`` (in one currency within a group), ``probability``
        (0-1) and ``status`` (open, won or lost). Won deals count fully, lost ones not at all; a
        deal without TCV, or an open one without probability, is left out.
    keys
        The columns to group by, at least one. A missing key is a group of its own.
    quantiles
        The probabilities asked for, in [0, 1].
    correlation
        Correlation of the open deals of a group, as in :func:`distribution`.
    target
        If given, the chance that a group's total reaches it is added.

    Returns
    -------
    One row a combination of keys, sorted by them: the keys, ``p10``, ``p50``, ``p90`` (or what
    ``quantiles`` asks for, ``p99.5`` for 0.995), in the unit of ``tcv`` and unrounded, and
    ``chance`` (0-1) where there is a target.

    Raises
    ------
    ArgumentError
        If a column is missing, a status is none of the three, or an argument is out of range.
    MissingExtraError
        If a correlation is asked for and scipy is not installed.

    Examples
    --------
    >>> deals = pd.DataFrame({
    ...     "month": ["2026-01", "2026-01", "2026-02"],
    ...     "tcv": [1000.0, 500.0, 800.0],
    ...     "probability": [0.5, 1.0, 0.3],
    ...     "status": ["open", "won", "open"],
    ... })
    >>> quantiles_by(deals, ["month"], target=800)
         month    p10    p50     p90  chance
    0  2026-01  500.0  500.0  1500.0     0.5
    1  2026-02    0.0    0.0   800.0     0.3
    """
    missing = [c for c in (*keys, "tcv", "probability", "status") if c not in deals.columns]
    if missing or not keys:
        what = f"the deals lack the columns {missing}" if missing else "keys are empty"
        raise ArgumentError(f"{what}; key columns, tcv, probability and status are needed")
    unknown = deals.loc[~deals["status"].isin(_STATUSES), "status"].unique().tolist()
    if unknown:
        raise ArgumentError(f"status is one of {', '.join(_STATUSES)}, not {unknown}")
    if target is not None:
        _check_number("a target", target)
    tcv, probability = _floats(deals["tcv"]), _floats(deals["probability"])
    is_open, is_won = (deals["status"] == "open").to_numpy(), (deals["status"] == "won").to_numpy()
    group = deals.groupby(keys, dropna=False, observed=True, sort=True).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    rows: list[list[float]] = []
    distribution((), (), correlation=correlation).quantile(list(quantiles))  # checks them
    for part in np.split(order, starts[1:]) if len(order) else []:
        is_part_open = part[is_open[part]]
        won = float(np.nansum(tcv[part[is_won[part]]]))
        if not len(is_part_open) and np.isfinite(won):  # most of the past of many accounts
            sure = [] if target is None else [float(won >= target)]
            rows.append([*(won for _ in quantiles), *sure])
            continue
        total = distribution(
            tcv[is_part_open],
            probability[is_part_open],
            won=won,
            correlation=correlation,
        )
        chance = [] if target is None else [total.chance_of(target)]
        rows.append([*total.quantile(list(quantiles)), *chance])
    names = [f"p{100 * q:g}" for q in quantiles] + ([] if target is None else ["chance"])
    table = deals.iloc[order[starts]][keys].reset_index(drop=True)
    figures = pd.DataFrame(np.reshape(rows, (len(table), len(names))), columns=names)
    return pd.concat([table, figures.astype("float64")], axis=1)


def _floats(data: npt.ArrayLike) -> Floats:
    """Give a flat array of floats, whatever stands for missing being NaN."""
    series = data if isinstance(data, pd.Series) else pd.Series(np.asarray(data).ravel())
    try:
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"TCV and probability must be numbers: {error}") from error


def _check_number(name: str, value: float) -> None:
    if not isinstance(value, Real) or not np.isfinite(value):
        raise ArgumentError(f"{name} must be a finite number, not {value!r}")


def _check(values: Floats, chances: Floats, won: float, correlation: float, cells: int) -> None:
    if len(values) != len(chances):
        raise ArgumentError(f"{len(values)} TCVs, but {len(chances)} probabilities")
    _check_number("won", won)
    if np.isinf(values).any():
        raise ArgumentError("every TCV must be finite or NaN")
    outside = (chances < 0) | (chances > 1)
    if outside.any():
        where = int(np.flatnonzero(outside)[0])
        raise ArgumentError(f"probability {chances[where]} at position {where} is not in 0 to 1")
    if not isinstance(correlation, Real) or not 0 <= correlation <= 1:
        raise ArgumentError(f"correlation must be in 0 to 1, not {correlation!r}")
    if cells < 100:  # noqa: PLR2004 - a coarser lattice shows no shape
        raise ArgumentError(f"cells must be at least 100, not {cells}")
