"""All parts fitted together, as of a day: what each month's wins owe to deals, season and shock.

The parts need each other: hazards are read best where the season and the shock of each month are
taken out, and those are what is left over of the wins when the hazards have had their say. Two
rounds of one after the other settle it (as in penalised quasi-likelihood for mixed models:
Breslow & Clayton 1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._evidence import WON, History, month_of
from ._features import Design, design_for
from ._known import ALONE, Known
from ._new_business import (
    LAGS_TOLD,
    Kernel,
    Level,
    Values,
    Wins,
    intake_of,
    kernel_of,
    level_of,
    values_of,
    wins_of,
)
from ._open_deals import Hazards, Rows, fit_hazards, rows_of
from ._shock import Season, Shock, filter_shocks, season_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 2
_KEPT_STRENGTH = 25.0


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
        levels, and values by month ahead, by currency code.
    shock, season
        What the months owe to luck they share, and to the calendar.
    kept_value
        What share of a deal's value is left when it is won.
    months, wins
        What past months brought, and what entered deals told of the time to win.
    """

    today: int
    hazards: Hazards
    kernel: Kernel
    levels: dict[int, Level]
    values: dict[int, tuple[Values, ...]]
    shock: Shock
    season: Season
    kept_value: float
    months: Months
    wins: Wins


@dataclass(frozen=True)
class Months:
    """What past months brought, beside what the deals' chances gave for usual months.

    Attributes
    ----------
    first
        The first of them.
    won, expected
        Deals won in each, and how many the deals' own chances gave, without shock and season.
    scale
        Variance of that number, without shocks, relative to Poisson's.
    """

    first: int
    won: NDArray[np.float64]
    expected: NDArray[np.float64]
    scale: NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """The rows that all fits of one history share.

    Attributes
    ----------
    history
        What the account tells.
    design
        Its features.
    rows, matrix
        Every sighting and month ahead that is over, and its features.
    """

    history: History
    design: Design
    rows: Rows
    matrix: NDArray[np.float64]

    @classmethod
    def of(cls, history: History) -> Evidence:
        """Lay the evidence out in rows, once."""
        at = history.sightings
        design = design_for(history.milestones, history.pipelines, history.owners, at)
        rows = rows_of(history)
        matrix = design.rows(at, design.fixed(at), rows.which, rows.ahead)
        return cls(history, design, rows, matrix)

    def fitted(
        self,
        today: int,
        start: Hazards | None = None,
        *,
        hazards: Hazards | None = None,
        exact: bool = True,
        others: Known = ALONE,
    ) -> Fitted:
        """Learn from what was known at the end of a day.

        Parameters
        ----------
        today
            The day.
        start
            Hazards of another day to start from.
        hazards
            Hazards fitted on an earlier day, to be used as they are.
        exact
            Whether every digit counts where the day is the newest of the history.
        others
            What other accounts told up to that day.
        """
        history, deals = self.history, self.history.deals
        known = self.rows.end <= today + 1
        rows, matrix = (
            (self.rows, self.matrix)
            if known.all()
            else (self.rows.where(known), self.matrix[known])
        )
        offset = np.zeros(len(rows.way))
        first, last = history.first, int(month_of(today + 1)) - 1
        codes = range(-1, len(history.currencies))
        counts = {code: intake_of(deals, code, first, today) for code in codes}
        intake = np.sum([count for count, _ in counts.values()], axis=0)
        season = Season(np.ones(12), np.zeros(12))
        for turn in range(_ROUNDS if hazards is None else 1):
            found = hazards or fit_hazards(
                others.design(self.design),
                history.sightings,
                rows,
                matrix,
                today=today,
                offset=offset,
                start=start,
                spread=turn == _ROUNDS - 1,
                exact=exact and turn == _ROUNDS - 1 and today == history.today,
            )
            start = found
            told = wins_of(deals, first, today, season.factor)
            kernel = kernel_of(told, others.wins)
            fresh = kernel.chance[0] * intake[: last - first + 1]
            wins, expected, scale = self._months(rows, matrix, found, fresh=fresh)
            calendar = (first + np.arange(len(wins))) % 12
            season = season_of(
                wins, expected, calendar, around=others.season, part=others.season_part
            )
            shock = filter_shocks(
                wins,
                expected * season.factor[calendar],
                scale,
                kinds=others.kinds,
                common=others.common(first, len(wins)),
            )
            if hazards is not None:
                break
            by_month = np.zeros(max(len(wins), 1))
            by_month[: len(wins)] = shock.past + np.log(season.factor[calendar])
            offset = by_month[(rows.month - first).clip(0, len(by_month) - 1)]
        held = np.unique(deals.currency[deals.known <= today]).tolist()
        levels = {code: level_of(*counts[code], first) for code in held}
        values = {
            code: tuple(values_of(deals, code, today, ahead) for ahead in range(LAGS_TOLD))
            for code in levels
        }
        kept = self._kept_value(today)
        months = Months(first, wins, expected, scale)
        return Fitted(today, found, kernel, levels, values, shock, season, kept, months, told)

    def _months(
        self,
        rows: Rows,
        matrix: NDArray[np.float64],
        hazards: Hazards,
        *,
        fresh: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Count each past month's wins beside what the deals' chances gave for a usual month."""
        first, deals = self.history.first, self.history.deals
        count, last = len(fresh), first + len(fresh) - 1
        next_month = rows.ahead == 0
        eta = np.einsum("rp,hp->rh", matrix[next_month], hazards.coef)
        eta += np.log(rows.share[next_month])[:, None]
        total = np.logaddexp(np.logaddexp(0.0, eta[:, 0]), eta[:, 1])
        chance = np.exp(eta[:, 0] - total) * rows.weight[next_month]
        spread = chance * (1 - np.exp(eta[:, 0] - total))
        where = rows.month[next_month] - first
        expected = np.bincount(where, chance, count)[:count] + fresh
        variance = np.bincount(where, spread, count)[:count] + fresh
        won = (rows.way[next_month] == 1) * rows.weight[next_month]
        wins = np.bincount(where, won, count)[:count].astype(np.float64)
        entered, ended = month_of(deals.known), month_of(np.minimum(deals.end, 10**7))
        quick = (deals.kind == WON) & (entered == ended) & (entered >= first) & (entered <= last)
        wins = wins + np.bincount(entered[quick] - first, minlength=count)[:count]
        return wins, expected, variance / np.maximum(expected, 1e-9)

    def _kept_value(self, today: int) -> float:
        """Compare what won deals were worth at last with what they were when last seen open."""
        at, deals = self.history.sightings, self.history.deals
        won = (deals.kind == WON) & (deals.end <= today)
        seen = np.flatnonzero(at.seen & won[at.deal] & (at.day <= today))
        last = seen[::-1][np.unique(at.deal[seen][::-1], return_index=True)[1]]
        before, after = at.tcv[last], deals.tcv[at.deal[last]]
        usable = (before > 0) & (after > 0)
        before, after = before[usable], after[usable]
        weight = np.minimum(before / before.mean(), 3.0) if len(before) else before
        ratio = np.clip(after / before, 0.25, 2.0)
        return float((weight @ ratio + _KEPT_STRENGTH) / (weight.sum() + _KEPT_STRENGTH))
