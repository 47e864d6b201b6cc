"""The methods that a backtest compares, each as the distribution of a month's total."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from capsule_analytics._deals import Placing, plain
from capsule_analytics.risk import Distribution, Law, distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from capsule_analytics.projection import Projection
    from capsule_analytics.schema import Pipeline

    Floats: TypeAlias = NDArray[np.float64]
    Laws: TypeAlias = dict[tuple[int, str], Distribution]
    """By month, counted from January 1970, and currency, "" where it is missing."""

_FEWEST_RATIOS = 6
_MOST_RATIOS = 24
# Of the log ratio, where too few months are over to know it: within a factor of 2.5, mostly.
_UNKNOWN_SPREAD = 0.7
_UNKNOWN_RATIOS = np.exp(
    _UNKNOWN_SPREAD * np.array([NormalDist().inv_cdf((n + 0.5) / 40) for n in range(40)])
)


@dataclass(frozen=True, eq=False)
class Origin:
    """A snapshot from which months are forecast, and what was known by then.

    Attributes
    ----------
    snapshot
        The account on the day, calibrated by what had ended by then if a method asks for it.
    morning
        The day after, since the snapshot's day is over.
    months
        The months to forecast, counted from January 1970.
    before
        The origins of earlier snapshots.
    model
        The projection, if a method asks for it.
    """

    snapshot: Pipeline
    morning: date
    months: tuple[int, ...]
    before: Sequence[Origin] = ()
    model: Projection | None = None
    _placed: dict[tuple[bool, bool], pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def over(self) -> int:
        """The first month that is not over."""
        return month_number(self.morning)

    @cached_property
    def first(self) -> int:
        """The account's first full month."""
        created = self.snapshot.opportunities["created_at"].min()
        if pd.isna(created):
            return self.over
        return month_number(created.date()) + int(created.day > 1)

    @cached_property
    def won(self) -> dict[tuple[int, str], float]:
        """What was won, by month and currency, as far as it is known by now."""
        return won_by_month(self.placed(rolled=False, calibrated=False))

    @cached_property
    def opened(self) -> dict[str, float]:
        """The value of the open deals by currency, whenever they are expected."""
        frame = self.snapshot.opportunities
        frame = frame[frame["status"] == "open"]
        sums = frame["tcv"].groupby(_currencies(frame["currency"])).sum()
        return {str(currency): float(value) for currency, value in sums.items()}

    @cached_property
    def currencies(self) -> list[str]:
        """All currencies with an open or a won deal."""
        return sorted({*(currency for _, currency in self.won), *self.opened})

    def placed(self, *, rolled: bool, calibrated: bool) -> pd.DataFrame:
        """Give the deals, each with the number of its close month, as the forecast places them."""
        key = rolled, calibrated
        if key not in self._placed:
            placing = Placing.of(
                self.morning,
                overdue="roll" if rolled else "keep",
                probability="calibrated" if calibrated else None,
            )
            self._placed[key] = placed(self.snapshot.opportunities, placing)
        return self._placed[key]

    def series(self, currency: str) -> Floats:
        """Give what each month that is over brought, from the first full one on."""
        months = range(self.first, self.over)
        return np.array([self.so_far(month, currency) for month in months], dtype=np.float64)

    def so_far(self, month: int, currency: str) -> float:
        """Give what is known to be won in a month."""
        return self.won.get((month, currency), 0.0)


def month_number(day: date) -> int:
    """Count months from January 1970."""
    return 12 * (day.year - 1970) + day.month - 1


def placed(frame: pd.DataFrame, placing: Placing) -> pd.DataFrame:
    """Place the deals of a frame that close on a known day: month, currency, won, tcv, chance."""
    rows = placing.rows(plain(frame, placing)).to_native()
    rows = rows[rows["close"].notna()]
    return pd.DataFrame(
        {
            "month": placing.buckets(rows["close"].to_numpy()),
            "currency": _currencies(rows["currency"]),
            "won": rows["won"].to_numpy(dtype=bool),
            "tcv": rows["tcv"].to_numpy(dtype=np.float64, na_value=np.nan),
            "probability": rows["probability"].to_numpy(dtype=np.float64, na_value=np.nan),
        }
    )


def won_by_month(rows: pd.DataFrame) -> dict[tuple[int, str], float]:
    """Sum what was won of placed deals, by month and currency."""
    sums = rows[rows["won"]].groupby(["month", "currency"])["tcv"].sum()
    return {(int(month), str(currency)): float(value) for (month, currency), value in sums.items()}


def _currencies(column: pd.Series) -> pd.Series:
    """Give currencies as plain words, "" where there is none."""
    return column.astype(object).where(column.notna(), "")


