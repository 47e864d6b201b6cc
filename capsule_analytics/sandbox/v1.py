"""API v1 of the sandbox: XML under ``/api``."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from flask import Response, request
from lxml import etree
from werkzeug.exceptions import BadRequest, NotFound

from .rules import Problem, Record, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .account import Account, Order

DECLARATION = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
# XML 1.0 has no way to write these characters, so they cannot be part of an answer.
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
BASES = ("FIXED", "HOUR", "DAY", "MONTH", "YEAR")


def answer(body: bytes, status: int = 200) -> Response:
    """Build an answer with the content type that v1 sends, which says nothing of XML.

    Parameters
    ----------
    body
        The document without its declaration, or nothing.
    status
        The HTTP status.
    """
    return Response(DECLARATION + body if body else b"", status, content_type="*/*")


def refusal(status: int, message: str) -> Response:
    """Build the answer to a request that is refused.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What was wrong with the request.
    """
    error = etree.Element("error")
    _add(error, "message", message)
    return answer(etree.tostring(error, encoding="UTF-8"), status)


def render(record: Record) -> bytes:
    """Write an opportunity as v1 shows it.

    Parameters
    ----------
    record
        The opportunity in the form of API v2.

    Returns
    -------
    An ``<opportunity>`` element in UTF-8. Values that are absent are left out, but for an empty
    ``<description/>``; odd values are written as they stand.

    Examples
    --------
    >>> render({"id": 7, "name": "Shop", "value": {"amount": 1234.5, "currency": "GBP"}})
    b'<opportunity><id>7</id><name>Shop</name><description/><currency>GBP</currency><value>1234.5</value></opportunity>'
    """
    root = etree.Element("opportunity")
    party = record.get("party") or {}
    value = record.get("value") or {}
    milestone = record.get("milestone") or {}
    owner = record.get("owner") or {}
    _add(root, "id", record["id"])
    _add(root, "name", record.get("name"))
    _add(root, "description", record.get("description") or "")
    _add(root, "partyId", party.get("id"))
    _add(root, "currency", value.get("currency"))
    _add(root, "value", value.get("amount"))
    _add(root, "durationBasis", record.get("durationBasis"))
    _add(root, "duration", record.get("duration"))
    _add(root, "expectedCloseDate", _midnight(record.get("expectedCloseOn")))
    _add(root, "milestoneId", milestone.get("id"))
    _add(root, "milestone", milestone.get("name"))
    _add(root, "probability", record.get("probability"))
    _add(root, "owner", owner.get("username"))
    _add(root, "actualCloseDate", _midnight(record.get("closedOn")))
    _add(root, "createdOn", record.get("createdAt"))
    _add(root, "updatedOn", record.get("updatedAt"))
    body: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=False)
    return body


class V1:
    """The calls of API v1 on one account.

    Parameters
    ----------
    account
        The account that is served.
    page_limit
        The most records in one answer.
    order
        The order of lists.
    """

    def __init__(self, account: Account, page_limit: int, order: Order) -> None:
        self.account = account
        self.page_limit = page_limit
        self.order = order
        self._rendered: dict[int, tuple[Record, bytes]] = {}

    def routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        """List the calls: method, path and view."""
        return [
            ("GET", "/api/opportunity", self.list_all),
            ("GET", "/api/opportunity/<int:number>", self.show),
            ("PUT", "/api/opportunity/<int:number>", self.update),
            ("DELETE", "/api/opportunity/<int:number>", self.delete),
            ("GET", "/api/opportunity/<int:number>/party", self.contacts),
            ("GET", "/api/opportunity/milestones", self.milestones),
            ("GET", "/api/opportunity/deleted", self.deleted),
            ("GET", "/api/party/<int:party>/opportunity", self.list_by_party),
            ("POST", "/api/party/<int:party>/opportunity", self.create),
            ("PUT", "/api/party/<int:party>/opportunity/<int:number>", self.move),
            ("GET", "/api/resource/currency", self.currencies),
        ]

    def list_all(self) -> Response:
        """Answer a page of the opportunities that pass all filters sent."""
        milestone = request.args.get("milestone")
        tag = request.args.get("tag")
        since = _since("lastmodified")
        start, limit = _natural("start", 0), _natural("limit", self.page_limit, least=1)

        def passes(record: Record) -> bool:
            if milestone is not None and (record.get("milestone") or {}).get("name") != milestone:
                return False
            if tag is not None and all(t.get("name") != tag for t in record.get("tags") or []):
                return False
            return since is None or any(
                str(record.get(key) or "") >= since for key in ("updatedAt", "createdAt")
            )

        key = (milestone, tag, since)
        where = None if key == (None, None, None) else passes
        records = self.account.opportunities(self.order, key=("v1", *key), where=where)
        return self._page(records[start : start + min(limit, self.page_limit)])

    def list_by_party(self, party: int) -> Response:
        """Answer the opportunities of a party, those it is an additional contact of included.

        All come in one answer unless a limit is sent: the call is not documented as paged.
        """
        self._party(party)
        contacts = self.account.contacts
        records = self.account.opportunities(
            self.order,
            where=lambda record: (
                (record.get("party") or {}).get("id") == party
                or party in contacts.get(record["id"], ())
            ),
        )
        start, limit = _natural("start", 0), len(records)
        if "limit" in request.args:
            limit = min(_natural("limit", limit, least=1), self.page_limit)
        return self._page(records[start : start + limit])

    def show(self, number: int) -> Response:
        """Answer one opportunity."""
        return answer(self._render(self._record(number)))

    def create(self, party: int) -> Response:
        """Add an opportunity to a party and say where it is."""
        changes, contacts = self._belonging(party, _changes())
        record = self.account.create(changes, contacts=contacts)
        response = answer(b"", 201)
        response.headers["Location"] = f"{request.host_url}api/opportunity/{record['id']}"
        return response

    def update(self, number: int) -> Response:
        """Change the elements that are sent."""
        party = (self._record(number).get("party") or {}).get("id")
        changes = _changes()
        contacts: list[int] = []
        if party in self.account.parties:
            changes, contacts = self._belonging(party, changes)
        self.account.update(number, changes, contacts=contacts)
        return answer(b"")

    def move(self, party: int, number: int) -> Response:
        """Change the elements that are sent, and the party the opportunity belongs to."""
        self._record(number)
        changes, contacts = self._belonging(party, _changes())
        self.account.update(number, changes, contacts=contacts)
        return answer(b"")

    def delete(self, number: int) -> Response:
        """Delete an opportunity."""
        self._record(number)
        self.account.delete(number)
        return answer(b"")

    def deleted(self) -> Response:
        """Answer the opportunities deleted at or since a time."""
        since = _since("since") or ""
        gone = [row for row in list(self.account.deleted) if str(row["deletedAt"]) >= since]
        root = etree.Element("deletedOpportunities", size=str(len(gone)))
        for row in gone:
            item = etree.SubElement(root, "deletedOpportunity")
            _add(item, "id", row["id"])
            _add(item, "deletedDate", row["deletedAt"])
        return answer(etree.tostring(root, encoding="UTF-8"))

    def contacts(self, number: int) -> Response:
        """Answer the additional contacts of an opportunity."""
        self._record(number)
        known = self.account.parties
        parties = [known[key] for key in self.account.contacts.get(number, []) if key in known]
        root = etree.Element("parties", size=str(len(parties)))
        for party in parties:
            person = party.get("type") == "person"
            item = etree.SubElement(root, "person" if person else "organisation")
            _add(item, "id", party["id"])
            for key in ("firstName", "lastName") if person else ("name",):
                _add(item, key, party.get(key))
            organisation = party.get("organisation") or {}
            _add(item, "organisationId", organisation.get("id"))
            _add(item, "organisationName", organisation.get("name"))
        return answer(etree.tostring(root, encoding="UTF-8"))

    def milestones(self) -> Response:
        """Answer the milestones of every pipeline."""
        root = etree.Element("milestones", size=str(len(self.account.milestones)))
        for row in self.account.milestones:
            item = etree.SubElement(root, "milestone")
            _add(item, "id", row["id"])
            _add(item, "name", row.get("name"))
            _add(item, "description", row.get("description") or "")
            _add(item, "probability", row.get("probability"))
            _add(item, "complete", "true" if row.get("complete") else "false")
        return answer(etree.tostring(root, encoding="UTF-8"))

    def currencies(self) -> Response:
        """Answer the currency codes."""
        root = etree.Element("currencies", size=str(len(self.account.currencies)))
        for code in self.account.currencies:
            _add(root, "currency", code)
        return answer(etree.tostring(root, encoding="UTF-8"))

    def _page(self, records: Iterable[Record]) -> Response:
        parts = [self._render(record) for record in records]
        opening = b'<opportunities size="%d">' % len(parts)
        return answer(opening + b"".join(parts) + b"</opportunities>")

    def _render(self, record: Record) -> bytes:
        kept = self._rendered.get(record["id"])
        if kept is None or kept[0] is not record:
            kept = (record, render(record))
            self._rendered[record["id"]] = kept
        return kept[1]

    def _record(self, number: int) -> Record:
        record = self.account.get(number)
        if record is None:
            raise NotFound(f"There is no opportunity with id {number}.")
        return record

    def _party(self, number: int) -> Record:
        party = self.account.parties.get(number)
        if party is None:
            raise NotFound(f"There is no party with id {number}.")
        return party

    def _belonging(
        self, number: int, changes: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[int]]:
        """Give a deal to the organisation of a person, who joins the additional contacts."""
        party = self._party(number)
        organisation = party.get("organisation")
        if party.get("type") != "person" or not organisation:
            return {**changes, "party": {"id": number}}, []
        return {**changes, "party": {"id": organisation["id"]}}, [number]


def _add(parent: etree._Element, tag: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, float):
        # Never in powers of ten: 1e16 is no amount that anybody writes.
        value = format(Decimal(repr(value)), "f")
    text = UNWRITABLE.sub("", str(value))
    etree.SubElement(parent, tag).text = text or None


def _midnight(day: object) -> object:
    """Write a date as v1 does; what is no date is left as it is."""
    try:
        return f"{date.fromisoformat(str(day)).isoformat()}T00:00:00Z"
    except ValueError:
        return day


def _natural(name: str, default: int, least: int = 0) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise BadRequest(f"{name} must be a whole number of at least {least}.")
    return int(text)


def _since(name: str) -> str | None:
    """Read a time in UTC, ``20260302T091500``, as the account writes it."""
    text = request.args.get(name)
    if text is None:
        return None
    digits = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)Z?", text)
    if digits is None:
        raise BadRequest(f"{name} must be a time like 20260302T091500.")
    year, month, day, hour, minute, second = digits.groups()
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"


def _changes() -> dict[str, Any]:
    """Read the ``<opportunity>`` that is sent into the form of API v2."""
    sent = _elements()
    changes: dict[str, Any] = {}
    for tag, (name, read) in READ.items():
        if tag in sent:
            text = sent[tag]
            changes[name] = None if text is None else read(text)
    # Names repeat across pipelines, so an id beside the name counts.
    if sent.get("milestoneId"):
        changes["milestone"] = {"id": _number(str(sent["milestoneId"]))}
    value: dict[str, object] = {}
    if sent.get("currency"):
        value["currency"] = sent["currency"]
    if "value" in sent:
        value["amount"] = None if sent["value"] is None else _number(sent["value"])
    if value:
        changes["value"] = value
    if changes.get("durationBasis") not in (None, *BASES):
        message = f"durationBasis must be one of {', '.join(BASES)}"
        raise ValidationError([Problem("durationBasis", message)])
    return changes


def _elements() -> dict[str, str | None]:
    """Read the body: the text of each element, None where it is empty."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(request.get_data(), parser)
    except etree.XMLSyntaxError as error:
        raise BadRequest("The request body is not XML.") from error
    if root.tag != "opportunity":
        raise BadRequest("The request body must be an opportunity element.")
    return {
        str(child.tag): (child.text or "").strip() or None
        for child in root
        if isinstance(child.tag, str)
    }


def _day(text: str) -> str:
    return text.removesuffix("T00:00:00Z")


def _number(text: str) -> int | float | str:
    """Read a number; text that is none is kept, to be refused with the other wrong values."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    return int(number) if number == number.to_integral_value() else float(number)


# The elements of v1 that a client may send: the field of v2 each is, and how its text is read.
READ: dict[str, tuple[str, Callable[[str], object]]] = {
    "name": ("name", str),
    "description": ("description", str),
    "durationBasis": ("durationBasis", str),
    "duration": ("duration", _number),
    "expectedCloseDate": ("expectedCloseOn", _day),
    "milestone": ("milestone", lambda name: {"name": name}),
    "probability": ("probability", _number),
    "owner": ("owner", lambda username: {"username": username}),
}
