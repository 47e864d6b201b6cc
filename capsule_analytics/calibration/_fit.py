"""The correction of stated probabilities: learnt from the past, scored on what came later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._deals import CALIBRATED
from capsule_analytics.errors import ArgumentError, missing_extra

from ._reliability import EPSILON, brier_score, log_loss
from ._win_rates import SMALL_SAMPLE, win_rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from capsule_analytics.schema import Pipeline

_TYPICAL_AGE = 60.0
_METHODS = ("stated", "base_rate", "win_rate", "calibrated")


@dataclass(frozen=True)
class Calibration:
    """A correction of stated probabilities, learnt from deals that ended. Made by `fit`.

    ``logit(p) = intercept + slope * logit(stated) + age_slope * ln((1 + age) / 61)``, where
    ``age`` is the number of days since the deal was created. The intercept is thus about a deal
    60 days old; a deal whose age is not known counts as such a one.

    Attributes
    ----------
    intercept
        0 if probabilities are right on the whole, negative if they are too high.
    slope
        1 if they tell deals apart as much as they should, below 1 if they are too extreme.
    age_slope
        0 if a deal's age tells nothing, negative if old deals are won less often than stated.
    deals
        How many ended deals it was learnt from. Below 5 nothing is corrected.
    won
        How many of those were won.
    """

    intercept: float = 0.0
    slope: float = 1.0
    age_slope: float = 0.0
    deals: int = 0
    won: int = 0

    def predict(self, frame: pd.DataFrame, *, as_of: pd.Timestamp | None = None) -> pd.Series:
        """Correct the stated probabilities of open deals.

        Parameters
        ----------
        frame
            Rows with ``probability`` (0 to 1) and either ``age_days`` or ``created_at``. Rows
            whose ``status``, if there is one, is won or lost keep their probability.
        as_of
            The day from which to count ages where there is no ``age_days``, in UTC.

        Returns
        -------
        Probabilities aligned to ``frame.index``; missing where the stated one is.

        Raises
        ------
        ArgumentError
            If the ages cannot be told.

        Examples
        --------
        >>> model = Calibration(intercept=-0.5, slope=0.8, deals=100, won=40)
        >>> model.predict(pd.DataFrame({"probability": [0.9, 0.5], "age_days": [60, 60]})).round(3)
        0    0.779
        1    0.378
        Name: probability, dtype: float64
        """
        stated = frame["probability"].astype("float64")
        if self.deals < SMALL_SAMPLE:
            return stated
        if "age_days" in frame.columns:
            age = frame["age_days"]
        elif as_of is not None and "created_at" in frame.columns:
            age = (as_of - frame["created_at"].dt.floor("D")).dt.days
        else:
            raise ArgumentError("the frame needs age_days, or created_at together with as_of")
        design = _design(stated, age)
        odds = design @ np.array([self.intercept, self.slope, self.age_slope])
        chance = pd.Series(1 / (1 + np.exp(-odds)), index=frame.index, name="probability")
        closed = stated.isna()
        if "status" in frame.columns:
            closed |= frame["status"] != "open"
        return chance.where(~closed, stated)

    def __repr__(self) -> str:
        """Say what it makes of some stated probabilities."""
        if self.deals < SMALL_SAMPLE:
            return f"<Calibration on {self.deals} ended deals: too few, nothing is corrected>"
        stated = (0.1, 0.5, 0.9)
        example = pd.DataFrame({"probability": stated, "age_days": _TYPICAL_AGE})
        means = ", ".join(
            f"{p:.0%} means {q:.0%}" for p, q in zip(stated, self.predict(example), strict=True)
        )
        old = example.iloc[[2]].assign(age_days=3 * _TYPICAL_AGE)
        return (
            f"<Calibration on {self.deals:,} ended deals, {self.won:,} won: at 60 days "
            f"{means}; at 180 days 90% means {self.predict(old).iloc[0]:.0%}>"
        )


def _design(stated: pd.Series, age: pd.Series) -> NDArray[np.float64]:
    """Build the model's terms, shape (n, 3)."""
    p = stated.to_numpy(dtype=np.float64).clip(EPSILON, 1 - EPSILON)
    days = age.to_numpy(dtype=np.float64, na_value=np.nan).clip(0)
    log_age = np.nan_to_num(np.log((1 + days) / (1 + _TYPICAL_AGE)), nan=0.0)
    return np.column_stack([np.ones(len(p)), np.log(p / (1 - p)), log_age])


