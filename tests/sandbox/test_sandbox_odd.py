"""Odd input: the sandbox refuses it in its own words, never breaks, and never falls silent."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_account import account

from capsule_analytics.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = "9" * 5_000


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(account(), rate_limit=10**9) as running:
        yield running


def ask(
    sandbox: Sandbox, method: str, path: str, body: bytes = b"", **headers: str
) -> requests.Response:
    # Neither the path nor the body is made better by the client: they go out as they are.
    url = sandbox.url + path
    asked = requests.Request(method, url, data=body, headers=headers)
    with requests.Session() as session:
        prepared = session.prepare_request(asked)
        prepared.url = url
        return session.send(prepared, timeout=5, allow_redirects=False)


def v2(sandbox: Sandbox, method: str, path: str, body: bytes = b"") -> requests.Response:
    answer = ask(sandbox, method, "/api/v2" + path, body, Authorization=f"Bearer {sandbox.token}")
    if answer.status_code != 204:
        answer.json()
    return answer


def v1(
    sandbox: Sandbox, method: str, path: str, body: bytes = b"", **headers: str
) -> requests.Response:
    login = requests.auth._basic_auth_str(sandbox.token, "x")
    return ask(sandbox, method, "/api" + path, body, Authorization=login, **headers)


def filtering(text: str) -> bytes:
    return b'{"filter":{"conditions":[' + text.encode() + b"]}}"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/opportunities?page={LONG}", 400),
        (f"/opportunities?perPage={LONG}", 400),
        ("/opportunities?page=%D9%A3", 400),  # an Arabic three
        ("/opportunities?page=%C2%B2", 400),  # a superscript two
        ("/opportunities?page=2147483647&perPage=100", 200),
        ("/opportunities?since=0001-01-01T00:00:00%2B23:59", 422),
        ("/opportunities?since=9999-12-31T23:59:59-23:59", 422),
        ("/opportunities?since=0001-01-01", 200),
        ("/opportunities?since=9999-12-31T23:59:59Z", 200),
        (f"/opportunities?since={LONG}", 422),
        ("/opportunities?since=", 422),
        ("/opportunities?since=2026-W10", 200),
        ("/opportunities?since=soon", 422),
        ("/opportunities/deleted?since=0000-00-00", 422),
        (f"/opportunities/{LONG}", 404),
        (f"/opportunities/1,{LONG}", 404),
        ("/opportunities/-1", 404),
        ("/opportunities/1,,2", 404),
        ("/opportunities/1,x", 404),
        ("/opportunities/999999999999999999", 404),
        (f"/pipelines/{LONG}/milestones", 404),
        ("/opportunities?embed=%00,%FF,,tags", 200),
        ("/opportunities?embed=" + "tags," * 2_000, 200),
        ("/opportunities?page=1&page=x", 200),
        ("/%E2%98%83", 404),
        ("/%FF%FE", 404),
        ("/opportunities/%2e%2e/users", 404),
        ("/parties?since=x", 422),
    ],
)
def test_a_question_that_makes_no_sense(sandbox: Sandbox, path: str, status: int) -> None:
    assert v2(sandbox, "GET", path).status_code == status


@pytest.mark.parametrize(
    "condition",
    [
        '{"field":["a"],"operator":"is","value":1}',
        '{"field":"id","operator":["is"],"value":1}',
        '{"field":"id","operator":{},"value":1}',
        '{"field":"custom:' + LONG + '","operator":"is","value":1}',
        '{"field":"custom:99","operator":"is","value":1}',
        '{"field":"addedOn","operator":"is within last","value":999999999999}',
        '{"field":"addedOn","operator":"is within next","value":-5}',
        '{"conditions":[' * 200 + "]}" * 200,
        '{"conditions":{}}',
        '{"conditions":[5]}',
    ],
)
def test_a_filter_that_makes_no_sense(sandbox: Sandbox, condition: str) -> None:
    answer = v2(sandbox, "POST", "/opportunities/filters/results", filtering(condition))
    assert answer.status_code in (400, 422)


def test_an_unknown_field_is_named_as_capsule_does(sandbox: Sandbox) -> None:
    body = filtering('{"field":"expectedCloseDate","operator":"is","value":1}')
    answer = v2(sandbox, "POST", "/opportunities/filters/results", body)
    assert answer.json()["errors"][0]["message"] == "invalid field name"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[" * 100_000,
        b'{"opportunity":' * 2_000,
        b'{"opportunity":{"name":"\\ud800"}}',
        b'{"opportunity":{"value":{"amount":1e999,"currency":"GBP"}}}',
        b'{"opportunity":{"value":{"amount":' + LONG.encode() + b',"currency":"GBP"}}}',
        b'{"opportunity":{"value":{"amount":1,"currency":["GBP"]}}}',
        b'{"opportunity":{"value":{"amount":1,"currency":{}}}}',
        b'{"opportunity":{"probability":' + LONG.encode() + b"}}",
        b'{"opportunity":{"probability":true}}',
        b'{"opportunity":{"durationBasis":[]}}',
        b'{"opportunity":{"durationBasis":{"a":1}}}',
        b'{"opportunity":{"durationBasis":"MONTH","duration":true}}',
        b'{"opportunity":{"party":{"id":true}}}',
        b'{"opportunity":{"party":{"id":{}}}}',
        b'{"opportunity":{"milestone":{"id":[1]}}}',
        b'{"opportunity":{"owner":7}}',
        b'{"opportunity":{"tags":[null]}}',
        b'{"opportunity":{"fields":[{"definition":{"id":{}}}]}}',
        b'{"opportunity":{"fields":[[]]}}',
        b'{"opportunity":{"name":["x"]}}',
    ],
)
def test_a_body_that_makes_no_sense(sandbox: Sandbox, body: bytes) -> None:
    before = sandbox.account.get(101)
    assert v2(sandbox, "PUT", "/opportunities/101", body).status_code in (400, 422)
    assert v2(sandbox, "POST", "/opportunities", body).status_code in (400, 422)
    assert sandbox.account.get(101) is before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/opportunity?start={LONG}", 400),
        (f"/opportunity?limit={LONG}", 400),
        ("/opportunity?start=%D9%A3", 400),
        ("/opportunity?start=2147483647", 200),
        ("/opportunity?lastmodified=99999999T999999", 200),
        ("/opportunity?lastmodified=", 400),
        (f"/opportunity/deleted?since={LONG}", 400),
        (f"/opportunity/{LONG}", 404),
        (f"/party/{LONG}/opportunity", 404),
        ("/opportunity/101/tag/", 404),
        ("/opportunity?milestone=%FF&tag=%00", 200),
    ],
)
def test_a_question_to_v1_that_makes_no_sense(sandbox: Sandbox, path: str, status: int) -> None:
    assert v1(sandbox, "GET", path).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"<opportunity><value>1e999999999</value></opportunity>",
        b"<opportunity><value>" + LONG.encode() + b"</value></opportunity>",
        b"<opportunity><probability>sNaN</probability></opportunity>",
        b"<opportunity><milestoneId>" + LONG.encode() + b"</milestoneId></opportunity>",
        b"<opportunity><duration>1.5</duration></opportunity>",
        b'<?xml version="1.0" encoding="utf-99"?><opportunity/>',
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><opportunity><name>&b;</name></opportunity>",
        b"<a:opportunity xmlns:a='b'/>",
        b"\xff\xfe",
        b"<opportunity>" * 5_000,
    ],
)
def test_a_body_to_v1_that_makes_no_sense(sandbox: Sandbox, body: bytes) -> None:
    assert v1(sandbox, "PUT", "/opportunity/102", body).status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"opportunity":[]}', b'{"opportunity":{"name":""}}']
)
def test_a_json_body_to_v1_that_makes_no_sense(sandbox: Sandbox, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = v1(sandbox, "PUT", "/opportunity/102", body, **headers)
    assert answer.status_code == 400
    assert answer.json()["message"]


def say(sandbox: Sandbox, sent: bytes) -> bytes:
    """Send bytes and nothing after them, and read what comes back."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(sent)
        with suppress(OSError):  # the server may have hung up
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return answer.read()