def projected(origin: Origin) -> Laws:
    """Ask the projection that was fitted to this snapshot and those before it."""
    model = origin.model
    if model is None:
        raise ValueError("an origin without a model cannot be projected")
    return {
        (month, currency): model.distribution(*days_of(month), currency)
        for month in origin.months
        for currency in model.currencies
    }


def days_of(month: int) -> tuple[date, date]:
    """Give the first day of a month, and the day after its last."""
    period = pd.Period(ordinal=month, freq="M")
    return period.start_time.date(), (period + 1).start_time.date()


def weighted(origin: Origin, *, rolled: bool = False, calibrated: bool = False) -> Laws:
    """Take each deal as won with its probability in the month in which it is expected."""
    rows = origin.placed(rolled=rolled, calibrated=calibrated)
    found: Laws = {}
    due = rows[rows["month"].isin(origin.months)]
    for (month, currency), part in due.groupby(["month", "currency"]):
        still = part[~part["won"]].sort_values(["tcv", "probability"])
        sure = float(part.loc[part["won"], "tcv"].sum())
        found[int(month), str(currency)] = distribution(
            still["tcv"], still["probability"], won=sure
        )
    return found


def naive(origin: Origin, rule: str) -> Laws:
    """Go by the months that are over: the last, the mean of three, or the same one a year ago."""
    return {
        (month, currency): _naive(origin, rule, month, currency)
        for month in origin.months
        for currency in origin.currencies
    }


def _naive(origin: Origin, rule: str, month: int, currency: str) -> Distribution:
    so_far, ahead = origin.so_far(month, currency), month - origin.over
    series = origin.series(currency)
    if ahead < 0:
        return _by_ratios(so_far, np.empty(0), np.empty(0), so_far)
    back = 12 * (ahead // 12 + 1) - ahead  # the same month of the last year that is over
    needs = {"last_month": 1, "mean_of_three": 3, "year_ago": back}[rule]

    def said(ends: NDArray[np.int64]) -> Floats:
        """Apply the rule once so many months were over."""
        if rule == "year_ago":
            return series[ends - back]
        last = np.array([series[ends - number] for number in range(1, needs + 1)])
        mean: Floats = last.mean(axis=0)
        return mean

    if len(series) < needs:  # a young account: the mean of what there is
        base = float(series.mean()) if len(series) else 0.0
        return _by_ratios(base, np.empty(0), np.empty(0), so_far)
    ends = np.arange(needs, len(series) - ahead)
    return _by_ratios(
        float(said(np.array([len(series)]))[0]), said(ends), series[ends + ahead], so_far
    )


def conversion(origin: Origin) -> Laws:
    """Take the share of the open list that earlier lists brought in such a month."""
    found: Laws = {}
    for month in origin.months:
        horizon = month - month_number(origin.snapshot.as_of)
        for currency in origin.currencies:
            so_far = origin.so_far(month, currency)
            past = [
                (one.opened.get(currency, 0.0), origin.so_far(then, currency))
                for one in origin.before
                if (then := month_number(one.snapshot.as_of) + horizon) < origin.over
            ]
            opened, came = np.array(past, dtype=np.float64).reshape(-1, 2).T
            if month < origin.over or not opened.sum() > 0:
                found[month, currency] = _naive(origin, "mean_of_three", month, currency)
                continue
            share = came.sum() / opened.sum()
            base = share * origin.opened.get(currency, 0.0)
            found[month, currency] = _by_ratios(base, share * opened, came, so_far)
    return found


def _by_ratios(base: float, said: Floats, came: Floats, so_far: float) -> Distribution:
    """Spread a base by the ratios of what came to what the same rule had said before.

    What the month has brought already is the least that it will bring.
    """
    usable = said > 0
    ratios = (came[usable] / said[usable])[-_MOST_RATIOS:]
    if len(ratios) < _FEWEST_RATIOS:
        ratios = _UNKNOWN_RATIOS
    amounts, counts = np.unique(np.maximum(base * ratios, so_far), return_counts=True)
    law = Law(amounts, counts / counts.sum())
    spread = float(np.sqrt(law.mass @ (amounts - law.mass @ amounts) ** 2))
    return Distribution(0.0, law, max(base, so_far), spread, deals=0, left_out=0)


METHODS: dict[str, Callable[[Origin], Laws]] = {
    "projection": projected,
    "stated": weighted,
    "calibrated": lambda origin: weighted(origin, calibrated=True),
    "rolled": lambda origin: weighted(origin, rolled=True),
    "calibrated_rolled": lambda origin: weighted(origin, rolled=True, calibrated=True),
    "last_month": lambda origin: naive(origin, "last_month"),
    "mean_of_three": lambda origin: naive(origin, "mean_of_three"),
    "year_ago": lambda origin: naive(origin, "year_ago"),
    "conversion": conversion,
}
