"""The forecast by month: its definitions, its groups and periods, and that sums add up."""

from __future__ import annotations

import doctest
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deals import AS_OF, deals
from drawn_deals import Record, accounts, exact_tcv, exact_weighted, frame_of
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics._deals import Placing, plain
from capsule_analytics._deals._sums import combine, sums
from capsule_analytics.errors import ArgumentError
from capsule_analytics.forecast import MEASURES, by_month, revenue_schedule
from capsule_analytics.scenarios import by_category

ACCOUNT = [
    {"value": 10_000, "probability": 50, "expected_close": "2026-11-20", "owner": "ann"},
    # A retainer: 12 months at 1,000.
    {
        "value": 1_000,
        "duration_basis": "MONTH",
        "duration": 12,
        "probability": 10,
        "expected_close": "2026-11-01",
        "owner": "bob",
    },
    {"value": 2_000, "currency": "EUR", "probability": 90, "expected_close": "2026-12-31"},
    {
        "value": 8_000,
        "milestone": "Won",
        "expected_close": "2026-11-30",
        "closed_at": "2026-10-05",
        "owner": "ann",
    },
    {"value": 99_999, "milestone": "Lost", "expected_close": "2026-11-15"},
    {"value": 400, "probability": 50, "expected_close": "2026-09-01", "owner": "bob"},
    {"value": 600, "probability": 50, "expected_close": None, "owner": "bob"},
]


