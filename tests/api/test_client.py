"""Every call of `CapsuleClient`, against a sandbox over loopback, in both API versions."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from sandbox_account import ACME, account, deal

import capsule_analytics as ca
from capsule_analytics import CapsuleClient
from capsule_analytics.api import Query, _client
from capsule_analytics.errors import (
    ApiError,
    ArgumentError,
    AuthenticationError,
    CapsuleError,
    CompletenessError,
    DataError,
    NotFoundError,
)
from capsule_analytics.sandbox import Account, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
VERSIONS = ["v1", "v2"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Account(account(), clock=lambda: NOW)) as running:
        yield running


@contextmanager
def connected(sandbox: Sandbox, version: str) -> Iterator[CapsuleClient]:
    with CapsuleClient(
        token=sandbox.token, base_url=sandbox.url, api_version=version, timeout=10
    ) as made:
        yield made


@pytest.fixture(params=VERSIONS)
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[CapsuleClient]:
    with connected(sandbox, request.param) as made:
        yield made


@pytest.fixture
def v1(sandbox: Sandbox) -> Iterator[CapsuleClient]:
    with connected(sandbox, "v1") as made:
        yield made


@pytest.fixture
def v2(sandbox: Sandbox) -> Iterator[CapsuleClient]:
    with connected(sandbox, "v2") as made:
        yield made


def names(records: list[dict[str, Any]]) -> list[str]:
    return [record["name"] for record in records]


def stored(sandbox: Sandbox, opportunity_id: int) -> dict[str, Any]:
    record = sandbox.account.get(opportunity_id)
    assert record is not None
    return record


def writes(sandbox: Sandbox) -> list[tuple[str, str]]:
    return [
        (request.method, request.path)
        for request in sandbox.requests
        if request.method != "GET" and not request.path.endswith("/results")
    ]


# Reading


def test_one_opportunity_is_typed_exactly(client: CapsuleClient) -> None:
    record = client.get_opportunity(103)
    known = {
        "id": 103,
        "name": "Rollout",
        "party_id": 10,
        "currency": "EUR",
        "value": Decimal(20000),
        "duration_basis": "FIXED",
        "duration": None,
        "expected_close": date(2026, 3, 31),
        "milestone": "Won",
        "milestone_id": 3,
        "probability": 100,
        "owner": "sarah",
        "created_at": datetime(2026, 1, 5, 9, tzinfo=UTC),
        "updated_at": datetime(2026, 2, 20, 8, tzinfo=UTC),
        "closed_at": date(2026, 2, 20),
        "description": None,
    }
    assert {name: record[name] for name in known} == known
    assert [type(record[name]) for name in ("value", "expected_close")] == [Decimal, date]


def test_what_cannot_be_typed_stays_as_it_came(client: CapsuleClient) -> None:
    record = client.get_opportunity(106)
    assert record["value"] == "12k"
    assert record["expected_close"] == "0000-00-00"
    assert record["probability"] is None


def test_v2_adds_what_v1_has_not(v2: CapsuleClient) -> None:
    record = v2.get_opportunity(103, embed=["tags", "fields"])
    assert (record["party"], record["last_open_milestone"]) == ("Acme", "Bid")
    assert (record["tags"], record["fields"]) == ((), {})
    assert v2.get_opportunity(102, embed=["tags"])["tags"] == ("key account",)


def test_timestamps_are_utc_whatever_the_server_writes(
    sandbox: Sandbox, client: CapsuleClient
) -> None:
    sandbox.account.put(deal(107, "Far", updatedAt="2026-03-01T01:30:00+02:00", createdAt="x"))
    record = client.get_opportunity(107)
    assert record["updated_at"] == datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    assert record["updated_at"].tzinfo is UTC
    assert record["created_at"] == "x"


@pytest.mark.parametrize("call", ["get_opportunity", "delete_opportunity"])
def test_what_is_not_there_is_not_found(client: CapsuleClient, call: str) -> None:
    with pytest.raises(NotFoundError, match="404") as caught:
        getattr(client, call)(999)
    assert caught.value.status == 404


def test_a_page_has_the_records_from_start_to_limit(client: CapsuleClient) -> None:
    everything = ["Website", "Support", "Rollout", "Renewal", "Audit", "Imported"]
    assert names(client.list_opportunities()) == everything
    assert names(client.list_opportunities(start=2, limit=2)) == ["Rollout", "Renewal"]
    assert names(client.list_opportunities(start=4, limit=4)[:2]) == (
        ["Audit", "Imported"] if client.api_version == "v1" else everything[4:]
    )
    assert client.list_opportunities(start=100) == []


def test_v2_reads_whole_pages(v2: CapsuleClient) -> None:
    with pytest.raises(ArgumentError, match="start=3 is no multiple of 2"):
        v2.list_opportunities(start=3, limit=2)


@pytest.mark.parametrize("where", [{"start": -1}, {"limit": 0}, {"limit": 101}])
def test_a_page_that_cannot_be_is_refused(
    sandbox: Sandbox, client: CapsuleClient, where: dict[str, int]
) -> None:
    with pytest.raises(ArgumentError, match="start must be 0 or more and limit 1 to 100"):
        client.list_opportunities(**where)  # type: ignore[arg-type]
    assert sandbox.requests == []


def test_list_by_milestone(client: CapsuleClient) -> None:
    found = client.list_opportunities(milestone="Won")
    assert names(found) == ["Rollout"]
    with pytest.raises(
        ArgumentError, match="unknown milestone 'Wonn'; valid are Lead, Bid, Won, Lost, Bid"
    ):
        client.list_opportunities(milestone="Wonn")


def test_list_by_tag(client: CapsuleClient) -> None:
    assert names(client.list_opportunities(tag="key account")) == ["Support"]


def test_list_by_owner(v1: CapsuleClient, v2: CapsuleClient) -> None:
    assert names(v2.list_opportunities(owner="tom")) == ["Support"]
    with pytest.raises(ArgumentError, match="unknown owner 'tim'; valid are sarah, tom"):
        v2.list_opportunities(owner="tim")
    with pytest.raises(ArgumentError, match="v1 cannot list by owner"):
        v1.list_opportunities(owner="tom")


@pytest.mark.parametrize(
    "since",
    [
        datetime(2026, 2, 15, tzinfo=UTC),
        datetime(2026, 2, 15),  # noqa: DTZ001 - naive on purpose: it is UTC
        datetime(2026, 2, 15, 5, tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_list_what_changed(sandbox: Sandbox, client: CapsuleClient, since: datetime) -> None:
    assert names(client.list_opportunities(changed_since=since)) == ["Rollout"]
    query = sandbox.requests[-1].query
    asked = query.get("since") or query.get("lastmodified")
    assert asked in {"2026-02-15T00:00:00Z", "20260215T000000"}


@pytest.mark.parametrize("since", ["2026-02-15", date(2026, 2, 15)])
def test_a_time_must_be_a_datetime(sandbox: Sandbox, client: CapsuleClient, since: Any) -> None:
    with pytest.raises(ArgumentError, match="must be a datetime"):
        client.list_opportunities(changed_since=since)
    with pytest.raises(ArgumentError, match="must be a datetime"):
        client.list_deleted(since)
    assert sandbox.requests == []


def test_v2_cannot_combine_filters_with_a_time(v2: CapsuleClient) -> None:
    with pytest.raises(ArgumentError, match="cannot combine"):
        v2.list_opportunities(tag="key account", changed_since=NOW)


def test_list_by_party(client: CapsuleClient) -> None:
    assert names(client.list_party_opportunities(11)) == ["Audit"]
    assert names(client.list_party_opportunities(12)) == ["Website"]
    assert len(client.list_party_opportunities(10, limit=2)) == 2
    with pytest.raises(NotFoundError):
        client.list_party_opportunities(99)


def test_deleted(client: CapsuleClient) -> None:
    client.delete_opportunity(101)
    assert client.list_deleted(datetime(2026, 1, 1, tzinfo=UTC)) == [
        {"id": 90, "deleted_at": datetime(2026, 1, 20, 10, tzinfo=UTC)},
        {"id": 101, "deleted_at": NOW},
    ]
    assert client.list_deleted(datetime(2026, 2, 1, tzinfo=UTC)) == [
        {"id": 101, "deleted_at": NOW},
    ]
    assert client.list_deleted(datetime(2026, 4, 1, tzinfo=UTC)) == []


def test_restricted_ones_are_told_once_however_many_pages_repeat_them() -> None:
    data = account()
    data["deletedOpportunities"] = [
        {"id": 1000 + n, "deletedAt": "2026-02-01T00:00:00Z"} for n in range(250)
    ]
    with Sandbox(Account(data, clock=lambda: NOW)) as sandbox, connected(sandbox, "v2") as client:
        sandbox.account.restrict(102)
        since = datetime(2026, 1, 1, tzinfo=UTC)
        assert client.list_restricted(since) == [{"id": 102, "deleted_at": None}]
        assert [record["id"] for record in client.list_deleted(since)] == list(range(1000, 1250))


def test_milestones(client: CapsuleClient) -> None:
    found = client.list_milestones()
    assert names(found) == ["Lead", "Bid", "Won", "Lost", "Bid"]
    bid = found[1]
    assert (bid["id"], bid["probability"], bid["complete"]) == (2, 40, False)
    assert found[2]["complete"] is True
    if client.api_version == "v2":
        assert [record["pipeline"] for record in found] == [*["Sales"] * 4, "Renewals"]


def test_currencies(client: CapsuleClient) -> None:
    found = client.list_currencies()
    if client.api_version == "v1":
        assert found == ["GBP", "EUR", "USD"]
    assert {"GBP", "EUR", "USD"} <= set(found)  # v2 lists the same ones to every account


def test_what_was_returned_can_be_changed_without_harm(client: CapsuleClient) -> None:
    client.list_currencies().append("XXX")
    client.list_milestones()[0]["name"] = "Nowhere"
    assert "XXX" not in client.list_currencies()
    assert client.list_milestones()[0]["name"] == "Lead"


def test_additional_parties(client: CapsuleClient) -> None:
    assert client.list_opportunity_parties(101) == [{"id": 12, "type": "person", "name": "Bo Free"}]
    assert client.list_opportunity_parties(102) == []


def test_pipelines_users_and_lost_reasons(v2: CapsuleClient) -> None:
    assert names(v2.list_pipelines()) == ["Sales", "Renewals"]
    assert names(v2.list_users()) == ["Sarah Holt", "Tom Reed"]
    [reason] = v2.list_lost_reasons()
    assert (reason["id"], reason["name"], reason["includedForConversion"]) == (1, "Price", True)
    assert [one["archived"] for one in v2.list_pipelines()] == [False, False]


@pytest.mark.parametrize("call", ["list_pipelines", "list_users", "list_lost_reasons"])
def test_v1_has_none_of_them(v1: CapsuleClient, call: str) -> None:
    with pytest.raises(ArgumentError, match="only API v2 has"):
        getattr(v1, call)()


def test_long_resources_are_read_to_their_end() -> None:
    data = account()
    data["lostReasons"] = [{"id": n, "name": f"Reason {n}"} for n in range(1, 251)]
    with Sandbox(data) as sandbox, connected(sandbox, "v2") as client:
        assert len(client.list_lost_reasons()) == 250


@pytest.mark.parametrize("most", [500, 10**9], ids=["records", "pages"])
def test_a_small_list_that_does_not_end_is_an_error(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that are always new, and no word of how many there are."""
    monkeypatch.setattr(_client, "_MOST_LISTED", most)
    keys = itertools.count()

    def endless(_: Any, parse: Any) -> Any:
        rows = ",".join(f'{{"id":{next(keys)},"deletedAt":"x"}}' for _ in range(100))
        body = f'{{"lostReasons":[{rows}],"opportunities":[{rows}]}}'
        return parse(body.encode(), {"X-Pagination-Has-More": "true"})

    with CapsuleClient("acme", "t0ken") as client:
        monkeypatch.setattr(client.transport, "call", endless)
        for read in (client.list_lost_reasons, lambda: client.fetch_deleted(datetime.now(UTC))):
            with pytest.raises(CompletenessError, match=r"does not end: (600|99,900) records"):
                read()


