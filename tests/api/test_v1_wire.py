"""API v1 on the wire: what is asked, what is read from XML, and what is refused."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from lxml import etree

from capsule_analytics import opportunities_from_pages
from capsule_analytics.api import _v1
from capsule_analytics.api._protocol import Query
from capsule_analytics.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from pathlib import Path

OPPORTUNITY = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<opportunities size="1">
  <opportunity>
    <id>43</id>
    <name>Consulting &amp; &lt;more&gt;</name>
    <description/>
    <partyId>2</partyId>
    <currency>GBP</currency>
    <value>500.50</value>
    <durationBasis>DAY</durationBasis>
    <duration>10</duration>
    <expectedCloseDate>2026-09-30T00:00:00Z</expectedCloseDate>
    <milestoneId>5</milestoneId>
    <milestone>Bid</milestone>
    <probability>50</probability>
    <owner>a.user</owner>
    <createdOn>2026-09-30T01:02:03Z</createdOn>
    <updatedOn>2026-10-01T04:05:06Z</updatedOn>
    <actualCloseDate>2026-10-02T00:00:00Z</actualCloseDate>
    <trackId>9</trackId>
  </opportunity>
</opportunities>"""


def one(inner: str) -> dict[str, Any]:
    return _v1.parse_opportunity(f"<opportunity>{inner}</opportunity>".encode())


def page(*records: str) -> bytes:
    inner = "".join(f"<opportunity>{record}</opportunity>" for record in records)
    return f"<opportunities>{inner}</opportunities>".encode()


# Requests


@pytest.mark.parametrize(
    ("request_", "method", "path", "params"),
    [
        (_v1.get(7), "GET", "/opportunity/7", {}),
        (
            _v1.list_page(Query(), 40, 20),
            "GET",
            "/opportunity",
            {"start": "40", "limit": "20"},
        ),
        (
            _v1.list_page(Query(milestone="Bid", tag="key & co"), 0, 100),
            "GET",
            "/opportunity",
            {"start": "0", "limit": "100", "milestone": "Bid", "tag": "key & co"},
        ),
        (
            _v1.list_page(
                Query(changed_since=datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
                0,
                100,
            ),
            "GET",
            "/opportunity",
            {"start": "0", "limit": "100", "lastmodified": "20260301T100000"},
        ),
        (
            _v1.list_page(Query(party_id=5), 0, 10),
            "GET",
            "/party/5/opportunity",
            {"start": "0", "limit": "10"},
        ),
        (
            _v1.deleted(datetime(2026, 3, 1, 9, 30, tzinfo=UTC), 1),
            "GET",
            "/opportunity/deleted",
            {"since": "20260301T093000"},
        ),
        (_v1.milestones(1), "GET", "/opportunity/milestones", {}),
        (_v1.currencies(), "GET", "/resource/currency", {}),
        (_v1.parties(7), "GET", "/opportunity/7/party", {}),
        (_v1.create(5, {"name": "x"}), "POST", "/party/5/opportunity", {}),
        (_v1.update(7, None, {"name": "x"}), "PUT", "/opportunity/7", {}),
        (_v1.update(7, 5, {"name": "x"}), "PUT", "/party/5/opportunity/7", {}),
        (_v1.delete(7), "DELETE", "/opportunity/7", {}),
    ],
)
def test_each_call_goes_where_the_documentation_says(
    request_: Any, method: str, path: str, params: dict[str, str]
) -> None:
    assert (request_.method, request_.path, request_.params) == (method, path, params)
    assert request_.reads is (method == "GET")


def test_the_root_and_the_authorization() -> None:
    assert _v1.root("acme", None) == "https://acme.capsulecrm.com/api"
    assert _v1.root(None, "http://127.0.0.1:8043") == "http://127.0.0.1:8043/api"
    # "t0ken:x" in Base64, as RFC 7617 has it.
    assert _v1.authorization("t0ken") == "Basic dDBrZW46eA=="


def test_a_page_begins_after_what_was_received() -> None:
    assert _v1.position(30, 100) == 30
    assert _v1.step(17) == 17


def test_what_v1_has_not_is_refused() -> None:
    with pytest.raises(ArgumentError, match="v1 cannot list by owner"):
        _v1.list_page(Query(owner="sarah"), 0, 10)
    with pytest.raises(ArgumentError, match="v1 cannot embed"):
        _v1.list_page(Query(embed=("tags",)), 0, 10)
    with pytest.raises(ArgumentError, match="v1 cannot embed"):
        _v1.get(1, ["fields"])


# Writing


def test_only_what_is_given_is_written_and_none_empties() -> None:
    body = _v1.update(7, None, {"probability": 60, "description": None}).body
    assert body == (
        b"<?xml version='1.0' encoding='UTF-8'?>\n"
        b"<opportunity><probability>60</probability><description/></opportunity>"
    )


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (2000.1, b"2000.1"),
        (1e16, b"10000000000000000"),
        (5, b"5"),
    ],
)
def test_floats_and_integers_are_written_without_an_exponent(amount: Any, text: bytes) -> None:
    body = _v1.create(5, {"value": amount}).body
    assert body is not None
    assert b"<value>" + text + b"</value>" in body


