"""One account, read over both API versions: the same frame, findings and forecast."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import requests
from sandbox_account import account, deal

import capsule_analytics as ca
from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capsule_analytics import Pipeline

AS_OF = date(2026, 10, 15)
ONLY_V2 = {
    "pipeline", "pipeline_id", "last_open_milestone", "last_open_milestone_id", "lost_reason",
    "counts_for_conversion", "owner_id", "team", "team_id", "party", "last_stage_changed_at",
    "last_contacted_at",
}  # fmt: skip
BOTH = [
    "name", "description", "party_id", "currency", "value", "duration_basis", "duration",
    "expected_close", "milestone", "milestone_id", "probability", "owner", "created_at",
    "updated_at", "closed_at", "tcv", "status",
]  # fmt: skip

Pair = tuple["Pipeline", "Pipeline"]


def load_both(sandbox: Sandbox, **options: Any) -> Pair:
    loaded = []
    for version in ("v1", "v2"):
        with ca.CapsuleClient(
            token=sandbox.token, base_url=sandbox.url, api_version=version
        ) as client:
            loaded.append(ca.load_pipeline(client, as_of=AS_OF, **options))
    return loaded[0], loaded[1]


def read(sandbox: Sandbox, path: str, version: str) -> bytes:
    """Fetch a body as somebody would who saves pages for later."""
    answer = requests.get(
        sandbox.url + path,
        headers={} if version == "v1" else {"Authorization": f"Bearer {sandbox.token}"},
        auth=(sandbox.token, "x") if version == "v1" else None,
        timeout=10,
    )
    answer.raise_for_status()
    return answer.content


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Serve the sample account, flaws included."""
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def both(sandbox: Sandbox) -> Pair:
    return load_both(sandbox)


def test_the_columns_are_the_same(both: Pair) -> None:
    v1, v2 = both
    assert v1.opportunities.columns.tolist() == v2.opportunities.columns.tolist()
    assert set(v1.opportunities.columns) == set(BOTH) | ONLY_V2
    assert v1.opportunities.index.equals(v2.opportunities.index)
    assert len(v1.opportunities) == 602


@pytest.mark.parametrize("column", BOTH)
def test_what_both_versions_know_is_equal(both: Pair, column: str) -> None:
    v1, v2 = (made.opportunities[column] for made in both)
    assert v1.dtype == v2.dtype
    pd.testing.assert_series_equal(v1, v2)
    assert v1.notna().any()


@pytest.mark.parametrize("column", sorted(ONLY_V2))
def test_what_v1_does_not_send_is_missing_there(both: Pair, column: str) -> None:
    v1, v2 = (made.opportunities[column] for made in both)
    assert v1.isna().all()
    assert v2.notna().any()


def told_by_v1(made: ca.Pipeline) -> pd.DataFrame:
    """Leave out the findings that need times which only API v2 tells."""
    issues = made.issues
    return issues[~issues["check"].isin(["stale", "neglected"])].reset_index(drop=True)


def test_the_findings_are_equal_in_what_v1_tells(both: Pair) -> None:
    v1, v2 = both
    pd.testing.assert_frame_equal(v1.issues, told_by_v1(v2))
    assert len(v1.issues) > 20
    assert len(v2.issues) > len(v1.issues)


def test_the_milestones_are_equal_in_what_v1_tells(both: Pair) -> None:
    told = ["name", "description", "probability", "complete"]
    v1, v2 = (made.milestones[told].sort_index() for made in both)
    pd.testing.assert_frame_equal(v1, v2)


@pytest.mark.parametrize("options", [{}, {"by": "owner"}, {"overdue": "roll"}, {"period": "year"}])
def test_the_forecast_is_equal(both: Pair, options: dict[str, Any]) -> None:
    v1, v2 = (ca.forecast.by_month(made, **options) for made in both)
    pd.testing.assert_frame_equal(v1, v2)
    assert v1["expected_value"].sum() > 0


def test_both_are_the_sample_that_ships(both: Pair) -> None:
    sample = ca.load_sample()
    known = sample.opportunities.drop(columns=["tags", "fields", "missing_important_fields"])
    pd.testing.assert_frame_equal(both[1].opportunities, known)
    pd.testing.assert_frame_equal(both[1].issues, sample.issues)
    pd.testing.assert_frame_equal(both[1].milestones, sample.milestones)


def test_filters_select_the_same(sandbox: Sandbox) -> None:
    tag, owner = sandbox.account.tags[0]["name"], sandbox.account.users[1]["username"]
    for options in ({"milestone": "Proposal"}, {"tag": tag}, {"owner": owner}):
        v1, v2 = load_both(sandbox, **options)
        assert 0 < len(v1.opportunities) < 602
        pd.testing.assert_frame_equal(
            v1.opportunities[BOTH], v2.opportunities[BOTH], check_categorical=False
        )
        pd.testing.assert_frame_equal(v1.issues, told_by_v1(v2))


