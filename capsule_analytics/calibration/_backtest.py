"""What forecasts said months ahead, against what was won: every method on the same months."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._deals import Placing
from capsule_analytics.errors import ArgumentError
from capsule_analytics.risk import NOTHING, Distribution
from capsule_analytics.schema import TEXT, TIMESTAMP

from ._fit import calibrate, fit
from ._methods import METHODS, Origin, days_of, month_number, placed, won_by_month
from ._outcomes import in_order, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capsule_analytics.projection import Projection
    from capsule_analytics.schema import Pipeline

    from ._methods import Laws

ALL = (
    "projection",
    "stated",
    "calibrated",
    "rolled",
    "last_month",
    "mean_of_three",
    "year_ago",
    "conversion",
)
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
_OUTSIDE = 0.2
"""How often the range from P10 to P90 may miss."""
_POOLS = ("account", "currency")
_KEYS = ("account", "method", "horizon", "currency", "day", "month")
_AMOUNTS = (
    "forecast",
    *_QUANTILES,
    "crps",
    "actual",
    "actual_known",
    "floor_error",
    "floor_crps",
)
_CENT = 0.005


def backtest(
    snapshots: Sequence[Pipeline],
    final: Pipeline,
    *,
    horizons: Sequence[int] = (1, 2, 3),
    methods: Sequence[str] = ALL,
    by: str | Sequence[str] = "currency",
) -> pd.DataFrame:
    """Score past forecasts by method, horizon and currency, to choose a method by evidence.

    `backtest_scores` of `backtest_months`, where methods and scores are defined.

    Parameters
    ----------
    snapshots, final, horizons, methods
        As for `backtest_months`.
    by
        As for `backtest_scores`; ``()`` pools the currencies.

    Returns
    -------
    As `backtest_scores` gives it.

    Raises
    ------
    ArgumentError
        If an option is not valid, or no month to score is over.
    MissingExtraError
        If scipy is not installed and a calibrated method is asked for.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *snapshots, final = ca.history.sample_history()
    >>> table = backtest(
    ...     snapshots[-6:], final, horizons=[1], methods=["stated", "calibrated", "mean_of_three"]
    ... )
    >>> table.loc[table["currency"] == "GBP", ["method", "months", "bias", "inside"]].round(2)
               method  months  bias  inside
    2          stated       5  0.79     0.0
    6      calibrated       5  0.48     0.2
    10  mean_of_three       5 -0.09     0.6
    """
    months = backtest_months(snapshots, final, horizons=horizons, methods=methods)
    return backtest_scores(months, by=by)


def backtest_scores(months: pd.DataFrame, *, by: str | Sequence[str] = "currency") -> pd.DataFrame:
    """Score forecasts that stand beside what was won.

    Parameters
    ----------
    months
        As `backtest_months` gives it; of several accounts by `pandas.concat`.
    by
        What to keep apart, of currency and account. Where currencies are pooled, every account's
        amounts of a currency are first divided by its mean actual month, so that all weigh alike
        and the unit is that month; a currency in which nothing was won then has no unit, is left
        out, and named in ``attrs["left_out"]``.

    Returns
    -------
    One row a method, horizon and part:

    ``months``
        Forecasts scored.
    ``forecast``, ``actual``
        Sums, in the unit.
    ``known_share``
        How much of the actual value came from deals that existed at the snapshot. No forecast
        of open deals alone can know the rest.
    ``bias``
        (forecast - actual) / actual of the sums; 0.3 is 30 % too high.
    ``wape``
        Sum of absolute errors / sum of actual values.
    ``pinball_p10``, ``pinball_p50``, ``pinball_p90``
        Mean pinball loss, in the unit; for P50 half the mean absolute error of the median.
    ``crps``
        Mean continuous ranked probability score, in the unit: the whole distribution's pinball
        loss (Gneiting & Raftery, Journal of the American Statistical Association, 2007).
    ``inside``
        Share of actual values from P10 to P90; a good range holds about 0.8.
    ``interval_score``
        Mean of (P90 - P10) + 10 times by how much the actual value lies outside, in the unit
        (Winkler 1972): narrow is good, but a miss costs.
    ``pit_mean``, ``pit_std``
        Of the randomised PIT: 0.5 and 0.29 where the distributions are right. A lower mean says
        that they are too high, a larger deviation that they are too narrow.
    ``floor_wape``, ``floor_crps``
        The noise floor: what a perfect model would still miss on average, if the projection's
        chances were exactly right. Missing where the projection was not scored.

    Lower is better for all losses. Shares are NaN where nothing was won.

    Raises
    ------
    ArgumentError
        If a column is missing, or `by` is none of these.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *snapshots, final = ca.history.sample_history()
    >>> months = backtest_months(snapshots[-6:], final, horizons=[1], methods=["stated"])
    >>> backtest_scores(months, by=())[["method", "months", "bias", "wape"]].round(2)
       method  months  bias  wape
    0  stated      20  1.26  1.61
    """
    parts = [by] if isinstance(by, str) else list(by)
    if unknown := [name for name in parts if name not in _POOLS]:
        raise ArgumentError(f"scores are kept apart by {' and '.join(_POOLS)}, not {unknown[0]!r}")
    missing = [name for name in (*_KEYS, *_AMOUNTS, "pit") if name not in months.columns]
    if missing:
        raise ArgumentError(f"the table lacks the column {missing[0]!r}; see backtest_months")
    rows, left_out = (months, []) if "currency" in parts else _in_mean_months(months)
    actual = rows["actual"]
    short, over = (rows["p10"] - actual).clip(lower=0), (actual - rows["p90"]).clip(lower=0)
    scored = rows.assign(
        error=(rows["forecast"] - actual).abs(),
        inside=((short <= _CENT) & (over <= _CENT)).astype("float64"),
        interval_score=rows["p90"] - rows["p10"] + 2 / _OUTSIDE * (short + over),
    )
    for name, q in _QUANTILES.items():
        above = actual - rows[name]
        scored[f"pinball_{name}"] = np.maximum(q * above, (q - 1) * above)
    for name in ("method", *_POOLS):  # in the order in which they come, whatever the names
        scored[name] = scored[name].astype(object)
    grouped = scored.groupby(["method", "horizon", *parts], sort=False, dropna=False)
    sums = grouped[["forecast", "actual", "actual_known", "error"]].sum()
    floor = grouped["floor_error"].sum(min_count=1)
    means = grouped[[*(f"pinball_{name}" for name in _QUANTILES), "crps", "inside"]].mean()
    won = sums["actual"].where(sums["actual"] > 0)
    table = sums[["forecast", "actual"]].assign(
        known_share=sums["actual_known"] / won,
        bias=(sums["forecast"] - won) / won,
        wape=sums["error"] / won,
        **means,
        interval_score=grouped["interval_score"].mean(),
        pit_mean=grouped["pit"].mean(),
        pit_std=grouped["pit"].std(ddof=0),
        floor_wape=floor / won,
        floor_crps=grouped["floor_crps"].mean(),
    )
    table.insert(0, "months", grouped.size())
    table = table.reset_index().astype(dict.fromkeys(("method", *parts), TEXT))
    table.attrs = {"left_out": left_out}
    return table


def _in_mean_months(months: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Divide amounts by the mean actual month of their account and currency."""
    keys = ["account", "currency"]
    each = months.drop_duplicates([*keys, "horizon", "day"])
    unit = each.groupby(keys, dropna=False)["actual"].mean().rename("unit").reset_index()
    usable = months.merge(unit, on=keys, how="left")
    worthless = unit.loc[~(unit["unit"] > 0), keys]
    usable = usable[usable["unit"] > 0]
    scaled = usable.assign(**{name: usable[name] / usable["unit"] for name in _AMOUNTS})
    named = worthless["currency"].astype(object).where(worthless["currency"].notna(), "no currency")
    return scaled, [
        f"{account}: {currency}" if account else str(currency)
        for account, currency in zip(worthless["account"], named, strict=True)
    ]