def test_a_date_is_written_as_midnight_utc() -> None:
    body = _v1.create(5, {"expected_close": date(2026, 3, 31)}).body
    assert body is not None
    assert b"<expectedCloseDate>2026-03-31T00:00:00Z</expectedCloseDate>" in body


@pytest.mark.parametrize("text", ["\x00", "a\x0bb", "\ud800", "\ufffe"])
def test_text_that_xml_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="name has characters that XML cannot carry"):
        _v1.create(5, {"name": text})


# Reading


def test_every_element_is_read_as_text_under_the_names_of_the_frame() -> None:
    found, more, _ = _v1.parse_page(OPPORTUNITY, {})
    assert more is None  # v1 never tells
    assert {name: values[0] for name, values in found.items() if values[0] is not None} == {
        "id": "43",
        "name": "Consulting & <more>",
        "party_id": "2",
        "currency": "GBP",
        "value": "500.50",
        "duration_basis": "DAY",
        "duration": "10",
        "expected_close": "2026-09-30T00:00:00Z",
        "milestone_id": "5",
        "milestone": "Bid",
        "probability": "50",
        "owner": "a.user",
        "created_at": "2026-09-30T01:02:03Z",
        "updated_at": "2026-10-01T04:05:06Z",
        "closed_at": "2026-10-02T00:00:00Z",
    }


def test_an_empty_page_is_the_end() -> None:
    found = _v1.parse_page(b'<opportunities size="0"/>', {})
    assert (found.size, found.more) == (0, False)


def test_absent_and_empty_elements_are_none() -> None:
    assert set(one("<name/><description></description>").values()) == {None}


def test_comments_instructions_and_cdata_do_not_disturb() -> None:
    body = b"""<opportunities><!-- exported --><?style x?>
      <opportunity><!-- one --><id>1</id><?go on?>
        <name>cut <!-- here -->in <![CDATA[<two> & more]]></name>
      </opportunity><!-- end -->
    </opportunities>"""
    found = _v1.parse_page(body, {})
    assert found.size == 1
    assert found.columns["id"] == ["1"]
    assert found.columns["name"] == ["cut in <two> & more"]


def test_unknown_elements_are_ignored() -> None:
    found = _v1.parse_page(
        b"<opportunities><summary><id>9</id></summary>"
        b"<opportunity><id>1</id><colour>red</colour><owner>x</owner></opportunity>"
        b"</opportunities>",
        {},
    )
    assert found.columns["id"] == ["1"]
    assert "colour" not in found.columns


def test_other_encodings_are_read_as_they_are_declared() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?><opportunity><name>Café</name></opportunity>'
    assert _v1.parse_opportunity(text.encode("latin-1"))["name"] == "Café"
    utf16 = '<?xml version="1.0" encoding="UTF-16"?><opportunity><name>日本</name></opportunity>'
    assert _v1.parse_opportunity(utf16.encode("utf-16"))["name"] == "日本"


def test_milestones_with_and_without_ids() -> None:
    records, more = _v1.parse_milestones(
        b"<milestones size='2'><!-- x -->"
        b"<milestone><name>Bid</name><description/><probability>40</probability>"
        b"<complete>false</complete></milestone>"
        b"<milestone><id>4</id><name>Won</name><probability>100</probability>"
        b"<complete>true</complete></milestone></milestones>",
        {},
    )
    assert more is False
    assert records == [
        {"id": None, "name": "Bid", "description": None, "probability": "40", "complete": "false"},
        {"id": "4", "name": "Won", "description": None, "probability": "100", "complete": "true"},
    ]


def test_currencies_are_codes_without_blanks() -> None:
    body = b"<currencies><!-- ISO --><currency> GBP\n</currency><currency/><currency> </currency>"
    assert _v1.parse_currencies(body + b"<currency>EUR</currency></currencies>") == ["GBP", "EUR"]


def test_deletions_are_read() -> None:
    body = b"""<deletedOpportunities size="1"><!-- gone --><deletedOpportunity><id>90</id>
      <deletedDate>2026-01-20T10:00:00Z</deletedDate></deletedOpportunity>
      <deletedOpportunity/><deletedOpportunity><id>x</id></deletedOpportunity>
      </deletedOpportunities>"""
    found = _v1.parse_deleted(body, {})
    assert found.records == [{"id": "90", "deleted_at": "2026-01-20T10:00:00Z"}]
    assert (found.restricted, found.more) == ([], False)


