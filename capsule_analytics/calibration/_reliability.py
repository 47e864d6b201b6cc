"""How far stated probabilities can be believed: reliability, Brier score, log loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics.errors import ArgumentError

from ._win_rates import check_level, scipy_special

if TYPE_CHECKING:
    import numpy.typing as npt
    from numpy.typing import NDArray

EPSILON = 0.001
"""Log loss and logits take probabilities below it, or as near to 1, as this far off."""


def reliability(
    outcomes: pd.DataFrame,
    bins: int = 10,
    *,
    probability: str = "probability",
    level: float = 0.8,
) -> pd.DataFrame:
    """Compare probabilities with the share of deals that were won, bin by bin.

    Every sighting counts alike, because that is what a forecast adds up: a deal that stands in
    the list for six months is in six forecasts. Sightings of one deal are no new evidence,
    though, so the interval is as wide as the number of *deals* makes it: with ``d`` deals and
    the won rate ``r`` it is the middle `level` of ``Beta(r d + 1/2, (1 - r) d + 1/2)``
    (Jeffreys).

    Parameters
    ----------
    outcomes
        As `outcomes` or `predictions` returns them.
    bins
        How many bins of equal width from 0 to 1. A probability on an edge belongs to the bin
        above it, 1 to the last one.
    probability
        The column to judge.
    level
        Probability of the interval, between 0 and 1.

    Returns
    -------
    One row a bin that has deals: ``bin_low``, ``bin_high``, ``deals`` (distinct), ``stated``
    (mean probability), ``won_rate``, ``low``, ``high`` (all 0 to 1).

    Raises
    ------
    ArgumentError
        If an option is not valid.
    MissingExtraError
        If scipy is not installed.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {"opportunity_id": [1, 1, 2, 3], "probability": [0.9, 0.9, 0.9, 0.2],
    ...      "won": [1, 1, 0, 0]}
    ... )
    >>> reliability(rows, bins=2)[["bin_low", "bin_high", "deals", "stated", "won_rate"]].round(3)
       bin_low  bin_high  deals  stated  won_rate
    0      0.0       0.5      1     0.2     0.000
    1      0.5       1.0      2     0.9     0.667
    """
    check_level(level)
    rows = _judged(outcomes, probability)
    grouped = rows.groupby(_bins(rows["probability"], bins))
    deals = grouped["opportunity_id"].nunique().to_numpy(dtype=np.int64)
    rate = grouped["won"].mean().to_numpy(dtype=np.float64)
    number = np.array(list(grouped.groups), dtype=np.float64)
    special = scipy_special()
    a, b = rate * deals + 0.5, (1 - rate) * deals + 0.5
    return pd.DataFrame(
        {
            "bin_low": number / bins,
            "bin_high": (number + 1) / bins,
            "deals": deals,
            "stated": grouped["probability"].mean().to_numpy(dtype=np.float64),
            "won_rate": rate,
            "low": special.betaincinv(a, b, (1 - level) / 2),
            "high": special.betaincinv(a, b, (1 + level) / 2),
        }
    )


def brier_score(probability: npt.ArrayLike, won: npt.ArrayLike) -> float:
    """Give the mean squared distance of probabilities from what happened.

    0 is perfect; always saying 50 % gives 0.25. Source: Brier, "Verification of forecasts
    expressed in terms of probability", Monthly Weather Review, 1950.

    Parameters
    ----------
    probability
        Chances of winning, 0 to 1, shape (n,). Missing ones are left out.
    won
        1 for won and 0 for lost, shape (n,).

    Returns
    -------
    The score, 0 to 1; NaN if there is nothing to score.

    Raises
    ------
    ArgumentError
        If lengths differ, a probability lies outside 0 to 1, or an outcome is not 0 or 1.

    Examples
    --------
    >>> brier_score([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])  # (0.01 + 0.25 + 0.25 + 0.01) / 4
    0.13
    """
    p, y = _pairs(probability, won)
    return float(np.mean((p - y) ** 2)) if len(p) else float("nan")


def log_loss(probability: npt.ArrayLike, won: npt.ArrayLike) -> float:
    """Give the mean negative log likelihood of what happened, in nats.

    0 is perfect; always saying 50 % gives 0.693. Unlike the Brier score it punishes false
    certainty hard; so that one lost deal at 100 % does not make it infinite, probabilities count
    as at least 0.001 and at most 0.999 (`EPSILON`).

    Parameters
    ----------
    probability
        Chances of winning, 0 to 1, shape (n,). Missing ones are left out.
    won
        1 for won and 0 for lost, shape (n,).

    Returns
    -------
    The loss; NaN if there is nothing to score.

    Raises
    ------
    ArgumentError
        If lengths differ, a probability lies outside 0 to 1, or an outcome is not 0 or 1.

    Examples
    --------
    >>> round(log_loss([0.8, 0.5], [1, 0]), 4)  # (-ln 0.8 - ln 0.5) / 2
    0.4581
    """
    p, y = _pairs(probability, won)
    p = p.clip(EPSILON, 1 - EPSILON)
    return -float(np.mean(np.where(y == 1, np.log(p), np.log1p(-p)))) if len(p) else float("nan")


def brier_decomposition(
    outcomes: pd.DataFrame, bins: int = 10, *, probability: str = "probability"
) -> pd.Series:
    """Split the Brier score into what can be mended and what cannot.

    ``brier = reliability - resolution + uncertainty + within_bins``. Reliability is how far the
    bins' mean probabilities lie from their won rates (0 is best, calibration mends it);
    resolution is how far the bins' won rates lie from the overall one (more is better, only
    better information adds to it); uncertainty is the variance of the outcomes themselves.
    Source: Murphy, "A new vector partition of the probability score", Journal of Applied
    Meteorology, 1973. ``within_bins`` is the little that binning hides, after Stephenson, Coelho
    and Jolliffe, Weather and Forecasting, 2008; it makes the sum exact.

    Parameters
    ----------
    outcomes
        As `outcomes` or `predictions` returns them.
    bins
        How many bins of equal width from 0 to 1.
    probability
        The column to judge.

    Returns
    -------
    ``brier``, ``reliability``, ``resolution``, ``uncertainty``, ``within_bins``; NaN without
    sightings.

    Raises
    ------
    ArgumentError
        If `bins` is below 1.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {"opportunity_id": range(4), "probability": [0.8, 0.8, 0.2, 0.2], "won": [1, 0, 0, 0]}
    ... )
    >>> brier_decomposition(rows).round(4).to_dict()
    {'brier': 0.19, 'reliability': 0.065, 'resolution': 0.0625, 'uncertainty': 0.1875,
     'within_bins': 0.0}
    """
    rows = _judged(outcomes, probability)
    grouped = rows.groupby(_bins(rows["probability"], bins))
    mean_p = grouped["probability"].transform("mean")
    mean_y = grouped["won"].transform("mean")
    overall = rows["won"].mean()
    inner_p, inner_y = rows["probability"] - mean_p, rows["won"] - mean_y
    return pd.Series(
        {
            "brier": ((rows["probability"] - rows["won"]) ** 2).mean(),
            "reliability": ((mean_p - mean_y) ** 2).mean(),
            "resolution": ((mean_y - overall) ** 2).mean(),
            "uncertainty": overall * (1 - overall),
            "within_bins": (inner_p**2 - 2 * inner_p * inner_y).mean(),
        },
        dtype="float64",
    )


def _judged(outcomes: pd.DataFrame, probability: str) -> pd.DataFrame:
    if probability not in outcomes.columns:
        raise ArgumentError(f"the outcomes have no column {probability!r}")
    rows = outcomes[["opportunity_id", "won"]].assign(probability=outcomes[probability])
    return rows.dropna(subset=["probability"])


def _bins(probability: pd.Series, bins: int) -> NDArray[np.int64]:
    """Give each probability's bin; rounding first puts 0.3 on its edge and not just below."""
    if bins < 1:
        raise ArgumentError(f"bins must be at least 1, not {bins}")
    place = np.floor((probability.to_numpy(dtype=np.float64) * bins).round(9))
    numbers: NDArray[np.int64] = np.minimum(place, bins - 1).astype(np.int64)
    return numbers


def _pairs(
    probability: npt.ArrayLike, won: npt.ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(won, dtype=np.float64)
    if p.shape != y.shape:
        raise ArgumentError(f"{p.size} probabilities, but {y.size} outcomes")
    p, y = p[~np.isnan(p)], y[~np.isnan(p)]
    if ((p < 0) | (p > 1)).any():
        raise ArgumentError("probabilities must lie in 0 to 1 (percent must be divided by 100)")
    if not np.isin(y, [0, 1]).all():
        raise ArgumentError("outcomes must be 1 for won or 0 for lost")
    return p, y
