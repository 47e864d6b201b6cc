"""Each point that is not known of Capsule's API, tried both ways."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from sandbox_account import SARAH, account

from capsule_analytics.errors import ArgumentError
from capsule_analytics.sandbox import Account, Quirks, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 1, 23, 30, 0, tzinfo=UTC)
SINCE = "/opportunities/deleted?since=2026-02-01T00:00:00Z"


def rich() -> dict[str, Any]:
    """Give the small account what the quirks are about."""
    data = account()
    data["pipelines"] = [
        *data["pipelines"],
        {"id": 3, "name": "Old", "isDeleted": True},
    ]
    data["milestones"] += [
        {
            "id": 6,
            "name": "Due",
            "probability": 30,
            "complete": False,
            "pipeline": {"id": 3, "name": "Old"},
        },
        {
            "id": 7,
            "name": "Gone",
            "probability": 20,
            "complete": False,
            "pipeline": {"id": 1, "name": "Sales"},
            "isDeleted": True,
        },
    ]
    contract = {"id": 3, "name": "Contract", "dataTag": True}
    data["fieldDefinitions"] = [{"id": 8, "name": "Terms", "type": "text", "tag": contract}]
    value = {"id": 1, "value": "net", "definition": {"id": 8, "name": "Terms"}, "tagId": 3}
    data["opportunities"][1]["fields"] = [value]
    data["restrictedOpportunities"] = [{"id": 95, "restrictedAt": "2026-01-10T00:00:00Z"}]
    data["goals"] = [{"id": 15, "name": "A year", "value": 100.0, "user": SARAH}]
    data["goalPeriods"] = [
        {"id": number, "goal": {"id": 15}, "targetValue": 100.0} for number in (1, 2)
    ]
    return data


class Served:
    """A sandbox with some quirks, and what it says."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def call(self, path: str, body: Any = None, method: str = "") -> requests.Response:
        return requests.request(
            method or ("GET" if body is None else "POST"),
            self.sandbox.url + "/api/v2" + path,
            json=body,
            headers={"Authorization": "Bearer " + self.sandbox.token},
            timeout=5,
        )

    def read(self, path: str, body: Any = None, method: str = "") -> Any:
        answer = self.call(path, body, method)
        assert answer.ok, answer.text
        return answer.json()

    def status(self, path: str, body: Any = None, method: str = "") -> int:
        return self.call(path, body, method).status_code

    def deal(self, number: int, embed: str = "") -> Any:
        return self.read(f"/opportunities/{number}?embed={embed}")["opportunity"]

    def v1(self, path: str) -> Any:
        answer = requests.get(
            self.sandbox.url + "/api" + path,
            auth=(self.sandbox.token, "x"),
            headers={"Accept": "application/json"},
            timeout=5,
        )
        assert answer.ok, answer.text
        return answer.json()


def milestone_ids(answer: Any) -> list[int]:
    return [row["id"] for row in answer["milestones"]]


def old_pipeline(served: Served) -> Any:
    rows = served.read("/pipelines?includeDeleted=true")["pipelines"]
    return {key for key in rows[-1] if key not in ("id", "name", "createdAt", "updatedAt")}


def filtered(field: str, value: Any, **more: Any) -> dict[str, Any]:
    condition = {"field": field, "operator": "is", "value": value}
    return {"filter": {"conditions": [condition], **more}}


def order(served: Served) -> list[int]:
    body = filtered("isOpen", value=True, orderBy=[{"field": "id", "direction": "descending"}])
    rows = served.read("/opportunities/filters/results", body)["opportunities"]
    return [row["id"] for row in rows]


def changed_since(served: Served) -> list[int]:
    path = "/opportunities?since=2026-02-20T08:00:00Z"
    return [row["id"] for row in served.read(path)["opportunities"]]


def close(served: Served) -> str:
    body = {"opportunity": {"milestone": {"id": 3}}}
    closed: str = served.read("/opportunities/101", body, "PUT")["opportunity"]["closedOn"]
    return closed


TAG = {"opportunity": {"tags": [{"name": "new"}]}}
BY_NAME = {"opportunity": {"milestone": {"name": "Lead"}}}
RESULTS = "/opportunities/filters/results"
PAGE = "/opportunities?page=2&perPage=2"

