"""The fitted projection: what will be won, when, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._errors import ArgumentError
from capsule_analytics._placing import day_of

from ._evidence import OPEN, WON, History, Sightings, day_from, day_number, month_of, month_start, read
from ._features import Design, design_for, interval
from ._new_business import (
    Kernel,
    Level,
    Values,
    expected_wins,
    intake_of,
    kernel_of,
    level_of,
    values_of,
)
from ._open_deals import Hazards, Outlook, Rows, fit_hazards, outlook, rows_of
from ._shock import Season, Shock, filter_shocks, season_of
from ._totals import Projected, nodes_of, total_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from capsule_analytics.schema import Pipeline

_ROUNDS = 2


@dataclass(frozen=True)
class Fitted:
    """All that was learnt up to a day.

    Attributes
    ----------
    today
        The as-of day, which counts as over.
    hazards
        Odds of winning and losing.
    kernel, levels, values
        New business: when entered deals are won, how many are entered, what winners are worth;
        levels and values by currency code.
    shock
        The common shock.
    season
        Factor on winning of each calendar month, January first.
    kept_value
        What share of a deal's value is left when it is won.
    """

    today: int
    hazards: Hazards
    kernel: Kernel
    levels: dict[int, Level]
    values: dict[int, Values]
    shock: Shock
    season: Season
    kept_value: float


@dataclass(frozen=True)
class Evidence:
    """The rows that all fits of one history share."""

    history: History
    design: Design
    rows: Rows
    matrix: NDArray[np.float64]

    @classmethod
    def of(cls, history: History) -> Evidence:
        """Lay the evidence out in rows, once."""
        both = history.sightings
        design = design_for(history.milestones, history.pipelines, history.owners, both)
        rows = rows_of(history)
        matrix = design.rows(both, design.fixed(both), rows.which, rows.ahead)
        return cls(history, design, rows, matrix)

    def fitted(self, today: int, start: NDArray[np.float64] | None = None, *, spread: bool = True) -> Fitted:
        """Learn from what was known at the end of a day."""
        history, deals = self.history, self.history.deals
        known = self.rows.end <= today + 1
        rows, matrix = self.rows.where(known), self.matrix[known]
        shocks = np.zeros(len(rows.way))
        at = history.sightings
        first = history.first
        last = int(month_of(today + 1)) - 1
        counts = {c: intake_of(deals, c, first, today) for c in range(-1, len(history.currencies))}
        intake = sum((c for c, _ in counts.values()), np.zeros(1))
        season = Season(np.ones(12), np.zeros(12))
        for turn in range(_ROUNDS):
            hazards = fit_hazards(
                self.design, at, rows, matrix, today=today, offset=shocks, start=start,
                spread=spread and turn == _ROUNDS - 1,
            )
            start = hazards.coef
            kernel = kernel_of(deals, first, today, season.factor)
            wins, expected, scale = _months(history, rows, matrix, hazards, kernel, intake, first, last)
            calendar = (first + np.arange(len(wins))) % 12
            season = season_of(wins, expected, calendar)
            shock = filter_shocks(wins, expected * season.factor[calendar], scale)
            by_month = np.zeros(max(last - first + 1, 1))
            by_month[: len(shock.past)] = shock.past + np.log(season.factor[calendar])
            shocks = by_month[(rows.month - first).clip(0, len(by_month) - 1)]
        levels = {c: level_of(*counts[c], first) for c in counts if counts[c][0].any()}
        values = {c: values_of(deals, c, today, 1.0) for c in levels}
        return Fitted(today, hazards, kernel, levels, values, shock, season, _kept_value(history, today))


def _months(
    history: History, rows: Rows, matrix: NDArray[np.float64], hazards: Hazards,
    kernel: Kernel, intake: NDArray[np.float64], first: int, last: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Count the wins of each past month beside what the deals' chances gave without a shock."""
    count = max(last - first + 1, 0)
    next_month = rows.ahead == 0
    eta = matrix[next_month] @ hazards.coef.T + np.log(rows.share[next_month])[:, None]
    total = np.logaddexp(np.logaddexp(0.0, eta[:, 0]), eta[:, 1])
    chance = np.exp(eta[:, 0] - total)
    where = rows.month[next_month] - first
    expected = np.bincount(where, chance, count)[:count]
    variance = np.bincount(where, chance * (1 - chance), count)[:count]
    wins = np.bincount(where, rows.way[next_month] == 1, count)[:count]
    deals = history.deals
    entered, ended = month_of(deals.known), month_of(np.minimum(deals.end, 10**7))
    quick = (deals.kind == WON) & (entered == ended) & (entered >= first) & (entered <= last)
    wins = wins + np.bincount(entered[quick] - first, minlength=count)[:count]
    fresh = intake[:count] * kernel.chance[0]
    expected, variance = expected + fresh, variance + fresh
    return wins, expected, variance / np.maximum(expected, 1e-9)