HEAD = b"POST /api/v2/opportunities HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"Content-Length: " + LONG.encode() + b"\r\n\r\n", b"413"),
        (HEAD + b"Content-Length: -5\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: \xd9\xa3\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 1e3\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}", b"400"),
        (HEAD + b"Content-Length: 500\r\n\r\n{}", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /api/v2/users HTTP/9.9\r\n\r\n", b"505"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /api/v2/users HTTP/1.1\r\nHost: a b\xff\r\n\r\n", b"401"),
        (b"GET /api/v2/users HTTP/1.1\r\nAuthorization: Bearer \xff\xfe\r\n\r\n", b"401"),
        (b"GET /api/opportunity HTTP/1.1\r\nAuthorization: Basic !!!\r\n\r\n", b"401"),
        (b"GET /api/opportunity HTTP/1.1\r\nAuthorization: Basic /////w==\r\n\r\n", b"401"),
    ],
)
def test_a_request_that_is_none(sandbox: Sandbox, sent: bytes, status: bytes) -> None:
    answer = say(sandbox, sent)
    assert status in answer[:120], answer[:200]
    assert v2(sandbox, "GET", "/users").status_code == 200


def test_a_host_that_is_none_still_gets_its_pages(sandbox: Sandbox) -> None:
    login = f"Authorization: Bearer {sandbox.token}\r\n".encode()
    for host in (b"a b", b"[::1", b"x:" + LONG.encode(), b"\xff", b""):
        query = b"GET /api/v2/opportunities?perPage=2 HTTP/1.1\r\nHost: " + host + b"\r\n"
        answer = say(sandbox, query + login + b"\r\n")
        assert answer[9:12] in (b"200", b"400"), (host, answer[:200])