# A question, and the answer under each setting of a quirk, the default first.
Question = tuple[str, "Callable[[Served], Any]", dict[Any, Any]]
QUESTIONS: list[Question] = [
    (
        "absent_keys",
        lambda it: "closedOn" in it.deal(101),
        {False: True, True: False},
    ),
    (
        "archived_listed",
        lambda it: it.status("/pipelines/3/milestones"),
        {True: 200, False: 404},
    ),
    (
        "archived_mark",
        old_pipeline,
        {"isDeleted": {"isDeleted"}, "archived": {"archived"}, "": set()},
    ),
    (
        "archived_in_all",
        lambda it: milestone_ids(it.read("/milestones/all")),
        {False: [1, 2, 3, 4, 5], True: [1, 2, 3, 4, 5, 6]},
    ),
    ("closing_zone", close, {"UTC": "2026-03-01", "Asia/Tokyo": "2026-03-02"}),
    (
        "deleted_milestone_fetchable",
        lambda it: it.status("/milestones/7"),
        {True: 200, False: 404},
    ),
    (
        "deleted_paged",
        lambda it: len(
            it.read("/opportunities/deleted?since=2020-01-01&page=2&perPage=1")["opportunities"]
        ),
        {False: 1, True: 0},
    ),
    (
        "embed_milestone",
        lambda it: it.deal(101, "milestone")["milestone"].get("probability"),
        {False: None, True: 40},
    ),
    (
        "embed_party",
        lambda it: "organisation" in it.deal(105, "party")["party"],
        {False: False, True: True},
    ),
    (
        "exact_status",
        lambda it: it.status(RESULTS, filtered("status", "OPEN")),
        {False: 200, True: 422},
    ),
    (
        "field_tag_id",
        lambda it: it.deal(102, "fields")["fields"][0].get("tagId"),
        {True: 3, False: None},
    ),
    ("goal_user", lambda it: "user" in it.read("/goals")["goals"][0], {True: True, False: False}),
    (
        "goal_value",
        lambda it: it.read("/goals/15")["goal"]["value"],
        {"period": 100.0, "whole": 200.0},
    ),
    (
        "has_more",
        lambda it: it.call(PAGE).headers.get("X-Pagination-Has-More"),
        {True: "true", False: None},
    ),
    ("link", lambda it: set(it.call(PAGE).links), {True: {"next", "prev"}, False: set()}),
    ("link_prev", lambda it: set(it.call(PAGE).links), {True: {"next", "prev"}, False: {"next"}}),
    (
        "meta_currency",
        lambda it: "meta" in it.read("/opportunities/value", filtered("isOpen", value=True)),
        {True: True, False: False},
    ),
    (
        "milestone_pipeline",
        lambda it: "pipeline" in it.read("/milestones")["milestones"][0],
        {True: True, False: False},
    ),
    ("milestones_all", lambda it: it.status("/milestones/all"), {True: 200, False: 404}),
    (
        "names_in_bodies",
        lambda it: it.status("/opportunities/101", BY_NAME, "PUT"),
        {True: 200, False: 422},
    ),
    ("order_by", order, {True: [106, 105, 104, 102, 101], False: [101, 102, 104, 105, 106]}),
    ("page_out_of_range", lambda it: it.status("/opportunities?page=0"), {400: 400, 422: 422}),
    (
        "restricted_by_since",
        lambda it: it.read(SINCE).get("restrictedOpportunities"),
        {False: [{"id": 95, "name": "Private", "isRestricted": True}], True: None},
    ),
    ("since_inclusive", changed_since, {False: [], True: [103]}),
    (
        "tags_by_name",
        lambda it: it.status("/opportunities/101", TAG, "PUT"),
        {False: 422, True: 200},
    ),
    (
        "total_count",
        lambda it: it.read("/opportunities?embed=meta").get("meta"),
        {True: {"totalCount": 6}, False: None},
    ),
    (
        "v1_bare_row",
        lambda it: type(it.v1("/opportunity?limit=1")["opportunities"]["opportunity"]),
        {False: list, True: dict},
    ),
    (
        "v1_close_date",
        lambda it: "actualCloseDate" in it.v1("/opportunity/103")["opportunity"],
        {True: True, False: False},
    ),
    (
        "value_totals",
        lambda it: it.status("/opportunities/value", filtered("isOpen", value=True)),
        {True: 200, False: 404},
    ),
    (
        "without",
        lambda it: [it.status(path) for path in ("/goals", "/goals/15/periods", "/pipelines")],
        {"": [200, 200, 200], "/goals": [404, 404, 200], "/pipelines /goals": [404, 404, 404]},
    ),
]


@pytest.mark.parametrize(
    ("name", "question", "setting", "expected"),
    [
        pytest.param(name, question, setting, expected, id=f"{name}={setting}")
        for name, question, answers in QUESTIONS
        for setting, expected in answers.items()
    ],
)
def test_a_quirk_changes_the_answer(
    name: str, question: Callable[[Served], Any], setting: Any, expected: Any
) -> None:
    quirks = replace(Quirks(), **{name: setting})
    with Sandbox(Account(rich(), clock=lambda: NOW), quirks=quirks) as sandbox:
        assert question(Served(sandbox)) == expected


def test_every_quirk_is_tried_and_the_first_answer_is_the_default() -> None:
    tried = {name: next(iter(answers)) for name, _, answers in QUESTIONS}
    assert tried == {one.name: one.default for one in fields(Quirks)}


@pytest.mark.parametrize(
    ("words", "quirks"),
    [
        ([], Quirks()),
        (["link_prev"], Quirks(link_prev=False)),
        (["absent_keys", "page_out_of_range=422"], Quirks(absent_keys=True, page_out_of_range=422)),
        (["since_inclusive=true", "link=False"], Quirks(since_inclusive=True, link=False)),
        (["without=/goals /teams"], Quirks(without="/goals /teams")),
        (["goal_value=whole"], Quirks(goal_value="whole")),
    ],
)
def test_quirks_are_read_from_words(words: list[str], quirks: Quirks) -> None:
    assert Quirks.of(words) == quirks


@pytest.mark.parametrize(
    "word",
    [
        "nothing",
        "page_out_of_range",
        "page_out_of_range=500",
        "page_out_of_range=" + "9" * 5_000,
        "absent_keys=maybe",
        "goal_value=half",
        "closing_zone=Mars/Olympus",
        "closing_zone=../etc",
        "closing_zone=",
    ],
)
def test_a_quirk_that_cannot_be_is_refused(word: str) -> None:
    with pytest.raises(ArgumentError, match="quirk"):
        Quirks.of([word])


def test_what_differs_is_named() -> None:
    assert repr(Quirks()) == "Quirks()"
    assert repr(Quirks(link=False)) == "Quirks(link=False)"