def _kept_value(history: History, today: int) -> float:
    """Compare what won deals were worth at last with what they were worth when last seen open."""
    at, deals = history.sightings, history.deals
    rows = np.flatnonzero(at.seen & (deals.kind[at.deal] == WON) & (deals.end[at.deal] <= today) & (at.day <= today))
    last = rows[::-1][np.unique(at.deal[rows][::-1], return_index=True)[1]]
    before, after = at.tcv[last], deals.tcv[at.deal[last]]
    usable = (before > 0) & (after > 0)
    ratio = np.clip(after[usable] / before[usable], 0.25, 2.0)
    weight = before[usable] / before[usable].mean() if usable.any() else ratio
    weight = np.minimum(weight, 3.0)
    return float((weight @ ratio + 25.0) / (weight.sum() + 25.0))


class Projection:
    """A fitted projection of one account; made by `fit`."""

    def __init__(self, evidence: Evidence, fitted: Fitted, present: Sightings) -> None:
        self._evidence, self._fitted, self._present = evidence, fitted, present
        self._outlooks: dict[int, Outlook] = {}

    @property
    def as_of(self) -> date:
        """The day that counts as over."""
        return day_from(self._fitted.today)

    def distribution(self, start: date | str, end: date | str, currency: str | None = None) -> Projected:
        """Give the distribution of what will have been won from a day to before another.

        Parameters
        ----------
        start, end
            First day, and the day after the last; dates or texts such as 2026-10-15.
        currency
            Of several, the one to project; may be left out where there is one.

        Returns
        -------
        The distribution of the total value won, what was won already included.

        Raises
        ------
        ArgumentError
            If the period is empty, or the currency is not clear.
        """
        first, last = day_number(day_of(start)), day_number(day_of(end))
        if last <= first:
            raise ArgumentError(f"a period ends after it starts, not {start} to {end}")
        return self._window(first, last, self._currency(currency))

    def by_month(self, months: int = 6) -> pd.DataFrame:
        """Project the coming months."""
        now = int(month_of(self._fitted.today + 1))
        rows = []
        for month in range(now, now + months):
            for code in sorted(self._fitted.levels, key=self._name):
                law = self._window(int(month_start(month)), int(month_start(month + 1)), code)
                p10, p50, p90 = law.quantile([0.1, 0.5, 0.9])
                rows.append((pd.Period(year=month // 12, month=month % 12 + 1, freq="M"), self._name(code), law.won_value, law.open_value, law.new_value, law.mean, p10, p50, p90))
        return pd.DataFrame(rows, columns=["month", "currency", "won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"])

    def _name(self, code: int) -> str:
        return self._evidence.history.currencies[code] if code >= 0 else ""

    def _currency(self, name: str | None) -> int:
        codes = sorted(self._fitted.levels)
        if name is None:
            if len(codes) != 1:
                raise ArgumentError("choose a currency")
            return codes[0]
        names = [self._name(code) for code in codes]
        return codes[names.index(name)] if name in names else -2

    def _outlook(self, months: int) -> Outlook:
        months = max(12, months)
        if months not in self._outlooks:
            calendar = (int(month_of(self._fitted.today + 1)) + np.arange(months)) % 12
            self._outlooks[months] = outlook(self._fitted.hazards, self._present, months, self._fitted.season.factor[calendar])
        return self._outlooks[months]

    def _window(self, start: int, end: int, currency: int) -> Projected:
        return window(self._evidence.history, self._fitted, self._present, self._outlook, start, end, currency)


def window(history, fitted, present, look, start, end, currency):
    """Project one period and currency."""
    today, deals = fitted.today, history.deals
    won = (deals.kind == WON) & (deals.currency == currency) & (deals.end >= start) & (deals.end < end) & (deals.known <= today)
    won &= (deals.end <= today) | (history.today == today)
    sure = float(np.nansum(deals.tcv[won]))
    now = int(month_of(today + 1))
    count = int(month_of(end - 1)) - now + 1
    if count < 1 or currency not in fitted.levels:
        return total_of(sure=sure, values=np.zeros(0), chance=np.zeros(0), new_mean=0.0, new_spread=0.0,
                        new_values=Values(np.zeros(1), np.ones(1)), nodes=np.ones(1), weights=np.ones(1))
    outlook_ = look(count)
    begins, ends, _ = interval(np.full(count, today), np.arange(count))
    part = (np.minimum(ends, end) - np.maximum(begins, start)).clip(0) / (ends - begins)
    mine = present.currency == currency
    tcv = present.tcv[mine]
    known = np.isfinite(tcv)
    level, kernel, value = fitted.levels[currency], fitted.kernel, fitted.values[currency]
    stand_in = float(np.median(tcv[known])) if known.any() else value.mean
    tcv = np.where(known, tcv, stand_in) * fitted.kept_value
    by_month = outlook_.won[mine, :count] * part
    chance = by_month.sum(axis=1)
    fresh = expected_wins(level, kernel, today, count, fitted.season.factor) * part
    new_mean = float(fresh.sum())
    thinning = level.dispersion - 1.0
    spread = level.spread + kernel.spread + 0.01 * count
    spread += thinning * float(kernel.chance[:3].sum()) / max(new_mean, 0.05)
    amount = np.abs(tcv) @ by_month + fresh * value.mean
    if not amount.sum() > 0:
        amount = part
    factors, mass = fitted.shock.factors(amount)
    uncertain = 0.0
    covariance = fitted.hazards.covariance
    if len(covariance) and (open_mean := float(np.abs(tcv) @ chance)) > 0:
        size = outlook_.slope.shape[2]
        slope = np.einsum("i,ik,ikp->p", tcv, by_month * (1 - chance)[:, None], outlook_.slope[mine, :count])
        share = open_mean / (open_mean + new_mean * value.mean)
        uncertain = share * float(np.sqrt(max(slope @ covariance[:size, :size] @ slope, 0.0))) / open_mean
    calendar = (now + np.arange(count)) % 12
    season_spread = np.sqrt(np.sum((amount / amount.sum() * fitted.season.spread[calendar]) ** 2))
    nodes, weights = nodes_of(factors, mass, min(float(np.hypot(uncertain, season_spread)), 1.5))
    return total_of(sure=sure, values=tcv, chance=chance, new_mean=new_mean, new_spread=spread,
                    new_values=value, nodes=nodes, weights=weights)


def fit(pipelines: Pipeline | Iterable[Pipeline]) -> Projection:
    """Fit the projection of an account to its snapshots.

    Parameters
    ----------
    pipelines
        One or more pipelines of one account, in any order.

    Returns
    -------
    The projection of the newest.
    """
    history = read(pipelines)
    evidence = Evidence.of(history)
    return Projection(evidence, evidence.fitted(history.today), history.present)
