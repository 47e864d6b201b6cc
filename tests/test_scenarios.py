"""Forecast categories: commit, best case and pipeline."""

from __future__ import annotations

from typing import Any

import duckdb
import pandas as pd
import pytest
from deals import deals

from capsule_analytics.errors import ArgumentError
from capsule_analytics.scenarios import by_category

OCTOBER = "2026-10-20"
DEALS = [
    {"value": 100, "milestone": "Won", "closed_at": "2026-10-05", "owner": "ann"},
    {"value": 20, "probability": 90, "expected_close": OCTOBER, "owner": "ann"},
    {"value": 7, "probability": 80, "expected_close": OCTOBER, "owner": "bob"},
    {"value": 3, "probability": 50, "expected_close": OCTOBER, "owner": "bob"},
    {"value": 1, "probability": 49, "expected_close": OCTOBER, "owner": "bob"},
    {"value": 999, "milestone": "Lost", "closed_at": "2026-10-05"},
]
NAMES = ("won", "commit", "best_case", "pipeline")


def amounts(rows: list[dict[str, Any]], **options: Any) -> list[float]:
    (row,) = by_category(deals(rows), **options).to_dict("records")
    return [row[f"{name}_value"] for name in NAMES]


def test_categories_add_up_from_the_surest_to_all_that_is_open() -> None:
    table = by_category(deals(DEALS))
    measures = [f"{name}_{what}" for name in NAMES for what in ("deals", "value")]
    assert list(table.columns) == ["month", "currency", *measures]
    # Won 100; 90 % and 80 % commit; 50 % is best case, 49 % pipeline alone.
    assert table[measures].to_numpy().tolist() == [[1, 100, 3, 127, 4, 130, 4, 31]]
    assert table["month"].astype(str).tolist() == ["2026-10"]
    assert table.attrs == {
        "as_of": "2026-10-15",
        "overdue": "keep",
        "account": "test",
        "thresholds": {"commit": 0.8, "best_case": 0.5},
    }


def test_thresholds_can_be_others() -> None:
    assert amounts(DEALS, thresholds={"commit": 0.9, "best_case": 0.8}) == [100, 120, 127, 31]
    assert amounts(DEALS, thresholds={"commit": 0.5, "best_case": 0.5}) == [100, 130, 130, 31]


def test_other_probabilities_change_the_category_and_never_the_amount() -> None:
    assert amounts(DEALS, probability=pd.Series({2: 0.1, 5: 0.95})) == [100, 108, 111, 31]


def test_a_deal_without_a_known_probability_is_in_the_pipeline_alone() -> None:
    unknown = {"value": 5, "milestone": "Unheard of", "expected_close": OCTOBER}
    assert amounts([unknown]) == [0, 0, 0, 5]


def test_a_deal_of_unknown_value_is_counted_and_adds_nothing() -> None:
    table = by_category(deals([{"value": None, "probability": 90, "expected_close": OCTOBER}]))
    assert table[["commit_deals", "commit_value"]].to_numpy().tolist() == [[1, 0]]


def test_by_owner_and_undated_deals_last() -> None:
    undated = {"value": 2, "probability": 90, "expected_close": None, "owner": "ann"}
    table = by_category(deals([undated, *DEALS]), by="owner", period="quarter")
    assert table["quarter"].isna().tolist() == [False, False, True]
    assert table["owner"].tolist() == ["ann", "bob", "ann"]
    assert table["commit_value"].tolist() == [120, 7, 2]


def test_grouping_by_capsules_pipelines_and_forecast_category_pipeline_do_not_clash() -> None:
    table = by_category(deals(DEALS), by="pipeline")
    assert table["pipeline"].tolist() == ["Sales"]
    assert table["pipeline_value"].tolist() == [31]


def test_overdue_deals_follow_the_policy() -> None:
    late = [{"value": 8, "probability": 90, "expected_close": "2026-09-01"}, DEALS[0]]
    rolled = by_category(deals(late), overdue="roll")
    assert rolled["commit_value"].tolist() == [108]
    assert by_category(deals(late), overdue="drop")["commit_value"].tolist() == [100]


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"commit": 0.8}, "commit and best_case"),
        ({"commit": 0.8, "best_case": 0.5, "upside": 0.2}, "commit and best_case"),
        ({"commit": 0.5, "best_case": 0.8}, "best_case <= commit"),
        ({"commit": 80, "best_case": 50}, "<= 1"),
        ({"commit": "0.8", "best_case": 0.5}, "<= 1, not"),
        (0.3, "commit and best_case, not 0.3"),
    ],
)
def test_wrong_thresholds_are_refused(thresholds: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        by_category(deals(DEALS), thresholds=thresholds)


def test_deals_that_are_not_in_memory_are_refused() -> None:
    with duckdb.connect() as connection:
        relation = connection.from_df(deals(DEALS).opportunities.reset_index())
        with pytest.raises(ArgumentError, match=r"pandas frame .* not duckdb\.DuckDBPyRelation"):
            by_category(relation)


def test_no_deals_give_an_empty_table() -> None:
    assert by_category(deals([])).empty
