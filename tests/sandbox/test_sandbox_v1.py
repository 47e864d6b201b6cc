"""The sandbox over API v1: XML, HTTP Basic, paging by start and limit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from sandbox_account import account, deal

from capsule_analytics.sandbox import Account, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 1, 12, 0, 0, 750_000, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Account(account(), clock=lambda: NOW)) as running:
        yield running


def call(sandbox: Sandbox, method: str, path: str, body: str = "") -> requests.Response:
    return requests.request(
        method,
        sandbox.url + "/api" + path,
        data=body.encode(),
        auth=(sandbox.token, "x"),
        timeout=5,
    )


def read(sandbox: Sandbox, path: str) -> Any:
    answer = call(sandbox, "GET", path)
    assert answer.status_code == 200
    return etree.fromstring(answer.content)


def ids(sandbox: Sandbox, path: str) -> list[int]:
    page = read(sandbox, path)
    found = [int(value) for value in page.xpath("opportunity/id/text()")]
    assert page.get("size") == str(len(found))
    return found


def shown(element: Any) -> dict[str, str | None]:
    return {child.tag: child.text for child in element}


def test_an_opportunity_shows_every_element_it_has(sandbox: Sandbox) -> None:
    assert shown(read(sandbox, "/opportunity/103")) == {
        "id": "103",
        "name": "Rollout",
        "description": None,
        "partyId": "10",
        "currency": "EUR",
        "value": "20000",
        "durationBasis": "FIXED",
        "expectedCloseDate": "2026-03-31T00:00:00Z",
        "milestoneId": "3",
        "milestone": "Won",
        "probability": "100",
        "owner": "sarah",
        "actualCloseDate": "2026-02-20T00:00:00Z",
        "createdOn": "2026-01-05T09:00:00Z",
        "updatedOn": "2026-02-20T08:00:00Z",
    }


def test_values_are_exact_and_text_is_escaped(sandbox: Sandbox) -> None:
    website = shown(read(sandbox, "/opportunity/101"))
    assert website["value"] == "1234.5"
    assert website["description"] == "Shop & blog"
    sandbox.account.put(deal(107, "Large\x07", value={"amount": 1e16, "currency": "GBP"}))
    large = shown(read(sandbox, "/opportunity/107"))
    assert (large["value"], large["name"]) == ("10000000000000000", "Large")


def test_odd_values_are_shown_as_they_are_stored(sandbox: Sandbox) -> None:
    imported = shown(read(sandbox, "/opportunity/106"))
    assert imported["value"] == "12k"
    assert imported["expectedCloseDate"] == "0000-00-00"
    assert imported.keys().isdisjoint({"probability", "owner", "durationBasis", "duration"})
    assert shown(read(sandbox, "/opportunity/105"))["durationBasis"] == "QUARTER"


def test_the_content_type_says_nothing(sandbox: Sandbox) -> None:
    answer = call(sandbox, "GET", "/opportunity/101")
    assert answer.headers["Content-Type"] == "*/*"
    assert "Date" in answer.headers


def test_start_is_an_offset_and_size_counts_the_page(sandbox: Sandbox) -> None:
    assert ids(sandbox, "/opportunity") == [101, 102, 103, 104, 105, 106]
    assert ids(sandbox, "/opportunity?start=4") == [105, 106]
    assert ids(sandbox, "/opportunity?start=1&limit=2") == [102, 103]
    assert ids(sandbox, "/opportunity?start=6&limit=2") == []


def test_a_page_cap_answers_fewer_than_the_limit() -> None:
    with Sandbox(account(), page_limit=2) as capped:
        assert ids(capped, "/opportunity?start=0&limit=100") == [101, 102]
        assert ids(capped, "/opportunity?start=2") == [103, 104]


@pytest.mark.parametrize("query", ["start=-1", "start=x", "limit=0", "lastmodified=yesterday"])
def test_a_parameter_that_makes_no_sense_is_refused(sandbox: Sandbox, query: str) -> None:
    answer = call(sandbox, "GET", "/opportunity?" + query)
    assert answer.status_code == 400
    assert etree.fromstring(answer.content).findtext("message")


def test_filters_combine(sandbox: Sandbox) -> None:
    assert ids(sandbox, "/opportunity?milestone=Bid") == [101, 102, 104, 105, 106]
    assert ids(sandbox, "/opportunity?milestone=Bid&start=3&limit=1") == [105]
    assert ids(sandbox, "/opportunity?tag=key%20account") == [102]
    assert ids(sandbox, "/opportunity?milestone=Won&tag=key%20account") == []
    assert ids(sandbox, "/opportunity?milestone=Nowhere") == []
    assert ids(sandbox, "/opportunity?lastmodified=20260210T123000") == [102, 103]
    assert ids(sandbox, "/opportunity?lastmodified=20260210T123001&milestone=Won") == [103]


def test_a_party_shows_the_deals_it_has_and_those_it_is_a_contact_of(sandbox: Sandbox) -> None:
    assert ids(sandbox, "/party/10/opportunity") == [101, 102, 103, 104, 106]
    assert ids(sandbox, "/party/12/opportunity") == [101]
    assert ids(sandbox, "/party/10/opportunity?start=1&limit=2") == [102, 103]
    assert call(sandbox, "GET", "/party/999/opportunity").status_code == 404


def test_milestones_and_currencies(sandbox: Sandbox) -> None:
    milestones = read(sandbox, "/opportunity/milestones")
    assert milestones.get("size") == "5"
    assert shown(milestones[2]) == {
        "id": "3",
        "name": "Won",
        "description": None,
        "probability": "100",
        "complete": "true",
    }
    assert read(sandbox, "/resource/currency").xpath("currency/text()") == ["GBP", "EUR", "USD"]


def test_a_new_opportunity_is_filled_in_from_milestone_user_and_clock(sandbox: Sandbox) -> None:
    answer = call(
        sandbox,
        "POST",
        "/party/10/opportunity",
        "<opportunity><name>New</name><milestone>Lead</milestone><value>99.95</value>"
        "<currency>USD</currency><unheard>of</unheard></opportunity>",
    )
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Location"] == sandbox.url + "/api/opportunity/107"
    assert shown(read(sandbox, "/opportunity/107")) == {
        "id": "107",
        "name": "New",
        "description": None,
        "partyId": "10",
        "currency": "USD",
        "value": "99.95",
        "durationBasis": "FIXED",
        "milestoneId": "1",
        "milestone": "Lead",
        "probability": "10",
        "owner": "sarah",
        "createdOn": "2026-03-01T12:00:00Z",
        "updatedOn": "2026-03-01T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("elements", "complaint"),
    [
        ("<milestone>Lead</milestone>", "name"),
        ("<name>A</name>", "milestone"),
        ("<name>A</name><milestone>Nowhere</milestone>", "milestone"),
        ("<name>A</name><milestone>Lead</milestone><currency>XXX</currency>", "currency"),
        ("<name>A</name><milestone>Lead</milestone><value>much</value>", "amount"),
        ("<name>A</name><milestone>Lead</milestone><value>NaN</value>", "amount"),
        ("<name>A</name><milestone>Lead</milestone><probability>101</probability>", "probability"),
        ("<name>A</name><milestone>Lead</milestone><probability>-1</probability>", "probability"),
        ("<name>A</name><milestone>Lead</milestone><durationBasis>DAY</durationBasis>", "duration"),
        ("<name>A</name><milestone>Lead</milestone><durationBasis>WEEK</durationBasis>", "FIXED"),
        ("<name>A</name><milestone>Lead</milestone><owner>nobody</owner>", "owner"),
        (
            "<name>A</name><milestone>Lead</milestone><expectedCloseDate>2026-02-30</expectedCloseDate>",
            "expectedCloseOn",
        ),
    ],
)
def test_what_capsule_would_refuse_is_refused(
    sandbox: Sandbox, elements: str, complaint: str
) -> None:
    body = f"<opportunity>{elements}</opportunity>"
    answer = call(sandbox, "POST", "/party/10/opportunity", body)
    assert answer.status_code == 400
    assert complaint in (etree.fromstring(answer.content).findtext("message") or "")
    assert len(sandbox.account) == 6


@pytest.mark.parametrize("body", ["", "no xml", "<opportunity>", "<party/>"])
def test_a_body_that_is_no_opportunity_is_refused(sandbox: Sandbox, body: str) -> None:
    assert call(sandbox, "POST", "/party/10/opportunity", body).status_code == 400


WRITABLE = st.characters(exclude_categories=["Cc", "Cs", "Cn"])


@settings(max_examples=50, deadline=None)
@given(
    deals=st.lists(
        st.tuples(
            st.text(WRITABLE, min_size=1, max_size=20).map(str.strip).filter(bool),
            st.decimals(0, 10**9, places=2).map(lambda amount: format(amount.normalize(), "f")),
        ),
        max_size=3,
    )
)
def test_any_name_and_amount_come_back_as_they_were_sent(deals: list[tuple[str, str]]) -> None:
    with Sandbox(account()) as sandbox:
        for name, amount in deals:
            body = (
                f"<opportunity><name>{escape(name)}</name><milestone>Lead</milestone>"
                f"<value>{amount}</value></opportunity>"
            )
            answer = call(sandbox, "POST", "/party/10/opportunity", body)
            assert answer.status_code == 201, answer.text
            record = shown(read(sandbox, answer.headers["Location"].partition("/api")[2]))
            assert (record["name"], record["value"]) == (name, amount)


def test_an_update_changes_only_what_is_sent(sandbox: Sandbox) -> None:
    before = shown(read(sandbox, "/opportunity/102"))
    body = "<opportunity><probability>55</probability></opportunity>"
    answer = call(sandbox, "PUT", "/opportunity/102", body)
    assert answer.status_code == 200
    after = shown(read(sandbox, "/opportunity/102"))
    changes = {"probability": "55", "updatedOn": "2026-03-01T12:00:00Z"}
    assert after == before | changes
    assert ids(sandbox, "/opportunity?lastmodified=20260301T000000") == [102]


def test_an_empty_element_clears_the_value(sandbox: Sandbox) -> None:
    body = "<opportunity><description/><expectedCloseDate/></opportunity>"
    call(sandbox, "PUT", "/opportunity/101", body)
    website = shown(read(sandbox, "/opportunity/101"))
    assert website["description"] is None
    assert "expectedCloseDate" not in website


def test_reaching_a_complete_milestone_closes_the_deal(sandbox: Sandbox) -> None:
    body = "<opportunity><milestone>Won</milestone></opportunity>"
    call(sandbox, "PUT", "/opportunity/101", body)
    website = shown(read(sandbox, "/opportunity/101"))
    assert (website["probability"], website["actualCloseDate"]) == ("100", "2026-03-01T00:00:00Z")


def test_a_milestone_id_decides_between_milestones_of_one_name(sandbox: Sandbox) -> None:
    body = "<opportunity><milestone>Bid</milestone><milestoneId>5</milestoneId></opportunity>"
    call(sandbox, "PUT", "/opportunity/103", body)
    assert shown(read(sandbox, "/opportunity/103"))["probability"] == "70"


def test_the_second_form_of_update_moves_the_deal(sandbox: Sandbox) -> None:
    call(sandbox, "PUT", "/party/12/opportunity/101", "<opportunity/>")
    assert shown(read(sandbox, "/opportunity/101"))["partyId"] == "12"


def test_a_person_of_an_organisation_joins_the_contacts(sandbox: Sandbox) -> None:
    body = "<opportunity><name>Hers</name><milestone>Lead</milestone></opportunity>"
    call(sandbox, "POST", "/party/11/opportunity", body)
    assert shown(read(sandbox, "/opportunity/107"))["partyId"] == "10"
    contacts = read(sandbox, "/opportunity/107/party")
    assert (contacts.get("size"), contacts[0].tag) == ("1", "person")
    assert shown(contacts[0]) == {
        "id": "11",
        "firstName": "Ada",
        "lastName": "Byron",
        "organisationId": "10",
        "organisationName": "Acme",
    }


def test_an_update_of_a_persons_deal_gives_it_to_the_organisation(sandbox: Sandbox) -> None:
    body = "<opportunity><name>Audit 2</name></opportunity>"
    call(sandbox, "PUT", "/opportunity/105", body)
    assert shown(read(sandbox, "/opportunity/105"))["partyId"] == "10"
    assert read(sandbox, "/opportunity/105/party").xpath("person/id/text()") == ["11"]


def test_deleted_deals_are_gone_and_listed_since_a_time(sandbox: Sandbox) -> None:
    assert call(sandbox, "DELETE", "/opportunity/101").status_code == 200
    assert call(sandbox, "GET", "/opportunity/101").status_code == 404
    assert call(sandbox, "DELETE", "/opportunity/101").status_code == 404
    everything = read(sandbox, "/opportunity/deleted")
    assert everything.xpath("deletedOpportunity/id/text()") == ["90", "101"]
    recent = read(sandbox, "/opportunity/deleted?since=20260301T120000")
    assert recent.xpath("deletedOpportunity/deletedDate/text()") == ["2026-03-01T12:00:00Z"]


def test_what_does_not_exist_is_an_error_in_xml(sandbox: Sandbox) -> None:
    for path in ("/opportunity/999", "/nothing", "/opportunity/999/party"):
        answer = call(sandbox, "GET", path)
        assert answer.status_code == 404
        assert etree.fromstring(answer.content).tag == "error"
    assert call(sandbox, "POST", "/opportunity").status_code == 405


@pytest.mark.parametrize("credentials", [None, ("wrong", "x"), ("", "sandbox-token")])
def test_a_wrong_token_is_refused(sandbox: Sandbox, credentials: tuple[str, str] | None) -> None:
    answer = requests.get(sandbox.url + "/api/opportunity", auth=credentials, timeout=5)
    assert answer.status_code == 401
    assert etree.fromstring(answer.content).findtext("message")
    assert "X-RateLimit-Remaining" not in answer.headers


@pytest.mark.parametrize(
    ("order", "first"), [("id", 101), ("-id", 106), ("name", 105), ("-updated", 103)]
)
def test_lists_come_in_the_order_asked_of_the_sandbox(order: Any, first: int) -> None:
    with Sandbox(account(), order=order) as ordered:
        assert ids(ordered, "/opportunity?limit=1") == [first]


def call_json(sandbox: Sandbox, method: str, path: str, body: Any = None) -> requests.Response:
    return requests.request(
        method,
        sandbox.url + "/api" + path,
        json=body,
        auth=(sandbox.token, "x"),
        headers={"Accept": "application/json"},
        timeout=5,
    )


def read_json(sandbox: Sandbox, path: str) -> Any:
    answer = call_json(sandbox, "GET", path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def test_json_says_the_same_as_xml_and_every_value_is_text(sandbox: Sandbox) -> None:
    record = read_json(sandbox, "/opportunity/103")["opportunity"]
    xml = shown(read(sandbox, "/opportunity/103"))
    assert record == {key: text or "" for key, text in xml.items()}
    assert {type(value) for value in record.values()} == {str}
    page = read_json(sandbox, "/opportunity?start=1&limit=2")
    assert [row["id"] for row in page["opportunities"]["opportunity"]] == ["102", "103"]
    milestone = read_json(sandbox, "/opportunity/milestones")["milestones"]["milestone"][2]
    assert (milestone["probability"], milestone["complete"]) == ("100", "true")
    gone = read_json(sandbox, "/opportunity/deleted")["deletedOpportunities"]
    assert gone == {"deletedOpportunity": [{"id": "90", "deletedDate": "2026-01-20T10:00:00Z"}]}
    assert read_json(sandbox, "/resource/currency")["currencies"]["currency"][0] == "GBP"
    contacts = read_json(sandbox, "/opportunity/101/party")["parties"]
    assert contacts == {"person": [{"id": "12", "firstName": "Bo", "lastName": "Free"}]}
    assert call_json(sandbox, "GET", "/opportunity/999").json()["message"]


def test_json_is_written_as_xml_is(sandbox: Sandbox) -> None:
    new = {"opportunity": {"name": "New", "milestone": "Lead", "value": 99.95, "currency": "USD"}}
    answer = call_json(sandbox, "POST", "/party/10/opportunity", new)
    assert answer.status_code == 201
    record = shown(read(sandbox, answer.headers["Location"].partition("/api")[2]))
    assert (record["name"], record["value"], record["currency"]) == ("New", "99.95", "USD")
    call_json(
        sandbox, "PUT", "/opportunity/107", {"opportunity": {"value": "5", "description": ""}}
    )
    record = shown(read(sandbox, "/opportunity/107"))
    assert (record["value"], record["currency"], record["description"]) == ("5", "USD", None)


def names(sandbox: Sandbox, number: int) -> list[str]:
    found: list[str] = read(sandbox, f"/opportunity/{number}/tag").xpath("tag/name/text()")
    return found


def test_tags_come_and_go_by_name(sandbox: Sandbox) -> None:
    assert names(sandbox, 102) == ["key account"]
    assert call(sandbox, "POST", "/opportunity/102/tag/key%20account").status_code == 200
    assert call(sandbox, "POST", "/opportunity/102/tag/R%26D").status_code == 201
    assert names(sandbox, 102) == ["key account", "R&D"]
    assert ids(sandbox, "/opportunity?tag=R%26D") == [102]
    assert call(sandbox, "DELETE", "/opportunity/102/tag/key%20account").status_code == 200
    assert call(sandbox, "DELETE", "/opportunity/102/tag/key%20account").status_code == 404
    assert names(sandbox, 102) == ["R&D"]
    assert call(sandbox, "POST", "/opportunity/999/tag/a").status_code == 404


def test_users(sandbox: Sandbox) -> None:
    users = read(sandbox, "/users")
    assert users.xpath("user/username/text()") == ["sarah", "tom"]
    assert users.xpath("user/loggedIn/text()") == ["true", "false"]


def test_every_milestone_there_is_or_was(sandbox: Sandbox) -> None:
    sandbox.account.delete_milestone(1)
    sandbox.account.archive_pipeline(2)
    milestones = read(sandbox, "/opportunity/milestones")
    assert milestones.xpath("milestone/id/text()") == ["1", "2", "3", "4", "5"]
