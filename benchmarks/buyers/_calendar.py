"""The days that all firms of this world share, and the seasons that their customers keep."""

from __future__ import annotations

import numpy as np

FIRST = np.datetime64("2021-07-01")
"""Day 0."""
BEFORE = 12
"""Months that every firm sells before it has a list, so that its customers are under way."""
MONTHS = 84
"""How many months the calendar has."""

_starts = (FIRST.astype("M8[M]") + np.arange(MONTHS + 1)).astype("M8[D]")
STARTS = (_starts - FIRST).astype(int)
"""First day of each month, and of the one after the last."""
_days = FIRST + np.arange(STARTS[-1])
MONTH_OF = np.repeat(np.arange(MONTHS), np.diff(STARTS))
"""Month of a day, counted from the first."""
MONTH_END = STARTS[MONTH_OF + 1] - 1
IN_YEAR = (MONTH_OF + 6) % 12
"""Calendar month of a day, January 0."""
YEARS = (MONTH_OF + 6) // 12
"""Turns of the year since day 0."""
DAY_OF_MONTH = np.arange(STARTS[-1]) - STARTS[MONTH_OF]
WEEKDAY = (_days.astype(int) + 3) % 7
"""Monday 0."""
QUARTER_END = STARTS[(MONTH_OF // 3 + 1) * 3] - 1
"""Last day of the calendar quarter of a day."""
AWAY = ((IN_YEAR == 11) & (DAY_OF_MONTH >= 21)) | ((IN_YEAR == 0) & (DAY_OF_MONTH < 4))
"""Between the years, when hardly anybody works."""

NEEDS = {
    "flat": (1.0,) * 12,
    "year_end": (0.8, 0.8, 0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 1.4, 1.6, 1.3, 0.8),
    "summer_hole": (1.2, 1.2, 1.2, 1.1, 1.1, 0.8, 0.4, 0.4, 1.2, 1.2, 1.2, 1.0),
    "march": (1.5, 1.1, 0.8, 0.7, 0.8, 0.9, 0.8, 0.8, 1.0, 1.1, 1.2, 1.3),
    "spring": (0.7, 1.1, 1.7, 1.8, 1.4, 1.0, 0.8, 0.7, 0.8, 0.8, 0.7, 0.5),
}
"""Needs that arise in a month, by shape of the year; the average month is about 1."""
PACE = {
    "flat": (1.0,) * 12,
    "year_end": (0.8, 0.9, 1.0, 0.9, 0.9, 1.0, 0.8, 0.8, 1.0, 1.1, 1.4, 1.5),
    "summer_hole": (1.1, 1.1, 1.1, 1.1, 1.1, 1.0, 0.5, 0.3, 1.1, 1.2, 1.2, 1.0),
    "march": (1.1, 1.4, 1.7, 0.6, 0.7, 0.9, 0.9, 0.8, 1.0, 1.0, 1.0, 0.9),
    "spring": (0.9, 1.0, 1.2, 1.2, 1.2, 1.1, 0.9, 0.8, 0.9, 1.0, 0.9, 0.8),
}
"""How fast customers decide in a month."""
FISCAL = {
    "flat": (0.6, 0.2, 0.1, 0.1),
    "year_end": (0.9, 0.05, 0.0, 0.05),
    "summer_hole": (0.7, 0.2, 0.05, 0.05),
    "march": (0.1, 0.85, 0.05, 0.0),
    "spring": (0.6, 0.2, 0.1, 0.1),
}
"""Share of customers whose fiscal year begins in January, April, July, October."""