def backtest_months(
    snapshots: Sequence[Pipeline],
    final: Pipeline,
    *,
    horizons: Sequence[int] = (1, 2, 3),
    methods: Sequence[str] = ALL,
) -> pd.DataFrame:
    """Put what each snapshot forecast beside what was won.

    For a snapshot of day ``d`` and horizon ``h``, each method gives the distribution of what the
    month ``h`` months after that of ``d`` will bring, from what was known at the end of ``d`` and
    nothing later. Actual is the value that `final` shows as won in that month, of *all* deals,
    for that is what a forecast is used for; ``actual_known`` is the part from deals that existed
    at ``d``. Months count once they are over at `final`. All methods are scored on the same ones.

    The methods are these:

    *projection*
        `projection.fit` on this snapshot and those before it.
    *stated*
        The weighted forecast: what was won by then, plus the open deals expected to close in the
        month, each with its stated probability; overdue deals stay in their own, past month. Its
        range is what the sum would be if every stated probability and date were right.
    *rolled*
        The same with overdue deals moved to the month of the day after ``d``.
    *calibrated*, *calibrated_rolled*
        Both with probabilities corrected by what had ended by ``d``.
    *last_month*, *mean_of_three*, *year_ago*
        What the last month, the last three, or the same month of the year before brought.
    *conversion*
        The value of all open deals times the share of earlier open lists that was won so many
        months later; as *mean_of_three* while there is none.

    The last four are spread by the ratios of what came to what the same rule had said before (24
    at most; while there are fewer than six, by a lognormal of deviation 0.7).

    Parameters
    ----------
    snapshots
        The account on earlier days, in any order.
    final
        The account on the day on which the won values are read.
    horizons
        How many months ahead of the snapshot's month; 0 is that month itself.
    methods
        Any of the above.

    Returns
    -------
    One row a method, horizon, currency and snapshot, in the order of `methods` and `horizons`,
    where any method forecast something or something was won: ``account``, ``method``,
    ``horizon``, ``currency``, ``day`` (of the snapshot), ``month``; ``forecast`` (the mean),
    ``p10``, ``p50``, ``p90``, ``crps``, ``actual``, ``actual_known``, in the currency; ``pit``,
    the chance that the method gave to less than what came, plus a random part of the chance of
    just that (randomised PIT; the number is drawn from account, currency, day and month, so that
    it is the same at every call and for every method); ``floor_error`` and ``floor_crps``, the
    mean absolute error and CRPS that chance alone would leave (`Projection.noise`), NaN without
    *projection*.

    Raises
    ------
    ArgumentError
        If an option is not valid, or no month to score is over.
    MissingExtraError
        If scipy is not installed and a calibrated method is asked for.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *snapshots, final = ca.history.sample_history()
    >>> table = backtest_months(snapshots[-3:], final, horizons=[1], methods=["stated"])
    >>> table[["currency", "month", "forecast", "actual"]].head(2)
      currency    month  forecast   actual
    0      CHF  2026-08   57925.0  26700.0
    1      CHF  2026-09   29000.0      0.0
    """
    _check(horizons, methods)
    ordered = in_order(snapshots)
    over = month_number(final.as_of + timedelta(days=1))
    won = final.opportunities[final.opportunities["status"] == "won"]
    origins = _origins(ordered, over, horizons, methods)
    parts = [_one_day(origin, won, methods) for origin in origins if origin.months]
    if not parts:
        raise ArgumentError(
            f"no month to score: none of {len(ordered)} snapshots lies "
            f"{min(horizons)} or more months before the last full month at {final.as_of}"
        )
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "account", pd.array([final.account] * len(table), dtype=TEXT))
    for name, order in (("method", methods), ("horizon", horizons)):
        table[name] = pd.Categorical(table[name], categories=list(order))
    table = table.sort_values(["method", "horizon", "currency", "day"], ignore_index=True)
    return table.astype({"method": TEXT, "horizon": "int64"})


