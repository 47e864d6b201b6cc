"""API v1 of the sandbox: XML under ``/api``, or JSON where the request asks for it."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response, request
from lxml import etree
from werkzeug.exceptions import BadRequest, NotFound

from .quirks import Quirks
from .records import Problem, Record, ValidationError, items, part
from .wire import natural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .account import Account, Order

DECLARATION = b'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
# XML 1.0 has no way to write these characters, so they cannot be part of an answer.
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
BASES = ("FIXED", "HOUR", "DAY", "MONTH", "YEAR")
MOST = 2**31 - 1
LONGEST = 18
BARE = {"xml_declaration": False}


def wants_json() -> bool:
    """Say whether the request asks for JSON: by ``Accept`` alone, as v1's own clients do."""
    return request.accept_mimetypes.best == "application/json"


def answer(content: bytes, status: int = 200) -> Response:
    """Build an answer in XML, with the content type that v1 sends, which says nothing of it.

    Parameters
    ----------
    content
        The document without its declaration, or nothing.
    status
        The HTTP status.
    """
    return Response(DECLARATION + content if content else b"", status, content_type="*/*")


def answer_json(content: object, status: int = 200) -> Response:
    """Build an answer in JSON.

    Parameters
    ----------
    content
        What JSON can hold; v1 writes every value as a string.
    status
        The HTTP status.
    """
    return Response(orjson.dumps(content), status, content_type="application/json")


def refusal(status: int, message: str) -> Response:
    """Build the answer to a request that is refused.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What was wrong with the request.
    """
    if wants_json():
        return answer_json({"message": message}, status)
    return answer(etree.tostring(_element("error", {"message": message}), encoding="UTF-8"), status)