def figures(table: pd.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Give rows as tuples that read well: periods as text, missing as None."""
    shown = table[list(names)].astype(object)
    return [
        tuple(None if pd.isna(v) else str(v) if isinstance(v, pd.Period) else v for v in row)
        for row in shown.itertuples(index=False)
    ]


def test_deals_are_summed_by_close_month_and_currency() -> None:
    table = by_month(deals(ACCOUNT))
    assert list(table.columns) == ["month", "currency", *MEASURES]
    assert figures(
        table, "month", "currency", "open_deals", "open_value", "weighted_value", "won_value"
    ) == [
        ("2026-09", "GBP", 1, 400.0, 200.0, 0.0),
        ("2026-10", "GBP", 0, 0.0, 0.0, 8_000.0),
        ("2026-11", "GBP", 2, 22_000.0, 6_200.0, 0.0),  # 5,000 and 12,000 at 10 %
        ("2026-12", "EUR", 1, 2_000.0, 1_800.0, 0.0),
        (None, "GBP", 1, 600.0, 300.0, 0.0),
    ]
    assert table["expected_value"].tolist() == [200.0, 8_000.0, 6_200.0, 1_800.0, 300.0]
    assert table["won_deals"].tolist() == [0, 1, 0, 0, 0]
    assert table["month"].dtype == "period[M]"
    assert isinstance(table.index, pd.RangeIndex)
    assert table.attrs == {"as_of": "2026-10-15", "overdue": "keep", "account": "test"}


def test_a_won_deal_counts_when_it_closed_and_else_when_it_was_expected() -> None:
    won = {"value": 100, "milestone": "Won", "expected_close": "2026-12-01"}
    table = by_month(deals([won, {**won, "closed_at": "2026-08-31"}]))
    assert figures(table, "month", "won_value") == [("2026-08", 100.0), ("2026-12", 100.0)]


def test_a_closing_day_of_an_open_deal_is_ignored() -> None:
    reopened = {"value": 100, "expected_close": "2026-12-01", "closed_at": "2026-08-31"}
    assert figures(by_month(deals([reopened])), "month") == [("2026-12",)]


def test_a_won_deal_is_certain_whatever_its_own_probability_was() -> None:
    table = by_month(
        deals([{"value": 100, "milestone": "Won", "probability": 30, "closed_at": "2026-08-31"}])
    )
    assert figures(table, "open_value", "weighted_value", "won_value", "expected_value") == [
        (0.0, 0.0, 100.0, 100.0)
    ]


@pytest.mark.parametrize(
    ("overdue", "months", "open_values", "overdue_values"),
    [
        ("keep", ["2026-09", "2026-10", "2026-11"], [400, 0, 22_000], [400, 0, 0]),
        ("roll", ["2026-10", "2026-11"], [400, 22_000], [400, 0]),
        ("drop", ["2026-10", "2026-11"], [0, 22_000], [0, 0]),
    ],
)
def test_overdue_deals_are_kept_rolled_or_dropped(
    overdue: Any, months: list[str], open_values: list[float], overdue_values: list[float]
) -> None:
    table = by_month(deals(ACCOUNT), overdue=overdue).head(len(months))
    assert table["month"].astype(str).tolist() == months
    assert table["open_value"].tolist() == open_values
    assert table["overdue_value"].tolist() == overdue_values
    assert table["overdue_weighted"].tolist() == [value / 2 for value in overdue_values]
    assert table["overdue_deals"].tolist() == [int(value > 0) for value in overdue_values]


def test_a_deal_expected_on_the_as_of_day_is_not_overdue() -> None:
    pipeline = deals([{"value": 1, "expected_close": "2026-10-15"}])
    assert by_month(pipeline)["overdue_deals"].tolist() == [0]
    assert by_month(pipeline, as_of=date(2026, 10, 16))["overdue_deals"].tolist() == [1]


def test_unknown_amounts_and_chances_count_as_deals_but_add_nothing() -> None:
    table = by_month(
        deals(
            [
                {"value": None, "expected_close": "2026-11-01"},
                {"value": 500, "duration_basis": "DAY", "expected_close": "2026-11-01"},
                {
                    "value": 300,
                    "milestone": "Unheard of",
                    "probability": None,
                    "expected_close": "2026-11-01",
                },
            ]
        )
    )
    assert figures(table, "open_deals", "open_value", "weighted_value") == [(3, 300.0, 0.0)]


def test_deals_without_a_currency_have_their_own_row_after_the_others() -> None:
    table = by_month(
        deals(
            [
                {"value": 5, "currency": None, "expected_close": "2026-11-01"},
                {"value": 7, "currency": "USD", "expected_close": "2026-11-01"},
            ]
        )
    )
    assert figures(table, "currency", "open_value") == [("USD", 7.0), (None, 5.0)]


def test_grouping_by_owner_keeps_deals_of_nobody() -> None:
    table = by_month(deals(ACCOUNT), by="owner", period="year")
    assert figures(table, "year", "currency", "owner", "expected_value") == [
        ("2026", "EUR", None, 1_800.0),
        ("2026", "GBP", "ann", 13_000.0),
        ("2026", "GBP", "bob", 1_400.0),
        (None, "GBP", "bob", 300.0),
    ]


def test_a_deal_with_two_tags_counts_under_each() -> None:
    rows = [
        {"value": 10, "tags": ("new", "big"), "expected_close": "2026-11-01"},
        {"value": 1, "tags": (), "expected_close": "2026-11-01"},
    ]
    table = by_month(deals(rows), by="tag")
    assert figures(table, "tag", "open_value") == [("big", 10.0), ("new", 10.0), (None, 1.0)]


def test_grouping_by_several_columns() -> None:
    table = by_month(deals(ACCOUNT), by=["pipeline", "milestone"], period="year")
    assert list(table.columns[:4]) == ["year", "currency", "pipeline", "milestone"]
    assert figures(table.iloc[:3], "pipeline", "milestone", "open_deals") == [
        ("Sales", "Proposal", 1),
        ("Sales", "Proposal", 3),
        ("Sales", "Won", 0),
    ]


@pytest.mark.parametrize(
    ("period", "start", "day", "name"),
    [
        ("quarter", 1, "2026-11-20", "2026Q4"),
        ("year", 1, "2026-11-20", "2026"),
        # A fiscal year from April is named after the year in which it ends.
        ("quarter", 4, "2026-04-01", "2027Q1"),
        ("quarter", 4, "2026-03-31", "2026Q4"),
        ("year", 4, "2026-04-01", "2027"),
        ("year", 4, "2026-03-31", "2026"),
        ("quarter", 12, "2026-12-01", "2027Q1"),
        ("year", 2, "2026-01-31", "2026"),
        ("month", 4, "2026-04-01", "2026-04"),
        ("month", 1, "1969-12-31", "1969-12"),
        ("year", 1, "2150-12-31", "2150"),
    ],
)
def test_quarters_and_years_follow_the_fiscal_year(
    period: Any, start: int, day: str, name: str
) -> None:
    table = by_month(
        deals([{"value": 1, "expected_close": day}]), period=period, fiscal_year_start=start
    )
    assert figures(table, period) == [(name,)]
    (bucket,) = table[period]
    assert bucket.start_time <= pd.Timestamp(day) <= bucket.end_time


def test_quarters_are_the_sums_of_their_months() -> None:
    months = by_month(deals(ACCOUNT)).dropna(subset="month")
    quarters = by_month(deals(ACCOUNT), period="quarter").dropna(subset="quarter")
    quarter = months["month"].dt.asfreq("Q").rename("quarter")
    again = months.groupby([quarter, "currency"])[list(MEASURES)].sum().reset_index()
    pd.testing.assert_frame_equal(
        quarters, again, check_dtype=False, check_names=False, check_column_type=False
    )


def test_other_probabilities_replace_those_of_open_deals_alone() -> None:
    pipeline = deals(ACCOUNT)
    calibrated = pd.Series({1: 0.2, 4: 0.2})
    table = by_month(pipeline, probability=calibrated)
    # 10,000 at 20 % and 12,000 at its own 10 %; the won deal stays certain.
    assert table.loc[2, "weighted_value"] == pytest.approx(3_200)
    assert table.loc[1, "expected_value"] == 8_000


def test_ranges_and_chances_of_a_month() -> None:
    table = by_month(deals(ACCOUNT), ranges=True, target=10_000.0)
    november = table.loc[2, ["p10", "p50", "p90", "chance"]]
    # Totals 0, 10,000, 12,000, 22,000 with 45, 45, 5, 5 %.
    assert november.tolist() == [0.0, 10_000.0, 10_000.0, pytest.approx(0.55)]


def test_a_frame_alone_is_enough() -> None:
    pipeline = deals(ACCOUNT)
    table = by_month(pipeline.opportunities, as_of=AS_OF)
    pd.testing.assert_frame_equal(table, by_month(pipeline))


def test_the_frame_is_not_changed() -> None:
    pipeline = deals(ACCOUNT)
    before = pipeline.opportunities.copy(deep=True)
    by_month(pipeline, by="owner", overdue="roll", probability=pd.Series({1: 0.2}))
    pd.testing.assert_frame_equal(pipeline.opportunities, before)


def test_no_deals_give_an_empty_table_of_the_same_columns() -> None:
    empty = by_month(deals([]))
    assert empty.empty
    assert list(empty.columns) == list(by_month(deals(ACCOUNT)).columns)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "colour"}, "colour"),
        ({"by": "tag"}, "embed"),
        ({"period": "week"}, "month, quarter, year"),
        ({"overdue": "hide"}, "keep, roll, drop"),
        ({"period": "year", "fiscal_year_start": 13}, "1 to 12"),
        ({"period": ["year"]}, "month, quarter, year"),
        ({"fiscal_year_start": "4"}, "1 to 12, not '4'"),
        ({"fiscal_year_start": 4.0}, "1 to 12, not 4.0"),
        ({"by": 3}, "a name or several names, not by 3"),
        ({"as_of": "soon"}, "YYYY-MM-DD, not 'soon'"),
        ({"as_of": pd.NaT}, "YYYY-MM-DD, not NaT"),
        ({"as_of": 20261015}, "YYYY-MM-DD, not 20261015"),
        ({"probability": {1: 0.2}}, "a series by opportunity id, or 'calibrated'"),
        ({"probability": pd.Series({4: 2.0})}, "that of the opportunity 4 is 2"),
        ({"probability": pd.Series({4: -0.1})}, "that of the opportunity 4 is -0.1"),
        ({"probability": pd.Series(["high"], index=[4])}, "numbers from 0 to 1"),
        ({"probability": pd.Series([0.1, 0.2], index=[4, 4])}, "opportunity 4 has several"),
        ({"target": "abc"}, "finite number, not 'abc'"),
        ({"target": float("nan")}, "finite number, not nan"),
        ({"target": float("inf")}, "finite number, not inf"),
        ({"ranges": True, "correlation": "much"}, "0 to 1, not 'much'"),
    ],
)
def test_a_wrong_option_is_named_with_the_valid_ones(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        by_month(deals(ACCOUNT), **options)


@pytest.mark.parametrize("function", [by_month, revenue_schedule, by_category])
def test_what_is_no_table_of_deals_is_refused(function: Any) -> None:
    with pytest.raises(ArgumentError, match=r"a Pipeline, or its columns .* not list"):
        function([1, 2])


@pytest.mark.parametrize("function", [by_month, revenue_schedule, by_category])
def test_a_day_may_be_text(function: Any) -> None:
    frame = deals(ACCOUNT).opportunities
    for day in ("2026-10-20", pd.Timestamp("2026-10-20 09:00", tz="UTC")):
        pd.testing.assert_frame_equal(
            function(frame, as_of=day, overdue="drop"),
            function(frame, as_of=date(2026, 10, 20), overdue="drop"),
        )


@pytest.mark.parametrize("function", [by_month, revenue_schedule, by_category])
def test_a_group_that_is_named_twice_counts_once(function: Any) -> None:
    pipeline = deals(ACCOUNT)
    twice = function(pipeline, by=["owner", "account", "owner"])
    pd.testing.assert_frame_equal(twice, function(pipeline, by=["owner", "account"]))
    assert set(twice["account"]) == {"test"}


def test_a_missing_column_is_named() -> None:
    frame = deals(ACCOUNT).opportunities.drop(columns="tcv")
    with pytest.raises(ArgumentError, match="'tcv'"):
        by_month(frame, as_of=AS_OF)


# Properties ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(accounts)
def test_every_cent_is_in_the_table_once(rows: list[Record]) -> None:
    table = by_month(frame_of(rows), by="owner", as_of=AS_OF)
    for currency in ("GBP", "EUR", None):
        of = table[table["currency"].isna() if currency is None else table["currency"] == currency]
        own = [row for row in rows if row["currency"] == currency]
        still_open = [row for row in own if row["status"] == "open"]
        won = [row for row in own if row["status"] == "won"]
        assert of["open_deals"].sum() == len(still_open)
        assert of["won_deals"].sum() == len(won)
        tolerance = 1e-9 + 1e-13 * float(sum(abs(exact_tcv(row)) for row in own))
        for name, exact in (
            ("open_value", sum(map(exact_tcv, still_open))),
            ("won_value", sum(map(exact_tcv, won))),
            ("weighted_value", sum(map(exact_weighted, still_open))),
        ):
            assert of[name].sum() == pytest.approx(float(exact), rel=0, abs=tolerance)


@settings(max_examples=30, deadline=None)
@given(accounts, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Record], random: Any) -> None:
    frame = frame_of(rows)
    shuffled = frame.iloc[random.sample(range(len(rows)), len(rows))]
    pd.testing.assert_frame_equal(
        by_month(shuffled, by="owner", as_of=AS_OF),
        by_month(frame, by="owner", as_of=AS_OF),
        rtol=1e-12,
        atol=1e-3,
    )


@settings(max_examples=30, deadline=None)
@given(accounts, st.integers(2, 4))
def test_parts_of_an_account_add_up_to_the_whole(rows: list[Record], parts: int) -> None:
    frame = frame_of(rows)
    placing = Placing.of(AS_OF, by=["owner"])

    def partial(part: pd.DataFrame) -> pd.DataFrame:
        return sums(plain(part, placing), placing)

    chunks = [frame.iloc[at] for at in np.array_split(np.arange(len(frame)), parts)]
    whole = by_month(frame, by="owner", as_of=AS_OF).drop(columns="month")
    together = combine(map(partial, chunks)).drop(columns="bucket")
    pd.testing.assert_frame_equal(together, whole, rtol=1e-12, atol=1e-3)


def test_a_million_deals_of_a_tenth_are_exact_to_the_cent() -> None:
    one = deals([{"value": 0.1, "probability": 50, "expected_close": "2026-11-01"}]).opportunities
    frame = one.iloc[np.zeros(1_000_000, dtype=int)]
    (value,) = by_month(frame, as_of=AS_OF)["open_value"]
    assert abs(value - 100_000) < 1e-6


def test_the_examples_of_the_guide_are_true() -> None:
    guide = Path(__file__).parents[2] / "docs" / "forecast.md"
    result = doctest.testfile(
        str(guide), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert result.attempted > 10
    assert result.failed == 0
