"""What holds for the revenue schedule of any deals."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deals import AS_OF
from drawn_deals import Record, accounts, close_day, exact_tcv, frame_of
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics._deals import Placing, combine, plain
from capsule_analytics.forecast._schedule import AMOUNTS, earned, revenue_schedule

DURATION = ("duration_basis", "duration")


def exact(row: Record) -> dict[str, Fraction]:
    """Spread one deal without rounding, a month or a day at a time; the key None is undated."""
    total, basis, duration = exact_tcv(row), row["duration_basis"], row["duration"] or 0
    close = close_day(row)
    if close is None:
        return {"None": total}
    months: dict[str, Fraction] = defaultdict(Fraction)
    if basis in ("DAY", "WEEK") and duration > 0:
        days = duration * (7 if basis == "WEEK" else 1)
        for n in range(days):
            months[f"{close + timedelta(n):%Y-%m}"] += total / days
    elif basis in ("MONTH", "QUARTER", "YEAR") and duration > 0:
        count = duration * {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[basis]
        first = close.year * 12 + close.month - 1
        for month in range(first, first + count):
            months[f"{month // 12:04d}-{month % 12 + 1:02d}"] += total / count
    else:
        months[f"{close:%Y-%m}"] += total
    return months


@settings(max_examples=60, deadline=None)
@given(accounts)
def test_every_month_is_what_exact_arithmetic_says(rows: list[Record]) -> None:
    table = revenue_schedule(frame_of(rows), as_of=AS_OF)
    expected: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for row in rows:
        for month, amount in exact(row).items():
            key = (month, str(row["currency"]))
            if row["status"] == "won":
                expected[(*key, "won_value")] += amount
            elif row["status"] == "open":
                expected[(*key, "open_value")] += amount
                expected[(*key, "weighted_value")] += amount * (row["percent"] or 0) / 100
    months = ["None" if pd.isna(month) else str(month) for month in table["month"]]
    currencies = ["None" if pd.isna(code) else code for code in table["currency"]]
    largest = max((abs(a) for row in rows for a in exact(row).values()), default=0)
    tolerance = 1e-9 + 1e-13 * float(largest)
    for name in AMOUNTS[:3]:
        found = dict(zip(zip(months, currencies, strict=True), table[name], strict=True))
        for month, currency, measure in expected:
            if measure == name:
                amount = float(expected[month, currency, name])
                assert found.pop((month, currency), 0.0) == pytest.approx(
                    amount, rel=0, abs=tolerance
                )
        # Nothing, not even a residue of rounding, stands anywhere else.
        assert not any(found.values())


@settings(max_examples=60, deadline=None)
@given(accounts)
def test_the_parts_of_a_deal_sum_to_its_total(rows: list[Record]) -> None:
    frame = frame_of(rows)
    table = revenue_schedule(frame, as_of=AS_OF)
    still_open = frame["tcv"].where(frame["status"] == "open").fillna(0)
    won = frame["tcv"].where(frame["status"] == "won").fillna(0)
    tolerance = 1e-9 + 1e-13 * float(frame["tcv"].abs().sum())
    for name, whole in (
        ("open_value", still_open),
        ("won_value", won),
        ("weighted_value", still_open * frame["probability"].fillna(0)),
    ):
        assert abs(table[name].sum() - whole.sum()) <= tolerance
    assert (table["expected_value"] == table["won_value"] + table["weighted_value"]).all()


@settings(max_examples=30, deadline=None)
@given(accounts, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Record], random: Any) -> None:
    frame = frame_of(rows)
    shuffled = frame.iloc[random.sample(range(len(rows)), len(rows))]
    pd.testing.assert_frame_equal(
        revenue_schedule(shuffled, by="owner", as_of=AS_OF),
        revenue_schedule(frame, by="owner", as_of=AS_OF),
        rtol=1e-12,
        atol=1e-6,
    )


@settings(max_examples=30, deadline=None)
@given(accounts, st.integers(2, 4))
def test_parts_of_an_account_add_up_to_the_whole(rows: list[Record], parts: int) -> None:
    frame = frame_of(rows)
    chunks = [frame.iloc[at] for at in np.array_split(np.arange(len(frame)), parts)]
    placing = Placing.of(AS_OF, by=["owner"])
    together = combine(earned(plain(chunk, placing, DURATION), placing) for chunk in chunks)
    whole = combine([earned(plain(frame, placing, DURATION), placing)])
    keys = ["bucket", "currency", "owner"]
    both = together.merge(whole, on=keys, how="outer", suffixes=("", "_whole")).fillna(
        dict.fromkeys([*AMOUNTS, *(f"{name}_whole" for name in AMOUNTS)], 0.0)
    )
    for name in AMOUNTS:
        assert (both[name] - both[f"{name}_whole"]).abs().max() < 1e-6 or both.empty