def _check(horizons: Sequence[int], methods: Sequence[str]) -> None:
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise ArgumentError(f"methods must be some of {', '.join(METHODS)}, not {unknown}")
    if not horizons or min(horizons) < 0:
        raise ArgumentError(f"horizons must be months from 0 on, not {list(horizons)}")
    if len(set(horizons)) < len(horizons) or len(set(methods)) < len(methods):
        raise ArgumentError("each horizon and method must be given once")


def _origins(
    ordered: Sequence[Pipeline], over: int, horizons: Sequence[int], methods: Sequence[str]
) -> Iterator[Origin]:
    """Give each snapshot with the months to forecast from it, and what was learnt by then."""
    scored = [
        tuple(
            month
            for horizon in horizons
            if (month := month_number(snapshot.as_of) + horizon) < over
        )
        for snapshot in ordered
    ]
    # Snapshots after the last that is scored teach nothing.
    last = max((number for number, months in enumerate(scored) if months), default=-1)
    models: Iterator[Projection] | None = None
    if "projection" in methods and last >= 0:
        from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

        models = projection.rolling(ordered[: last + 1])
    before: list[Origin] = []
    for number, snapshot in enumerate(ordered[: last + 1]):
        known = snapshot
        if scored[number] and any("calibrated" in method for method in methods):
            known = calibrate(snapshot, fit(outcomes(ordered[:number], snapshot)))
        origin = Origin(
            known,
            snapshot.as_of + timedelta(days=1),
            scored[number],
            tuple(before),
            next(models) if models is not None else None,
        )
        before.append(origin)
        yield origin


