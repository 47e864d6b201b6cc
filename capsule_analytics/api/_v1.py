"""API v1: XML. Paths, parameters, parsing and serialising; the twin of `_v2`.

The twins offer the same functions (`_wire.Api`), so that nothing above them knows which is in
use. They speak in raw records: text as it came, under the names of `schema.COLUMNS`.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lxml import etree

from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.schema import RAW_NAMES

from ._protocol import Deleted, Page, Query, RawColumns, Record, Request, check_size, wire_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TYPED = False
ACCEPT = "application/xml"
CONTENT_TYPE = "application/xml; charset=UTF-8"
FIRST = 0
SERVER_FILTERS = frozenset({"milestone", "tag"})
DURATION_BASES = ("FIXED", "HOUR", "DAY", "MONTH", "YEAR")

_ELEMENTS = {
    "id": "id",
    "name": "name",
    "description": "description",
    "partyId": "party_id",
    "currency": "currency",
    "value": "value",
    "durationBasis": "duration_basis",
    "duration": "duration",
    "expectedCloseDate": "expected_close",
    "milestone": "milestone",
    "milestoneId": "milestone_id",
    "probability": "probability",
    "owner": "owner",
    "createdOn": "created_at",
    "updatedOn": "updated_at",
    "actualCloseDate": "closed_at",
}
_ELEMENT_OF = {column: element for element, column in _ELEMENTS.items()}
_SPELLINGS = {name.lower() for name in _ELEMENTS}
_OTHERS = etree.XPath("*[not(name() = $name)]")
_IS_DEEP = etree.XPath("boolean(../*/*/*)")
_ABSENT: dict[str, str | None] = dict.fromkeys(_ELEMENTS)
_known = itemgetter(*_ELEMENTS)

FIELDS = frozenset(_ELEMENT_OF) - {
    "id", "party_id", "milestone_id", "created_at", "updated_at", "closed_at",
}  # fmt: skip
"""Fields of an opportunity that a client may write."""


def root(account: str | None, base_url: str | None) -> str:
    """Return the URL that every path starts from."""
    return f"{base_url}/api" if base_url else f"https://{account}.capsulecrm.com/api"


def authorization(token: str) -> str:
    """HTTP Basic: the token as user name, any password."""
    return "Basic " + base64.b64encode(f"{token}:x".encode()).decode("ascii")


def step(received: int) -> int:
    """Return how far to advance after a page: an offset moves by what was received."""
    return received


def position(start: int, limit: int) -> int:  # noqa: ARG001 - its twin needs the limit
    """Return the position of the record number `start`."""
    return start


def get(opportunity_id: int, embed: Sequence[str] = ()) -> Request:
    """Ask for one opportunity."""
    _no_embed(embed)
    return Request("GET", f"/opportunity/{opportunity_id}")


def list_page(query: Query, position: int, limit: int) -> Request:
    """Ask for the opportunities from offset `position` on, at most `limit`."""
    _no_embed(query.embed)
    if query.owner is not None:
        raise ArgumentError("API v1 cannot list by owner; filter the frame, or use API v2")
    path = "/opportunity" if query.party_id is None else f"/party/{query.party_id}/opportunity"
    params = {"start": str(position), "limit": str(limit)}
    if query.milestone is not None:
        params["milestone"] = query.milestone
    if query.tag is not None:
        params["tag"] = query.tag
    if query.changed_since is not None:
        params["lastmodified"] = _compact(query.changed_since)
    return Request("GET", path, params)


def deleted(since: datetime, position: int) -> Request:  # noqa: ARG001 - twin
    """Ask for what was deleted since a time; one answer holds them all."""
    return Request("GET", "/opportunity/deleted", {"since": _compact(since)})


def milestones(position: int) -> Request:  # noqa: ARG001 - twin
    """Ask for the milestone configuration; one answer holds it all."""
    return Request("GET", "/opportunity/milestones")


def currencies() -> Request:
    """Ask for the currencies of the account."""
    return Request("GET", "/resource/currency")


def parties(opportunity_id: int) -> Request:
    """Ask for the additional contacts of an opportunity."""
    return Request("GET", f"/opportunity/{opportunity_id}/party")


def create(party_id: int, fields: Mapping[str, Any]) -> Request:
    """Create an opportunity under a party."""
    return Request("POST", f"/party/{party_id}/opportunity", body=_body(fields))


def update(opportunity_id: int, party_id: int | None, fields: Mapping[str, Any]) -> Request:
    """Change what is given; with a party, move the opportunity to it."""
    under = "" if party_id is None else f"/party/{party_id}"
    return Request("PUT", f"{under}/opportunity/{opportunity_id}", body=_body(fields))


def delete(opportunity_id: int) -> Request:
    """Delete an opportunity."""
    return Request("DELETE", f"/opportunity/{opportunity_id}")


def parse_page(body: bytes, headers: Mapping[str, str]) -> Page:  # noqa: ARG001 - twin
    """Read a list of opportunities; v1 never says whether more follow."""
    elements = _children(_root(body, "opportunities"), "opportunity")
    if elements and not _IS_DEEP(elements[0]):
        records = [{field.tag: field.text for field in record} for record in elements]
    else:
        records = [_fields(record) for record in elements]
    if sum(map(len, records)) != sum(map(len, elements)):
        records = [_fields(record) for record in elements]
    _no_other_spelling(set[str]().union(*records))
    columns: RawColumns = {name: [None] * len(records) for name in RAW_NAMES}
    if records:
        # What is known of a record is taken at once, and the table turned: no loop over fields.
        taken = map(_known, [_ABSENT | record for record in records])
        columns |= zip(_ELEMENTS.values(), map(list, zip(*taken, strict=True)), strict=True)
    return Page(columns, more=None if records else False)


def parse_opportunity(body: bytes) -> Record:
    """Read one opportunity."""
    record = _fields(_root(body, "opportunity"))
    return dict.fromkeys(RAW_NAMES) | {
        name: record.get(element) for element, name in _ELEMENTS.items()
    }


def parse_deleted(body: bytes, headers: Mapping[str, str]) -> Deleted:  # noqa: ARG001 - twin
    """Read what was deleted."""
    gone = _children(_root(body, "deletedOpportunities"), "deletedOpportunity")
    records = [_fields(record) for record in gone]
    return Deleted(
        [
            {"id": r["id"], "deleted_at": r.get("deletedDate")}
            for r in records
            if (r.get("id") or "").strip().isdecimal()
        ],
        restricted=[],
        more=False,
    )


def parse_milestones(body: bytes, headers: Mapping[str, str]) -> tuple[list[Record], bool]:  # noqa: ARG001 - twin
    """Read the milestone configuration, and that no more follow."""
    records = [_fields(record) for record in _children(_root(body, "milestones"), "milestone")]
    names = ("id", "name", "description", "probability", "complete")
    return [{name: record.get(name) for name in names} for record in records], False


def parse_currencies(body: bytes) -> list[str]:
    """Read the currencies of the account."""
    codes = [(code.text or "").strip() for code in _root(body, "currencies")]
    return [code for code in codes if code]


def parse_parties(body: bytes) -> list[Record]:
    """Read contacts: ``id``, ``type`` and ``name``."""
    records = []
    for party in _root(body, "parties"):
        fields = _fields(party)
        given = [fields.get(part) for part in ("firstName", "lastName")]
        name = fields.get("name") or " ".join(part for part in given if part)
        records.append({"id": fields.get("id"), "type": party.tag, "name": name})
    return records


def parse_created(body: bytes, headers: Mapping[str, str]) -> int:  # noqa: ARG001 - twin
    """Read the id of what was created, from the Location header."""
    match = re.search(r"/opportunity/(\d+)$", urlsplit(headers.get("Location", "")).path)
    if match is None:
        raise DataError("the server created an opportunity but did not say under which id")
    return int(match[1])


def parse_error(body: bytes) -> str:
    """Read the server's own words from a failed request, empty where there are none."""
    try:
        check_size(body, (b"<", b'="', b"='"))
        error = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError):
        return ""
    if error is None or error.tag == "html":
        return ""
    return " ".join(" ".join(error.itertext()).split())


