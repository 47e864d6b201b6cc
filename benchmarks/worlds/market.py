"""The market that all deals of an account share: calendar, mood, freezes, level of intake.

Months go well or badly together. What is hidden lives in a few numbers a month (`Months`), a Markov
chain: an oracle that knows them on a day can replay what may follow, and a replay differs from the
truth in nothing but its random numbers.

Deals do not wait in days but on two clocks that run faster or slower with the market: one for
working on a deal, one for signing it. A wait of so much clock time ends on the day on which the
clock has run that far. No clock runs on weekends and over Christmas; the one for signing runs fast
in the last days of a month and faster at a quarter's end, and nearly stands still in a freeze.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .account import Account, Climate

NORMAL, FREEZE, THAW = 0, 1, 2
PULLED_DAYS = 4
"""Working days at the end of a month or quarter in which signing is hurried."""


@dataclass(frozen=True)
class Days:
    """Columns of consecutive days; column 0 is the day before the first, where clocks stand at 0.

    Attributes
    ----------
    origin
        Ordinal of the day of column 0.
    month
        Months since year 0, for each column.
    working
        1 on working days, else 0.
    month_end, quarter_end
        Whether it is one of the last working days of a month, of a quarter.
    """

    origin: int
    month: NDArray[np.int64]
    working: NDArray[np.float64]
    month_end: NDArray[np.bool_]
    quarter_end: NDArray[np.bool_]

    @classmethod
    def after(cls, origin: int, count: int) -> Days:
        """Lay out so many days after a day."""
        # Beyond the last column as well, to know how many working days its month still has.
        days = np.arange(origin, origin + count + 40)
        dates = (days - date(1970, 1, 1).toordinal()).astype("datetime64[D]")
        month = dates.astype("datetime64[M]").astype(np.int64) + 1970 * 12
        of_year = month % 12
        of_month = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
        holiday = ((of_year == 11) & (of_month >= 24)) | ((of_year == 0) & (of_month == 1))
        working = np.is_busday(dates) & ~holiday
        done = np.cumsum(working)
        last = done[np.searchsorted(month, month, side="right") - 1]
        late = working & (last - done < PULLED_DAYS)
        keep = slice(0, count + 1)
        return cls(
            origin,
            month[keep],
            working[keep].astype(np.float64),
            late[keep],
            (late & (of_year % 3 == 2))[keep],
        )


@dataclass(frozen=True)
class Months:
    """The hidden state of the market, a row a replay and a column a month.

    Attributes
    ----------
    first
        Months since year 0 of the first column.
    mood
        How willing customers are, as the log of a rate; it fades from month to month.
    demand
        The same for how many new deals arrive.
    level
        Log of the lasting level of intake, which jumps now and then.
    regime
        NORMAL, FREEZE or THAW.
    """

    first: int
    mood: NDArray[np.float64]
    demand: NDArray[np.float64]
    level: NDArray[np.float64]
    regime: NDArray[np.int64]

    @classmethod
    def at_rest(cls, first: int) -> Months:
        """Start with an average month."""
        nothing = np.zeros((1, 1))
        return cls(first, nothing, nothing, nothing, np.zeros((1, 1), dtype=np.int64))

    def of(self, month: int) -> Months:
        """Take one month's state, to go on from it."""
        at = slice(month - self.first, month - self.first + 1)
        return Months(
            month, self.mood[:, at], self.demand[:, at], self.level[:, at], self.regime[:, at]
        )

    def replay(self, rng: np.random.Generator, climate: Climate, rows: int, columns: int) -> Months:
        """Let the months after this one come, independently in each row."""
        mood = np.repeat(self.mood[:, -1:], rows, axis=0).repeat(columns, axis=1)
        demand = np.repeat(self.demand[:, -1:], rows, axis=0).repeat(columns, axis=1)
        level = np.repeat(self.level[:, -1:], rows, axis=0).repeat(columns, axis=1)
        regime = np.repeat(self.regime[:, -1:], rows, axis=0).repeat(columns, axis=1)
        shocks = rng.standard_normal((4, rows, columns))
        chance = rng.random((2, rows, columns))
        fades, fresh = climate.memory, np.sqrt(1 - climate.memory**2)
        leave = np.array([climate.freezes, climate.thaws, 0.5])
        for now in range(1, columns):
            mood[:, now] = fades * mood[:, now - 1] + fresh * climate.mood * shocks[0, :, now]
            demand[:, now] = fades * demand[:, now - 1] + fresh * climate.demand * shocks[1, :, now]
            jumps = chance[0, :, now] < climate.jumps
            level[:, now] = level[:, now - 1] + jumps * (
                climate.jump_mean + climate.jump_spread * shocks[2, :, now]
            )
            before = regime[:, now - 1]
            regime[:, now] = np.where(chance[1, :, now] < leave[before], (before + 1) % 3, before)
        return Months(self.first, mood, demand, level, regime)


@dataclass(frozen=True)
class Market:
    """Days with their clocks, a row a replay.

    Attributes
    ----------
    working, signing
        Clock time that has run by the end of a day, shape (rows, columns).
    willing
        What the market adds to the log odds of a decision on a day, shape (rows, columns).
    demand
        Factor on the arrivals of a working day, shape (rows, columns).
    """

    days: Days
    months: Months
    working: NDArray[np.float64]
    signing: NDArray[np.float64]
    willing: NDArray[np.float64]
    demand: NDArray[np.float64]

    @classmethod
    def over(cls, account: Account, days: Days, months: Months) -> Market:
        """Let the clocks run through days whose months are known."""
        climate = account.climate
        column = days.month - months.first
        of_year = days.month % 12
        regime = months.regime[:, column]
        mood = np.exp(months.mood[:, column])
        business = np.asarray(climate.business)[of_year] * days.working
        pull = climate.calm * (
            1 + climate.month_pull * days.month_end + climate.quarter_pull * days.quarter_end
        )
        working = business * mood * np.array([1.0, climate.frozen_work, 1.15])[regime]
        signing = business * pull * mood * np.array([1.0, climate.frozen_signing, 1.6])[regime]
        working[:, 0] = signing[:, 0] = 0
        growth = climate.growth * (days.month - account.anchor) / 12
        demand = (
            np.asarray(climate.arrivals)[of_year]
            * days.working
            * np.exp(months.demand[:, column] + 0.3 * months.mood[:, column])
            * np.exp(months.level[:, column] + growth)
            * np.array([1.0, climate.frozen_demand, 1.1])[regime]
        )
        demand[:, 0] = 0
        willing = 0.8 * months.mood[:, column] + np.array([0.0, -0.5, 0.2])[regime]
        return cls(days, months, working.cumsum(axis=1), signing.cumsum(axis=1), willing, demand)

    @property
    def last(self) -> int:
        """The last column."""
        return self.working.shape[1] - 1


def when(
    clock: NDArray[np.float64], row: NDArray[np.int64], target: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Find the first column in which a row's clock has reached a target, or one past the last."""
    rows, columns = clock.shape
    # Rows laid end to end, each lifted above the one before, are one sorted list.
    lift = clock[:, -1].max() + 1.0
    line = (clock + lift * np.arange(rows)[:, None]).ravel()
    reached = target <= clock[row, -1]
    found = np.searchsorted(line, np.where(reached, target, 0) + lift * row) - row * columns
    return np.where(reached, found, columns)