# Writing


def test_create_and_read_back(sandbox: Sandbox, client: CapsuleClient) -> None:
    made = client.create_opportunity(
        10,
        name="Müller & Söhne <GmbH> \"quoted\" 'it' 🎯\nsecond line",
        description="a & b",
        milestone="Lead",
        value=Decimal("2000.10"),
        currency="EUR",
        duration_basis="MONTH",
        duration=3,
        expected_close=date(2026, 6, 30),
        probability=35,
        owner="tom",
    )
    record = stored(sandbox, made)
    assert record["name"] == "Müller & Söhne <GmbH> \"quoted\" 'it' 🎯\nsecond line"
    assert record["value"] == {"amount": 2000.1, "currency": "EUR"}
    assert record["expectedCloseOn"] == "2026-06-30"
    assert (record["durationBasis"], record["duration"]) == ("MONTH", 3)
    assert (record["probability"], record["owner"]["username"]) == (35, "tom")
    assert record["party"]["name"] == "Acme"
    read = client.get_opportunity(made)
    assert read["name"] == record["name"]
    assert read["value"] == Decimal("2000.1")
    assert read["expected_close"] == date(2026, 6, 30)


def test_what_is_not_given_comes_from_the_account(sandbox: Sandbox, client: CapsuleClient) -> None:
    record = stored(sandbox, client.create_opportunity(10, name="Bare", milestone="Lead"))
    assert (record["probability"], record["owner"]["username"]) == (10, "sarah")
    assert (record["durationBasis"], record["duration"]) == ("FIXED", None)