def _one_day(origin: Origin, won: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Forecast the months from one snapshot by each method, beside what was won."""
    day = origin.snapshot.as_of
    existed = won.index.isin(origin.snapshot.opportunities.index)
    placing = Placing.of(origin.morning)
    actual, known = (won_by_month(placed(frame, placing)) for frame in (won, won[existed]))
    said: dict[str, Laws] = {method: METHODS[method](origin) for method in methods}
    # A method that knows of no chance in a month does not make it one to score.
    keys = {
        key
        for laws in said.values()
        for key, law in laws.items()
        if law.mean or law.deals or law.law.amounts.any()
    }
    rows = []
    for month, currency in sorted(keys | {key for key in actual if key[0] in origin.months}):
        came = actual.get((month, currency), 0.0)
        floor = _floor(origin.model, month, currency)
        draw = zlib.crc32(f"{origin.snapshot.account}|{currency}|{day}|{month}".encode()) / 2**32
        for method, laws in said.items():
            law = laws.get((month, currency), _NO_VALUE)
            p10, p50, p90 = law.quantile(list(_QUANTILES.values()))
            rows.append(
                {
                    "method": method,
                    "horizon": month - month_number(day),
                    "currency": currency or pd.NA,
                    "day": pd.Timestamp(day, tz="UTC"),
                    "month": month,
                    "forecast": law.mean,
                    "p10": p10,
                    "p50": p50,
                    "p90": p90,
                    "crps": law.crps(came),
                    "pit": _pit(law, came, draw),
                    "actual": came,
                    "actual_known": known.get((month, currency), 0.0),
                    "floor_error": floor[0],
                    "floor_crps": floor[1],
                }
            )
    columns = [*_KEYS[1:], *_AMOUNTS[:5], "pit", *_AMOUNTS[5:]]
    table = pd.DataFrame(rows, columns=columns)
    table["month"] = pd.PeriodIndex.from_ordinals(table["month"].astype("int64"), freq="M")
    return table.astype({"day": TIMESTAMP, "currency": TEXT})


_NO_VALUE = Distribution(0.0, NOTHING, 0.0, 0.0, deals=0, left_out=0)


def _pit(law: Distribution, came: float, draw: float) -> float:
    """Give the chance of less than what came, and a part of the chance of just that.

    Sums of the same deals in another order differ in their last bits, so that "just that" is
    within a billionth.
    """
    near = 1e-9 * max(1.0, abs(came), float(np.abs(law.values).max()))
    below, upto = 1 - law.chance_of(came - near), 1 - law.chance_of(came + near)
    return below + draw * (upto - below)


def _floor(model: Projection | None, month: int, currency: str) -> tuple[float, float]:
    """Give the mean absolute error and the mean CRPS of a month if chance alone decided."""
    if model is None:
        return np.nan, np.nan
    if currency not in model.currencies:
        return 0.0, 0.0
    noise = model.noise(*days_of(month), currency)
    amounts, mass = noise.law.amounts, noise.law.mass
    reached = np.cumsum(mass)[:-1]
    error = float(mass @ np.abs(noise.sure + amounts - noise.mean))
    return error, float(np.sum(reached * (1 - reached) * np.diff(amounts)))
