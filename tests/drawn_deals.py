"""Deals drawn at random for properties, with amounts in whole cents so that sums can be exact."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from capsule_analytics.schema import DURATION_BASES, STATUSES, TIMESTAMP, total_contract_value

Record = dict[str, Any]

days = st.dates(date(2023, 1, 1), date(2028, 12, 31)) | st.sampled_from(
    [date(2024, 2, 29), date(2026, 1, 31), date(2026, 12, 31)]
)

accounts = st.lists(
    st.fixed_dictionaries(
        {
            "cents": st.none() | st.integers(-(10**9), 10**12) | st.integers(-1000, 1000),
            "duration_basis": st.sampled_from([None, *DURATION_BASES]),
            "duration": st.none() | st.integers(-2, 40) | st.sampled_from([0, 1, 120]),
            "currency": st.sampled_from(["GBP", "EUR", None]),
            "percent": st.none() | st.integers(0, 100),
            "status": st.sampled_from(STATUSES),
            "owner": st.sampled_from(["ann", "bob", None]),
            "expected_close": st.none() | days,
            "closed_at": st.none() | days,
        }
    ),
    max_size=25,
)


def frame_of(rows: list[Record]) -> pd.DataFrame:
    """Build the columns of a pipeline's frame that forecasts read."""
    frame = pd.DataFrame(rows, columns=["cents", *CATEGORIES, "duration", "percent", *DATES])
    frame.index = pd.RangeIndex(1, len(rows) + 1, name="id")
    frame = frame.astype({"cents": "float64", "percent": "float64", "duration": "Int64"})
    for name, labels in CATEGORIES.items():
        frame[name] = pd.Categorical(frame[name], categories=labels)
    for name in DATES:
        frame[name] = pd.to_datetime(frame[name], utc=True).astype(TIMESTAMP)
    value = frame["cents"] / 100
    tcv = total_contract_value(value.to_numpy(), frame["duration_basis"], frame["duration"])
    return frame.assign(value=value, tcv=tcv, probability=frame["percent"] / 100)


CATEGORIES = {
    "duration_basis": list(DURATION_BASES),
    "currency": ["EUR", "GBP"],
    "status": list(STATUSES),
    "owner": ["ann", "bob"],
}
DATES = ("expected_close", "closed_at")


def exact_tcv(row: Record) -> Fraction:
    """Work out a deal's total without rounding; what is unknown adds nothing."""
    value = Fraction(row["cents"] or 0, 100)
    if row["duration_basis"] in (None, "FIXED"):
        return value
    return value * (row["duration"] or 0)


def exact_weighted(row: Record) -> Fraction:
    """Work out an open deal's weighted value without rounding."""
    return exact_tcv(row) * (row["percent"] or 0) / 100


def close_day(row: Record) -> date | None:
    """Give the day on which a deal closes."""
    day: date | None = row["expected_close"]
    return row["closed_at"] or day if row["status"] == "won" else day