def test_contacts_are_persons_and_organisations() -> None:
    body = b"""<parties><person><id>12</id><firstName>Bo</firstName><lastName>Free</lastName>
      </person><organisation><id>10</id><name>Acme</name></organisation>
      <person><id>13</id><lastName>Ng</lastName></person></parties>"""
    assert _v1.parse_parties(body) == [
        {"id": "12", "type": "person", "name": "Bo Free"},
        {"id": "10", "type": "organisation", "name": "Acme"},
        {"id": "13", "type": "person", "name": "Ng"},
    ]


@pytest.mark.parametrize(
    "location",
    [
        "https://acme.capsulecrm.com/api/opportunity/59",
        "/api/opportunity/59",
        "https://acme.capsulecrm.com/api/opportunity/59?x=1",
    ],
)
def test_the_new_id_stands_in_the_location(location: str) -> None:
    assert _v1.parse_created(b"", {"Location": location}) == 59


@pytest.mark.parametrize("headers", [{}, {"Location": "https://acme.capsulecrm.com/api/party/5"}])
def test_a_creation_without_an_id_is_an_error(headers: dict[str, str]) -> None:
    with pytest.raises(DataError, match="did not say under which id"):
        _v1.parse_created(b"", headers)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<error><message>Milestone   is\n unknown</message></error>", "Milestone is unknown"),
        (b"<html><body>Bad gateway</body></html>", ""),
        (b"<!DOCTYPE html><html><head><title>502</title><body><hr>", ""),
        (b'{"error":"rate limit reached"}', ""),
        (b"", ""),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(body: bytes, words: str) -> None:
    assert _v1.parse_error(body) == words


# What is no answer


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no XML"),
        (b"   ", "no XML"),
        (b"not xml", "no XML"),
        (OPPORTUNITY[:300], "no XML"),
        (OPPORTUNITY[:-3], "no XML"),
        (b"<opportunities><opportunity></opportunities>", "no XML"),
        (b"<opportunities>\xff\xfe</opportunities>", "no XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><opportunities/>', "no XML"),
        (b"<!DOCTYPE html><html><body><p>Log in<br></body></html>", "an HTML page"),
        (b"<HTML><BODY>Maintenance</BODY></HTML>", "an HTML page"),
        (b'{"opportunities": []}', "no XML"),
        (b"<opportunity><id>1</id></opportunity>", "the XML is <opportunity>"),
        (b"<x>" * 300 + b"</x>" * 300, "no XML"),
    ],
)
def test_what_is_no_page_is_a_data_error(body: bytes, says: str) -> None:
    with pytest.raises(DataError, match="expected <opportunities>") as caught:
        _v1.parse_page(body, {})
    assert says in str(caught.value)


def test_saved_pages_must_be_bytes_and_several() -> None:
    with pytest.raises(ArgumentError, match="page 2 is str, not bytes"):
        opportunities_from_pages([OPPORTUNITY, OPPORTUNITY.decode()])  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="page 1 is int, not bytes"):
        opportunities_from_pages(OPPORTUNITY)  # type: ignore[arg-type]


def entities(depth: int, inner: str) -> bytes:
    declared = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, depth + 1)
    )
    return f"<!DOCTYPE o [{declared}]><opportunities>{inner}</opportunities>".encode()


@pytest.mark.parametrize(
    "inner",
    [
        "<opportunity><name>&a9;</name></opportunity>",
        '<opportunity note="&a9;"/>',
        "&a9;",
    ],
)
def test_an_xml_bomb_is_refused_and_not_expanded(inner: str) -> None:
    with pytest.raises(DataError, match="expected <opportunities>"):
        _v1.parse_page(entities(9, inner), {})
    assert len(_v1.parse_error(entities(9, inner))) < 1000


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE opportunities><opportunities/>",
        b'<!DOCTYPE opportunities [<!ENTITY x "y">]><opportunities/>',
        b"<!DOCTYPE opportunities [<!ELEMENT opportunities ANY>]><opportunities/>",
        b'<!DOCTYPE opportunities SYSTEM "missing.dtd"><opportunities/>',
    ],
)
def test_a_dtd_is_refused(body: bytes) -> None:
    with pytest.raises(DataError, match="brings a DTD, which is refused"):
        _v1.parse_page(body, {})


