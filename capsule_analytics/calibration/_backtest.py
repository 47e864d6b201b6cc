"""What forecasts said months ahead, against what was won."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics import forecast
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, TIMESTAMP

from ._fit import calibrate, fit
from ._outcomes import in_order, outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from capsule_analytics.schema import Pipeline

POLICIES = ("raw", "calibrated", "rolled", "calibrated_rolled")
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
_FIGURES = ("forecast", *_QUANTILES)
_MONTH = ["month", "currency"]


def backtest(
    snapshots: Sequence[Pipeline],
    final: Pipeline,
    *,
    horizons: Sequence[int] = (1, 2, 3),
    policies: Sequence[str] = ("raw", "calibrated", "rolled"),
) -> pd.DataFrame:
    """Score past forecasts by policy, horizon and currency, to choose a policy by evidence.

    The months behind the scores, and the definitions, are those of `backtest_months`. Policies
    are scored on the same months.

    Parameters
    ----------
    snapshots, final, horizons, policies
        As for `backtest_months`.

    Returns
    -------
    One row a policy, horizon and currency: ``months`` (forecasts scored), ``forecast`` and
    ``actual`` (sums in the currency), ``known_share`` (how much of the actual value came from
    deals that existed at the snapshot; no forecast of open deals can know the rest), ``bias``
    ((forecast - actual) / actual of the sums; 0.3 is 30 % too high), ``wape`` (sum of absolute
    errors / sum of actual values), ``pinball_p10``, ``pinball_p50``, ``pinball_p90`` (mean
    pinball loss in the currency, lower is better; for P50 half the mean absolute error) and
    ``inside`` (share of actual values from P10 to P90; a good range holds about 0.8). Shares
    are NaN where nothing was won.

    Raises
    ------
    ArgumentError
        If an option is not valid, or no month to score is over.
    MissingExtraError
        If scipy is not installed and a calibrated policy is asked for.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *snapshots, final = ca.history.sample_history()
    >>> table = backtest(snapshots[-6:], final, horizons=[1])
    >>> table.loc[table["currency"] == "GBP", ["policy", "months", "bias", "inside"]].round(2)
            policy  months  bias  inside
    2          raw       5  0.79     0.0
    6   calibrated       5  0.48     0.2
    10      rolled       5  3.12     0.0
    """
    months = backtest_months(snapshots, final, horizons=horizons, policies=policies)
    error = months["forecast"] - months["actual"]
    losses = {}
    for name, q in _QUANTILES.items():
        above = months["actual"] - months[name]
        losses[f"pinball_{name}"] = np.maximum(q * above, (q - 1) * above)
    inside = months["actual"].between(months["p10"], months["p90"])
    rows = months.assign(error=error.abs(), inside=inside.astype("float64"), **losses)
    grouped = rows.groupby(
        ["policy", "horizon", "currency"], sort=False, dropna=False, observed=True
    )
    sums = grouped[["forecast", "actual", "actual_known", "error"]].sum()
    actual = sums["actual"].where(sums["actual"] > 0)
    table = sums[["forecast", "actual"]].assign(
        known_share=sums["actual_known"] / actual,
        bias=(sums["forecast"] - actual) / actual,
        wape=sums["error"] / actual,
        **grouped[[*losses, "inside"]].mean(),
    )
    table.insert(0, "months", grouped.size())
    return table.reset_index()


def backtest_months(
    snapshots: Sequence[Pipeline],
    final: Pipeline,
    *,
    horizons: Sequence[int] = (1, 2, 3),
    policies: Sequence[str] = ("raw", "calibrated", "rolled"),
) -> pd.DataFrame:
    """Put what each snapshot forecast beside what was won.

    For a snapshot of day ``d`` and horizon ``h``, the forecast is the expected value of the
    month ``h`` months after that of ``d``, as `forecast.by_month` gives it: what was won by then
    with a close in that month, plus the open deals expected to close in it. Actual is the value
    that `final` shows as won in that month, of *all* deals, for that is what the forecast is used
    for; ``actual_known`` is the part from deals that existed at ``d``. Months count once they are
    over at `final`.

    A snapshot is taken as the close of its day, so that a deal expected on ``d`` and still open
    is overdue. Policies: *raw* takes stated probabilities and leaves overdue deals in their own,
    past month; *rolled* moves them to the month of the day after ``d``; *calibrated* is raw with
    probabilities corrected by what had ended by ``d`` and nothing later;
    *calibrated_rolled* does both.

    Parameters
    ----------
    snapshots
        The account on earlier days, in any order.
    final
        The account on the day on which the won values are read.
    horizons
        How many months ahead of the snapshot's month; 0 is that month itself.
    policies
        Any of raw, calibrated, rolled, calibrated_rolled.

    Returns
    -------
    One row a policy, horizon, currency and snapshot, in the order of `policies` and `horizons`,
    where any policy forecast something or something was won: ``policy``, ``horizon``,
    ``currency``, ``day`` (of the snapshot), ``month``, ``forecast``, ``p10``, ``p50``, ``p90``,
    ``actual``, ``actual_known`` (in the currency).

    Raises
    ------
    ArgumentError
        If an option is not valid, or no month to score is over.
    MissingExtraError
        If scipy is not installed and a calibrated policy is asked for.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *snapshots, final = ca.history.sample_history()
    >>> table = backtest_months(snapshots[-3:], final, horizons=[1], policies=["raw"])
    >>> table[["currency", "month", "forecast", "actual"]].head(2)
      currency    month  forecast   actual
    0      CHF  2026-08   57925.0  26700.0
    1      CHF  2026-09   29000.0      0.0
    """
    _check(horizons, policies)
    ordered = in_order(snapshots)
    over = final.as_of
    parts: list[pd.DataFrame] = []
    for number, snapshot in enumerate(ordered):
        months = {
            horizon: month
            for horizon in horizons
            if (month := pd.Period(snapshot.as_of, "M") + horizon).end_time.date() <= over
        }
        if months:
            parts.append(_one_day(ordered[:number], snapshot, final, months, policies))
    if not parts:
        raise ArgumentError(
            f"no month to score: none of {len(ordered)} snapshots lies "
            f"{min(horizons)} or more months before the last full month at {over}"
        )
    table = pd.concat(parts, ignore_index=True)
    for name, order in (("policy", policies), ("horizon", horizons)):
        table[name] = pd.Categorical(table[name], categories=list(order))
    table = table.sort_values(["policy", "horizon", "currency", "day"], ignore_index=True)
    return table.astype({"policy": TEXT, "horizon": "int64"})


def _check(horizons: Sequence[int], policies: Sequence[str]) -> None:
    unknown = [policy for policy in policies if policy not in POLICIES]
    if unknown or not policies:
        raise ArgumentError(f"policies must be some of {', '.join(POLICIES)}, not {unknown}")
    if not horizons or min(horizons) < 0:
        raise ArgumentError(f"horizons must be months from 0 on, not {list(horizons)}")
    if len(set(horizons)) < len(horizons) or len(set(policies)) < len(policies):
        raise ArgumentError("each horizon and policy must be given once")


def _one_day(
    before: Sequence[Pipeline],
    snapshot: Pipeline,
    final: Pipeline,
    months: dict[int, pd.Period],
    policies: Sequence[str],
) -> pd.DataFrame:
    """Forecast the months from one snapshot under each policy, beside what was won."""
    morning = (pd.Timestamp(snapshot.as_of) + pd.Timedelta(days=1)).date()
    if any("calibrated" in policy for policy in policies):
        snapshot = calibrate(snapshot, fit(outcomes(before, snapshot)))
    said = {policy: _said(snapshot, morning, policy, months) for policy in policies}
    won = final.opportunities
    won = won[won["status"] == "won"]
    existed = won.index.isin(snapshot.opportunities.index)
    happened = pd.concat(
        {
            "actual": _won_value(won, morning, months),
            "actual_known": _won_value(won[existed], morning, months),
        },
        axis=1,
    )
    keys = pd.concat([*said.values(), happened]).index.drop_duplicates()
    horizon_of = {month: horizon for horizon, month in months.items()}
    parts = []
    for policy, figures in said.items():
        rows = pd.concat([figures.reindex(keys), happened.reindex(keys)], axis=1).fillna(0.0)
        rows = rows.reset_index()
        rows.insert(0, "policy", policy)
        rows.insert(1, "horizon", rows["month"].map(horizon_of))
        rows.insert(3, "day", pd.Series(pd.Timestamp(snapshot.as_of, tz="UTC"), rows.index))
        parts.append(rows)
    columns = ["policy", "horizon", "currency", "day", "month", *_FIGURES, *happened.columns]
    return pd.concat(parts)[columns].astype({"day": TIMESTAMP, "currency": TEXT})


def _said(
    snapshot: Pipeline,
    morning: date,
    policy: str,
    months: dict[int, pd.Period],
) -> pd.DataFrame:
    table = forecast.by_month(
        snapshot,
        overdue="roll" if "rolled" in policy else "keep",
        as_of=morning,
        probability="calibrated" if "calibrated" in policy else None,
        ranges=True,
    )
    table = table.rename(columns={"expected_value": "forecast"})
    return table[table["month"].isin(months.values())].set_index(_MONTH)[list(_FIGURES)]


def _won_value(won: pd.DataFrame, morning: date, months: dict[int, pd.Period]) -> pd.Series:
    table = forecast.by_month(won, as_of=morning)
    return table[table["month"].isin(months.values())].set_index(_MONTH)["won_value"]
