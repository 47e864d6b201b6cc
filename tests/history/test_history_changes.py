"""The bridge from one day's open pipeline to another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deals import deals
from hypothesis import given, settings
from hypothesis import strategies as st

from capsule_analytics import history
from capsule_analytics.errors import ArgumentError

if TYPE_CHECKING:
    from capsule_analytics import Pipeline

YEAR_END = ("2026-10-01", "2026-12-31")


def before_and_after(*pairs: tuple[dict[str, Any] | None, dict[str, Any] | None]) -> Any:
    """Return the pipelines of two days, from each deal on the first and on the second."""
    days = []
    for day in (0, 1):
        rows = [{"id": n, **pair[day]} for n, pair in enumerate(pairs, 1) if pair[day] is not None]
        days.append(deals(rows, as_of=date(2026, 10, 15) + timedelta(days=day)))
    return days


def bridge(before: Pipeline, after: Pipeline, **options: Any) -> dict[tuple[str, str], Any]:
    """Return deals and value of every part that is not empty, by currency and part."""
    table = history.changes(before, after, **options)
    table = table[(table["deals"] > 0) | (table["value"] != 0)]
    return {(row.currency, row.part): (row.deals, row.value) for row in table.itertuples()}


def test_every_deal_that_leaves_or_enters_has_a_part() -> None:
    before, after = before_and_after(
        ({"value": 100}, {"value": 100}),  # unchanged
        (None, {"value": 20}),
        ({"value": 7, "milestone": "Lost"}, {"value": 8}),
        ({"value": 50}, {"value": 65}),
        ({"value": 40}, {"value": 30}),
        ({"value": 11}, {"value": 12, "milestone": "Won"}),
        ({"value": 13}, {"value": 13, "milestone": "Lost"}),
        ({"value": 17}, None),
        (None, {"value": 1000, "milestone": "Won"}),  # came and closed in between
    )
    assert bridge(before, after) == {
        ("GBP", "opening"): (6, 231),  # 100 + 50 + 40 + 11 + 13 + 17
        ("GBP", "new"): (1, 20),
        ("GBP", "reopened"): (1, 8),
        ("GBP", "value_up"): (1, 15),
        ("GBP", "value_down"): (1, -10),
        ("GBP", "won"): (1, -11),  # at the value with which it was in the opening
        ("GBP", "lost"): (1, -13),
        ("GBP", "deleted"): (1, -17),
        ("GBP", "closing"): (5, 223),  # 100 + 20 + 8 + 65 + 30
    }


def test_with_a_period_deals_move_into_it_and_out_of_it() -> None:
    def expected(day: str | None, value: float = 10) -> dict[str, Any]:
        return {"value": value, "expected_close": day}

    before, after = before_and_after(
        (expected("2026-10-01"), expected("2026-12-31")),  # both ends belong to it
        (expected("2027-01-01", 20), expected("2026-12-31", 21)),
        (expected("2026-12-31", 30), expected("2027-01-01", 31)),
        (expected("2026-11-30", 40), expected(None, 40)),
        (expected("2027-02-01", 50), expected("2027-03-01", 55)),  # never in it
    )
    assert bridge(before, after, period=YEAR_END) == {
        ("GBP", "opening"): (3, 80),  # 10 + 30 + 40
        ("GBP", "pulled_in"): (1, 21),
        ("GBP", "pushed_out"): (2, -70),
        ("GBP", "closing"): (2, 31),
    }
    assert bridge(before, after) == {
        ("GBP", "opening"): (5, 150),
        ("GBP", "value_up"): (3, 7),  # 1 + 1 + 5
        ("GBP", "closing"): (5, 157),
    }


def test_a_change_of_currency_goes_down_in_one_and_up_in_the_other() -> None:
    before, after = before_and_after(
        ({"value": 100, "currency": "GBP"}, {"value": 120, "currency": "EUR"}),
        ({"value": 5, "currency": None}, {"value": 5, "currency": None}),
    )
    table = history.changes(before, after)
    assert table["currency"].drop_duplicates().tolist() == ["EUR", "GBP", pd.NA]
    assert table["part"].tolist() == list(history.PARTS) * 3
    values = table.pivot_table(index="part", columns="currency", values="value", observed=True)
    assert values.loc["value_up", "EUR"] == values.loc["closing", "EUR"] == 120
    assert values.loc["value_down", "GBP"] == -values.loc["opening", "GBP"] == -100
    assert table[table["currency"].isna()]["value"].sum() == 10  # opening and closing


def test_deals_of_unknown_value_count_nothing() -> None:
    unknown = {"value": 800, "duration_basis": "DAY"}  # no duration
    before, after = before_and_after((unknown, None), (unknown, {"value": 30}))
    assert bridge(before, after) == {
        ("GBP", "opening"): (2, 0),
        ("GBP", "value_up"): (1, 30),
        ("GBP", "deleted"): (1, 0),
        ("GBP", "closing"): (1, 30),
    }


def test_the_deals_behind_the_bars() -> None:
    before, after = before_and_after(
        (None, {"name": "A", "value": 20, "expected_close": "2026-12-01"}),
        ({"name": "B", "value": 50}, {"name": "B2", "value": 65.5, "owner": "ann"}),
        ({"name": "C", "value": 60, "currency": "EUR"}, {"name": "C", "value": 70}),
        ({"name": "D", "value": 3}, {"milestone": "Won", "closed_at": "2026-10-16"}),
        ({"name": "E", "value": 4}, {"milestone": "Lost", "lost_reason": "Price"}),
        ({"name": "F", "value": 5, "owner": "bo", "milestone": "Lead"}, None),
        ({"name": "G", "value": 6, "milestone": "Won"}, {"name": "G", "value": 6}),
    )
    table = history.changed_deals(before, after)
    assert table.columns.tolist() == [
        "opportunity_id", "name", "owner", "currency", "part", "value", "detail",
    ]  # fmt: skip
    shown = ["opportunity_id", "currency", "part", "value", "detail"]
    assert table[shown].to_numpy().tolist() == [
        [3, "EUR", "value_down", -60.0, "EUR 60.00 to GBP 70.00"],
        [1, "GBP", "new", 20.0, "at Proposal, expected 2026-12-01"],
        [7, "GBP", "reopened", 6.0, "was won"],
        [3, "GBP", "value_up", 70.0, "EUR 60.00 to GBP 70.00"],
        [2, "GBP", "value_up", 15.5, "GBP 50.00 to GBP 65.50"],
        [4, "GBP", "won", -3.0, "closed 2026-10-16"],
        [5, "GBP", "lost", -4.0, "Price"],
        [6, "GBP", "deleted", -5.0, "was at Lead"],
    ]
    names = table.set_index("opportunity_id")["name"].to_dict()
    assert names[2] == "B2"  # the newer one
    assert names[6] == "F"  # the last one known
    assert table.set_index("opportunity_id").loc[6, "owner"] == "bo"


def test_a_value_without_end_counts_nothing() -> None:
    before, after = before_and_after(({"value": 1}, {"value": 1}), ({"value": 3}, None))
    endless = before.opportunities.assign(tcv=[1, float("inf")])
    assert bridge(replace(before, opportunities=endless), after) == {
        ("GBP", "opening"): (2, 1),
        ("GBP", "deleted"): (1, 0),
        ("GBP", "closing"): (1, 1),
    }


def test_what_was_compared_is_noted() -> None:
    before, after = before_and_after(({"value": 1}, {"value": 1}))
    table = history.changes(before, after, period=(date(2026, 10, 1), "2026-12-31"))
    assert table.attrs == {
        "before": "2026-10-15",
        "after": "2026-10-16",
        "period": ["2026-10-01", "2026-12-31"],
    }
    assert history.changed_deals(before, after).attrs["period"] is None


def test_two_empty_pipelines_make_an_empty_bridge() -> None:
    before, after = before_and_after((None, None))
    assert history.changes(before, after).empty
    assert history.changed_deals(before, after).empty


@pytest.mark.parametrize(
    "period", [("2026-12-31", "2026-10-01"), ("soon", "later"), ("2026-10-01",), (None, None)]
)
def test_a_period_that_is_none_is_refused(period: Any) -> None:
    before, after = before_and_after(({"value": 1}, {"value": 1}))
    with pytest.raises(ArgumentError, match="period"):
        history.changes(before, after, period=period)


def test_two_accounts_have_no_bridge() -> None:
    before, after = before_and_after(({"value": 1}, {"value": 1}))
    with pytest.raises(ArgumentError, match="'other'"):
        history.changes(before, replace(after, account="other"))


@pytest.mark.parametrize("function", [history.changes, history.changed_deals])
def test_what_is_no_pipeline_is_refused(function: Any) -> None:
    before, after = before_and_after(({"value": 1}, {"value": 1}))
    with pytest.raises(ArgumentError, match="between two pipelines, not NoneType"):
        function(before, None)
    with pytest.raises(ArgumentError, match="between two pipelines, not DataFrame"):
        function(before.opportunities, after)


def test_the_pipelines_are_left_alone() -> None:
    before, after = before_and_after(({"value": 1}, {"value": 2}))
    was = before.opportunities.copy()
    history.changed_deals(before, after)
    pd.testing.assert_frame_equal(before.opportunities, was)


deal = st.fixed_dictionaries(
    {
        "value": st.one_of(
            st.none(), st.integers(-10_000, 10_000_000_00).map(lambda cents: cents / 100)
        ),
        "currency": st.sampled_from(["GBP", "EUR", None]),
        "milestone": st.sampled_from(["Lead", "Contract", "Won", "Lost"]),
        "expected_close": st.sampled_from([None, "2026-09-30", "2026-11-15", "2027-01-01"]),
    }
)
day = st.dictionaries(st.integers(1, 9), deal, max_size=9)


def open_cents(rows: dict[int, Any], currency: str | None, period: object) -> int:
    """Add up in whole cents what is open and, with a period, expected in it."""
    return sum(
        round(row["value"] * 100)
        for row in rows.values()
        if row["currency"] == currency
        and row["milestone"] in {"Lead", "Contract"}
        and row["value"] is not None
        and (period is None or row["expected_close"] == "2026-11-15")
    )


@given(day, day, st.sampled_from([None, YEAR_END]))
@settings(max_examples=40, deadline=None)
def test_the_parts_sum_to_the_closing_of_any_two_pipelines(
    first: dict[int, Any], second: dict[int, Any], period: Any
) -> None:
    before, after = (
        deals([{"id": key, **row} for key, row in rows.items()]) for rows in (first, second)
    )
    table = history.changes(before, after, period=period)
    listed = history.changed_deals(before, after, period=period)
    for currency in ("GBP", "EUR", None):
        of_it = table[
            table["currency"].isna() if currency is None else table["currency"] == currency
        ]
        parts = {row.part: round(row.value * 100) for row in of_it.itertuples()}
        opening, closing = (open_cents(rows, currency, period) for rows in (first, second))
        assert parts.pop("closing", 0) == closing == sum(parts.values())
        assert parts.get("opening", 0) == opening
    sums = listed.groupby("part", observed=False)[["value"]].sum()["value"]
    whole = table.groupby("part", observed=False)["value"].sum().drop(["opening", "closing"])
    pd.testing.assert_series_equal(sums.drop(["opening", "closing"]), whole)
    if period is None:
        assert not {"pulled_in", "pushed_out"} & set(listed["part"])
