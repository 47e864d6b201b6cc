"""`load_sample`: the shipped account in the frame, its flaws read as flaws."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics import sample
from capsule_analytics.errors import ArgumentError
from capsule_analytics.load import select

FLAWS = {
    1466: {"negative_duration"},
    1470: {"missing_close_date"},
    1472: {"missing_value"},
    1477: {"missing_name"},
    1488: {"not_a_number", "missing_value"},  # "12,500"
    1489: {"bad_date", "missing_close_date"},  # 0000-00-00
    1506: {"negative_value"},
    1547: {"missing_duration"},
    1554: {"unknown_currency"},
    1575: {"milestone_probability"},
    1579: {"bad_date", "missing_close_date"},  # 2019-13-45
    1580: {"missing_close_date"},
    1591: {"unknown_milestone"},
    1597: {"missing_value"},
    1598: {"probability_out_of_range", "milestone_probability"},  # 150 %
    1603: {"missing_close_date"},
    1606: {"zero_duration"},
    1619: {"missing_currency"},
}


@pytest.fixture(scope="module")
def pipeline() -> ca.Pipeline:
    return ca.load_sample()


def test_it_is_the_account_that_the_readme_describes(pipeline: ca.Pipeline) -> None:
    assert repr(pipeline).startswith(
        "<Pipeline of Tarn & Reed Consulting Ltd as of 2026-10-15: 164 open, 216 won, 222 lost;"
    )
    assert pipeline.loaded_at == pd.Timestamp("2026-10-15", tz="UTC")
    pipelines = pipeline.milestones["pipeline"].unique().tolist()
    assert pipelines == ["Sales", "Retainers and licences", "Pilots 2024"]
    assert pipeline.opportunities["currency"].value_counts().to_dict() == {
        "GBP": 418,
        "EUR": 101,
        "USD": 45,
        "CHF": 35,
        "XXX": 1,
    }


def test_each_flaw_is_found_and_nothing_else_is(pipeline: ca.Pipeline) -> None:
    by_day = pipeline.issues["check"].isin(["overdue", "stale", "neglected"])
    found = pipeline.issues[~by_day].groupby("opportunity_id")["check"].agg(set).to_dict()
    assert found == FLAWS
    counts = pipeline.issues.loc[by_day, "check"].value_counts().to_dict()
    assert counts == {"overdue": 39, "stale": 84, "neglected": 105}


def test_stale_and_neglected_deals_are_counted_from_the_file(pipeline: ca.Pipeline) -> None:
    """Once more, deal by deal, from the dates as they stand there."""
    frame, limits = pipeline.opportunities, pipeline.milestones["days_until_stale"]
    stale, neglected = set(), set()
    for number, deal in frame[frame["status"] == "open"].iterrows():
        stood = (pipeline.as_of - deal["last_stage_changed_at"].date()).days
        limit = limits.get(deal["milestone_id"])
        if not pd.isna(limit) and stood > limit:
            stale.add(number)
        never = pd.isna(deal["last_contacted_at"])
        last = deal["created_at"] if never else deal["last_contacted_at"]
        if (pipeline.as_of - last.date()).days > 30:
            neglected.add(number)
    assert set(ca.quality.stale(pipeline)["opportunity_id"]) == stale
    assert set(ca.quality.neglected(pipeline)["opportunity_id"]) == neglected


@pytest.mark.parametrize(
    ("key", "column", "value"),
    [
        (1488, "value", None),
        (1489, "expected_close", None),
        (1466, "tcv", -9400.0),  # 4,700 a week for -2 weeks
        (1506, "tcv", -4750.0),
        (1547, "tcv", None),  # 3,150 a month for nobody knows how long
        (1606, "tcv", 0.0),
        (1575, "probability", 0.7),  # that of Negotiation
        (1598, "probability", 0.5),  # that of Proposal
        (1591, "milestone", "Scoping"),
        (1591, "status", "open"),
        (1486, "owner", None),
        (1486, "team", "Overseas accounts"),
        (1558, "party", None),
        (1619, "currency", None),
        (1477, "name", None),
        (1601, "tags", None),
    ],
)
def test_a_flaw_leaves_the_rest_of_the_record(
    pipeline: ca.Pipeline, key: int, column: str, value: Any
) -> None:
    got = pipeline.opportunities[column].loc[key]
    assert pd.isna(got) if value is None else got == value


def test_awkward_names_survive(pipeline: ca.Pipeline) -> None:
    names = pipeline.opportunities["name"]
    assert "\n" in names.loc[1448]
    assert names.loc[1531].startswith("=")
    assert names.loc[1336].startswith("需要")
    assert names.loc[1587].startswith("🚀")
    assert "&" in names.loc[1476]
    assert "<" in names.loc[1539]


def test_tags_and_fields_are_there(pipeline: ca.Pipeline) -> None:
    frame = pipeline.opportunities
    present = frame["tags"].dropna()
    assert len(present) == 601
    assert {type(tags) for tags in present} == {tuple}
    assert {type(fields) for fields in frame["fields"].dropna()} == {dict}


def test_another_day_sees_other_deals_as_overdue(pipeline: ca.Pipeline) -> None:
    earlier = ca.load_sample(as_of=date(2026, 1, 1))
    assert earlier.as_of == date(2026, 1, 1)
    assert (earlier.issues["check"] == "overdue").sum() == 2
    pd.testing.assert_frame_equal(earlier.opportunities, pipeline.opportunities)


def test_each_load_is_a_pipeline_of_its_own() -> None:
    first = ca.load_sample()
    first.opportunities["value"] = 0.0
    assert ca.load_sample().opportunities["value"].sum() > 0


def test_the_files_are_where_they_are_said_to_be() -> None:
    assert sample.account_path().is_file()
    assert (sample.sample_folder() / "snapshots.json").is_file()


def test_an_owner_of_an_account_without_deals(pipeline: ca.Pipeline) -> None:
    empty = replace(pipeline, opportunities=pipeline.opportunities.iloc[:0])
    with pytest.raises(ArgumentError, match=r"no deal has the owner 'ann'; there are none$"):
        select(empty, owner="ann")


def test_who_changes_a_sample_changes_it_for_nobody_else() -> None:
    """It is read once, and given out as copies."""
    for load in (ca.load_sample, lambda: ca.history.sample_history()[0]):
        before, mine = load(), load()
        frame = mine.opportunities
        next(fields for fields in frame["fields"] if fields)["Users"] = -1
        frame["tcv"] = 0.0
        mine.milestones["name"] = "changed"
        mine.issues["detail"] = "changed"
        after = load()
        for name in ("opportunities", "milestones", "issues"):
            pd.testing.assert_frame_equal(getattr(after, name), getattr(before, name))
