"""The sandbox over API v2: JSON, bearer token, paging by page and perPage."""

from __future__ import annotations

import json
import math
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_account import SARAH, account, deal

from capsule_analytics.errors import ArgumentError, DataError, TransportError
from capsule_analytics.sample import account_path
from capsule_analytics.sandbox import Account, Fault, Hook, Sandbox, app

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, 12, 0, 0, 750_000, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Account(account(), clock=lambda: NOW)) as running:
        yield running


def call(sandbox: Sandbox, method: str, path: str, body: Any = None) -> requests.Response:
    return requests.request(
        method,
        sandbox.url + "/api/v2" + path,
        json=body,
        headers={"Authorization": "Bearer " + sandbox.token},
        timeout=5,
    )


def call_v1(sandbox: Sandbox, path: str) -> requests.Response:
    return requests.get(sandbox.url + "/api" + path, auth=(sandbox.token, "x"), timeout=5)


def read(sandbox: Sandbox, path: str) -> Any:
    answer = call(sandbox, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(sandbox: Sandbox, request: bytes) -> bytes:
    """Send bytes, and read what comes back until the server closes the connection."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            return answer.read()


def ids(body: Any) -> list[int]:
    return [record["id"] for record in body["opportunities"]]


def search(sandbox: Sandbox, *conditions: Any, **other: Any) -> list[int]:
    body = {"filter": {"conditions": list(conditions)} | other}
    answer = call(sandbox, "POST", "/opportunities/filters/results", body)
    assert answer.status_code == 200, answer.text
    return ids(answer.json())


def where(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


def test_a_record_is_served_as_it_is_stored(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/opportunities/106")
    stored = account()["opportunities"][5]
    hidden = {"tags", "fields"}
    expected = {key: value for key, value in stored.items() if key not in hidden}
    assert answer.json() == {"opportunity": expected}
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"


def test_tags_and_fields_are_shown_when_embedded(sandbox: Sandbox) -> None:
    plain = read(sandbox, "/opportunities/102")["opportunity"]
    assert plain.keys().isdisjoint({"tags", "fields"})
    full = read(sandbox, "/opportunities/102?embed=tags,fields,party,milestone")["opportunity"]
    assert full == plain | {"tags": [{"id": 1, "name": "key account"}], "fields": []}
    missing = read(sandbox, "/opportunities/102?embed=missingImportantFields")["opportunity"]
    assert missing == plain | {"missingImportantFields": False}


def test_pages_follow_the_link_to_the_end(sandbox: Sandbox) -> None:
    url = sandbox.url + "/api/v2/opportunities?perPage=4&embed=tags"
    seen, more = [], []
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer " + sandbox.token
        while url:
            answer = session.get(url, timeout=5)
            seen.append(ids(answer.json()))
            more.append(answer.headers["X-Pagination-Has-More"])
            assert "tags" in answer.json()["opportunities"][0]
            url = answer.links.get("next", {}).get("url", "")
    assert seen == [[101, 102, 103, 104], [105, 106]]
    assert more == ["true", "false"]


def test_a_page_beyond_the_end_is_empty(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/opportunities?page=3&perPage=3")
    assert ids(answer.json()) == []
    assert answer.headers["X-Pagination-Has-More"] == "false"


def test_a_page_cap_moves_the_offsets_too() -> None:
    with Sandbox(account(), page_limit=2) as capped:
        pages = [ids(read(capped, f"/opportunities?perPage=100&page={n}")) for n in (1, 2, 3, 4)]
    assert pages == [[101, 102], [103, 104], [105, 106], []]


def test_fifty_a_page_unless_asked(sandbox: Sandbox) -> None:
    for number in range(200, 260):
        sandbox.account.put(deal(number, f"Deal {number}"))
    assert len(ids(read(sandbox, "/opportunities"))) == 50
    assert len(ids(read(sandbox, "/opportunities?perPage=100"))) == 66


@pytest.mark.parametrize("query", ["page=0", "page=x", "perPage=0", "perPage=101"])
def test_a_parameter_that_makes_no_sense_is_refused(sandbox: Sandbox, query: str) -> None:
    answer = call(sandbox, "GET", "/opportunities?" + query)
    assert answer.status_code == 400
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-02-10T12:29:59Z", [102, 103]),
        ("2026-02-10T12:30:00Z", [103]),
        ("2026-02-10T13:29:59%2B01:00", [102, 103]),
        ("2026-02-10T13:29:59+01:00", [102, 103]),
        ("2026-02-11", [103]),
    ],
)
def test_since_means_changed_after(sandbox: Sandbox, since: str, expected: list[int]) -> None:
    assert ids(read(sandbox, f"/opportunities?since={since}")) == expected


def test_opportunities_of_a_party(sandbox: Sandbox) -> None:
    assert ids(read(sandbox, "/parties/10/opportunities")) == [101, 102, 103, 104, 106]
    assert ids(read(sandbox, "/parties/12/opportunities")) == [101]
    assert call(sandbox, "GET", "/parties/99/opportunities").status_code == 404


def test_several_by_id(sandbox: Sandbox) -> None:
    assert ids(read(sandbox, "/opportunities/104,101,999")) == [104, 101]
    assert call(sandbox, "GET", "/opportunities/101,x").status_code == 404
    assert len(ids(read(sandbox, "/opportunities/1,2,3,4,5,6,101,102,103,104"))) == 4
    refused = call(sandbox, "GET", "/opportunities/1,2,3,4,5,6,7,8,9,10,11")
    assert (refused.status_code, refused.json()) == (422, {"message": "Too many ids"})


def test_the_lists_beside_the_opportunities(sandbox: Sandbox) -> None:
    assert [row["name"] for row in read(sandbox, "/lostreasons")["lostReasons"]] == ["Price"]
    assert [row["username"] for row in read(sandbox, "/users")["users"]] == ["sarah", "tom"]
    assert read(sandbox, "/users/2")["user"]["name"] == "Tom Reed"
    assert read(sandbox, "/users/current")["user"]["username"] == "sarah"
    assert read(sandbox, "/opportunities/tags")["tags"][0]["name"] == "key account"
    assert read(sandbox, "/opportunities/101/parties")["parties"][0]["firstName"] == "Bo"
    assert read(sandbox, "/parties/10")["party"]["name"] == "Acme"
    assert [row["id"] for row in read(sandbox, "/parties?perPage=2")["parties"]] == [10, 11]
    codes = [row["code"] for row in read(sandbox, "/currencies")["currencies"]]
    assert codes == sorted(set(codes))
    assert {"GBP", "JPY", "ZAR"} <= set(codes)
    assert read(sandbox, "/site") == {
        "site": {
            "url": "https://acme.capsulecrm.com",
            "subdomain": "acme",
            "name": "Acme Sales",
        }
    }


def milestones(sandbox: Sandbox, path: str) -> list[int]:
    return [row["id"] for row in read(sandbox, path)["milestones"]]


def test_milestones_of_every_pipeline(sandbox: Sandbox) -> None:
    pipelines = read(sandbox, "/pipelines")["pipelines"]
    assert [row["name"] for row in pipelines] == ["Sales", "Renewals"]
    # Only the oldest active pipeline's.
    assert milestones(sandbox, "/milestones") == [1, 2, 3, 4]
    assert milestones(sandbox, "/milestones?page=2&perPage=2") == [3, 4]
    assert milestones(sandbox, "/pipelines/2/milestones") == [5]
    assert milestones(sandbox, "/milestones/all") == [1, 2, 3, 4, 5]
    assert read(sandbox, "/milestones/5")["milestone"]["pipeline"] == {"id": 2, "name": "Renewals"}
    for unknown in ("/milestones/9", "/pipelines/9", "/pipelines/9/milestones", "/pipelines/1,9"):
        assert call(sandbox, "GET", unknown).status_code == 404
    assert [row["id"] for row in read(sandbox, "/pipelines/2,1")["pipelines"]] == [2, 1]
    assert [row["id"] for row in read(sandbox, "/pipelines?q=new")["pipelines"]] == [2]


def test_an_archived_pipeline_is_listed_on_request_and_is_no_longer_the_oldest(
    sandbox: Sandbox,
) -> None:
    sandbox.account.archive_pipeline(1)
    assert [row["id"] for row in read(sandbox, "/pipelines")["pipelines"]] == [2]
    rows = read(sandbox, "/pipelines?includeDeleted=true")["pipelines"]
    assert [(row["id"], row.get("isDeleted", False)) for row in rows] == [(1, True), (2, False)]
    assert milestones(sandbox, "/milestones") == [5]
    assert milestones(sandbox, "/pipelines/1/milestones") == [1, 2, 3, 4]
    assert read(sandbox, "/opportunities/101")["opportunity"]["milestone"]["id"] == 2


def test_a_deleted_milestone_stays_with_its_deals_and_takes_no_new_one(sandbox: Sandbox) -> None:
    sandbox.account.delete_milestone(2)
    assert milestones(sandbox, "/milestones") == [1, 3, 4]
    assert milestones(sandbox, "/milestones/all") == [1, 3, 4, 5]
    assert read(sandbox, "/milestones/2")["milestone"]["probability"] == 40
    assert read(sandbox, "/opportunities/101")["opportunity"]["milestone"]["name"] == "Bid"
    back = call(sandbox, "PUT", "/opportunities/103", {"opportunity": {"milestone": {"id": 2}}})
    assert back.status_code == 422


def test_an_account_without_pipelines_has_one() -> None:
    stages = [{"id": 1, "name": "Bid", "probability": 40, "complete": False}]
    with Sandbox({"milestones": stages}) as small:
        assert [row["id"] for row in read(small, "/pipelines")["pipelines"]] == [1]
        assert milestones(small, "/pipelines/1/milestones") == [1]
        assert milestones(small, "/milestones") == [1]


def test_a_new_opportunity(sandbox: Sandbox) -> None:
    answer = call(
        sandbox,
        "POST",
        "/opportunities",
        {
            "opportunity": {
                "name": "New",
                "party": {"id": 11},
                "milestone": {"id": 5},
                "value": {"amount": 0.1, "currency": "EUR"},
                "durationBasis": "WEEK",
                "duration": 6,
                "tags": [{"name": "public sector"}],
                "id": 5,
            }
        },
    )
    assert answer.status_code == 201
    record = answer.json()["opportunity"]
    assert record == {
        "id": 107,
        "createdAt": "2026-03-01T12:00:00Z",
        "updatedAt": "2026-03-01T12:00:00Z",
        "party": {
            "id": 11,
            "type": "person",
            "firstName": "Ada",
            "lastName": "Byron",
            "pictureURL": None,
        },
        "lostReason": None,
        "name": "New",
        "description": None,
        "owner": SARAH,
        "team": None,
        "milestone": {"id": 5, "name": "Bid"},
        "lastOpenMilestone": None,
        "lastContactedAt": None,
        "lastStageChangedAt": "2026-03-01T12:00:00Z",
        "value": {"amount": 0.1, "currency": "EUR"},
        "expectedCloseOn": None,
        "probability": 70,
        "durationBasis": "WEEK",
        "duration": 6,
        "closedOn": None,
    }
    assert answer.headers["Location"] == sandbox.url + "/api/v2/opportunities/107"
    assert read(sandbox, "/opportunities/107")["opportunity"] == record


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"party": {"id": 99}}, "party"),
        ({"party": {"id": [10]}}, "party"),
        ({"party": None}, "party"),
        ({"milestone": {"id": 99}}, "milestone"),
        ({"milestone": None}, "milestone"),
        ({"value": {"amount": "12k", "currency": "GBP"}}, "value.amount"),
        ({"value": {"amount": True, "currency": "GBP"}}, "value.amount"),
        ({"value": {"amount": 5}}, "value.currency"),
        ({"duration": 3}, "duration"),
        ({"milestone": {"id": True}}, "milestone"),
        ({"value": {"currency": "XXX"}}, "value.currency"),
        ({"value": 5}, "value"),
        ({"probability": 100.5}, "probability"),
        ({"durationBasis": "MONTH"}, "duration"),
        ({"durationBasis": "MONTH", "duration": 0}, "duration"),
        ({"durationBasis": "DECADE"}, "durationBasis"),
        ({"expectedCloseOn": "0000-00-00"}, "expectedCloseOn"),
        ({"owner": {"id": 9}}, "owner"),
        ({"team": {"id": 9}}, "team"),
        ({"lostReason": {"id": 9}}, "lostReason"),
        ({"tags": [{"id": 9}]}, "tags"),
        ({"tags": 5}, "tags"),
        ({"fields": [5]}, "fields"),
        ({"description": 5}, "description"),
    ],
)
def test_what_capsule_would_refuse_names_the_field(
    sandbox: Sandbox, changes: dict[str, Any], field: str
) -> None:
    good = {"name": "New", "party": {"id": 10}, "milestone": {"id": 1}}
    answer = call(sandbox, "POST", "/opportunities", {"opportunity": good | changes})
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert (error["resource"], error["field"]) == ("opportunity", field)
    assert call(sandbox, "PUT", "/opportunities/101", {"opportunity": changes}).status_code == 422
    assert read(sandbox, "/opportunities/101")["opportunity"]["updatedAt"] < "2026-02"


@pytest.mark.parametrize(("body", "status"), [("{", 400), ("[]", 422), ('{"opportunity":1}', 422)])
def test_a_body_that_is_no_opportunity_is_refused(sandbox: Sandbox, body: str, status: int) -> None:
    answer = requests.post(
        sandbox.url + "/api/v2/opportunities",
        data=body,
        headers={"Authorization": "Bearer " + sandbox.token},
        timeout=5,
    )
    assert answer.status_code == status
    assert answer.json()["message"]


def test_an_update_changes_only_what_is_sent(sandbox: Sandbox) -> None:
    before = read(sandbox, "/opportunities/102")["opportunity"]
    value = {"amount": 7, "currency": "GBP"}
    answer = call(sandbox, "PUT", "/opportunities/102", {"opportunity": {"value": value}})
    assert answer.status_code == 200
    changed = {"value": value, "updatedAt": "2026-03-01T12:00:00Z"}
    assert answer.json()["opportunity"] == before | changed


def change(sandbox: Sandbox, number: int, **changes: Any) -> Any:
    answer = call(sandbox, "PUT", f"/opportunities/{number}", {"opportunity": changes})
    assert answer.status_code == 200, answer.text
    return answer.json()["opportunity"]


def refused(sandbox: Sandbox, number: int, **changes: Any) -> tuple[str, str]:
    answer = call(sandbox, "PUT", f"/opportunities/{number}", {"opportunity": changes})
    assert answer.status_code == 422, answer.text
    assert answer.json()["message"] == "Validation Failed"
    [error] = answer.json()["errors"]
    assert error["resource"] == "opportunity"
    return error["field"], error["message"]


def test_null_clears_what_need_not_be_there(sandbox: Sandbox) -> None:
    nothing = dict.fromkeys(("value", "expectedCloseOn", "durationBasis"))
    record = change(sandbox, 102, **nothing)
    assert (record["value"], record["expectedCloseOn"]) == (None, None)
    assert (record["durationBasis"], record["duration"]) == ("FIXED", None)


def test_an_amount_needs_a_currency(sandbox: Sandbox) -> None:
    wrong = ("value.currency", "currency is required")
    assert refused(sandbox, 102, value={"amount": 5}) == wrong
    assert change(sandbox, 102, value={"currency": "JPY"})["value"] == {
        "amount": 1000,
        "currency": "JPY",
    }


def test_an_owner_alone_takes_the_deal_from_its_team(sandbox: Sandbox) -> None:
    both = change(sandbox, 101, owner={"id": 2}, team={"id": 1})
    assert both["team"] == {"id": 1, "name": "North"}
    assert change(sandbox, 101, team={"id": 1})["owner"]["id"] == 2
    assert change(sandbox, 101, owner={"id": 1})["team"] is None
    team_alone = change(sandbox, 101, owner=None, team={"id": 1})
    assert (team_alone["owner"], team_alone["team"]["id"]) == (None, 1)
    assert refused(sandbox, 101, owner=None, team=None) == ("owner", "owner or team is required")
    assert refused(sandbox, 102, owner=None)[0] == "owner"


def test_an_owner_must_be_in_the_team(sandbox: Sandbox) -> None:
    sandbox.account.teams[0] = {"id": 1, "name": "North", "memberships": [{"user": SARAH}]}
    assert change(sandbox, 101, owner={"id": 1}, team={"id": 1})["owner"]["id"] == 1
    outside = refused(sandbox, 101, owner={"id": 2}, team={"id": 1})
    assert outside == ("owner", "owner is not a member of the team")
    assert refused(sandbox, 102, team={"id": 1})[0] == "owner"
    members = read(sandbox, "/teams?embed=memberships")["teams"][0]["memberships"]
    assert members == [{"user": SARAH}]
    assert "memberships" not in read(sandbox, "/teams")["teams"][0]


def test_a_closed_deal_takes_no_probability(sandbox: Sandbox) -> None:
    wrong = ("probability", "probability can be updated only for open opportunity")
    assert refused(sandbox, 103, probability=50) == wrong
    assert refused(sandbox, 101, milestone={"id": 3}, probability=100) == wrong
    assert change(sandbox, 103, milestone={"id": 2}, probability=55)["probability"] == 55


def test_only_a_lost_deal_has_a_reason(sandbox: Sandbox) -> None:
    assert change(sandbox, 101, lostReason={"id": 1})["lostReason"] is None
    assert change(sandbox, 101, milestone={"id": 3}, lostReason={"id": 1})["lostReason"] is None
    lost = change(sandbox, 101, milestone={"id": 4}, lostReason={"id": 1})
    assert lost["lostReason"] == {"id": 1, "name": "Price"}


def test_a_party_cannot_be_cleared(sandbox: Sandbox) -> None:
    assert refused(sandbox, 101, party=None) == ("party", "party is required")


def test_a_deal_moves_to_another_pipeline_without_a_word(sandbox: Sandbox) -> None:
    moved = change(sandbox, 101, milestone={"id": 5})
    assert (moved["milestone"]["id"], moved["probability"]) == (5, 70)
    # Closed in the first pipeline, it keeps the second one's milestone as the last open one.
    assert change(sandbox, 101, milestone={"id": 3})["lastOpenMilestone"]["id"] == 5


def test_an_odd_record_can_still_be_changed_elsewhere(sandbox: Sandbox) -> None:
    answer = call(sandbox, "PUT", "/opportunities/106", {"opportunity": {"name": "Better"}})
    assert answer.status_code == 200
    assert answer.json()["opportunity"]["value"]["amount"] == "12k"


def test_losing_and_reopening_a_deal(sandbox: Sandbox) -> None:
    record = change(sandbox, 101, milestone={"id": 4}, lostReason={"id": 1})
    assert record["milestone"] == {"id": 4, "name": "Lost"}
    assert record["lastOpenMilestone"] == {"id": 2, "name": "Bid"}
    assert (record["probability"], record["closedOn"]) == (0, "2026-03-01")
    assert record["lastStageChangedAt"] == "2026-03-01T12:00:00Z"
    assert record["lostReason"]["name"] == "Price"
    assert change(sandbox, 101, closedOn="2026-02-27")["closedOn"] == "2026-02-27"
    record = change(sandbox, 101, milestone={"id": 1}, closedOn="2026-02-27")
    assert record["lastOpenMilestone"] is None
    assert (record["probability"], record["closedOn"], record["lostReason"]) == (10, None, None)


REGION = {"id": 8, "name": "Region", "type": "list", "options": ["North", "South"]}
SEATS = {"id": 9, "name": "Seats", "type": "number"}
SIGNED = {"id": 10, "name": "Signed", "type": "boolean", "important": True}
START = {"id": 11, "name": "Start", "type": "date"}
SORTS = {"id": 12, "name": "Sorts", "type": "multiselect", "options": ["A", "B", "C"]}


@pytest.fixture
def fielded() -> Iterator[Sandbox]:
    data = account() | {"fieldDefinitions": [REGION, SEATS, SIGNED, START, SORTS]}
    with Sandbox(Account(data, clock=lambda: NOW)) as running:
        yield running


def field(number: int, value: Any) -> dict[str, Any]:
    return {"definition": {"id": number}, "value": value}


def test_tags_are_added_and_removed_row_by_row(sandbox: Sandbox) -> None:
    change(sandbox, 102, tags=[{"id": 1, "_delete": True}, {"id": 2}])
    record = read(sandbox, "/opportunities/102?embed=tags")["opportunity"]
    assert record["tags"] == [{"id": 2, "name": "public sector"}]


def test_custom_fields_are_set_typed_and_searched(fielded: Sandbox) -> None:
    values = {8: "North", 9: 12.5, 10: True, 11: "2026-05-01", 12: "A;C"}
    change(fielded, 102, fields=[field(*pair) for pair in values.items()])
    record = read(fielded, "/opportunities/102?embed=fields,missingImportantFields")["opportunity"]
    shown = {row["definition"]["id"]: row["value"] for row in record["fields"]}
    assert shown == values | {9: "12.5"}
    assert not record["missingImportantFields"]
    other = read(fielded, "/opportunities/101?embed=missingImportantFields")["opportunity"]
    assert other["missingImportantFields"]
    assert search(fielded, where("custom:8", "is", "north")) == [102]
    assert search(fielded, where("custom:9", "is greater than", 12)) == [102]
    assert search(fielded, where("custom:9", "is", 12.5)) == [102]
    assert search(fielded, where("custom:10", "is", value=True)) == [102]
    assert search(fielded, where("custom:11", "is before", "2026-06-01")) == [102]
    assert search(fielded, where("custom:12", "is", "C")) == [102]
    assert search(fielded, where("custom:8", "is", None)) == [101, 103, 104, 105, 106]
    first = record["fields"][0]["id"]
    change(fielded, 102, fields=[{"id": first, "_delete": True}, field(9, 7)])
    record = read(fielded, "/opportunities/102?embed=fields")["opportunity"]
    shown = {row["definition"]["id"]: row["value"] for row in record["fields"]}
    assert shown == {9: "7", 10: True, 11: "2026-05-01", 12: "A;C"}


@pytest.mark.parametrize(
    "wrong",
    [
        field(8, "West"),
        field(9, "many"),
        field(10, None),
        field(10, "yes"),
        field(11, "soon"),
        field(12, "A;D"),
        field(8, 5),
        field(99, "x"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(fielded: Sandbox, wrong: Any) -> None:
    assert refused(fielded, 102, fields=[wrong])[0] == "fields"


def test_deleted_and_restricted_deals(sandbox: Sandbox) -> None:
    answer = call(sandbox, "DELETE", "/opportunities/101")
    assert (answer.status_code, answer.content) == (204, b"")
    assert call(sandbox, "GET", "/opportunities/101").status_code == 404
    assert call(sandbox, "DELETE", "/opportunities/101").status_code == 404
    recent = read(sandbox, "/opportunities/deleted?since=2026-02-01T00:00:00Z")
    assert recent == {"opportunities": [{"id": 101, "deletedAt": "2026-03-01T12:00:00Z"}]}
    sandbox.account.restrict(102)
    # Not paged, and without a time of the restricted.
    everything = read(sandbox, "/opportunities/deleted?since=2020-01-01&page=2&perPage=1")
    assert ids(everything) == [90, 101]
    assert everything["restrictedOpportunities"] == [
        {"id": 102, "name": "Private", "isRestricted": True}
    ]
    assert ids(read(sandbox, "/opportunities")) == [103, 104, 105, 106]
    sandbox.account.put(deal(102, "Seen again"))
    assert "restrictedOpportunities" not in read(sandbox, "/opportunities/deleted?since=2020-01-01")


def test_since_is_required_of_the_deleted(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/opportunities/deleted")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"] == "since is required"


def test_searching_by_words(sandbox: Sandbox) -> None:
    assert ids(read(sandbox, "/opportunities/search?q=BLOG")) == [101]
    assert ids(read(sandbox, "/opportunities/search?q=ada")) == [105]
    assert ids(read(sandbox, "/opportunities/search?q=acme%20web")) == [101]
    # The list itself takes no words.
    assert len(ids(read(sandbox, "/opportunities?q=blog"))) == 6


def test_totals_of_a_filter_in_the_accounts_currency() -> None:
    data = account()
    data["account"] |= {"currency": "GBP", "rates": {"EUR": 1.25}}
    with Sandbox(data) as priced:
        body = {"filter": {"conditions": []}}
        said = call(priced, "POST", "/opportunities/value", body).json()
        won = {"filter": {"conditions": [where("status", "is", "won")]}}
        of_won = call(priced, "POST", "/opportunities/value", won).json()
    # 1,234.50 + 12 months of 1,000 + 20,000 EUR + 1,000 + 2 quarters of 1,000; "12k" is none.
    assert said["totalValue"] == 1234.5 + 12_000 + 16_000 + 1_000 + 2_000
    assert said["projectedValue"] == round(
        0.4 * 1234.5 + 0.4 * 12_000 + 16_000 + 0.7 * 1_000 + 0.4 * 2_000, 2
    )
    assert said["meta"] == {"currency": "GBP"}
    assert of_won["totalValue"] == of_won["projectedValue"] == 16_000


def test_goals_and_their_periods() -> None:
    goal = {"id": 15, "name": "A year", "value": 100.0, "user": SARAH}
    periods = [
        {"id": number, "goal": {"id": owner}, "targetValue": 50.0 * number}
        for number, owner in ((1, 15), (2, 15), (3, 16))
    ]
    with Sandbox(account() | {"goals": [goal], "goalPeriods": periods}) as aiming:
        assert read(aiming, "/goals") == {"goals": [goal]}
        assert read(aiming, "/goals/15") == {"goal": goal}
        assert read(aiming, "/goals/15/periods?perPage=1&page=2")["goalPeriods"] == [periods[1]]
        assert call(aiming, "GET", "/goals/16/periods").status_code == 404


def test_saved_filters() -> None:
    won = {"id": 4, "name": "Won", "filter": {"conditions": [where("status", "is", "won")]}}
    with Sandbox(account() | {"filters": [won]}) as saving:
        assert read(saving, "/opportunities/filters") == {"filters": [{"id": 4, "name": "Won"}]}
        assert ids(read(saving, "/opportunities/filters/4/results")) == [103]
        assert call(saving, "GET", "/opportunities/filters/5/results").status_code == 404


def test_links_lead_both_ways_and_keep_what_was_asked(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/opportunities?page=2&perPage=2&embed=tags,meta")
    assert set(answer.links) == {"next", "prev"}
    for relation, page in (("next", "3"), ("prev", "1")):
        query = parse_qs(urlsplit(answer.links[relation]["url"]).query)
        assert query == {"page": [page], "perPage": ["2"], "embed": ["tags,meta"]}
    assert answer.json()["meta"] == {"totalCount": 6}
    last = call(sandbox, "GET", "/opportunities?page=3&perPage=2")
    assert set(last.links) == {"prev"}
    assert "meta" not in last.json()


def test_lists_that_are_not_paged_take_no_notice(sandbox: Sandbox) -> None:
    for path, name in (("/users", "users"), ("/teams", "teams"), ("/lostreasons", "lostReasons")):
        answer = call(sandbox, "GET", path + "?page=9&perPage=1&embed=meta")
        assert answer.json()["meta"]["totalCount"] == len(answer.json()[name]) > 0
        assert answer.headers.keys().isdisjoint({"Link", "X-Pagination-Has-More"})


def test_a_token_without_a_scope_may_only_read() -> None:
    with Sandbox(account(), scopes=["read"]) as reading:
        assert ids(read(reading, "/opportunities?perPage=1")) == [101]
        assert search(reading) == [101, 102, 103, 104, 105, 106]
        answer = call(reading, "PUT", "/opportunities/101", {"opportunity": {"name": "B"}})
    assert (answer.status_code, answer.json()) == (403, {"message": "Requires additional scope"})
    assert "insufficient_scope" in answer.headers["WWW-Authenticate"]


def test_what_is_not_there_says_so(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/opportunities/999")
    assert (answer.status_code, answer.json()) == (404, {"message": "Could not find resource"})
    answer = call(sandbox, "DELETE", "/pipelines")
    assert (answer.status_code, answer.json()) == (405, {"message": "Method not allowed"})
    assert "GET" in answer.headers["Allow"]


def test_conditions(sandbox: Sandbox) -> None:
    assert search(sandbox) == [101, 102, 103, 104, 105, 106]
    assert search(sandbox, where("milestone", "is", "Bid")) == [101, 102, 104, 105, 106]
    assert search(sandbox, where("milestone", "is", 5)) == [104]
    assert search(sandbox, where("milestone", "is not", "Bid")) == [103]
    assert search(sandbox, where("tag", "is", "key account")) == [102]
    assert search(sandbox, where("tag", "is", 1)) == [102]
    assert search(sandbox, where("hasTags", "is", value=True)) == [102]
    assert search(sandbox, where("owner", "is", 2)) == [102]
    assert search(sandbox, where("owner", "is", "tom")) == [102]
    assert search(sandbox, where("owner", "is", None)) == [106]
    assert search(sandbox, where("isOwnedByMe", "is", value=False)) == [102, 106]
    assert search(sandbox, where("name", "contains", "REN")) == [104]
    assert search(sandbox, where("name", "starts with", "R")) == [103, 104]
    assert search(sandbox, where("name", "ends with", "t")) == [102, 103, 105]
    assert search(sandbox, where("pipeline", "is", "Renewals")) == [104]
    assert search(sandbox, where("status", "is", "won")) == [103]
    assert search(sandbox, where("isOpen", "is", value=False)) == [103]
    assert search(sandbox, where("currency", "is", "EUR")) == [103]
    assert search(sandbox, where("probability", "is greater than", 40)) == [103, 104]
    assert search(sandbox, where("probability", "is less than", 70)) == [101, 102, 105]
    assert search(sandbox, where("updatedOn", "is after", "2026-02-10")) == [103]
    assert search(sandbox, where("updatedOn", "is within last", 20)) == [102, 103]
    assert search(sandbox, where("addedOn", "is older than", 60)) == []
    assert search(sandbox, where("closedOn", "is", "2026-02-20")) == [103]
    assert search(sandbox, where("expectedCloseOn", "is before", "2026-01-01")) == [106]
    assert search(sandbox, where("expectedCloseOn", "is within next", 29)) == []
    assert search(sandbox, where("expectedCloseOn", "is within next", 30)) == [
        101,
        102,
        103,
        104,
        105,
    ]


def test_further_conditions(sandbox: Sandbox) -> None:
    assert search(sandbox, where("owner", "is", "Tom Reed")) == [102]
    assert search(sandbox, where("party", "is", 11)) == [105]
    assert search(sandbox, where("party", "is", "ada byron")) == [105]
    assert search(sandbox, where("primaryContact", "is", 12)) == [101]
    assert search(sandbox, where("primaryContactName", "contains", "bo fr")) == [101]
    assert search(sandbox, where("expectedValue", "is greater than", "1000")) == [101, 103]
    in_euros = {"currency": "EUR", "amount": 1000}
    assert search(sandbox, where("expectedValue", "is greater than", in_euros)) == [103]
    assert search(sandbox, where("hasOpenTasks", "is", value=True)) == []
    assert search(sandbox, where("status", "is", "OPEN")) == [101, 102, 104, 105, 106]
    assert search(sandbox, where("lastContactedOn", "is", None)) == [101, 102, 103, 104, 105, 106]
    assert search(sandbox, where("probability", "is", value=True)) == []
    sandbox.account.put(deal(107, "Talked to", lastContactedAt="2026-02-01T10:00:00Z"))
    assert search(sandbox, where("lastContactedOn", "is older than", 20)) == [107]


def test_stale_deals_and_those_that_do_not_count() -> None:
    data = account()
    data["milestones"][1]["daysUntilStale"] = 50
    data["lostReasons"].append({"id": 2, "name": "Twice", "includedForConversion": False})
    lost = {"milestone": {"id": 4, "name": "Lost"}, "probability": 0, "closedOn": "2026-02-01"}
    data["opportunities"] += [
        deal(107, "Fresh", lastStageChangedAt="2026-01-10T09:00:00Z"),  # exactly 50 days
        deal(108, "Duplicate", **lost, lostReason={"id": 2, "name": "Twice"}),
    ]
    with Sandbox(Account(data, clock=lambda: NOW)) as sandbox:
        assert search(sandbox, where("isStale", "is", value=True)) == [101, 102, 105, 106]
        assert search(sandbox, where("includedForConversion", "is", value=False)) == [108]


def test_conditions_join_by_and_groups_by_or(sandbox: Sandbox) -> None:
    bid = where("milestone", "is", "Bid")
    assert search(sandbox, bid, where("owner", "is", 2)) == [102]
    either = {"conditions": [where("owner", "is", 2), where("id", "is", 104)]}
    assert search(sandbox, bid, either) == [102, 104]


def test_results_are_ordered_and_paged(sandbox: Sandbox) -> None:
    by_name = [{"field": "name", "direction": "ascending"}]
    assert search(sandbox, orderBy=by_name) == [105, 106, 104, 103, 102, 101]
    by_chance = [{"field": "probability", "direction": "descending"}, {"field": "id"}]
    assert search(sandbox, orderBy=by_chance) == [103, 104, 101, 102, 105, 106]
    path = "/opportunities/filters/results?page=2&perPage=2"
    body = {"filter": {"conditions": [where("milestone", "is", "Bid")]}}
    answer = call(sandbox, "POST", path, body)
    assert ids(answer.json()) == [104, 105]
    assert "page=3" in answer.links["next"]["url"]


@pytest.mark.parametrize(
    "query",
    [
        {"conditions": [where("colour", "is", "red")]},
        {"conditions": [where("name", "is greater than", 5)]},
        {"conditions": [where("probability", "contains", "5")]},
        {"conditions": [where("isOpen", "contains", "x")]},
        {"conditions": [where("closedOn", "is within last", "x")]},
        {"conditions": [5]},
        {"conditions": 5},
        {"orderBy": [5]},
        {"orderBy": [{"field": "name", "direction": "sideways"}]},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(sandbox: Sandbox, query: Any) -> None:
    answer = call(sandbox, "POST", "/opportunities/filters/results", {"filter": query})
    assert answer.status_code == 422


@pytest.mark.parametrize("header", [None, "Bearer wrong", "sandbox-token", "Bearer \u00e9"])
def test_a_wrong_token_is_refused(sandbox: Sandbox, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = requests.get(sandbox.url + "/api/v2/opportunities", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["message"]


def test_the_request_limit_counts_down_refuses_and_resets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.5]
    monkeypatch.setattr(app, "time", SimpleNamespace(time=lambda: now[0]))
    with Sandbox(account(), rate_limit=2, rate_window=60.0) as limited:
        first, second, third = (call(limited, "GET", "/users") for _ in range(3))
        left = [answer.headers["X-RateLimit-Remaining"] for answer in (first, second, third)]
        assert left == ["1", "0", "0"]
        assert third.status_code == 429
        assert third.json() == {"error": "rate limit reached"}
        assert third.headers["X-RateLimit-Reset"] == "1061"
        assert "Retry-After" not in third.headers
        now[0] = 1060.9
        assert call(limited, "GET", "/users").status_code == 429
        now[0] = 1061.0
        assert call(limited, "GET", "/users").status_code == 200


def test_both_versions_share_the_account(sandbox: Sandbox) -> None:
    body = b"<opportunity><name>Renamed</name></opportunity>"
    requests.put(
        sandbox.url + "/api/opportunity/101", data=body, auth=(sandbox.token, "x"), timeout=5
    )
    assert read(sandbox, "/opportunities/101")["opportunity"]["name"] == "Renamed"


def test_a_change_made_in_the_test_is_served_at_once(sandbox: Sandbox) -> None:
    assert read(sandbox, "/opportunities/101")["opportunity"]["probability"] == 40
    sandbox.account.update(101, {"probability": 45})
    assert read(sandbox, "/opportunities/101")["opportunity"]["probability"] == 45


def test_a_connection_is_kept_and_its_requests_are_logged(sandbox: Sandbox) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer " + sandbox.token
        ports = set()
        for body in (b"", b"{}", b""):
            answer = session.get(
                sandbox.url + "/api/v2/opportunities?perPage=2", data=body, stream=True, timeout=5
            )
            ports.add(answer.raw.connection.sock.getsockname()[1])
            assert answer.json()["opportunities"]
    assert len(ports) == 1
    assert [(seen.number, seen.method, seen.path, seen.status) for seen in sandbox.requests] == [
        (number, "GET", "/api/v2/opportunities", 200) for number in (1, 2, 3)
    ]
    assert sandbox.requests[0].query == {"perPage": "2"}


def test_a_head_request_leaves_the_connection_usable(sandbox: Sandbox) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer " + sandbox.token
        assert session.head(sandbox.url + "/api/v2/users", timeout=5).content == b""
        assert session.get(sandbox.url + "/api/v2/users", timeout=5).json()["users"]


def test_an_old_client_gets_a_stream_that_ends_with_the_connection() -> None:
    with Sandbox(account(), faults=[Fault("huge", size=100_000)]) as sandbox:
        answer = say(sandbox, b"GET /api/v2/opportunities HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert len(body) == 100_000


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"Transfer-Encoding: chunked", b" 411 "),
        (b"Content-Length: many", b" 400 "),
        (b"Content-Length: -1", b" 400 "),
        (b"Content-Length: 2\r\nContent-Length: 3", b" 400 "),
        (b"Content-Length: 99999999999", b" 413 "),
        (b"Content-Length: " + b"9" * 5_000, b" 413 "),
    ],
)
def test_a_body_that_cannot_be_read_ends_the_connection(
    sandbox: Sandbox, header: bytes, status: bytes
) -> None:
    request = b"POST /api/v2/opportunities HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"
    assert status in say(sandbox, request)[:20]


def test_eight_requests_are_served_at_once() -> None:
    # None of them passes the gate before all eight are being answered.
    gate = threading.Barrier(8, timeout=10)
    hooks = [Hook(lambda _: gate.wait(), times=None)]
    with Sandbox(account(), latency=0.01, faults=hooks) as slow, ThreadPoolExecutor(8) as workers:
        answers = list(workers.map(lambda _: call(slow, "GET", "/users"), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8


def test_latency_holds_every_answer_back() -> None:
    with Sandbox(account(), latency=0.1) as slow:
        assert min(call(slow, "GET", "/users").elapsed.total_seconds() for _ in range(3)) >= 0.1


def test_threads_can_write_at_once(sandbox: Sandbox) -> None:
    new = {"opportunity": {"name": "New", "party": {"id": 10}, "milestone": {"id": 1}}}
    with ThreadPoolExecutor(8) as workers:
        answers = list(
            workers.map(lambda _: call(sandbox, "POST", "/opportunities", new), range(24))
        )
    made = sorted(answer.json()["opportunity"]["id"] for answer in answers)
    assert made == list(range(107, 131))


@settings(max_examples=20, deadline=None)
@given(
    per_page=st.integers(1, 8), page_limit=st.integers(1, 8), order=st.sampled_from(["-id", "name"])
)
def test_no_page_size_loses_or_repeats_a_record(per_page: int, page_limit: int, order: Any) -> None:
    with Sandbox(account(), page_limit=page_limit, order=order) as sandbox:
        seen: list[int] = []
        number = 1
        while found := ids(read(sandbox, f"/opportunities?perPage={per_page}&page={number}")):
            seen += found
            number += 1
    assert sorted(seen) == [101, 102, 103, 104, 105, 106]


def test_stopping_frees_the_port_with_a_client_still_connected() -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer sandbox-token"
        with Sandbox(account()) as sandbox:
            session.get(sandbox.url + "/api/v2/users", timeout=5)
            port = int(sandbox.url.rpartition(":")[2])
        with Sandbox(account(), port=port) as again:
            assert session.get(again.url + "/api/v2/users", timeout=5).status_code == 200


def test_a_port_in_use_is_an_error_that_says_so(sandbox: Sandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(TransportError, match=f"127.0.0.1:{port}"):
        Sandbox(account(), port=port).start()


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "192.0.2.1"},
        {"host": "x"},
        {"page_limit": 0},
        {"token": ""},
        {"order": "up"},
        {"latency": math.nan},
        {"latency": -1.0},
        {"latency": math.inf},
        {"rate_limit": 0},
        {"rate_window": 0.0},
        {"rate_window": math.nan},
        {"scopes": ["admin"]},
    ],
)
def test_a_sandbox_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Sandbox(account(), **wrong)


def test_the_sample_account_is_served_unless_told_otherwise() -> None:
    stored = json.loads(account_path().read_text(encoding="utf-8"))["opportunities"]
    served: list[Any] = []
    judged: list[Any] = []
    with Sandbox() as sample:
        number = 1
        path = "/opportunities?perPage=100&embed=tags,fields&page="
        while found := read(sample, f"{path}{number}")["opportunities"]:
            served += found
            asked = f"/opportunities?perPage=100&embed=missingImportantFields&page={number}"
            judged += read(sample, asked)["opportunities"]
            number += 1
        page = call_v1(sample, "/opportunity?limit=100")
    stored.sort(key=lambda record: record["id"])
    # Whether important fields are missing is worked out, and shown on request.
    lacking = [record.pop("missingImportantFields") for record in stored]
    # What is embedded is always there, empty where a record has none.
    assert served == [{"tags": [], "fields": []} | record for record in stored]
    assert [record["missingImportantFields"] for record in judged] == lacking
    assert page.status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"opportunities": [deal(1, "A"), deal(1, "B")]},
        {"opportunities": [{"name": "A"}]},
        {"opportunities": [{"id": "1"}]},
        {"users": {}, "parties": 5},
    ],
)
def test_an_account_of_the_wrong_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        Account(wrong)