def test_saved_pages_give_the_same_frame(sandbox: Sandbox, both: Pair) -> None:
    v1_pages = [
        read(sandbox, f"/api/opportunity?start={start}&limit=90", "v1")
        for start in range(0, 602, 90)
    ]
    v2_pages = [
        read(sandbox, f"/api/v2/opportunities?page={number}&perPage=100", "v2")
        for number in range(1, 8)
    ]
    first = ca.opportunities_from_pages(
        v1_pages, api_version="v1", milestones=read(sandbox, "/api/opportunity/milestones", "v1")
    )
    second = ca.opportunities_from_pages(
        v2_pages,
        api_version="v2",
        milestones=[
            *(read(sandbox, f"/api/v2/pipelines/{n}/milestones", "v2") for n in (1, 2, 3)),
            read(sandbox, "/api/v2/milestones/18", "v2"),
        ],
    )
    pd.testing.assert_frame_equal(first, both[0].opportunities)
    # Which lost reasons count stands in no page of deals.
    loaded = both[1].opportunities.drop(columns="counts_for_conversion")
    pd.testing.assert_frame_equal(second.drop(columns="counts_for_conversion"), loaded)
    for column in BOTH:
        pd.testing.assert_series_equal(first[column], second[column])
    # The configuration can also come from a pipeline, and pages in any order and twice.
    again = ca.opportunities_from_pages(
        [*reversed(v1_pages), *v1_pages], milestones=both[0].milestones
    )
    pd.testing.assert_frame_equal(again, first)


def test_without_milestones_saved_pages_are_all_open(sandbox: Sandbox) -> None:
    page = read(sandbox, "/api/opportunity?limit=100", "v1")
    frame = ca.opportunities_from_pages([page])
    assert set(frame["status"]) == {"open"}
    assert len(frame) == 100


ODDITIES = [
    {"value": None},
    {"value": {"amount": None, "currency": "EUR"}},
    {"value": {"amount": "12,500", "currency": "GBP"}},
    {"value": {"amount": -5.25, "currency": None}},
    {"value": {"amount": 1e15, "currency": "JPY"}},
    {"value": {"amount": 0.1, "currency": "GBP"}},
    {"name": ""},
    {"name": "a & b <c> \"d\" 'e' 🎯 日本\nf"},
    {"name": None, "description": None, "owner": None, "team": None, "party": None},
    {"owner": None, "team": {"id": 1, "name": "North"}},
    {"expectedCloseOn": None},
    {"expectedCloseOn": "0000-00-00"},
    {"expectedCloseOn": "2019-13-45"},
    {"expectedCloseOn": "2024-02-29"},
    {"closedOn": "never"},
    {"probability": None},
    {"probability": 150},
    {"probability": "most likely"},
    {"probability": 12.5},
    {"durationBasis": "MONTH", "duration": None},
    {"durationBasis": "MONTH", "duration": 0},
    {"durationBasis": "YEAR", "duration": -2},
    {"durationBasis": "DECADE", "duration": 2},
    {"durationBasis": "DAY", "duration": 1.5},
    {"durationBasis": None, "duration": 3},
    {"milestone": None},
    {"milestone": {"id": 4711, "name": "Scoping"}},
    {"milestone": {"id": 5, "name": "Bid"}},
    {"updatedAt": None, "createdAt": "yesterday"},
    {"updatedAt": "2026-03-01T01:30:00+02:00"},
]


def test_odd_records_are_read_and_found_alike() -> None:
    data = account()
    data["opportunities"] = [
        deal(number, f"Deal {number}") | odd for number, odd in enumerate(ODDITIES, start=1)
    ]
    with Sandbox(data) as sandbox:
        v1, v2 = load_both(sandbox)
    for column in BOTH:
        pd.testing.assert_series_equal(v1.opportunities[column], v2.opportunities[column])
    # Only v1 knows the account's own currencies; v2 lists the same ones to every account.
    foreign = v1.issues["check"] == "unknown_currency"
    assert v1.issues.loc[foreign, "opportunity_id"].tolist() == [5]
    pd.testing.assert_frame_equal(v1.issues[~foreign].reset_index(drop=True), v2.issues)
    pd.testing.assert_frame_equal(ca.forecast.by_month(v1), ca.forecast.by_month(v2))
    assert len(v1.opportunities) == len(ODDITIES)
    assert v1.opportunities["name"].loc[8] == ODDITIES[7]["name"]


def test_text_in_place_of_a_number_is_told_by_v2_alone() -> None:
    data = account()
    data["opportunities"] = [deal(1, "Typed in", value={"amount": "1250.50", "currency": "GBP"})]
    with Sandbox(data) as sandbox:
        v1, v2 = load_both(sandbox)
    assert v1.opportunities["tcv"].tolist() == v2.opportunities["tcv"].tolist() == [1250.5]
    told = [made.issues["check"].eq("text_number").sum() for made in (v1, v2)]
    assert told == [0, 1]  # in XML everything is text


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_one_version_writes_the_other_reads(version: str) -> None:
    with Sandbox(account()) as sandbox:
        with ca.CapsuleClient(
            token=sandbox.token, base_url=sandbox.url, api_version=version
        ) as client:
            client.create_opportunity(
                10, name="Both 🎯 & <more>", milestone="Lead", value="99.99", currency="EUR"
            )
            client.update_opportunity(101, milestone="Won")
            client.delete_opportunity(102)
        v1, v2 = load_both(sandbox)
    for column in BOTH:
        pd.testing.assert_series_equal(v1.opportunities[column], v2.opportunities[column])
    frame = v1.opportunities
    assert frame["name"].tolist()[-1] == "Both 🎯 & <more>"
    assert frame["status"].loc[101] == "won"
    assert 102 not in frame.index
