"""Every answer of API v2 has the keys that Capsule's have, and no others.

The table is written down from what is known of Capsule's API, not from the sandbox: a key that
the sandbox invents or forgets is seen here. The sample account is served, which uses them all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from capsule_analytics.sandbox import Quirks, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = re.compile(r"\d{4}-\d\d-\d\d")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Maybe:
    """A value that may be null, and may be absent where the quirk says so."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


class Absent:
    """A key that need not be there, and is never null."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape


class Either:
    """One of several forms."""

    def __init__(self, *shapes: Any) -> None:
        self.shapes = shapes


number = (int, float)
person = {
    "id": int,
    "type": "person",
    "firstName": str,
    "lastName": str,
    "pictureURL": Maybe(str),
}
organisation = {"id": int, "type": "organisation", "name": str, "pictureURL": Maybe(str)}
user = {"id": int, "username": str, "name": str}
named = {"id": int, "name": str}
tag = {"id": int, "name": str, "description": Absent(str), "dataTag": bool}
OPPORTUNITY = {
    "id": int,
    "createdAt": TIME,
    "updatedAt": TIME,
    "name": str,
    "description": Maybe(str),
    "party": Maybe(Either(person, organisation)),
    "owner": Maybe(user),
    "team": Maybe(named),
    "milestone": named,
    "lastOpenMilestone": Maybe(named),
    "value": Maybe({"amount": number, "currency": re.compile("[A-Z]{3}")}),
    "expectedCloseOn": Maybe(DAY),
    "closedOn": Maybe(DAY),
    "probability": Maybe(int),
    "durationBasis": re.compile("FIXED|HOUR|DAY|WEEK|MONTH|QUARTER|YEAR"),
    "duration": Maybe(int),
    "lostReason": Maybe(named),
    "lastContactedAt": Maybe(TIME),
    "lastStageChangedAt": Maybe(TIME),
}
EMBEDDED = OPPORTUNITY | {
    "tags": [tag],
    "fields": [{"id": int, "value": (str, bool), "definition": named, "tagId": Absent(int)}],
    "missingImportantFields": bool,
}
MILESTONE = {
    "id": int,
    "name": str,
    "description": Absent(str),
    "complete": bool,
    "probability": int,
    "daysUntilStale": Absent(int),
    "pipeline": named,
    "createdAt": TIME,
    "updatedAt": TIME,
}
PIPELINE = {
    "id": int,
    "name": str,
    "description": Absent(str),
    "createdAt": TIME,
    "updatedAt": TIME,
    "isDeleted": Absent(bool),
}
GOAL = {
    "id": int,
    "name": str,
    "createdAt": TIME,
    "updatedAt": TIME,
    "startOn": DAY,
    "endOn": DAY,
    "frequency": re.compile("DAILY|WEEKLY|MONTHLY|YEARLY|FIXED"),
    "status": re.compile("UPCOMING|ACTIVE|COMPLETED|MISSED"),
    "type": UUID,
    "value": number,
    "currency": Maybe(re.compile("[A-Z]{3}")),
    "user": Maybe(user),
    "pipeline": Maybe(named),
    "milestone": Maybe(named),
}
USER = user | {
    "locale": str,
    "currency": str,
    "timezone": str,
    "status": "ACTIVE",
    "lastLoginAt": Maybe(TIME),
    "taskReminder": bool,
    "party": person,
}
SHAPES: dict[str, Any] = {
    "/opportunities?perPage=20&page=2": {"opportunities": [OPPORTUNITY]},
    "/opportunities?perPage=20&page=3&embed=tags,fields,missingImportantFields,meta": {
        "opportunities": [EMBEDDED],
        "meta": {"totalCount": int},
    },
    "/opportunities/1001": {"opportunity": OPPORTUNITY},
    "/opportunities/1001,1002": {"opportunities": [OPPORTUNITY]},
    "/opportunities/search?q=ltd": {"opportunities": [OPPORTUNITY]},
    "/opportunities/deleted?since=2020-01-01": {"opportunities": [{"id": int, "deletedAt": TIME}]},
    "/parties/201/opportunities": {"opportunities": [OPPORTUNITY]},
    "/pipelines?includeDeleted=true": {"pipelines": [PIPELINE]},
    "/pipelines/2": {"pipeline": PIPELINE},
    "/pipelines/2,3": {"pipelines": [PIPELINE]},
    "/pipelines/3/milestones": {"milestones": [MILESTONE]},
    "/milestones": {"milestones": [MILESTONE]},
    "/milestones/all": {"milestones": [MILESTONE]},
    "/milestones/18": {"milestone": MILESTONE | {"isDeleted": True}},
    "/goals": {"goals": [GOAL]},
    "/goals/91/periods": {
        "goalPeriods": [
            {
                "id": int,
                "goal": {"id": int},
                "startOn": DAY,
                "endOn": DAY,
                "targetValue": number,
                "currentValue": number,
                "completedOn": Absent(DAY),
            }
        ]
    },
    "/lostreasons": {
        "lostReasons": [
            named | {"includedForConversion": bool, "createdAt": TIME, "updatedAt": TIME}
        ]
    },
    "/opportunities/fields/definitions": {
        "definitions": [
            {
                "id": int,
                "type": str,
                "name": str,
                "displayOrder": int,
                "description": Absent(str),
                "options": Absent([str]),
                "important": bool,
                "tag": Absent(tag),
            }
        ]
    },
    "/opportunities/tags": {"tags": [tag]},
    "/users": {"users": [USER]},
    "/users/current": {"user": USER},
    "/users/25": {"user": USER},
    "/teams": {"teams": [named | {"createdAt": TIME, "updatedAt": TIME}]},
    "/teams?embed=memberships": {
        "teams": [named | {"createdAt": TIME, "updatedAt": TIME, "memberships": [{"user": user}]}]
    },
    "/site": {"site": {"url": str, "subdomain": str, "name": str}},
    "/currencies": {"currencies": [{"code": re.compile("[A-Z]{3}"), "symbol": str}]},
}
FILTER = {"filter": {"conditions": [{"field": "status", "operator": "is", "value": "lost"}]}}


def differences(value: Any, shape: Any, at: str, *, nulls: bool) -> Iterator[str]:
    """Say where a value is not of its shape."""
    if isinstance(shape, Maybe):
        if value is not None:
            yield from differences(value, shape.shape, at, nulls=nulls)
    elif isinstance(shape, dict):
        yield from key_differences(value, shape, at, nulls=nulls)
    elif isinstance(shape, list) and isinstance(value, list):
        for index, one in enumerate(value):
            yield from differences(one, shape[0], f"{at}[{index}]", nulls=nulls)
    elif isinstance(shape, Either):
        if all(list(differences(value, one, at, nulls=nulls)) for one in shape.shapes):
            yield f"{at}: {value!r}"
    elif not is_plain(value, shape):
        yield f"{at}: {value!r}"


def is_plain(value: Any, shape: Any) -> bool:
    """Tell whether a value that is no object is of its shape: a pattern, a type, or itself."""
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    if isinstance(shape, type | tuple):
        return isinstance(value, shape) and (not isinstance(value, bool) or shape is not int)
    return bool(value == shape)


def key_differences(value: Any, shape: dict[str, Any], at: str, *, nulls: bool) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at} is no object"
        return
    yield from (f"{at}.{key} is not known" for key in value.keys() - shape.keys())
    for key, of_key in shape.items():
        if key in value:
            inner = of_key.shape if isinstance(of_key, Absent) else of_key
            yield from differences(value[key], inner, f"{at}.{key}", nulls=nulls)
        elif not isinstance(of_key, Absent) and (nulls or not isinstance(of_key, Maybe)):
            yield f"{at}.{key} is absent"


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def read(sandbox: Sandbox, path: str, body: Any = None) -> Any:
    answer = requests.request(
        "GET" if body is None else "POST",
        sandbox.url + "/api/v2" + path,
        json=body,
        headers={"Authorization": "Bearer " + sandbox.token},
        timeout=5,
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-RateLimit-Limit"] == "4000"
    return answer.json()


@pytest.mark.parametrize("path", SHAPES)
def test_an_answer_has_the_keys_that_are_known(served: Sandbox, path: str) -> None:
    content = read(served, path)
    assert list(differences(content, SHAPES[path], "", nulls=True)) == []
    assert all(content.values()), "an empty list proves nothing"


def test_the_results_of_a_filter_are_a_list_as_any(served: Sandbox) -> None:
    content = read(served, "/opportunities/filters/results?embed=tags,meta", FILTER)
    shape = {"opportunities": [OPPORTUNITY | {"tags": [tag]}], "meta": {"totalCount": 222}}
    assert list(differences(content, shape, "", nulls=True)) == []


def test_the_value_of_a_filter(served: Sandbox) -> None:
    shape = {"totalValue": number, "projectedValue": 0.0, "meta": {"currency": "GBP"}}
    said = read(served, "/opportunities/value", FILTER)
    assert list(differences(said, shape, "", nulls=True)) == []


def test_with_absent_keys_nothing_is_null() -> None:
    path = "/opportunities?perPage=20&page=3&embed=tags,fields,missingImportantFields,meta"
    with Sandbox(quirks=Quirks(absent_keys=True)) as sparse:
        content = read(sparse, path)
    assert list(differences(content, SHAPES[path], "", nulls=False)) == []
    rows = content["opportunities"]
    assert all(value is not None for row in rows for value in row.values())
    assert any("lostReason" not in row for row in rows)
