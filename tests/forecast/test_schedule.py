"""The revenue schedule: what each basis earns in which month, worked out by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deals import AS_OF, deals

from capsule_analytics import forecast
from capsule_analytics.errors import ArgumentError
from capsule_analytics.forecast._schedule import AMOUNTS, revenue_schedule


def schedule(*rows: dict[str, Any], column: str = "open_value", **options: Any) -> dict[str, float]:
    """Give the amounts by period, as text, of deals of one currency."""
    table = revenue_schedule(deals(list(rows)), **options)
    return dict(zip(table.iloc[:, 0].astype(str), table[column].tolist(), strict=True))


def deal(value: float, basis: str | None, duration: int | None, close: str | None) -> Any:
    return {
        "value": value,
        "duration_basis": basis,
        "duration": duration,
        "expected_close": close,
    }


@pytest.mark.parametrize(("basis", "duration"), [("FIXED", None), (None, None), (None, 12)])
def test_a_fixed_price_is_all_in_the_close_month(basis: str | None, duration: int | None) -> None:
    assert schedule(deal(900, basis, duration, "2026-11-30")) == {"2026-11": 900}


def test_hours_are_all_in_the_close_month() -> None:
    assert schedule(deal(80, "HOUR", 100, "2026-11-30")) == {"2026-11": 8_000}


def test_months_earn_one_value_each_from_the_close_month_on() -> None:
    assert schedule(deal(1_000, "MONTH", 3, "2026-11-30")) == {
        "2026-11": 1_000,
        "2026-12": 1_000,
        "2027-01": 1_000,
    }


def test_quarters_earn_a_third_a_month_from_the_close_month_on() -> None:
    # Two quarters of 3,000 from February: six months of 1,000, whatever the calendar's quarters.
    months = schedule(deal(3_000, "QUARTER", 2, "2026-02-11"), overdue="keep")
    assert months == {f"2026-0{month}": 1_000 for month in range(2, 8)}


def test_years_earn_a_twelfth_a_month_from_the_close_month_on() -> None:
    months = schedule(deal(1_200, "YEAR", 2, "2026-12-31"))
    assert len(months) == 24
    assert set(months.values()) == {100}
    assert next(iter(months)) == "2026-12"
    assert [*months][-1] == "2028-11"


def test_days_count_from_the_close_day_which_is_the_first() -> None:
    # The 30th and 31st of October, then eight days of November.
    assert schedule(deal(500, "DAY", 10, "2026-10-30")) == {"2026-10": 1_000, "2026-11": 4_000}


def test_days_over_a_whole_month_and_a_leap_day() -> None:
    # 31 January, all 29 days of February 2028, 10 days of March: 40 days.
    assert schedule(deal(100, "DAY", 40, "2028-01-31")) == {
        "2028-01": 100,
        "2028-02": 2_900,
        "2028-03": 1_000,
    }
    # A year earlier February has 28, so March has 11.
    assert schedule(deal(100, "DAY", 40, "2027-01-31")) == {
        "2027-01": 100,
        "2027-02": 2_800,
        "2027-03": 1_100,
    }


def test_days_that_end_with_the_month_leave_nothing_for_the_next() -> None:
    assert schedule(deal(10, "DAY", 31, "2026-12-01")) == {"2026-12": 310}
    assert schedule(deal(10, "DAY", 32, "2026-12-01")) == {"2026-12": 310, "2027-01": 10}


def test_weeks_are_seven_calendar_days() -> None:
    # Two weeks of 700 from the 25th of November: 6 days, then 8.
    assert schedule(deal(700, "WEEK", 2, "2026-11-25")) == {"2026-11": 600, "2026-12": 800}


@pytest.mark.parametrize("basis", ["HOUR", "DAY", "WEEK", "MONTH"])
def test_one_unit_stays_in_the_close_month(basis: str) -> None:
    assert schedule(deal(70, basis, 1, "2026-11-02")) == {"2026-11": 70}


@pytest.mark.parametrize("basis", ["HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"])
def test_no_units_or_an_unknown_number_of_them_earn_nothing(basis: str) -> None:
    assert schedule(deal(70, basis, 0, "2026-11-02")) == {}
    assert schedule(deal(70, basis, None, "2026-11-02")) == {}


def test_a_value_that_is_unknown_earns_nothing() -> None:
    assert schedule({"value": None, "expected_close": "2026-11-02"}) == {}


@pytest.mark.parametrize("basis", ["DAY", "MONTH", "YEAR"])
def test_a_negative_duration_stays_in_the_close_month(basis: str) -> None:
    assert schedule(deal(100, basis, -3, "2026-11-02")) == {"2026-11": -300}


def test_a_credit_is_spread_like_any_other_deal() -> None:
    assert schedule(deal(-100, "MONTH", 2, "2026-11-02")) == {"2026-11": -100, "2026-12": -100}


def test_fifty_years_of_months() -> None:
    months = schedule(deal(0.1, "MONTH", 600, "2026-11-02"))
    assert len(months) == 600
    assert [*months][-1] == "2076-10"
    assert set(months.values()) == {0.1}


def test_a_duration_that_can_only_be_an_error_stays_in_the_close_month() -> None:
    assert len(schedule(deal(1, "YEAR", 1_000, "2026-11-02"))) == 12_000
    assert schedule(deal(1, "YEAR", 1_001, "2026-11-02")) == {"2026-11": 1_001}
    assert schedule(deal(1, "DAY", 10**15, "2026-11-02")) == {"2026-11": 1e15}


def test_an_absurd_amount_does_not_blur_the_others() -> None:
    both = [deal(1, "MONTH", 3, "2026-11-02"), deal(0.1, "MONTH", 3, "2026-12-02")]
    frame = deals(both).opportunities.assign(tcv=[3e30, 0.3])
    table = revenue_schedule(frame, as_of=AS_OF)
    assert table["month"].astype(str).tolist() == ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert table["open_value"].tolist() == pytest.approx([3e30, 0.1, 0.1, 0.1])


def test_undated_deals_are_whole_in_their_own_row_at_the_end() -> None:
    table = revenue_schedule(
        deals([deal(1_000, "MONTH", 3, None), deal(7, None, None, "2026-11-02")])
    )
    assert table["open_value"].tolist() == [7, 3_000]
    assert table["month"].isna().tolist() == [False, True]


def test_open_and_won_deals_are_earned_side_by_side() -> None:
    table = revenue_schedule(
        deals(
            [
                {**deal(100, "MONTH", 3, "2026-11-02"), "probability": 25},
                {
                    **deal(40, "MONTH", 2, "2026-12-24"),
                    "milestone": "Won",
                    "closed_at": "2026-10-01",
                },
                {**deal(9_999, "MONTH", 2, "2026-12-24"), "milestone": "Lost"},
            ]
        )
    )
    assert list(table.columns) == ["month", "currency", *AMOUNTS]
    assert table.drop(columns="currency").astype({"month": str}).to_numpy().tolist() == [
        ["2026-10", 0, 0, 40, 40],
        ["2026-11", 100, 25, 40, 65],
        ["2026-12", 100, 25, 0, 25],
        ["2027-01", 100, 25, 0, 25],
    ]
    assert table.attrs == {"as_of": "2026-10-15", "overdue": "keep", "account": "test"}


def test_months_between_deals_have_no_row() -> None:
    months = schedule(
        deal(0.1, "MONTH", 3, "2026-11-02"),
        deal(0.7, "MONTH", 2, "2028-01-02"),
    )
    assert list(months) == ["2026-11", "2026-12", "2027-01", "2028-01", "2028-02"]


def test_amounts_that_cancel_have_no_row() -> None:
    months = schedule(
        deal(0.1, "MONTH", 3, "2026-11-02"),
        deal(-0.1, "MONTH", 3, "2026-11-20"),
        deal(5, "MONTH", 2, "2027-01-02"),
    )
    assert months == {"2027-01": 5, "2027-02": 5}


def test_a_rolled_deal_starts_on_the_as_of_day() -> None:
    late = deal(10, "DAY", 20, "2026-08-01")
    assert schedule(late, overdue="keep") == {"2026-08": 200}
    assert schedule(late, overdue="roll") == {"2026-10": 170, "2026-11": 30}
    assert schedule(late, overdue="drop") == {}


def test_by_group_and_currency() -> None:
    table = revenue_schedule(
        deals(
            [
                {**deal(1, "MONTH", 2, "2026-11-02"), "owner": "ann"},
                {**deal(2, "MONTH", 2, "2026-12-02"), "owner": "bob"},
                {**deal(4, "MONTH", 2, "2026-11-02"), "owner": "ann", "currency": "EUR"},
                {**deal(8, "MONTH", 2, "2026-11-02"), "currency": None},
            ]
        ),
        by="owner",
    )
    shown = table[["month", "currency", "owner", "open_value"]].astype({"month": str})
    rows = shown.astype(object).where(shown.notna(), "-")
    assert [tuple(row) for row in rows.to_numpy()] == [
        ("2026-11", "EUR", "ann", 4),
        ("2026-11", "GBP", "ann", 1),
        ("2026-11", "-", "-", 8),
        ("2026-12", "EUR", "ann", 4),
        ("2026-12", "GBP", "ann", 1),
        ("2026-12", "GBP", "bob", 2),
        ("2026-12", "-", "-", 8),
        ("2027-01", "GBP", "bob", 2),
    ]


def test_a_deal_with_two_tags_is_earned_under_each() -> None:
    table = revenue_schedule(
        deals([{**deal(1, "MONTH", 2, "2026-11-02"), "tags": ("new", "big")}]), by="tag"
    )
    assert table["tag"].tolist() == ["big", "new", "big", "new"]


def test_quarters_and_fiscal_years() -> None:
    retainer = deal(100, "MONTH", 6, "2026-11-02")
    assert schedule(retainer, period="quarter") == {"2026Q4": 200, "2027Q1": 300, "2027Q2": 100}
    # November to March, and April: the fiscal years that end in March 2027 and March 2028.
    assert schedule(retainer, period="year", fiscal_year_start=4) == {"2027": 500, "2028": 100}


def test_other_probabilities_weigh_the_schedule() -> None:
    months = schedule(
        deal(100, "MONTH", 2, "2026-11-02"),
        column="weighted_value",
        probability=pd.Series({1: 0.1}),
    )
    assert months == {"2026-11": pytest.approx(10), "2026-12": pytest.approx(10)}


def test_ids_that_repeat_where_accounts_were_put_together() -> None:
    both = [deal(100, "MONTH", 2, "2026-11-02"), deal(7, None, None, "2026-11-02")]
    frame = deals(both).opportunities.set_axis([1, 1])
    table = revenue_schedule(frame, as_of=AS_OF)
    assert table["open_value"].tolist() == [107, 100]


def test_the_deals_are_not_changed() -> None:
    pipeline = deals([deal(100, "MONTH", 2, "2026-01-02")])
    before = pipeline.opportunities.copy(deep=True)
    revenue_schedule(pipeline, overdue="roll", by="owner")
    pd.testing.assert_frame_equal(pipeline.opportunities, before)


def test_no_deals_give_an_empty_table() -> None:
    table = revenue_schedule(deals([]))
    assert table.empty
    assert list(table.columns) == ["month", "currency", *AMOUNTS]


def test_it_is_a_part_of_the_forecast() -> None:
    assert forecast.revenue_schedule is revenue_schedule


@pytest.mark.parametrize("column", ["duration", "duration_basis", "expected_close"])
def test_a_missing_column_is_named(column: str) -> None:
    frame = deals([deal(1, None, None, "2026-11-02")]).opportunities.drop(columns=column)
    with pytest.raises(ArgumentError, match=f"'{column}'"):
        revenue_schedule(frame, as_of=date(2026, 10, 15))


def test_a_million_deals_keep_their_cents_in_every_month() -> None:
    one = deals([deal(0.1, "MONTH", 7, "2026-11-02")]).opportunities
    frame = one.iloc[np.zeros(1_000_000, dtype=int)]
    table = revenue_schedule(frame, as_of=AS_OF)
    assert len(table) == 7
    assert (table["open_value"] - 100_000).abs().max() < 1e-6