@pytest.mark.parametrize(
    "amount", [Decimal("123456789012.34"), "0.10", 5, 2000.1, "1E+3", Decimal("-5.5")]
)
def test_amounts_arrive_exactly(sandbox: Sandbox, client: CapsuleClient, amount: Any) -> None:
    client.update_opportunity(101, value=amount)
    assert Decimal(str(stored(sandbox, 101)["value"]["amount"])) == Decimal(str(amount))
    assert client.get_opportunity(101)["value"] == Decimal(str(amount))


def test_an_update_changes_what_is_given_alone(sandbox: Sandbox, client: CapsuleClient) -> None:
    before = stored(sandbox, 101)
    client.update_opportunity(101, probability=60)
    after = stored(sandbox, 101)
    assert after["probability"] == 60
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"probability", "updatedAt"}


def test_none_empties_a_field(sandbox: Sandbox, client: CapsuleClient) -> None:
    client.update_opportunity(101, description=None, expected_close=None)
    record = stored(sandbox, 101)
    assert (record["description"], record["expectedCloseOn"]) == (None, None)
    assert record["name"] == "Website"


@pytest.mark.parametrize("field", ["name", "milestone"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_name_and_a_milestone_must_stay(
    sandbox: Sandbox, client: CapsuleClient, field: str, value: Any
) -> None:
    with pytest.raises(ArgumentError, match=f"an opportunity needs a {field}"):
        client.update_opportunity(101, **{field: value})
    assert writes(sandbox) == []


def test_a_deal_moves_to_another_party(sandbox: Sandbox, client: CapsuleClient) -> None:
    client.update_opportunity(101, party_id=12)
    assert stored(sandbox, 101)["party"]["id"] == 12
    assert stored(sandbox, 101)["name"] == "Website"
    client.update_opportunity(101, party_id=10, name="Site")
    assert (stored(sandbox, 101)["party"]["id"], stored(sandbox, 101)["name"]) == (10, "Site")


def test_a_person_of_an_organisation_joins_the_contacts(v1: CapsuleClient) -> None:
    made = v1.create_opportunity(11, name="Hers", milestone="Lead")
    assert v1.get_opportunity(made)["party_id"] == 10
    assert names(v1.list_opportunity_parties(made)) == ["Ada Byron"]


def test_a_milestone_closes_a_deal(sandbox: Sandbox, client: CapsuleClient) -> None:
    client.update_opportunity(101, milestone="Won")
    record = stored(sandbox, 101)
    assert (record["milestone"]["id"], record["probability"]) == (3, 100)
    assert client.get_opportunity(101)["closed_at"] == NOW.date()


def test_a_duration_alone_keeps_the_basis(sandbox: Sandbox, client: CapsuleClient) -> None:
    client.update_opportunity(102, duration=24)
    assert (stored(sandbox, 102)["durationBasis"], stored(sandbox, 102)["duration"]) == (
        "MONTH",
        24,
    )
    client.update_opportunity(102, duration_basis="DAY")
    assert (stored(sandbox, 102)["durationBasis"], stored(sandbox, 102)["duration"]) == ("DAY", 24)


def test_delete(sandbox: Sandbox, client: CapsuleClient) -> None:
    client.delete_opportunity(101)
    assert sandbox.account.get(101) is None


# Refused before it is sent


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"milestone": "Bidd"}, "unknown milestone 'Bidd'; valid are Lead, Bid, Won, Lost, Bid"),
        ({"milestone": 99}, "unknown milestone 99; valid are "),
        ({"milestone": True}, "unknown milestone True; valid are "),
        ({"currency": "XXX"}, "unknown currency 'XXX'; valid are "),
        ({"colour": "red"}, "unknown field 'colour'; valid are currency, description,"),
        ({"id": 7}, "unknown field 'id'"),
        ({"tcv": 7}, "unknown field 'tcv'"),
        ({"duration_basis": "MONTH"}, "duration is required when duration_basis is MONTH"),
        ({"duration_basis": "DECADE", "duration": 1}, "unknown duration_basis 'DECADE'; valid are"),
        ({"duration_basis": "DAY", "duration": -1}, "duration must be 0 or more, not -1"),
        ({"duration_basis": "DAY", "duration": 1.5}, "duration must be a whole number, not 1.5"),
        ({"duration_basis": "DAY", "duration": "3"}, "duration must be a whole number, not '3'"),
        ({"probability": 101}, "probability must be 0 to 100, not 101"),
        ({"probability": -1}, "probability must be 0 to 100, not -1"),
        ({"probability": 0.5}, "probability must be a whole number, not 0.5"),
        ({"probability": True}, "probability must be a whole number, not True"),
        ({"value": float("nan")}, "value must be a finite number, not nan"),
        ({"value": float("inf")}, "value must be a finite number, not inf"),
        ({"value": "12k"}, "value must be a finite number, not '12k'"),
        ({"value": True}, "value must be a finite number, not True"),
        ({"value": [5]}, "value must be a finite number"),
        ({"expected_close": "2026-03-31"}, "expected_close must be a datetime.date"),
        ({"expected_close": datetime(2026, 3, 31)}, "expected_close must be a datetime.date"),  # noqa: DTZ001
        ({"expected_close": NOW}, "expected_close must be a datetime.date"),
    ],
)
def test_what_the_account_does_not_know_is_not_sent(
    sandbox: Sandbox, client: CapsuleClient, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        client.create_opportunity(10, **({"name": "New", "milestone": "Lead"} | fields))
    assert says in str(caught.value)
    with pytest.raises(ArgumentError) as caught:
        client.update_opportunity(101, **fields)
    assert says in str(caught.value)
    assert writes(sandbox) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"milestone": "Lead"}, "an opportunity needs a name"),
        ({"name": "New"}, "an opportunity needs a milestone"),
        ({"name": "", "milestone": "Lead"}, "an opportunity needs a name"),
    ],
)
def test_a_new_deal_needs_a_name_and_a_milestone(
    sandbox: Sandbox, client: CapsuleClient, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ArgumentError, match=says):
        client.create_opportunity(10, **fields)
    assert sandbox.requests == []