def shown(record: Record, *, close_date: bool = True) -> dict[str, str]:
    """Write an opportunity's values as v1 shows them, each as text.

    Parameters
    ----------
    record
        The opportunity in the form of API v2.
    close_date
        Whether there is an ``actualCloseDate``.

    Returns
    -------
    The texts by element. Values that are absent are left out, but for an empty description; odd
    values are written as they stand.

    Examples
    --------
    >>> shown({"id": 7, "name": "Shop", "value": {"amount": 1234.5, "currency": "GBP"}})
    {'id': '7', 'name': 'Shop', 'description': '', 'currency': 'GBP', 'value': '1234.5'}
    """
    value, milestone = part(record, "value"), part(record, "milestone")
    values = {
        "id": record["id"],
        "name": record.get("name"),
        "description": record.get("description") or "",
        "partyId": part(record, "party").get("id"),
        "currency": value.get("currency"),
        "value": value.get("amount"),
        "durationBasis": record.get("durationBasis"),
        "duration": record.get("duration"),
        "expectedCloseDate": _midnight(record.get("expectedCloseOn")),
        "milestoneId": milestone.get("id"),
        "milestone": milestone.get("name"),
        "probability": record.get("probability"),
        "owner": part(record, "owner").get("username"),
        "actualCloseDate": _midnight(record.get("closedOn")) if close_date else None,
        "createdOn": record.get("createdAt"),
        "updatedOn": record.get("updatedAt"),
    }
    return {tag: _text(value) for tag, value in values.items() if value is not None}


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
    quirks
        How to answer where Capsule's own answer is not known.
    """

    def __init__(self, account: Account, page_limit: int, order: Order, quirks: Quirks) -> None:
        self.account = account
        self.page_limit = page_limit
        self.order = order
        self.quirks = quirks
        self._rendered: dict[tuple[int, bool], tuple[Record, bytes]] = {}

    def routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        """List the calls: method, path and view."""
        return [
            ("GET", "/api/opportunity", self.list_all),
            ("GET", "/api/opportunity/<id:number>", self.show),
            ("PUT", "/api/opportunity/<id:number>", self.update),
            ("DELETE", "/api/opportunity/<id:number>", self.delete),
            ("GET", "/api/opportunity/<id:number>/party", self.contacts),
            ("GET", "/api/opportunity/<id:number>/tag", self.tags),
            ("POST", "/api/opportunity/<id:number>/tag/<name>", self.add_tag),
            ("DELETE", "/api/opportunity/<id:number>/tag/<name>", self.remove_tag),
            ("GET", "/api/opportunity/milestones", self.milestones),
            ("GET", "/api/opportunity/deleted", self.deleted),
            ("GET", "/api/party/<id:party>/opportunity", self.list_by_party),
            ("POST", "/api/party/<id:party>/opportunity", self.create),
            ("PUT", "/api/party/<id:party>/opportunity/<id:number>", self.move),
            ("GET", "/api/resource/currency", self.currencies),
            ("GET", "/api/users", self.users),
        ]

    def list_all(self) -> Response:
        """Answer a page of the opportunities that pass all filters sent."""
        milestone = request.args.get("milestone")
        tag = request.args.get("tag")
        since = _since("lastmodified")
        start, limit = _natural("start", 0), _natural("limit", self.page_limit, least=1)

        def passes(record: Record) -> bool:
            if milestone is not None and part(record, "milestone").get("name") != milestone:
                return False
            if tag is not None and all(one.get("name") != tag for one in items(record, "tags")):
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
                part(record, "party").get("id") == party or party in contacts.get(record["id"], ())
            ),
        )
        start, limit = _natural("start", 0), len(records)
        if "limit" in request.args:
            limit = min(_natural("limit", limit, least=1), self.page_limit)
        return self._page(records[start : start + limit])

    def show(self, number: int) -> Response:
        """Answer one opportunity."""
        record = self._render(self._record(number))
        if wants_json():
            return _json(b'{"opportunity":' + record + b"}")
        return answer(record)

    def create(self, party: int) -> Response:
        """Add an opportunity to a party and say where it is."""
        sent = _changes({"currency": self.account.currency})
        changes, contacts = self._belonging(party, sent)
        record = self.account.create(changes, contacts=contacts)
        response = answer(b"", 201)
        response.headers["Location"] = f"{request.host_url}api/opportunity/{record['id']}"
        return response

    def update(self, number: int) -> Response:
        """Change the elements that are sent."""
        party = part(self._record(number), "party").get("id")
        changes = self._sent(number)
        contacts: list[int] = []
        if party in self.account.parties:
            changes, contacts = self._belonging(party, changes)
        self.account.update(number, changes, contacts=contacts)
        return answer(b"")

    def move(self, party: int, number: int) -> Response:
        """Change the elements that are sent, and the party the opportunity belongs to."""
        changes, contacts = self._belonging(party, self._sent(number))
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
        gone = [
            {"id": _text(row["id"]), "deletedDate": _text(row["deletedAt"])}
            for row in list(self.account.deleted)
            if str(row["deletedAt"]) >= since
        ]
        return self._list("deletedOpportunities", "deletedOpportunity", gone)

    def contacts(self, number: int) -> Response:
        """Answer the additional contacts of an opportunity."""
        self._record(number)
        known = self.account.parties
        parties = [known[key] for key in self.account.contacts.get(number, []) if key in known]
        if wants_json():
            sorts: dict[str, list[dict[str, str]]] = {}
            for party in parties:
                sorts.setdefault(_sort(party), []).append(_contact(party))
            return answer_json({"parties": sorts})
        root = etree.Element("parties", size=str(len(parties)))
        root.extend(_element(_sort(party), _contact(party)) for party in parties)
        return answer(etree.tostring(root, encoding="UTF-8"))

    def tags(self, number: int) -> Response:
        """Answer the tags of an opportunity."""
        names = [{"name": _text(one.get("name"))} for one in items(self._record(number), "tags")]
        return self._list("tags", "tag", names)

    def add_tag(self, number: int, name: str) -> Response:
        """Add a tag, which is made if there is none of that name: 201 new, 200 there already."""
        if any(one.get("name") == name for one in items(self._record(number), "tags")):
            return answer(b"")
        self.account.update(number, {"tags": [{"name": name}]}, quirks=Quirks(tags_by_name=True))
        return answer(b"", 201)

    def remove_tag(self, number: int, name: str) -> Response:
        """Remove a tag."""
        if all(one.get("name") != name for one in items(self._record(number), "tags")):
            raise NotFound(f"The opportunity {number} has no such tag.")
        self.account.update(number, {"tags": [{"name": name, "_delete": True}]})
        return answer(b"")

    def milestones(self) -> Response:
        """Answer every milestone there is or was: v1 knows nothing of pipelines."""
        rows = [
            {
                "id": _text(row["id"]),
                "name": _text(row.get("name")),
                "description": _text(row.get("description") or ""),
                "probability": _text(row.get("probability")),
                "complete": "true" if row.get("complete") else "false",
            }
            for row in self.account.milestones
        ]
        return self._list("milestones", "milestone", rows)

    def currencies(self) -> Response:
        """Answer the currency codes of the account."""
        codes = self.account.currencies
        if wants_json():
            return answer_json({"currencies": {"currency": codes}})
        root = etree.Element("currencies", size=str(len(codes)))
        for code in codes:
            etree.SubElement(root, "currency").text = _text(code)
        return answer(etree.tostring(root, encoding="UTF-8"))

    def users(self) -> Response:
        """Answer the users."""
        rows = [
            {
                "username": _text(row.get("username")),
                "name": _text(row.get("name")),
                "currency": self.account.currency,
                "loggedIn": "true" if row is self.account.default_user else "false",
            }
            for row in self.account.users
        ]
        return self._list("users", "user", rows)

    def _list(self, name: str, each: str, rows: Sequence[Mapping[str, str]]) -> Response:
        """Answer a list of plain rows in the form that is asked for."""
        if wants_json():
            bare = self.quirks.v1_bare_row and len(rows) == 1
            return answer_json({name: {each: rows[0] if bare else rows}})
        root = etree.Element(name, size=str(len(rows)))
        root.extend(_element(each, row) for row in rows)
        return answer(etree.tostring(root, encoding="UTF-8"))

    def _page(self, records: Iterable[Record]) -> Response:
        parts = [self._render(record) for record in records]
        if wants_json():
            bare = self.quirks.v1_bare_row and len(parts) == 1
            rows = parts[0] if bare else b"[" + b",".join(parts) + b"]"
            return _json(b'{"opportunities":{"opportunity":' + rows + b"}}")
        opening = b'<opportunities size="%d">' % len(parts)
        return answer(opening + b"".join(parts) + b"</opportunities>")

    def _render(self, record: Record) -> bytes:
        key = (record["id"], wants_json())
        kept = self._rendered.get(key)
        if kept is None or kept[0] is not record:
            values = shown(record, close_date=self.quirks.v1_close_date)
            text = (
                orjson.dumps(values)
                if key[1]
                else etree.tostring(_element("opportunity", values), encoding="UTF-8", **BARE)
            )
            kept = (record, text)
            self._rendered[key] = kept
        return kept[1]

    def _sent(self, number: int) -> dict[str, Any]:
        """Read a change; an amount or currency that comes alone joins the one that is there."""
        have = part(self._record(number), "value")
        return _changes({"currency": self.account.currency, **have})

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


def _json(content: bytes) -> Response:
    return Response(content, content_type="application/json")


def _element(tag: str, values: Mapping[str, str]) -> etree._Element:
    element = etree.Element(tag)
    for name, text in values.items():
        etree.SubElement(element, name).text = text or None
    return element


def _text(value: object) -> str:
    """Write a value as v1 does: every one is text, in XML and in JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # Never in powers of ten: 1e16 is no amount that anybody writes.
        value = format(Decimal(repr(value)), "f")
    return UNWRITABLE.sub("", str(value))


