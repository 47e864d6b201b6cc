"""API v2 on the wire: what is asked, what is read from JSON, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pandas as pd
import pytest

from capsule_analytics.api import _v2
from capsule_analytics.api._protocol import Field, Query
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.load._frame import assemble, milestone_frame
from capsule_analytics.schema import RAW_NAMES, Pipeline

RECORD: dict[str, Any] = {
    "id": 83948362,
    "createdAt": "2026-01-05T09:00:00Z",
    "updatedAt": "2026-02-10T12:30:00Z",
    "party": {"id": 11, "type": "person", "firstName": "Ada", "lastName": "Byron"},
    "lostReason": {"id": 1, "name": "Price"},
    "name": "Consulting & <more>",
    "description": "two\nlines",
    "owner": {"id": 1, "username": "sarah", "name": "Sarah Holt"},
    "team": {"id": 2, "name": "North"},
    "milestone": {"id": 4, "name": "Lost"},
    "lastOpenMilestone": {"id": 2, "name": "Bid"},
    "lastStageChangedAt": "2026-02-10T12:30:00Z",
    "lastContactedAt": "2026-02-09T08:00:00Z",
    "value": {"amount": 500.5, "currency": "GBP"},
    "expectedCloseOn": "2026-03-31",
    "probability": 0,
    "durationBasis": "QUARTER",
    "duration": 12,
    "closedOn": "2026-02-10",
    "tags": [{"id": 1, "name": "key account"}, {"id": 2, "name": "public"}],
    "fields": [{"id": 1, "definition": {"id": 5, "name": "Region"}, "value": "Leeds"}],
    "isRestricted": False,
}


def page(*records: Any) -> bytes:
    return orjson.dumps({"opportunities": list(records)})


def columns(**record: Any) -> dict[str, Any]:
    """Read one record; what is not given is absent."""
    return {name: values[0] for name, values in _v2.parse_page(page(record), {}).columns.items()}


def pipeline(*records: Any) -> Pipeline:
    return assemble(
        [_v2.parse_page(page(*records), {}).columns],
        typed=True,
        milestones=milestone_frame(
            [
                {"id": 2, "name": "Bid", "probability": 40, "complete": False, "pipeline": "Sales"},
                {
                    "id": 5,
                    "name": "Bid",
                    "probability": 70,
                    "complete": False,
                    "pipeline": "Repeat",
                },
            ],
            typed=True,
        ),
        currencies=["GBP"],
        loaded_at=pd.Timestamp("2026-03-01", tz="UTC"),
        as_of=date(2026, 3, 1),
        account="acme",
    )


def checks(made: Pipeline, opportunity_id: int) -> dict[str, str]:
    issues = made.issues[made.issues["opportunity_id"] == opportunity_id]
    return dict(zip(issues["check"], issues["detail"], strict=True))


# Requests


@pytest.mark.parametrize(
    ("request_", "method", "path", "params"),
    [
        (_v2.get(7, ["tags", "fields"]), "GET", "/opportunities/7", {"embed": "tags,fields"}),
        (
            _v2.list_page(Query(), 3, 20),
            "GET",
            "/opportunities",
            {"page": "3", "perPage": "20", "embed": "meta"},
        ),
        (
            _v2.list_page(
                Query(
                    changed_since=datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))),
                    embed=("tags",),
                ),
                1,
                100,
            ),
            "GET",
            "/opportunities",
            {"page": "1", "perPage": "100", "embed": "tags,meta", "since": "2026-03-01T10:00:00Z"},
        ),
        (
            _v2.list_page(Query(party_id=5), 1, 10),
            "GET",
            "/parties/5/opportunities",
            {"page": "1", "perPage": "10", "embed": "meta"},
        ),
        (
            _v2.deleted(datetime(2026, 3, 1, 9, 30, tzinfo=UTC), 2),
            "GET",
            "/opportunities/deleted",
            {"since": "2026-03-01T09:30:00Z", "page": "2", "perPage": "100"},
        ),
        (_v2.milestones(1), "GET", "/milestones", {"page": "1", "perPage": "100"}),
        (_v2.pipelines(2), "GET", "/pipelines", {"page": "2", "perPage": "100"}),
        (
            _v2.all_pipelines(2),
            "GET",
            "/pipelines",
            {"page": "2", "perPage": "100", "includeDeleted": "true"},
        ),
        (
            _v2.milestones_of(31, 1),
            "GET",
            "/pipelines/31/milestones",
            {"page": "1", "perPage": "100"},
        ),
        (_v2.milestones_of_all(3), "GET", "/milestones/all", {"page": "3", "perPage": "100"}),
        (_v2.milestone(304), "GET", "/milestones/304", {}),
        (_v2.teams(1), "GET", "/teams", {"page": "1", "perPage": "100"}),
        (
            _v2.field_definitions(1),
            "GET",
            "/opportunities/fields/definitions",
            {"page": "1", "perPage": "100"},
        ),
        (_v2.lost_reasons(1), "GET", "/lostreasons", {"page": "1", "perPage": "100"}),
        (_v2.currencies(), "GET", "/currencies", {}),
        (_v2.users(), "GET", "/users", {}),
        (_v2.parties(7), "GET", "/opportunities/7/parties", {}),
        (_v2.create(5, {"name": "x"}), "POST", "/opportunities", {}),
        (_v2.update(7, None, {"name": "x"}), "PUT", "/opportunities/7", {}),
        (_v2.delete(7), "DELETE", "/opportunities/7", {}),
    ],
)
def test_each_call_goes_where_the_documentation_says(
    request_: Any, method: str, path: str, params: dict[str, str]
) -> None:
    assert (request_.method, request_.path, request_.params) == (method, path, params)
    assert request_.reads is (method == "GET")


def test_milestone_tag_and_owner_go_through_the_filters_endpoint() -> None:
    request = _v2.list_page(Query(milestone="Bid", tag="key", owner="7", embed=("tags",)), 2, 50)
    assert (request.method, request.path) == ("POST", "/opportunities/filters/results")
    assert request.params == {"page": "2", "perPage": "50", "embed": "tags,meta"}
    assert request.reads  # it changes nothing, so it may be sent again
    assert orjson.loads(request.body or b"") == {
        "filter": {
            "conditions": [
                {"field": "milestone", "operator": "is", "value": "Bid"},
                {"field": "tag", "operator": "is", "value": "key"},
                {"field": "owner", "operator": "is", "value": "7"},
            ]
        }
    }


@pytest.mark.parametrize("other", [{"party_id": 5}, {"changed_since": datetime.now(UTC)}])
def test_a_filter_with_a_party_or_a_time_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="cannot combine"):
        _v2.list_page(Query(tag="key", **other), 1, 10)


def test_the_root_and_the_authorization() -> None:
    assert _v2.root("acme", None) == "https://api.capsulecrm.com/api/v2"
    assert _v2.root(None, "http://127.0.0.1:8043") == "http://127.0.0.1:8043/api/v2"
    assert _v2.authorization("t0ken") == "Bearer t0ken"


def test_pages_are_numbered_from_one() -> None:
    assert [_v2.position(start, 50) for start in (0, 50, 100)] == [1, 2, 3]
    assert _v2.step(17) == 1
    with pytest.raises(ArgumentError, match="start=70 is no multiple of 50"):
        _v2.position(70, 50)


# Writing


def test_only_what_is_given_is_written_and_none_empties() -> None:
    assert _v2.update(7, None, {"probability": 60, "description": None}).body == (
        b'{"opportunity":{"probability":60,"description":null}}'
    )


def test_fields_are_nested_as_v2_has_them() -> None:
    given = {
        "name": "Shop",
        "value": Decimal("2000.10"),
        "currency": "EUR",
        "milestone": 2,
        "owner": "sarah",
        "expected_close": date(2026, 3, 31),
        "duration_basis": "MONTH",
        "duration": 3,
    }
    assert _v2.create(5, given).body == (
        b'{"opportunity":{"party":{"id":5},"name":"Shop","milestone":{"id":2},'
        b'"owner":{"username":"sarah"},"expectedCloseOn":"2026-03-31","durationBasis":"MONTH",'
        b'"duration":3,"value":{"amount":2000.10,"currency":"EUR"}}}'
    )


def test_a_move_carries_the_new_party_and_an_owner_can_be_taken_away() -> None:
    assert _v2.update(7, 12, {"owner": None}).body == (
        b'{"opportunity":{"party":{"id":12},"owner":null}}'
    )


def test_a_value_can_be_emptied() -> None:
    body = _v2.update(5, None, {"value": None}).body
    assert body == b'{"opportunity":{"value":{"amount":null}}}'


@pytest.mark.parametrize("value", ["\ud800", 2**70])
def test_what_json_cannot_carry_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="cannot be written as JSON"):
        _v2.create(5, {"name": value})


# Reading


def test_every_key_is_read_as_it_came_under_the_names_of_the_frame() -> None:
    assert columns(**RECORD) == {
        "id": 83948362,
        "name": "Consulting & <more>",
        "description": "two\nlines",
        "party_id": 11,
        "currency": "GBP",
        "value": 500.5,
        "duration_basis": "QUARTER",
        "duration": 12,
        "expected_close": "2026-03-31",
        "milestone": "Lost",
        "milestone_id": 4,
        "pipeline": None,
        "pipeline_id": None,
        "probability": 0,
        "owner": "sarah",
        "owner_id": 1,
        "created_at": "2026-01-05T09:00:00Z",
        "updated_at": "2026-02-10T12:30:00Z",
        "last_stage_changed_at": "2026-02-10T12:30:00Z",
        "last_contacted_at": "2026-02-09T08:00:00Z",
        "closed_at": "2026-02-10",
        "last_open_milestone": "Bid",
        "last_open_milestone_id": 2,
        "lost_reason": "Price",
        "lost_reason_id": 1,
        "counts_for_conversion": None,
        "team": "North",
        "team_id": 2,
        "party": "Ada Byron",
        "tags": ("key account", "public"),
        "fields": (Field(5, "Region", None, "Leeds"),),
    }


def test_one_opportunity_is_read_like_a_page_of_one() -> None:
    assert _v2.parse_opportunity(orjson.dumps({"opportunity": RECORD})) == columns(**RECORD)


def test_nothing_but_an_id_and_null_objects() -> None:
    bare = columns(id=1)
    assert bare == dict.fromkeys(RAW_NAMES) | {"id": 1}
    nulls = {key: None for key in RECORD if key not in {"id", "tags", "fields"}}
    assert columns(id=1, **nulls) == bare


def test_a_team_without_an_owner() -> None:
    record = columns(id=1, owner=None, team={"id": 2, "name": "North"})
    assert (record["owner"], record["team"]) == (None, "North")


@pytest.mark.parametrize(
    ("party", "name"),
    [
        ({"id": 1, "name": "Acme"}, "Acme"),
        ({"id": 1, "firstName": "Ada", "lastName": "Byron"}, "Ada Byron"),
        ({"id": 1, "firstName": None, "lastName": "Byron"}, "Byron"),
        ({"id": 1, "name": None, "firstName": 5}, "5"),
        ({"id": 1}, ""),
        (None, None),
    ],
)
def test_a_party_is_named(party: Any, name: str | None) -> None:
    assert columns(id=1, party=party)["party"] == name
    listed = {"parties": [party]} if party else {"parties": []}
    assert [p["name"] for p in _v2.parse_parties(orjson.dumps(listed))] == [name] * bool(party)


def test_tags_and_fields_are_there_only_when_they_were_sent() -> None:
    without, with_tags = {"id": 1}, {"id": 2, "tags": [], "fields": []}
    assert "tags" not in _v2.parse_page(page(without), {}).columns
    found = _v2.parse_page(page(without, with_tags), {}).columns
    assert found["tags"] == [None, ()]
    assert found["fields"] == [None, ()]


def test_odd_tags_and_fields_are_passed_over() -> None:
    record = columns(
        id=1,
        tags=[{"name": "a"}, None, "b", {"id": 3}, {"name": None}],
        fields=[{"definition": {"name": "Size"}, "value": 3}, None, "x"],
    )
    assert record["tags"] == ("a",)
    assert record["fields"] == (Field(None, "Size", None, 3),)
    assert columns(id=1, tags="a", fields=3)["tags"] is None


def test_a_milestone_carries_its_pipeline() -> None:
    body = orjson.dumps(
        {
            "milestones": [
                {"id": 1, "name": "Bid", "probability": 40, "complete": False, "colour": "red"},
                {"id": 2, "name": "Bid", "pipeline": {"id": 1, "name": "Sales"}},
                {"id": 3, "name": "Bid", "pipeline": None},
            ]
        }
    )
    records, more = _v2.parse_milestones(body, {"x-pagination-has-more": "true"})
    assert more is True
    assert [record["pipeline"] for record in records] == [None, "Sales", None]
    assert "colour" not in records[0]


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b'{"currencies": [{"code": "GBP"}, {"code": "EUR"}]}', ["GBP", "EUR"]),
        (b'{"currencies": ["GBP", "EUR"]}', ["GBP", "EUR"]),
        (b'{"currencies": [{"code": null}, 5, {}, "GBP"]}', ["GBP"]),
        (b'{"currencies": null}', []),
    ],
)
def test_currencies_are_codes(body: bytes, codes: list[str]) -> None:
    assert _v2.parse_currencies(body) == codes


@pytest.mark.parametrize("currencies", [5, "GBP", {"code": "GBP"}])
def test_currencies_that_are_no_list_are_a_data_error(currencies: Any) -> None:
    with pytest.raises(DataError, match="'currencies' to be a list"):
        _v2.parse_currencies(orjson.dumps({"currencies": currencies}))


def test_deletions_and_restrictions_are_read() -> None:
    body = orjson.dumps(
        {
            "opportunities": [
                {"id": 90, "deletedAt": "2026-01-20T10:00:00Z"},
                {"id": None, "deletedAt": "2026-01-20T10:00:00Z"},
                {"id": [90]},
                {},
            ],
            "restrictedOpportunities": [
                {"id": 91, "restrictedAt": "2026-01-21T10:00:00Z"},
                {"id": 92, "name": "Private", "isRestricted": True},
            ],
        }
    )
    found = _v2.parse_deleted(body, {})
    assert found.records == [{"id": 90, "deleted_at": "2026-01-20T10:00:00Z"}]
    assert found.restricted == [
        {"id": 91, "deleted_at": "2026-01-21T10:00:00Z"},
        {"id": 92, "deleted_at": None},
    ]
    assert _v2.parse_deleted(b'{"opportunities": [], "restrictedOpportunities": null}', {}) == (
        [],
        [],
        False,
    )


@pytest.mark.parametrize("opportunity", [{}, {"id": None}, {"id": "7"}])
def test_a_creation_without_an_id_is_an_error(opportunity: dict[str, Any]) -> None:
    assert _v2.parse_created(b'{"opportunity": {"id": 7}}', {}) == 7
    with pytest.raises(DataError, match="did not say under which id"):
        _v2.parse_created(orjson.dumps({"opportunity": opportunity}), {})


# Whether more follow


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({"X-Pagination-Has-More": "true"}, True),
        ({"x-pagination-has-more": "TRUE"}, True),
        ({"X-PAGINATION-HAS-MORE": " false "}, False),
        ({"Link": '<https://api.example/opportunities?page=4>; rel="next"'}, True),
        ({"link": "<https://api.example/opportunities?page=4,5>;rel=next"}, True),
        (
            {"LINK": '<https://x/?page=1>; rel="prev", <https://x/?page=3>; rel="next"'},
            True,
        ),
        ({"Link": '<https://api.example/opportunities?page=2>; rel="prev"'}, False),
        ({"Link": ""}, False),
        # The explicit word counts before the link.
        ({"X-Pagination-Has-More": "false", "Link": '<https://x/?page=3>; rel="next"'}, False),
        ({}, None),
        ({"Content-Type": "application/json"}, None),
    ],
)
def test_the_headers_tell_whether_more_follow(headers: dict[str, str], more: bool | None) -> None:
    assert _v2.parse_page(page(RECORD), headers).more is more


def test_an_empty_page_without_a_word_is_the_end() -> None:
    assert _v2.parse_page(page(), {}).more is False


# What is no answer


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no JSON"),
        (page(RECORD)[:200], "no JSON"),
        (page(RECORD)[:-1], "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"opportunities": [{"id": NaN}]}', "no JSON"),
        (b'{"opportunities": ' + b"[" * 5000 + b"]" * 5000 + b"}", "no JSON"),
        (b"<!DOCTYPE html><HTML><body>Log in</body></html>", "an HTML page"),
        (b"<opportunities/>", "no JSON"),
        (b"[]", "a JSON object with 'opportunities'"),
        (b"null", "a JSON object with 'opportunities'"),
        (b'{"message": "ok"}', "a JSON object with 'opportunities'"),
        (b'{"opportunities": {"id": 1}}', "a list of JSON objects"),
        (b'{"opportunities": "none"}', "a list of JSON objects"),
        (b'{"opportunities": [1, 2]}', "a list of JSON objects"),
        (b'{"opportunities": [null]}', "a list of JSON objects"),
    ],
)
def test_what_is_no_page_is_a_data_error(body: bytes, says: str) -> None:
    with pytest.raises(DataError) as caught:
        _v2.parse_page(body, {})
    assert says in str(caught.value)
    assert "opportunities" in str(caught.value)


@pytest.mark.parametrize("body", [b'{"opportunity": null}', b'{"opportunity": [1]}', b"{}"])
def test_what_is_no_opportunity_is_a_data_error(body: bytes) -> None:
    with pytest.raises(DataError, match="opportunity"):
        _v2.parse_opportunity(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "Milestone not found"}', "Milestone not found"),
        (b'{"error": "rate limit reached"}', "rate limit reached"),
        (
            b'{"message": "Invalid", "errors": [{"field": "name", "message": "required"}, 5, {}]}',
            "Invalid; name: required",
        ),
        (b'{"message": {"odd": 1}}', "{'odd': 1}"),
        (b'["message"]', ""),
        (b"<html>502</html>", ""),
        (b"", ""),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(body: bytes, words: str) -> None:
    assert _v2.parse_error(body) == words


# Wrong types, up to the frame and its findings


@pytest.mark.parametrize(
    ("record", "column", "read", "check", "detail"),
    [
        ({"probability": "50"}, "probability", 0.5, "text_number", "probability is text: '50'"),
        ({"probability": True}, "probability", 0.4, "not_a_number", "probability is True"),
        ({"value": {"amount": "12k"}}, "value", None, "not_a_number", "value is '12k'"),
        ({"value": {"amount": False}}, "value", None, "not_a_number", "value is False"),
        ({"value": {"amount": [5]}}, "value", None, "not_a_number", "value is [5]"),
        ({"value": {"amount": None}}, "value", None, "missing_value", "counts with no value"),
        ({"value": None}, "value", None, "missing_value", "counts with no value"),
        ({"value": [1, 2]}, "value", None, "not_a_number", "value is [1, 2]"),
        ({"value": "lots"}, "value", None, "not_a_number", "value is 'lots'"),
        ({"duration": "3"}, "duration", 3, "text_number", "duration is text: '3'"),
        ({"duration": 2.5}, "duration", None, "not_a_number", "duration is 2.5, not whole"),
        ({"owner": ["sarah"]}, "owner", "['sarah']", "not_text", "owner is ['sarah']"),
        ({"team": 5}, "team", "5", "not_text", "team is 5"),
        ({"name": {"en": "x"}}, "name", "{'en': 'x'}", "not_text", "name is {'en': 'x'}"),
        ({"party": {"id": "11"}}, "party_id", 11, "text_number", "party_id is text: '11'"),
        ({"expectedCloseOn": 5}, "expected_close", None, "bad_date", "expected_close is '5'"),
        (
            {"expectedCloseOn": "0000-00-00"},
            "expected_close",
            None,
            "bad_date",
            "expected_close is '0000-00-00'",
        ),
    ],
)
def test_a_wrong_type_is_reported_and_stops_nothing(
    record: dict[str, Any], column: str, read: Any, check: str, detail: str
) -> None:
    good = RECORD | {"id": 1, "milestone": {"id": 2, "name": "Bid"}, "probability": None}
    made = pipeline(good, good | {"id": 2} | record)
    value = made.opportunities[column].loc[2]
    assert pd.isna(value) if read is None else value == read
    assert checks(made, 2)[check] == detail
    assert check not in checks(made, 1)
    assert made.opportunities["tcv"].loc[1] == 6006.0


@pytest.mark.parametrize("odd", [[7], {"id": 7}, "x", 1.5, True, None])
def test_an_odd_id_can_be_compared_and_the_record_is_kept(odd: Any) -> None:
    found = _v2.parse_page(page({"id": odd, "name": "kept"}, {"id": 3}), {})
    assert 3 in set(found.columns["id"])
    made = pipeline({"id": odd, "name": "kept"}, {"id": 3})
    assert made.opportunities["name"].loc[-1] == "kept"
    assert "missing_id" in checks(made, -1)


def test_an_owner_or_milestone_given_as_text_is_read() -> None:
    made = pipeline({"id": 1, "owner": "sarah", "milestone": "Nowhere", "party": "Acme"})
    row = made.opportunities.loc[1]
    assert (row["owner"], row["milestone"], row["party"]) == ("sarah", "Nowhere", "Acme")


def test_unknown_keys_are_ignored() -> None:
    record = RECORD | {"legacyScore": {"grade": "B"}, "isStale": True}
    assert columns(**record) == columns(**RECORD)


def test_milestone_names_that_repeat_across_pipelines_are_joined_by_id() -> None:
    made = pipeline(
        {"id": 1, "milestone": {"id": 2, "name": "Bid"}},
        {"id": 2, "milestone": {"id": 5, "name": "Bid"}},
        {"id": 3, "milestone": {"name": "Bid"}},
    )
    frame = made.opportunities
    assert frame["probability"].fillna(-1).tolist() == [0.4, 0.7, -1]
    assert frame["pipeline"].tolist()[:2] == ["Sales", "Repeat"]
    assert [("unknown_milestone" in checks(made, key)) for key in (1, 2, 3)] == [False, False, True]
