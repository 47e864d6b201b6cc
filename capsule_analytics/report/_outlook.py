"""What will probably be won, in one currency: amounts, what they are held against, and words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._words import currency_name, format_compact, percent, period_text
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECTION_AMOUNTS = (
    "won_value",
    "open_value",
    "new_value",
    "expected_value",
    "p10",
    "p50",
    "p90",
)
MONTHS_AHEAD = 6
"""How far the projection of a report looks, the month of the as-of day included."""


@dataclass(frozen=True)
class Outlook:
    """What a period is expected to come to, in one currency."""

    period: pd.Period
    won: float = 0.0
    expected: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def ranged(self) -> bool:
        """Whether it has a range: that may not have been asked for."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def name(self) -> str:
        """The period in words."""
        month = self.period.freqstr == "M"
        return str(self.period.strftime("%B %Y")) if month else period_text(self.period)


@dataclass(frozen=True)
class Against:
    """What a projected period is held against.

    Attributes
    ----------
    amount
        The target, or what the same period of last year brought.
    target
        Whether it is a target.
    words
        The comparison in words.
    """

    amount: float
    target: bool
    words: str


@dataclass(frozen=True)
class CurrencyOutlook:
    """What will probably be won, in one currency: what the report leads with.

    Attributes
    ----------
    currency
        ISO code; None for deals without one.
    month, quarter
        The projection of the month and the (fiscal) quarter in which the day after the as-of day
        lies: won so far, expected, P10 and P90.
    against
        What the quarter is held against; None where there is neither target nor last year.
    track
        How projections of past months came true, in words.
    tried
        Whether there are projections of past months at all.
    """

    currency: str | None
    month: Outlook
    quarter: Outlook
    against: Against | None
    track: str
    tried: bool = True

    @property
    def name(self) -> str:
        """The currency's code, or words where there is none."""
        return currency_name(self.currency)

    @property
    def sentence(self) -> str:
        """Say it: month, quarter, what they are held against, and how far to trust it."""

        def told(period: Outlook) -> str:
            won = f", {self._money(period.won)} of it won so far" if period.won else ""
            return (
                f"{self._money(period.expected)} in {period.name} "
                f"({self._money(period.low)} to {self._money(period.high)}){won}"
            )

        against = "" if self.against is None else f", {self.against.words}"
        return (
            f"Will probably be won: {told(self.month)}; {told(self.quarter)}{against}. "
            f"The ranges {'hold' if self.tried else 'are meant to hold'} four of five outcomes; "
            f"{self.track}."
        )

    def _money(self, amount: float) -> str:
        return format_compact(amount, self.currency)


def in_currency(table: pd.DataFrame, currency: str | None) -> pd.DataFrame:
    """Return the rows of one currency, or of none."""
    column = table["currency"].astype("object")
    rows = column.isna() if currency is None else (column == currency)
    return table[rows.to_numpy(dtype=bool)]


def outlook_in(table: pd.DataFrame, now: pd.Period, currency: str | None) -> Outlook:
    """Read the as-of period of a currency from its forecast; zeros if nothing is in it."""
    rows = in_currency(table[(table.iloc[:, 0] == now).to_numpy(dtype=bool)], currency)
    if rows.empty:
        return Outlook(now)
    names = ["won_value", "expected_value", "p10", "p90"]
    return Outlook(
        now, *(float(rows[name].iloc[0]) if name in rows else math.nan for name in names)
    )


def against_last_year(quarter: Outlook, year_ago: Outlook, currency: str | None) -> Against | None:
    """Hold a projected quarter against the same one of last year; None where that won nothing."""
    if not year_ago.won:
        return None
    change = quarter.expected / year_ago.won - 1
    than = f"than the {format_compact(year_ago.won, currency)} of {year_ago.name}"
    words = f"{percent(abs(change))} {'more' if change >= 0 else 'less'} {than}"
    return Against(year_ago.won, target=False, words=words)


def outlook_table(outlooks: Sequence[CurrencyOutlook]) -> pd.DataFrame:
    """Lay outlooks out as a table: two rows a currency, its month and its quarter.

    ``currency``, ``period``, ``won_value``, ``expected_value``, ``p10``, ``p90``, ``against``
    (the amount that the quarter is held against) and ``in_words``.
    """
    rows = [
        {
            "currency": one.currency,
            "period": period.name,
            "won_value": period.won,
            "expected_value": period.expected,
            "p10": period.low,
            "p90": period.high,
            "against": one.against.amount if one.against and period is one.quarter else np.nan,
            "in_words": one.sentence if period is one.month else None,
        }
        for one in outlooks
        for period in (one.month, one.quarter)
    ]
    return pd.DataFrame(rows).astype({"currency": TEXT, "in_words": TEXT})