def _sort(party: Record) -> str:
    return "person" if party.get("type") == "person" else "organisation"


def _contact(party: Record) -> dict[str, str]:
    """Write a party as v1 lists it beside an opportunity."""
    names = ("firstName", "lastName") if _sort(party) == "person" else ("name",)
    employer = part(party, "organisation")
    values = {
        "id": party["id"],
        **{name: party.get(name) for name in names},
        "organisationId": employer.get("id"),
        "organisationName": employer.get("name"),
    }
    return {name: _text(value) for name, value in values.items() if value is not None}


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
    number = natural(text, MOST)
    if number is None or number < least:
        raise BadRequest(f"{name} must be a whole number from {least} to {MOST}.")
    return number


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


def _changes(usual: Mapping[str, Any]) -> dict[str, Any]:
    """Read the opportunity that is sent into the form of API v2.

    An amount without a currency, or a currency without an amount, takes the usual one: in v1 the
    two are elements of their own.
    """
    sent = _values()
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
        changes["value"] = {"currency": usual.get("currency"), **value}
    if changes.get("durationBasis") not in (None, *BASES):
        message = f"durationBasis must be one of {', '.join(BASES)}"
        raise ValidationError([Problem("durationBasis", message)])
    return changes


def _values() -> dict[str, str | None]:
    """Read the body, XML or JSON: the text of each value, None where it is empty."""
    if request.mimetype == "application/json":
        return _json_values()
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(request.get_data(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise BadRequest("The request body is not XML.") from error
    if root.tag != "opportunity":
        raise BadRequest("The request body must be an opportunity element.")
    return {
        str(child.tag): (child.text or "").strip() or None
        for child in root
        if isinstance(child.tag, str)
    }


def _json_values() -> dict[str, str | None]:
    try:
        content = orjson.loads(request.get_data())
    except orjson.JSONDecodeError as error:
        raise BadRequest("The request body is not JSON.") from error
    record = content.get("opportunity") if isinstance(content, dict) else None
    if not isinstance(record, dict):
        raise BadRequest("The request body must hold an opportunity.")
    return {name: _text(value).strip() or None for name, value in record.items()}


def _day(text: str) -> str:
    return text.removesuffix("T00:00:00Z")


def _number(text: str) -> int | float | str:
    """Read a number; text that is none is kept, to be refused with the other wrong values."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    # A power of ten such as 1e999999 is short to write and endless to work with.
    if not number.is_finite() or abs(number.adjusted()) > LONGEST:
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