def _root(body: bytes, expected: str) -> etree._Element:
    """Parse without entities, DTD or network, and insist on the expected element."""
    check_size(body, (b"<", b'="', b"='"))
    try:
        element = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        what = "an HTML page" if b"<html" in body[:1000].lower() else f"no XML ({error})"
        raise DataError(f"expected <{expected}>, but the body is {what}") from error
    if str(element.tag).lower() == "html":
        raise DataError(f"expected <{expected}>, but the body is an HTML page")
    if element.getroottree().docinfo.internalDTD is not None:
        raise DataError(f"expected <{expected}>, but the XML brings a DTD, which is refused")
    if element.tag != expected:
        raise DataError(f"expected <{expected}>, but the XML is <{element.tag}>")
    return element


def _parser() -> etree.XMLParser:
    # One a page: a parser shared between threads would make them wait for each other.
    # Comments go, for they would look like records and cut the text that they stand in.
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )


def _children(element: etree._Element, name: str) -> list[etree._Element]:
    """Return the records of a list; refuse what could be one elsewhere, or spelled otherwise."""
    for other in _OTHERS(element, name=name):
        if etree.QName(other).localname.lower() == name.lower():
            raise DataError(f"<{element.tag}> has a <{other.tag}> where <{name}> belongs")
    found = list(element.iterchildren(f"{{*}}{name}"))
    if len(list(element.iter(f"{{*}}{name}"))) != len(found):
        raise DataError(f"<{element.tag}> has a <{name}> within another element")
    return found


def _fields(element: etree._Element) -> dict[str, str | None]:
    """Read a record with all the text of its fields; of a field that comes twice, both."""
    found: dict[str, str | None] = {}
    for field in element:
        text = "".join(field.itertext()) or None
        if found.setdefault(field.tag, text) != text:
            found[field.tag] = f"{found[field.tag]} / {text}"
    return found


def _no_other_spelling(names: set[str]) -> None:
    """Refuse fields that would go unseen for a namespace or a capital letter."""
    for name in names - _ELEMENTS.keys():
        if etree.QName(name).localname.lower() in _SPELLINGS:
            raise DataError(f"an opportunity has a <{name}>, which is none of API v1's elements")


def _body(fields: Mapping[str, Any]) -> bytes:
    """Write an opportunity with the given fields; None empties one."""
    element = etree.Element("opportunity")
    for name, value in fields.items():
        text = None if value is None else wire_text(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            text = f"{value.isoformat()}T00:00:00Z"
        try:
            etree.SubElement(element, _ELEMENT_OF[name]).text = text
        except ValueError as error:
            raise ArgumentError(f"{name} has characters that XML cannot carry") from error
    body: bytes = etree.tostring(element, xml_declaration=True, encoding="UTF-8")
    return body


def _compact(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S}"


def _no_embed(embed: Sequence[str]) -> None:
    if embed:
        raise ArgumentError("API v1 cannot embed; tags and custom fields need API v2")