@pytest.mark.parametrize("place", ["entity", "parameter", "dtd"])
def test_nothing_is_read_from_the_disk(tmp_path: Path, place: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text('<!ENTITY leak "the secret">' if place != "entity" else "the secret")
    doctype = {
        "entity": f'<!DOCTYPE o [<!ENTITY x SYSTEM "{secret.as_uri()}">]>',
        "parameter": f'<!DOCTYPE o [<!ENTITY % x SYSTEM "{secret.as_uri()}"> %x;]>',
        "dtd": f'<!DOCTYPE o SYSTEM "{secret.as_uri()}">',
    }[place]
    reference = "&x;" if place == "entity" else "&leak;"
    body = f"{doctype}<opportunities><opportunity><name>{reference}</name></opportunity>"
    with pytest.raises(DataError) as caught:
        _v1.parse_page(f"{body}</opportunities>".encode(), {})
    assert "the secret" not in str(caught.value)
    assert "the secret" not in _v1.parse_error(f"{doctype}<error>{reference}</error>".encode())


@pytest.mark.parametrize("place", ["entity", "dtd"])
def test_nothing_is_read_from_the_network(place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
        doctype = (
            f'<!DOCTYPE o [<!ENTITY x SYSTEM "{url}">]>'
            if place == "entity"
            else f'<!DOCTYPE o SYSTEM "{url}">'
        )
        text = "&x;" if place == "entity" else ""
        # In a thread of its own: a parser that did connect would wait for an answer.
        reading = threading.Thread(
            target=lambda: _v1.parse_error(f"{doctype}<error>{text}</error>".encode()), daemon=True
        )
        reading.start()
        with pytest.raises(DataError):
            _v1.parse_page(f"{doctype}<opportunities>{text}</opportunities>".encode(), {})
        with pytest.raises(TimeoutError):
            listening.accept()
        reading.join(timeout=5)
        assert not reading.is_alive()


# From odd text to the frame


def test_odd_values_become_missing_and_the_others_stay() -> None:
    frame = opportunities_from_pages(
        [
            page(
                "<id>1</id><value>12k</value><expectedCloseDate>0000-00-00</expectedCloseDate>",
                "<id>2</id><value>1234.50</value><duration>0</duration>"
                "<durationBasis>MONTH</durationBasis>"
                "<expectedCloseDate>2026-03-31T00:00:00Z</expectedCloseDate>",
                "<id>3</id><value>-5</value><probability>fifty</probability>",
                "<id>4</id><value>NaN</value><duration>1.5</duration>",
            )
        ]
    )
    assert frame["value"].fillna(0).tolist() == [0, 1234.5, -5, 0]
    assert frame["tcv"].fillna(-1).tolist() == [-1, 0, -5, -1]
    assert frame["expected_close"].notna().tolist() == [False, True, False, False]
    assert frame["duration"].fillna(-1).tolist() == [-1, 0, -1, -1]
    assert frame["probability"].isna().all()


def test_what_is_written_can_be_read_as_xml_by_others() -> None:
    body = _v1.create(5, {"name": "a < b", "value": Decimal("1.10")}).body
    assert body is not None
    assert {child.tag: child.text for child in etree.fromstring(body)} == {
        "name": "a < b",
        "value": "1.10",
    }


class TestNothingUnseen:
    """What stands in a list is read or refused; it does not vanish."""

    @pytest.mark.parametrize(
        "record",
        [
            b"<Opportunity><id>1</id></Opportunity>",
            b'<c:opportunity xmlns:c="urn:c"><id>1</id></c:opportunity>',
            b'<opportunity xmlns="urn:c"><id>1</id></opportunity>',
            b"<opportunity><ID>1</ID></opportunity>",
            b'<opportunity xmlns:c="urn:c"><id>1</id><c:value>3</c:value></opportunity>',
            b"<opportunity><id>1</id><opportunity><id>2</id></opportunity></opportunity>",
            b"<page><opportunity><id>1</id></opportunity></page>",
        ],
    )
    def test_another_spelling_or_place_is_refused(self, record: bytes) -> None:
        with pytest.raises(DataError, match="has a <"):
            _v1.parse_page(b"<opportunities>" + record + b"</opportunities>", {})

    @pytest.mark.parametrize("name", ["DeletedOpportunity", "deletedopportunity"])
    def test_so_it_is_among_the_deleted(self, name: str) -> None:
        body = f"<deletedOpportunities><{name}><id>1</id></{name}></deletedOpportunities>"
        with pytest.raises(DataError, match="where <deletedOpportunity> belongs"):
            _v1.parse_deleted(body.encode(), {})

    def test_mixed_content_is_read_whole(self) -> None:
        body = (
            b"<opportunities><opportunity><id>1</id><name>A <b>big</b> deal</name></opportunity>"
            b"<opportunity><id>2</id><name>plain</name></opportunity></opportunities>"
        )
        assert _v1.parse_page(body, {}).columns["name"] == ["A big deal", "plain"]

    def test_a_field_that_comes_twice_is_no_single_value(self) -> None:
        body = (
            b"<opportunities><opportunity><id>1</id><value>10</value><value>20</value>"
            b"<name>same</name><name>same</name></opportunity></opportunities>"
        )
        found = _v1.parse_page(body, {}).columns
        assert (found["value"], found["name"]) == (["10 / 20"], ["same"])
