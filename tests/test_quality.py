"""Data quality: each check by the smallest example that it finds, and by one that it passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from deals import deals

from capsule_analytics import quality
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import RAW_NAMES, Pipeline

# A deal that nothing is wrong with, seen on 2026-10-15.
SOUND: dict[str, Any] = {
    "name": "Website",
    "value": 1000,
    "currency": "GBP",
    "expected_close": "2026-11-30",
    "milestone": "Proposal",
    "milestone_id": 2,
    "probability": 50,
    "duration_basis": "FIXED",
    "owner": "sarah",
    "created_at": "2026-01-05T09:00:00Z",
    "updated_at": "2026-01-05T09:00:00Z",
}


def findings(made: Pipeline) -> list[tuple[int, str, str, str]]:
    return list(made.issues.itertuples(index=False, name=None))


def test_a_sound_deal_has_no_finding() -> None:
    assert findings(deals([SOUND])) == []


@pytest.mark.parametrize(
    ("flaw", "check", "severity", "detail"),
    [
        ({"name": None}, "missing_name", "info", "the opportunity has no name"),
        ({"name": ""}, "missing_name", "info", "the opportunity has no name"),
        ({"value": None}, "missing_value", "error", "counts with no value"),
        ({"value": -4750}, "negative_value", "warning", "value -4750.00 GBP"),
        (
            {"currency": None},
            "missing_currency",
            "error",
            "value 1000.00 in an unknown currency",
        ),
        ({"currency": "gbp"}, "unknown_currency", "warning", "currency gbp"),
        (
            {"duration_basis": "MONTH"},
            "missing_duration",
            "error",
            "basis MONTH without a duration: total contract value unknown",
        ),
        (
            {"duration_basis": "MONTH", "duration": -2},
            "negative_duration",
            "error",
            "duration -2",
        ),
        (
            {"duration_basis": "DAY", "duration": 0},
            "zero_duration",
            "warning",
            "basis DAY with duration 0 is worth nothing",
        ),
        (
            {"duration_basis": "DECADE", "duration": 1},
            "unknown_duration_basis",
            "error",
            "basis DECADE",
        ),
        (
            {"milestone": "Scoping", "milestone_id": 4711},
            "unknown_milestone",
            "error",
            "milestone Scoping (id 4711) is not in the configuration: counted as open",
        ),
        (
            {"milestone": None, "milestone_id": None},
            "unknown_milestone",
            "error",
            "milestone none (id none) is not in the configuration: counted as open",
        ),
        ({"expected_close": None}, "missing_close_date", "warning", "in no month of the forecast"),
        (
            {"probability": None},
            "milestone_probability",
            "info",
            "none of its own: its milestone's 50% is used",
        ),
        (
            {"expected_close": "2026-10-14"},
            "overdue",
            "warning",
            "open, but expected to close on 2026-10-14",
        ),
        ({"value": True}, "not_a_number", "error", "value is True"),
        ({"value": "1000"}, "text_number", "warning", "value is text: '1000'"),
        ({"owner": 7}, "not_text", "warning", "owner is 7"),
        ({"created_at": "yesterday"}, "bad_date", "error", "created_at is 'yesterday'"),
        ({"probability": 150}, "probability_out_of_range", "error", "150 %"),
        ({"id": None}, "missing_id", "error", "kept under a negative number"),
    ],
)
def test_each_flaw_is_found_and_nowhere_else(
    flaw: dict[str, Any], check: str, severity: str, detail: str
) -> None:
    made = deals([SOUND, SOUND | flaw])
    key = -1 if check == "missing_id" else 2
    assert (key, check, severity, detail) in findings(made)
    assert {row[0] for row in findings(made)} == {key}
    assert len(made.opportunities) == 2  # flagged, and kept


def test_a_flaw_is_told_once_unless_it_is_several() -> None:
    assert [row[1] for row in findings(deals([SOUND | {"value": -1}]))] == ["negative_value"]
    both = [row[1] for row in findings(deals([SOUND | {"value": "12k", "probability": 101}]))]
    # 12k leaves no value, and 101 % leaves none of its own.
    assert both == [
        "milestone_probability",
        "missing_value",
        "not_a_number",
        "probability_out_of_range",
    ]


def test_no_probability_at_all() -> None:
    made = deals([SOUND | {"milestone": "?", "milestone_id": None, "probability": None}])
    assert [row[1:3] for row in findings(made)] == [
        ("missing_probability", "error"),
        ("unknown_milestone", "error"),
    ]


def test_the_newest_of_a_duplicate_is_named() -> None:
    made = deals([SOUND | {"id": 7}, SOUND | {"id": 7}, SOUND | {"id": 8}])
    assert findings(made) == [(7, "duplicate_id", "warning", "2 records; newest kept")]


def test_a_currency_is_held_against_those_of_the_account() -> None:
    rows = [SOUND | {"currency": code} for code in ("GBP", "XXX", "gbp")]
    listed = deals(rows, currencies=("GBP", "EUR"))
    assert [row[:2] for row in findings(listed)] == [
        (2, "unknown_currency"),
        (3, "unknown_currency"),
    ]
    # Where the account's are not known, three capitals pass.
    assert [row[:2] for row in findings(deals(rows))] == [(3, "unknown_currency")]


def test_a_missing_currency_of_no_value_is_not_told_twice() -> None:
    made = deals([SOUND | {"value": None, "currency": None}])
    assert [row[1] for row in findings(made)] == ["missing_value"]


@pytest.mark.parametrize("milestone", ["Won", "Lost"])
def test_what_is_closed_is_neither_overdue_nor_without_a_probability(milestone: str) -> None:
    closed = SOUND | {"milestone": milestone, "milestone_id": None, "probability": None}
    assert findings(deals([closed | {"expected_close": "2020-01-01"}])) == []


def test_a_won_deal_needs_one_of_two_dates_and_a_lost_one_none() -> None:
    won = SOUND | {"milestone": "Won", "milestone_id": 4, "expected_close": None}
    lost = SOUND | {"milestone": "Lost", "milestone_id": 5, "expected_close": None}
    made = deals([won, won | {"closed_at": "2026-09-01"}, lost])
    assert [row[:2] for row in findings(made)] == [(1, "missing_close_date")]


@pytest.mark.parametrize(
    ("as_of", "late"),
    [
        (date(2026, 11, 29), False),
        (date(2026, 11, 30), False),  # the day itself is not late
        (date(2026, 12, 1), True),
    ],
)
def test_overdue_begins_the_day_after(as_of: date, late: bool) -> None:
    made = deals([SOUND, SOUND | {"expected_close": None}], as_of=as_of)
    assert quality.overdue(made.opportunities, as_of).tolist() == [late, False]
    assert ("overdue" in made.issues["check"].tolist()) is late


def test_a_fixed_price_needs_no_duration() -> None:
    for flaw in ({"duration_basis": None}, {"duration": 0}, {"duration": -1}):
        assert findings(deals([SOUND | flaw])) == []


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("value", [None, "", "{value}", "{0}"])
def test_records_of_nothing_break_no_check(typed: bool, value: Any) -> None:
    made = deals([dict.fromkeys(RAW_NAMES, value)] * 3, typed=typed)
    assert len(made.opportunities) == 3
    checks = made.issues.groupby("check").size()
    for check in ("missing_id", "missing_value", "unknown_milestone", "missing_close_date"):
        assert checks[check] == 3
    assert not made.issues.isna().any(axis=None)


def test_braces_in_a_name_are_shown_as_they_are() -> None:
    made = deals([SOUND | {"milestone": "{value} {x}", "milestone_id": None}])
    assert findings(made)[0][3].startswith("milestone {value} {x} (id none)")


def test_the_table_has_one_shape_with_and_without_findings() -> None:
    for made in (deals([]), deals([SOUND]), deals([SOUND | {"value": None}])):
        assert made.issues.columns.tolist() == ["opportunity_id", "check", "severity", "detail"]
        assert [str(dtype) for dtype in made.issues.dtypes] == ["Int64", *["string"] * 3]
        assert isinstance(made.issues.index, pd.RangeIndex)


def test_findings_are_ordered_by_opportunity_and_check() -> None:
    rows = [SOUND | {"id": 9, "value": None, "name": None}, SOUND | {"id": 3, "value": -1}]
    assert [row[:2] for row in findings(deals(rows))] == [
        (3, "negative_value"),
        (9, "missing_name"),
        (9, "missing_value"),
    ]


def test_every_check_has_a_severity_and_a_name_of_its_own() -> None:
    names = [check.name for check in quality.CHECKS]
    assert len(names) == len(set(names))
    assert not set(names) & set(quality.SEVERITIES)
    severities = {check.severity for check in quality.CHECKS} | set(quality.SEVERITIES.values())
    assert severities == {"error", "warning", "info"}


def test_the_checks_change_nothing() -> None:
    pipeline = deals([SOUND | {"value": -1}])
    frame = pipeline.opportunities.assign(own_probability=0.5, milestone_known=True)
    before = frame.copy(deep=True)
    quality.check(frame, [], pipeline.milestones, ["GBP"], date(2026, 10, 15))
    pd.testing.assert_frame_equal(frame, before)


def stands(since: str | None, **more: Any) -> dict[str, Any]:
    """Write out a deal that came to its milestone on a day, Proposal unless told otherwise."""
    return SOUND | {"last_stage_changed_at": since} | more


def with_limits(rows: list[dict[str, Any]]) -> Pipeline:
    """Build a pipeline whose Proposal allows 30 days, and whose Lead tells no limit."""
    made = deals(rows)
    limits = made.milestones.assign(
        days_until_stale=pd.array([None, 30, 10, None, None], dtype="Int64")
    )
    return replace(made, milestones=limits)


def test_stale_deals_stand_longer_than_their_milestone_allows() -> None:
    pipeline = with_limits(
        [
            stands("2026-09-15T23:59:59Z", name="A"),  # 30 days before 15 October: still allowed
            stands("2026-09-14T23:59:59Z", name="B"),  # 31
            stands("2026-09-30T08:00:00Z", name="C", milestone="Contract", milestone_id=3),  # 15
            stands("2026-01-01T00:00:00Z", name="D", milestone="Lead", milestone_id=1),
            stands("2026-01-01T00:00:00Z", name="E", milestone="Lost", milestone_id=5),
            stands(None, name="F"),
            # Whatever was edited since, it stands where it stood.
            stands("2026-08-31T10:00:00Z", name="G", updated_at="2026-10-14T09:00:00Z"),  # 45
        ]
    )
    table = quality.stale(pipeline)
    columns = ["opportunity_id", "name", "days", "days_until_stale", "days_over"]
    assert table[columns].to_numpy().tolist() == [
        [7, "G", 45, 30, 15],
        [3, "C", 15, 10, 5],
        [2, "B", 31, 30, 1],
    ]
    found = quality.run(
        [check for check in quality.CHECKS if check.name == "stale"],
        quality.Context(pipeline.opportunities, pipeline.milestones, pipeline.as_of),
    )
    assert found == [
        (2, "stale", "info", "at Proposal since 2026-09-14, longer than the milestone allows"),
        (3, "stale", "info", "at Contract since 2026-09-30, longer than the milestone allows"),
        (7, "stale", "info", "at Proposal since 2026-08-31, longer than the milestone allows"),
    ]


def test_nothing_is_stale_where_no_limit_is_told() -> None:
    old = deals([stands("2020-01-01T00:00:00Z")])
    assert quality.stale(old).empty
    assert quality.stale(replace(old, milestones=old.milestones.reset_index(drop=True))).empty
    assert quality.stale(deals([])).empty


def test_neglected_deals_are_those_whose_customer_hears_nothing() -> None:
    pipeline = deals(
        [
            SOUND | {"name": "A", "last_contacted_at": "2026-09-15T10:00:00Z"},  # 30 days
            SOUND | {"name": "B", "last_contacted_at": "2026-09-14T10:00:00Z"},  # 31
            SOUND | {"name": "C", "created_at": "2026-08-06T10:00:00Z"},  # never; 70 days old
            SOUND | {"name": "D", "created_at": "2026-10-01T10:00:00Z"},  # never; 14 days old
            SOUND | {"name": "E", "milestone": "Won", "milestone_id": 4}
            | {"last_contacted_at": "2025-01-01T10:00:00Z"},
        ]
    )  # fmt: skip
    table = quality.neglected(pipeline)
    assert table[["name", "days"]].to_numpy().tolist() == [["C", 70], ["B", 31]]
    assert quality.neglected(pipeline, days=69)["name"].tolist() == ["C"]
    assert quality.neglected(pipeline, days=70).empty
    assert [row for row in findings(pipeline) if row[1] == "neglected"] == [
        (2, "neglected", "info",
         "last contact with the customer: 2026-09-14; entered on 2026-01-05"),
        (3, "neglected", "info", "last contact with the customer: none; entered on 2026-08-06"),
    ]  # fmt: skip
    with pytest.raises(ArgumentError, match="0 or more, not -1"):
        quality.neglected(pipeline, days=-1)


def test_nobody_is_neglected_where_no_contact_is_told() -> None:
    assert quality.neglected(deals([SOUND])).empty