def test_an_update_of_nothing_is_refused(client: CapsuleClient) -> None:
    with pytest.raises(ArgumentError, match="nothing to update"):
        client.update_opportunity(101)


def test_bases_that_v1_has_not_are_refused_there(v1: CapsuleClient, v2: CapsuleClient) -> None:
    with pytest.raises(ArgumentError, match="valid are FIXED, HOUR, DAY, MONTH, YEAR"):
        v1.create_opportunity(10, name="x", milestone="Lead", duration_basis="QUARTER", duration=1)
    v2.create_opportunity(10, name="x", milestone="Lead", duration_basis="QUARTER", duration=1)


def test_a_milestone_name_of_two_pipelines_is_refused_in_v2(v2: CapsuleClient) -> None:
    with pytest.raises(ArgumentError, match="several pipelines have a milestone 'Bid'"):
        v2.create_opportunity(10, name="x", milestone="Bid")


def test_a_milestone_without_a_name_does_not_spoil_the_message() -> None:
    data = account()
    data["milestones"].append({"id": 9, "name": None, "probability": 5, "complete": False})
    with (
        Sandbox(data) as sandbox,
        connected(sandbox, "v2") as client,
        pytest.raises(ArgumentError, match="valid are Lead, Bid, Won, Lost, None, Bid"),
    ):
        client.list_opportunities(milestone="Bidd")


