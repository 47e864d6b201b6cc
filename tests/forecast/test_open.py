"""The open pipeline by milestone and by age, added up by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from deals import deals

from capsule_analytics import forecast, plot
from capsule_analytics.errors import ArgumentError

# As of 15 October 2026.
ROWS = [
    {"value": 1000, "probability": 50, "created_at": "2026-09-16T09:00:00Z"},
    {"value": 3000, "probability": 50, "created_at": "2026-09-15T23:59:59Z",
     "expected_close": "2026-10-14"},
    {"value": None, "probability": 50, "created_at": "2025-10-15T00:00:00Z"},
    {"value": 70, "milestone": "Contract", "probability": 90, "currency": "EUR"},
    {"value": 9, "milestone": "Somewhere", "currency": None, "created_at": "2027-01-01T00:00:00Z"},
    {"value": 500, "milestone": "Won", "closed_at": "2026-10-02"},
]  # fmt: skip


def rows(table: pd.DataFrame, *names: str) -> list[list[object]]:
    """Give the rows that have deals; what is missing is None."""
    held = table[table["open_deals"] > 0][list(names)].astype(object)
    return held.where(held.notna(), None).to_numpy().tolist()


def test_every_open_deal_stands_at_its_milestone_the_overdue_too() -> None:
    table = forecast.open_by_milestone(deals(ROWS))
    assert rows(table, "currency", "milestone", "configured", "open_deals", "open_value",
                "weighted_value", "overdue_deals", "overdue_value") == [
        ["GBP", "Proposal", True, 3, 4000.0, 2000.0, 1, 3000.0],
        ["EUR", "Contract", True, 1, 70.0, 63.0, 0, 0.0],
        [None, "Somewhere", False, 1, 9.0, 0.0, 0, 0.0],
    ]  # fmt: skip
    # A row for each of three currencies and three milestones, and for the one not configured.
    assert len(table) == 10
    assert table["milestone"].tolist()[-4:] == ["Lead", "Proposal", "Contract", "Somewhere"]
    assert table.attrs == {"as_of": "2026-10-15", "account": "test"}


def test_other_probabilities_weigh() -> None:
    table = forecast.open_by_milestone(deals(ROWS), probability=pd.Series({1: 0.25}))
    assert table["weighted_value"].sum() == 250 + 1500 + 63
    with pytest.raises(ArgumentError, match="from 0 to 1"):
        forecast.open_by_milestone(deals(ROWS), probability=pd.Series({1: 25.0}))


def test_ages_begin_at_whole_days() -> None:
    """30 days old on 15 October is what was entered on 15 September, at any hour."""
    table = forecast.open_by_age(deals(ROWS))
    assert rows(table, "age", "currency", "milestone", "open_deals", "open_value") == [
        ["under 30", "GBP", "Proposal", 1, 1000.0],
        ["under 30", None, "Somewhere", 1, 9.0],
        ["30-89", "GBP", "Proposal", 1, 3000.0],
        ["365+", "GBP", "Proposal", 1, 0.0],
        [None, "EUR", "Contract", 1, 70.0],
    ]
    assert table["age"].cat.categories.tolist() == list(forecast.AGES)


def test_both_add_up_to_the_forecast() -> None:
    pipeline = deals(ROWS)
    whole = forecast.by_month(pipeline)[["open_deals", "open_value", "weighted_value"]].sum()
    for table in (forecast.open_by_milestone(pipeline), forecast.open_by_age(pipeline)):
        pd.testing.assert_series_equal(table[list(whole.index)].sum(), whole)


def test_no_open_deals_is_an_empty_table() -> None:
    for pipeline in (deals([]), deals(ROWS[-1:])):
        assert forecast.open_by_milestone(pipeline).empty
        assert forecast.open_by_age(pipeline).empty


def test_milestones_of_one_name_in_two_pipelines_are_two() -> None:
    both = deals(ROWS)
    extra = both.milestones.iloc[[1]].assign(pipeline="Renewals")
    frame = both.opportunities
    moved = frame.assign(
        pipeline=frame["pipeline"].astype(object).where(frame.index != 1, "Renewals")
    )
    pipeline = replace(
        both, milestones=pd.concat([both.milestones, extra]), opportunities=moved
    )  # fmt: skip
    table = forecast.open_by_milestone(pipeline)
    assert rows(table[table["currency"] == "GBP"], "pipeline", "milestone", "open_deals") == [
        ["Sales", "Proposal", 2],
        ["Renewals", "Proposal", 1],
    ]


def test_the_charts_take_the_tables() -> None:
    pipeline = deals(ROWS)
    by_milestone, by_age = forecast.open_by_milestone(pipeline), forecast.open_by_age(pipeline)
    for draw, table in ((plot.milestones, by_milestone), (plot.ageing, by_age)):
        figure, axes = draw(table)
        again, same = draw(pipeline)
        assert [t.get_text() for ax in axes for t in ax.texts] == [
            t.get_text() for ax in same for t in ax.texts
        ]
        assert figure.texts[0].get_text() == again.texts[0].get_text()
    with pytest.raises(ArgumentError, match="open_by_age"):
        plot.ageing(by_milestone)