def fit(outcomes: pd.DataFrame) -> Calibration:
    """Learn how stated probabilities should be corrected.

    A logistic recalibration (Platt, 1999, on the logit of the stated probability) with one more
    term for the deal's age, because lost deals linger and a list of open deals is full of them.
    The coefficients are the most probable ones under normal priors of standard deviation 1
    around "the stated probability is right" (0, 1, 0): with few deals little is changed.

    Every sighting counts alike, as it does in a forecast, but all together weigh as much as there
    are distinct deals, so that ten snapshots of a deal do not count as ten deals.

    Parameters
    ----------
    outcomes
        As `outcomes` returns them, all known on the day of the fit.

    Returns
    -------
    The correction. With fewer than 5 ended deals it leaves probabilities as they are.

    Raises
    ------
    MissingExtraError
        If scipy is not installed.

    Examples
    --------
    Of ten deals at 90 %, five were won:

    >>> rows = pd.DataFrame(
    ...     {"opportunity_id": range(10), "probability": 0.9, "age_days": 60, "won": [1, 0] * 5}
    ... )
    >>> fit(rows)
    <Calibration on 10 ended deals, 5 won: at 60 days 10% means 30%, 50% means 41%, 90% means 54%;
    at 180 days 90% means 54%>
    """
    rows = outcomes.dropna(subset=["probability"])
    ended = rows.drop_duplicates("opportunity_id")
    deals, won = len(ended), int(ended["won"].sum())
    if deals < SMALL_SAMPLE:
        return Calibration(deals=deals, won=won)
    try:
        from scipy.optimize import minimize  # noqa: PLC0415 - only calibration needs it
    except ImportError as error:
        raise missing_extra("Calibration", "calibration") from error
    design = _design(rows["probability"], rows["age_days"])
    sign = 2.0 * rows["won"].to_numpy(dtype=np.float64) - 1
    weight = deals / len(rows)
    prior = np.array([0.0, 1.0, 0.0])

    def loss(coefficients: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (design @ coefficients)
        missed = np.exp(-np.logaddexp(0, margin))
        value = weight * np.logaddexp(0, -margin).sum() + ((coefficients - prior) ** 2).sum() / 2
        return value, -weight * design.T @ (sign * missed) + coefficients - prior

    found = minimize(loss, prior, jac=True, method="BFGS").x
    intercept, slope, age_slope = (float(value) for value in found)
    return Calibration(intercept, slope, age_slope, deals, won)


def calibrate(pipeline: Pipeline, model: Calibration) -> Pipeline:
    """Add the corrected probabilities of a pipeline's open deals.

    Parameters
    ----------
    pipeline
        The account to forecast.
    model
        As `fit` returns it.

    Returns
    -------
    The same pipeline with one more column, ``calibrated`` (0 to 1; won and lost deals keep their
    own), which ``forecast.by_month(..., probability="calibrated")`` and all other figures use.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> model = Calibration(intercept=-0.5, slope=0.8, deals=100, won=40)
    >>> pipeline = calibrate(ca.load_sample(), model)
    >>> table = ca.forecast.by_month(pipeline, probability="calibrated")
    """
    frame = pipeline.opportunities
    known = frame[["probability", "created_at", "status"]]
    chance = model.predict(known, as_of=pd.Timestamp(pipeline.as_of, tz="UTC"))
    return replace(pipeline, opportunities=frame.assign(**{CALIBRATED: chance}))


def predictions(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Predict each sighting from nothing but what was known on its day.

    For every day the models are fitted anew, on sightings of earlier days whose outcome was known
    by then. So every figure is out of sample, and none of the future leaks into it.

    Parameters
    ----------
    outcomes
        As `outcomes` returns them.

    Returns
    -------
    The sightings that could be predicted, because at least 5 ended deals were known by then,
    with the columns of `outcomes` and: ``stated``; ``base_rate`` (the share of earlier sightings
    that were won, whatever the deal); ``win_rate`` (of its milestone, by `win_rates`);
    ``calibrated`` (by `fit`).

    Raises
    ------
    MissingExtraError
        If scipy is not installed.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {
    ...         "opportunity_id": [*range(6), 6],
    ...         "day": pd.to_datetime(["2026-01-31"] * 6 + ["2026-02-28"], utc=True),
    ...         "milestone": "Proposal",
    ...         "probability": 0.5,
    ...         "age_days": 60,
    ...         "known_on": pd.to_datetime(["2026-02-10"] * 6 + ["2026-03-20"], utc=True),
    ...         "won": [1, 1, 0, 0, 0, 0, 0],
    ...     }
    ... )
    >>> predictions(rows)[["stated", "base_rate", "win_rate", "calibrated"]].round(3)
       stated  base_rate  win_rate  calibrated
    6     0.5      0.333     0.339       0.401
    """
    parts = [
        outcomes.head(0).assign(
            **dict.fromkeys(_METHODS, pd.Series(dtype="float64", index=outcomes.index[:0]))
        )
    ]
    for day, rows in outcomes.groupby("day"):
        known = outcomes[(outcomes["day"] < day) & (outcomes["known_on"] <= day)]
        if known["opportunity_id"].nunique() < SMALL_SAMPLE:
            continue
        # A deal lost for whatever reason stood in the list that is predicted.
        rates = win_rates(known, conversion=False)
        of_milestone = (
            rows["milestone"]
            .astype(object)
            .map(dict(zip(rates["key"], rates["rate"], strict=True)))
        )
        parts.append(
            rows.assign(
                stated=rows["probability"],
                base_rate=known["won"].mean(),
                win_rate=of_milestone.astype("float64").fillna(rates.attrs["prior_rate"]),
                calibrated=fit(known).predict(rows),
            )
        )
    return pd.concat(parts[1:] or parts)


def scores(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Score the stated probabilities against calibrated ones, out of sample.

    Parameters
    ----------
    outcomes
        As `outcomes` returns them.

    Returns
    -------
    One row a method of `predictions`, all on the same sightings: ``which``, ``deals``
    (distinct), ``sightings``, ``mean`` (mean probability), ``won_rate``, ``brier``, ``log_loss``.
    Lower scores are better; a method is worth having if it beats ``base_rate``. NaN if nothing
    could be predicted.

    Raises
    ------
    MissingExtraError
        If scipy is not installed.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> ended = ca.calibration.outcomes(ca.history.sample_history(), ca.load_sample())
    >>> table = scores(ended)
    >>> table.loc[table["brier"].idxmin(), "which"]
    'calibrated'
    """
    rows = predictions(outcomes).dropna(subset=["stated"])
    return pd.DataFrame(
        {
            "which": list(_METHODS),
            "deals": rows["opportunity_id"].nunique(),
            "sightings": len(rows),
            "mean": [rows[which].mean() for which in _METHODS],
            "won_rate": rows["won"].mean(),
            "brier": [brier_score(rows[which], rows["won"]) for which in _METHODS],
            "log_loss": [log_loss(rows[which], rows["won"]) for which in _METHODS],
        }
    )