@pytest.mark.parametrize("odd", ["1/../2", "101", "101?x=1", -1, 1.0, True, None, "../users"])
def test_what_is_no_id_never_becomes_part_of_a_path(
    sandbox: Sandbox, client: CapsuleClient, odd: Any
) -> None:
    calls = [
        lambda: client.get_opportunity(odd),
        lambda: client.delete_opportunity(odd),
        lambda: client.update_opportunity(odd, probability=5),
        lambda: client.list_opportunity_parties(odd),
        lambda: client.list_party_opportunities(odd),
        lambda: client.create_opportunity(odd, name="x", milestone="Lead"),
    ]
    if odd is not None:
        calls.append(lambda: client.update_opportunity(101, party_id=odd, probability=5))
    for call in calls:
        with pytest.raises(ArgumentError, match="an id must be a whole number"):
            call()
    paths = {request.path for request in sandbox.requests}
    assert paths <= {"/api/opportunity/milestones", "/api/v2/milestones"}


def test_what_the_server_refuses_is_told_in_its_words(client: CapsuleClient) -> None:
    with pytest.raises(ApiError, match=r"party") as caught:
        client.create_opportunity(999_999, name="x", milestone="Lead")
    assert caught.value.status in {400, 404, 422}


# How it introduces itself


class Recorder(BaseHTTPRequestHandler):
    seen: ClassVar[list[dict[str, str]]] = []
    bodies: ClassVar[list[bytes]] = []
    status = 200
    answer = b""

    def _record(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.seen.append(dict(self.headers.items()))
        self.bodies.append(self.rfile.read(length))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    do_GET = do_PUT = do_POST = do_DELETE = _record  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def recorder(answer: bytes, status: int = 200) -> Iterator[tuple[str, type[Recorder]]]:
    handler = type(
        "One", (Recorder,), {"seen": [], "bodies": [], "answer": answer, "status": status}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("version", "answer", "accept", "authorization"),
    [
        (
            "v1",
            b"<opportunity><id>1</id></opportunity>",
            "application/xml",
            "Basic " + base64.b64encode(b"s3cret:x").decode(),
        ),
        (
            "v2",
            b'{"opportunity": {"id": 1, "value": {"currency": "GBP"}}}',
            "application/json",
            "Bearer s3cret",
        ),
    ],
)
def test_the_headers_as_they_are_sent(
    version: str, answer: bytes, accept: str, authorization: str
) -> None:
    with (
        recorder(answer) as (url, seen),
        CapsuleClient(token="s3cret", base_url=url, api_version=version) as client,
    ):
        assert client.get_opportunity(1)["id"] == 1
        client.update_opportunity(1, value=Decimal("2000.10"))
    read, written = seen.seen[0], seen.seen[-1]
    for headers in (read, written):
        assert headers["Accept"] == accept
        assert headers["Authorization"] == authorization
        assert headers["User-Agent"] == f"capsule-analytics/{ca.__version__}"
    assert "Content-Type" not in read
    assert written["Content-Type"].startswith(accept)
    assert b"2000.10" in seen.bodies[-1]


# The token is shown nowhere


def test_the_token_is_in_no_repr(sandbox: Sandbox, client: CapsuleClient) -> None:
    shown = f"{client!r} {client.transport!r} {client.transport._session.auth!r}"
    assert sandbox.token not in shown
    assert repr(CapsuleClient("acme", "s3cret")) == "<CapsuleClient v2 of acme>"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
def test_the_token_is_in_no_error_even_if_the_server_repeats_it(version: str, status: int) -> None:
    token = "s3cret-t0ken"
    sent = base64.b64encode(f"{token}:x".encode()).decode() if version == "v1" else token
    words = f"The token {token} ({sent}) is refused"
    body = f"<error><message>{words}</message></error>" if version == "v1" else None
    answer = (body or f'{{"message": "{words}"}}').encode()
    with (
        recorder(answer, status) as (url, _),
        CapsuleClient(token=token, base_url=url, api_version=version) as client,
        pytest.raises(ApiError) as caught,
    ):
        client.get_opportunity(1)
    message = str(caught.value)
    assert "The token *** (***) is refused" in message
    assert caught.value.status == status


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_token_is_an_authentication_error(sandbox: Sandbox, version: str) -> None:
    with (
        CapsuleClient(token="wr0ng", base_url=sandbox.url, api_version=version) as client,
        pytest.raises(AuthenticationError, match="401: The token is missing or wrong") as caught,
    ):
        client.list_opportunities()
    assert "wr0ng" not in str(caught.value)


# Construction


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"token": "x"}, "subdomain"),
        ({"account": "", "token": "x"}, "subdomain"),
        ({"account": "acme.evil.example/", "token": "x"}, "subdomain"),
        ({"account": "acme@evil", "token": "x"}, "subdomain"),
        ({"account": "acme", "token": "x", "api_version": "v3"}, "must be one of v1, v2"),
        ({"account": "acme", "token": ""}, "token is empty"),
        ({"account": "acme", "token": "a b"}, "token is empty or has characters"),
        ({"account": "acme", "token": "a\nX-Evil: 1"}, "token is empty or has characters"),
        ({"token": "x", "base_url": "http://capsule.example"}, "plain http"),
        ({"token": "x", "base_url": "ftp://127.0.0.1"}, "no http or https URL"),
        ({"token": "x", "base_url": "https://u:p@capsule.example"}, "credentials"),
    ],
)
def test_an_impossible_client_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says) as caught:
        CapsuleClient(**arguments)
    assert isinstance(caught.value, CapsuleError)


