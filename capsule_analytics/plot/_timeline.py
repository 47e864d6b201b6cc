"""The time axis of a forecast table: continuous, with the as-of period marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from capsule_analytics._words import period_words
from capsule_analytics.errors import ArgumentError

from ._style import BAND

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERIODS = ("month", "quarter", "year")

LONGEST = 60
"""Most periods that one chart shows; one mistyped year must not squeeze the rest to nothing."""

_BEFORE_AS_OF = 23
_FEWEST = 6
_LABEL_INCHES = 0.36


@dataclass(frozen=True)
class Timeline:
    """The periods that a chart shows, as pandas period ordinals.

    Attributes
    ----------
    column
        The column of periods: month, quarter or year.
    freq
        Its frequency.
    first, last
        The first and last period shown.
    as_of
        The period of the as-of day; None if it is not known or not shown.
    """

    column: str
    freq: str
    first: int
    last: int
    as_of: int | None

    def ordinals(self, rows: pd.DataFrame) -> pd.Series:
        """Return the ordinal of each row's period, missing where the row is undated."""
        periods = rows[self.column]
        ordinals = pd.Series(pd.PeriodIndex(periods).asi8, index=rows.index, dtype="Int64")
        return ordinals.where(periods.notna())

    def sums(self, rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        """Sum columns over each period shown; periods without rows are 0."""
        sums = rows.groupby(self.ordinals(rows))[columns].sum()
        shown = range(self.first, self.last + 1)
        return sums.reindex(shown, fill_value=0.0).astype("float64")

    def outside(self, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return the rows that are not shown: undated, before and after the periods shown."""
        ordinals = self.ordinals(rows)
        parts = {
            "undated": rows[ordinals.isna().to_numpy()],
            f"before {self.name(self.first)}": rows[(ordinals < self.first).fillna(value=False)],
            f"after {self.name(self.last)}": rows[(ordinals > self.last).fillna(value=False)],
        }
        return {when: part for when, part in parts.items() if len(part)}

    def period(self, ordinal: int) -> pd.Period:
        """Return the period of an ordinal."""
        return pd.Period(ordinal=ordinal, freq=self.freq)

    def name(self, ordinal: int) -> str:
        """Write a period in words: Oct 2026, Q4 2026, 2026."""
        return period_words(self.period(ordinal))

    def draw(self, ax: Axes, width: float) -> None:
        """Set limits, ticks and labels for a panel of a width in inches, and mark the as-of."""
        count = self.last - self.first + 1
        spare = max(0.0, (_FEWEST - count) / 2)
        ax.set_xlim(self.first - 0.6 - spare, self.last + 0.6 + spare)
        step = self._step(count, width)
        ticks = [n for n in range(self.first, self.last + 1) if self._place_in_year(n) % step == 0]
        ax.set_xticks(ticks, self._labels(ticks))
        if self.as_of is not None:
            ax.axvspan(self.as_of - 0.5, self.as_of + 0.5, facecolor=BAND, linewidth=0, zorder=0)

    def _place_in_year(self, ordinal: int) -> int:
        """Count periods so that every step of labels falls on the start of a year."""
        period = self.period(ordinal)
        if self.column == "month":
            return int(12 * period.year + period.month - 1)
        if self.column == "quarter":
            return int(4 * period.qyear + period.quarter - 1)
        return ordinal

    def _step(self, count: int, width: float) -> int:
        room = max(1.0, width / _LABEL_INCHES)
        steps = {"month": (1, 2, 3, 6, 12), "quarter": (1, 2, 4), "year": (1, 2, 5)}[self.column]
        step = next((step for step in steps if max(count, _FEWEST) / step <= room), steps[-1])
        # A span shorter than the step might hold no label at all.
        return step if count >= step else 1

    def _labels(self, ticks: list[int]) -> list[str]:
        if self.column == "year":
            return [self.name(tick) for tick in ticks]
        labels, year = [], ""
        for tick in ticks:
            short, tick_year = self.name(tick).split()
            labels.append(short if tick_year == year else f"{short}\n{tick_year}")
            year = tick_year
        return labels

    def as_of_handle(self) -> list[Patch]:
        """Return the legend entry of the as-of mark, none if it is not shown."""
        if self.as_of is None:
            return []
        return [Patch(facecolor=BAND, label=f"as-of {self.column} ({self.name(self.as_of)})")]


def timeline(table: pd.DataFrame, source: str) -> Timeline | None:
    """Choose the periods that a chart of a table shows.

    Parameters
    ----------
    table
        A table with a column month, quarter or year of pandas periods.
    source
        The function that gives such tables, for the error.

    Returns
    -------
    The periods; None where no row has a date.

    Raises
    ------
    ArgumentError
        If no column holds periods.
    """
    column = next((name for name in PERIODS if name in table.columns), None)
    if column is None or not isinstance(table[column].dtype, pd.PeriodDtype):
        raise ArgumentError(
            f"the table has no column of periods named month, quarter or year; use {source}"
        )
    dated = pd.PeriodIndex(table[column].dropna())
    if dated.empty:
        return None
    ordinals = dated.asi8
    first, last = int(ordinals.min()), int(ordinals.max())
    day = table.attrs.get("as_of")
    as_of = None if day is None else int(pd.Period(day, freq=dated.freq).ordinal)
    if as_of is not None and max(last, as_of) - min(first, as_of) < LONGEST:
        first, last = min(first, as_of), max(last, as_of)
    if last - first >= LONGEST:
        centre = int(np.median(ordinals)) if as_of is None else as_of
        first = max(first, min(centre - _BEFORE_AS_OF, last - LONGEST + 1))
        last = min(last, first + LONGEST - 1)
    marked = as_of if as_of is not None and first <= as_of <= last else None
    return Timeline(column, dated.freqstr, first, last, marked)