KEYS = st.sampled_from(
    [
        "id", "name", "value", "amount", "currency", "party", "owner", "team", "milestone", "tags",
        "fields", "definition", "probability", "duration", "durationBasis", "expectedCloseOn",
        "closedOn", "lostReason", "description", "_delete", "username",
    ]
) | st.text(max_size=4)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "id", "name", "status", "pipeline", "milestone", "probability", "lostReason", "currency",
        "expectedValue", "tag", "owner", "team", "party", "primaryContact", "primaryContactName",
        "isOpen", "isStale", "isOwnedByMe", "hasTags", "hasOpenTasks", "includedForConversion",
        "addedOn", "updatedOn", "closedOn", "expectedCloseOn", "lastContactedOn", "custom:8",
    ]
)  # fmt: skip
OPERATORS = st.sampled_from(
    [
        "is", "is not", "starts with", "ends with", "contains", "is greater than", "is less than",
        "is after", "is before", "is older than", "is within last", "is within next",
    ]
)  # fmt: skip
CONDITIONS = st.fixed_dictionaries({"field": FIELDS, "operator": OPERATORS, "value": ANYTHING})
FILTERS = st.fixed_dictionaries(
    {
        "conditions": st.lists(
            CONDITIONS | st.fixed_dictionaries({"conditions": st.lists(CONDITIONS, max_size=2)}),
            max_size=3,
        )
    },
    optional={"orderBy": st.lists(st.fixed_dictionaries({"field": FIELDS}), max_size=2)},
)
PATHS = st.sampled_from(
    ["/opportunities", "/opportunities/101", "/milestones", "/pipelines", "/goals", "/parties",
     "/opportunities/deleted", "/opportunities/search", "/opportunities/fields/definitions"]
)  # fmt: skip
WORDS = st.sampled_from(["page", "perPage", "since", "embed", "q", "includeDeleted"])


@pytest.fixture(scope="module", autouse=True)
def _shared() -> Iterator[None]:
    with SHARED:
        yield


SHARED = Sandbox(account(), rate_limit=10**9)


@settings(max_examples=150, deadline=None)
@given(query=FILTERS)
def test_no_filter_breaks_it(query: Any) -> None:
    body = json.dumps({"filter": query}).encode()
    for path in ("/opportunities/filters/results", "/opportunities/value"):
        answer = v2(SHARED, "POST", path, body)
        assert answer.status_code in (200, 400, 422), answer.text


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=PATHS,
    query=st.dictionaries(WORDS, st.text(max_size=12), max_size=3),
    content=st.dictionaries(KEYS, ANYTHING, max_size=4),
)
def test_no_question_breaks_it(method: str, path: str, query: dict[str, str], content: Any) -> None:
    text = "&".join(f"{key}={quote(value, errors='replace')}" for key, value in query.items())
    body = json.dumps({"opportunity": content}).encode()
    assert v2(SHARED, method, f"{path}?{text}", body).status_code < 500
    assert len(v2(SHARED, "GET", "/opportunities").json()["opportunities"]) > 5
    assert v1(SHARED, "GET", "/opportunity").status_code == 200