def test_a_slash_at_the_end_of_the_base_url_does_not_matter(sandbox: Sandbox) -> None:
    with CapsuleClient(token=sandbox.token, base_url=sandbox.url + "/") as client:
        assert client.get_opportunity(101)["party"] == ACME["name"]


@pytest.mark.parametrize("before", [0, 290, 295, 400])
def test_a_server_that_repeats_the_token_is_quoted_without_it(before: int) -> None:
    """Wherever the token stands in the server's words, not even its beginning is shown."""
    words = json.dumps({"message": "x" * before + "s3cret-t0ken is unknown"}).encode()
    with (
        recorder(words, status=401) as (url, _),
        CapsuleClient(token="s3cret-t0ken", base_url=url) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.get_opportunity(1)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_page_of_more_parts_than_were_asked_for_is_not_even_parsed(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = b"<opportunity/>" * 30_000 if version == "v1" else b",".join([b"{}"] * 30_000)
    body = (
        b"<opportunities>" + inner + b"</opportunities>"
        if version == "v1"
        else b'{"opportunities":[' + inner + b"]}"
    )
    with CapsuleClient("acme", "t0ken", api_version=version) as client:
        monkeypatch.setattr(client.transport, "call", lambda _, parse: parse(body, {}))
        monkeypatch.setattr(client.api, "parse_page", lambda *_: pytest.fail("it was parsed"))
        with pytest.raises(DataError, match="more than 20,000 parts, where 3 records"):
            client.fetch_page(Query(), client.api.FIRST, 3)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_too_large_to_be_read_is_asked_for_once(version: str) -> None:
    empty = b"<opportunity/>" * 560_000 if version == "v1" else b"{}," * 2_600_000 + b"{}"
    form = b"<opportunities>%b</opportunities>" if version == "v1" else b'{"opportunities":[%b]}'
    with (
        recorder(form % empty) as (url, server),
        CapsuleClient(token="t0ken", base_url=url, api_version=version) as client,
        pytest.raises(DataError, match="more than 200,000 parts"),
    ):
        client.fetch_page(Query(), client.api.FIRST, 100)
    assert len(server.seen) == 1
