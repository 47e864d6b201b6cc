"""One period of one currency: what was won, what open deals and new business may bring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._evidence import WON, Sightings, month_of
from ._features import interval
from ._new_business import Values, expected_wins
from ._open_deals import Outlook, outlook
from ._totals import CELLS, NODES, Projected, nodes_of, scaled, total_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._evidence import History
    from ._fit import Fitted

LONGEST = 60
"""How many months ahead are told apart; what is open after them is taken as never won."""
# Every month ahead the intake may move on, and so may the odds of all deals, as people, offers and
# prices change: by a tenth, which is the standard deviation.
_DRIFT = 0.01
_WIDEST = 1.5


@dataclass(frozen=True)
class Window:
    """A period of one currency, before it is summed.

    Attributes
    ----------
    sure
        What was won in it already.
    deals
        Positions of the currency's open deals in the list of today.
    values, chance
        What each would bring, and its chance to be won in the period in a usual month.
    new_mean, new_spread, new_values
        Number of new winners, the relative variance of its mean, and their values.
    nodes, weights
        Law of the shared factor on all chances.
    """

    sure: float
    deals: NDArray[np.int64]
    values: NDArray[np.float64]
    chance: NDArray[np.float64]
    new_mean: float
    new_spread: float
    new_values: Values
    nodes: NDArray[np.float64]
    weights: NDArray[np.float64]

    def total(self, cells: int = CELLS) -> Projected:
        """Sum the period up, on so many lattice points at most."""
        return total_of(
            sure=self.sure,
            values=self.values,
            chance=self.chance,
            new_mean=self.new_mean,
            new_spread=self.new_spread,
            new_values=self.new_values,
            nodes=self.nodes,
            weights=self.weights,
            cells=cells,
        )

    def part(self, sure: float, deals: NDArray[np.bool_], share: float) -> Window:
        """Take some of the open deals and a share of the new business, under the same factor."""
        return replace(
            self,
            sure=sure,
            deals=self.deals[deals],
            values=self.values[deals],
            chance=self.chance[deals],
            new_mean=self.new_mean * share,
        )

    def chances(self) -> NDArray[np.float64]:
        """Give each deal's chance with the shared factor averaged over."""
        weighted = [
            w * scaled(self.chance, g) for g, w in zip(self.nodes, self.weights, strict=True)
        ]
        return np.asarray(np.sum(weighted, axis=0))


_NOTHING = Values(np.zeros(1), np.ones(1))


class Outlooks:
    """The open deals of a day, projected once for as many months as were asked for."""

    def __init__(self, fitted: Fitted, present: Sightings) -> None:
        self.fitted, self.present = fitted, present
        self._known: Outlook | None = None

    def months(self, count: int) -> Outlook:
        """Project the deals at least so many months ahead."""
        if self._known is None or self._known.won.shape[1] < count:
            months = np.arange(max(count, 12)) + int(month_of(self.fitted.today + 1))
            factor = self.fitted.season.factor[months % 12]
            self._known = outlook(self.fitted.hazards, self.present, len(months), factor)
        return self._known


def won_between(
    history: History, today: int, start: int, end: int, currency: int
) -> NDArray[np.int64]:
    """Find the deals of a currency that are known to be won from a day to before another.

    Wins dated later than today are known today, but were not on earlier days.
    """
    deals = history.deals
    won = (deals.kind == WON) & (deals.currency == currency)
    won &= (deals.end >= start) & (deals.end < end)
    if today < history.today:
        won &= deals.end <= today
    return np.flatnonzero(won & np.isfinite(deals.tcv))


def window(  # noqa: PLR0917 - a period, and how finely
    history: History,
    outlooks: Outlooks,
    start: int,
    end: int,
    currency: int,
    nodes: int = NODES,
) -> Window:
    """Lay out what a period from a day to before another may bring.

    Parameters
    ----------
    history
        The account.
    outlooks
        The fit and the open deals of its day.
    start, end
        Day numbers.
    currency
        Its code.
    nodes
        How many values of the shared factor to tell apart.
    """
    fitted, present = outlooks.fitted, outlooks.present
    today = fitted.today
    sure = float(history.deals.tcv[won_between(history, today, start, end, currency)].sum())
    now = int(month_of(today + 1))
    count = min(int(month_of(end - 1)) - now + 1, LONGEST)
    if count < 1 or currency not in fitted.levels:
        none, one = np.zeros(0), np.ones(1)
        return Window(sure, none.astype(int), none, none, 0.0, 0.0, _NOTHING, one, one)
    begins, ends, _ = interval(np.full(count, today), np.arange(count))
    part = (np.minimum(ends, end) - np.maximum(begins, start)).clip(0) / (ends - begins)
    ahead = outlooks.months(count)
    mine = np.flatnonzero(present.currency == currency)
    level, kernel = fitted.levels[currency], fitted.kernel
    fresh = expected_wins(level, kernel, today, count, fitted.season.factor) * part
    by_lag = fitted.values[currency]
    lag = np.minimum(np.arange(count), len(by_lag) - 1)
    of_lag = np.bincount(lag, fresh + 1e-12, len(by_lag)).astype(np.float64)
    worth = Values.mixed(by_lag, of_lag)
    tcv = present.tcv[mine]
    known = np.isfinite(tcv)
    stand_in = float(np.median(tcv[known])) if known.any() else worth.mean
    tcv = np.where(known, tcv, stand_in) * fitted.kept_value
    by_month = ahead.won[mine, :count] * part
    chance = by_month.sum(axis=1)
    new_mean = float(fresh.sum())
    spread = level.spread + kernel.spread + _DRIFT * count
    spread += (level.dispersion - 1) * float(kernel.chance[:count].sum()) / max(new_mean, 0.05)
    means = np.array([values.mean for values in by_lag])[lag]
    amount = np.abs(tcv) @ by_month + fresh * means
    if not amount.sum() > 0:
        amount = part + 1e-9
    amount /= amount.sum()
    factors, mass = fitted.shock.factors(amount)
    calendar = (now + np.arange(count)) % 12
    variance = float(((amount * fitted.season.spread[calendar]) ** 2).sum())
    # What has moved by one month stays moved in those after it.
    variance += _DRIFT * float((np.cumsum(amount[::-1]) ** 2).sum())
    variance += _unsure(
        fitted,
        tcv,
        by_month * (1 - chance)[:, None],
        ahead.slope[mine, :count],
        float(np.abs(tcv) @ chance) + new_mean * worth.mean,
    )
    factor = nodes_of(factors, mass, min(float(np.sqrt(variance)), _WIDEST), nodes)
    return Window(sure, mine, tcv, chance, new_mean, spread, worth, *factor)


def _unsure(
    fitted: Fitted,
    values: NDArray[np.float64],
    moved: NDArray[np.float64],
    slope: NDArray[np.float64],
    whole: float,
) -> float:
    """Give the relative variance of the total that the coefficients' own uncertainty brings."""
    covariance = fitted.hazards.covariance
    if not len(covariance) or not whole > 0:
        return 0.0
    size = slope.shape[2]
    weights = (values[:, None] * moved).reshape(-1)
    gradient = np.einsum("r,rp->p", weights, slope.reshape(-1, size))
    # The last digits of solved equations depend on how many processors there are.
    return round(max(float(gradient @ covariance[:size, :size] @ gradient), 0.0) / whole**2, 12)


__all__ = ["LONGEST", "Outlooks", "Window", "window", "won_between"]
