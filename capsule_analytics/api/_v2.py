"""API v2: JSON. Paths, parameters, parsing and serialising; the twin of `_v1`.

The twins offer the same functions (`_wire.Api`), so that nothing above them knows which is in
use. They speak in raw records: values as they came, under the names of `schema.COLUMNS`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import orjson

from capsule_analytics import schema
from capsule_analytics.errors import ArgumentError, DataError

from ._protocol import (
    Deleted,
    Field,
    Page,
    Query,
    RawColumns,
    Record,
    Request,
    check_size,
    wire_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TYPED = True
ACCEPT = "application/json"
CONTENT_TYPE = "application/json; charset=UTF-8"
FIRST = 1
SERVER_FILTERS = frozenset({"milestone", "tag", "owner", "pipeline", "team"})
DURATION_BASES = schema.DURATION_BASES

_PLAIN = {
    "id": "id",
    "name": "name",
    "description": "description",
    "duration_basis": "durationBasis",
    "duration": "duration",
    "expected_close": "expectedCloseOn",
    "probability": "probability",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "closed_at": "closedOn",
    "last_stage_changed_at": "lastStageChangedAt",
    "last_contacted_at": "lastContactedAt",
}
_NESTED = {
    "party_id": ("party", "id"),
    "currency": ("value", "currency"),
    "value": ("value", "amount"),
    "milestone": ("milestone", "name"),
    "milestone_id": ("milestone", "id"),
    "last_open_milestone": ("lastOpenMilestone", "name"),
    "last_open_milestone_id": ("lastOpenMilestone", "id"),
    "owner": ("owner", "username"),
    "owner_id": ("owner", "id"),
    "lost_reason": ("lostReason", "name"),
    "team": ("team", "name"),
    "team_id": ("team", "id"),
}
_PARTS = {
    "party": "name",
    "value": "amount",
    "milestone": "name",
    "lastOpenMilestone": "name",
    "owner": "username",
    "lostReason": "name",
    "team": "name",
}
"""Nested objects with the field that matters most."""

_NOTHING: dict[str, Any] = {}

FIELDS = frozenset(
    {
        "name", "description", "currency", "value", "duration_basis", "duration",
        "expected_close", "milestone", "probability", "owner", "team",
    }
)  # fmt: skip
"""Fields of an opportunity that a client may write."""


def root(account: str | None, base_url: str | None) -> str:  # noqa: ARG001 - twin
    """Return the URL that every path starts from; the token tells the account."""
    return f"{base_url}/api/v2" if base_url else "https://api.capsulecrm.com/api/v2"


def authorization(token: str) -> str:
    """Return the value of the Authorization header."""
    return f"Bearer {token}"


def step(received: int) -> int:  # noqa: ARG001 - twin
    """Return how far to advance after a page: page numbers move by one."""
    return 1


def position(start: int, limit: int) -> int:
    """Return the page on which the record number `start` stands first."""
    if start % limit:
        raise ArgumentError(f"API v2 reads whole pages: start={start} is no multiple of {limit}")
    return start // limit + 1


def get(opportunity_id: int, embed: Sequence[str] = ()) -> Request:
    """Ask for one opportunity."""
    return Request("GET", f"/opportunities/{opportunity_id}", _embedded(embed))


def list_page(query: Query, position: int, limit: int) -> Request:
    """Ask for page number `position` of the opportunities, `limit` a page.

    Milestone, tag, owner, pipeline and team go through the filters endpoint, which cannot be
    combined with ``since`` or a party. The total count comes where the server knows of it.
    """
    params = {"page": str(position), "perPage": str(limit), **_embedded([*query.embed, "meta"])}
    conditions = [
        {"field": field, "operator": "is", "value": value}
        for field, value in (
            ("milestone", query.milestone),
            ("tag", query.tag),
            ("owner", query.owner),
            ("pipeline", query.pipeline),
            ("team", query.team),
        )
        if value is not None
    ]
    if conditions:
        if query.changed_since is not None or query.party_id is not None:
            raise ArgumentError(
                "API v2 cannot combine milestone, tag, owner, pipeline or team with changed_since"
                " or party_id"
            )
        body = orjson.dumps({"filter": {"conditions": conditions}})
        return Request("POST", "/opportunities/filters/results", params, body)
    if query.changed_since is not None:
        params["since"] = wire_text(query.changed_since.astimezone(UTC))
    of_party = "" if query.party_id is None else f"/parties/{query.party_id}"
    return Request("GET", f"{of_party}/opportunities", params)


def deleted(since: datetime, position: int) -> Request:
    """Ask for what was deleted, or hidden from the token, since a time."""
    params = {"since": wire_text(since.astimezone(UTC)), "page": str(position), "perPage": "100"}
    return Request("GET", "/opportunities/deleted", params)


def milestones(position: int) -> Request:
    """Ask for one page of the milestones of the oldest active pipeline."""
    return _resource("milestones", position)


def milestones_of(pipeline_id: int, position: int) -> Request:
    """Ask for one page of the milestones of a pipeline."""
    return _resource(f"pipelines/{pipeline_id}/milestones", position)


def milestones_of_all(position: int) -> Request:
    """Ask for one page of the milestones of every pipeline: not documented, so a bonus."""
    return _resource("milestones/all", position)


def milestone(milestone_id: int) -> Request:
    """Ask for one milestone, deleted ones too where the server tells."""
    return Request("GET", f"/milestones/{milestone_id}")


def currencies() -> Request:
    """Ask for the currencies of the account."""
    return Request("GET", "/currencies")


def parties(opportunity_id: int) -> Request:
    """Ask for the additional contacts of an opportunity."""
    return Request("GET", f"/opportunities/{opportunity_id}/parties")


def pipelines(position: int) -> Request:
    """Ask for one page of the active pipelines."""
    return _resource("pipelines", position)


def all_pipelines(position: int) -> Request:
    """Ask for one page of the pipelines, archived ones too."""
    request = _resource("pipelines", position)
    return request._replace(params={**request.params, "includeDeleted": "true"})


def lost_reasons(position: int) -> Request:
    """Ask for one page of the reasons for losing."""
    return _resource("lostreasons", position)


def goals(position: int) -> Request:
    """Ask for one page of the goals."""
    return _resource("goals", position)


def goal_periods(goal_id: int, position: int) -> Request:
    """Ask for one page of a goal's periods."""
    return _resource(f"goals/{goal_id}/periods", position)


def field_definitions(position: int) -> Request:
    """Ask for one page of the definitions of custom fields."""
    return _resource("opportunities/fields/definitions", position)


def teams(position: int) -> Request:
    """Ask for one page of the teams."""
    return _resource("teams", position)


def totals(conditions: Sequence[Mapping[str, Any]]) -> Request:
    """Ask what the opportunities of a filter are worth together."""
    body = orjson.dumps({"filter": {"conditions": list(conditions)}})
    return Request("POST", "/opportunities/value", body=body)


def users() -> Request:
    """Ask for the users of the account."""
    return Request("GET", "/users")


def site() -> Request:
    """Ask which account the token is of."""
    return Request("GET", "/site")


def create(party_id: int, fields: Mapping[str, Any]) -> Request:
    """Create an opportunity under a party."""
    return Request("POST", "/opportunities", body=_body(party_id, fields))


def update(opportunity_id: int, party_id: int | None, fields: Mapping[str, Any]) -> Request:
    """Change what is given; with a party, move the opportunity to it."""
    return Request("PUT", f"/opportunities/{opportunity_id}", body=_body(party_id, fields))


def delete(opportunity_id: int) -> Request:
    """Delete an opportunity."""
    return Request("DELETE", f"/opportunities/{opportunity_id}")


def parse_page(body: bytes, headers: Mapping[str, str]) -> Page:
    """Read a list of opportunities, and from the headers whether more follow."""
    data = _load(body, "opportunities")
    records = _list(data, "opportunities")
    total = _part(data, "meta", "").get("totalCount")
    counted = isinstance(total, int) and not isinstance(total, bool)
    return Page(_columns(records), _more(headers, len(records)), total if counted else None)


def parse_opportunity(body: bytes) -> Record:
    """Read one opportunity."""
    record = _object(body, "opportunity")
    return {name: values[0] for name, values in _columns([record]).items()}


def parse_deleted(body: bytes, headers: Mapping[str, str]) -> Deleted:
    """Read what was deleted, and what the token may no longer see."""
    data = _load(body, "opportunities")
    gone, hidden = (
        [
            {"id": r["id"], "deleted_at": r.get("deletedAt", r.get("restrictedAt"))}
            for r in _list(data, name)
            if isinstance(r.get("id"), int)
        ]
        for name in ("opportunities", "restrictedOpportunities")
    )
    return Deleted(gone, hidden, _more(headers, len(gone)))


def parse_milestones(body: bytes, headers: Mapping[str, str]) -> tuple[list[Record], bool]:
    """Read a page of milestones, or a single one, and whether more follow."""
    data = _load(body, "milestones", "milestone")
    if "milestone" in data:
        data = {"milestones": [data["milestone"]]}
    records = _list(data, "milestones")
    return [_milestone(record) for record in records], bool(_more(headers, len(records)))


def _milestone(record: dict[str, Any]) -> Record:
    """Name the parts of a milestone as `Pipeline.milestones` does."""
    pipeline = _part(record, "pipeline", "name")
    pipeline_id = pipeline.get("id")
    return {
        **{name: record.get(name) for name in ("id", "name", "description")},
        "probability": record.get("probability"),
        "complete": record.get("complete"),
        "pipeline": pipeline.get("name"),
        "pipeline_id": pipeline_id if isinstance(pipeline_id, int) else None,
        "days_until_stale": record.get("daysUntilStale"),
        "archived": is_archived(record),
    }


def is_archived(record: Mapping[str, Any]) -> bool:
    """Tell whether a pipeline or milestone is marked as archived or deleted.

    Which key marks it is not documented, so whatever is likely counts.
    """
    marks = ("isDeleted", "deleted", "isArchived", "archived")
    return any(record.get(key) is True for key in marks) or any(
        record.get(key) for key in ("deletedAt", "archivedAt")
    )


def parse_milestone(body: bytes) -> Record:
    """Read one milestone."""
    return _milestone(_object(body, "milestone"))


def parse_totals(body: bytes) -> Record:
    """Read what opportunities are worth together."""
    data = _load(body, "totalValue")
    return {
        "total_value": data["totalValue"],
        "projected_value": data.get("projectedValue"),
        "currency": _part(data, "meta", "currency").get("currency"),
    }


def parse_currencies(body: bytes) -> list[str]:
    """Read the currencies of the account, listed as codes or as objects with a code."""
    listed = _load(body, "currencies")["currencies"] or []
    if not isinstance(listed, list):
        raise DataError("expected 'currencies' to be a list")
    found = [item.get("code") if isinstance(item, dict) else item for item in listed]
    return [code for code in found if isinstance(code, str)]


def parse_parties(body: bytes) -> list[Record]:
    """Read contacts: ``id``, ``type`` and ``name``."""
    return [
        {
            "id": party.get("id"),
            "type": party.get("type"),
            "name": _party_name(party),
        }
        for party in _records(body, "parties")
    ]


def parse_named(body: bytes, headers: Mapping[str, str], key: str) -> tuple[list[Record], bool]:
    """Read pipelines, users, lost reasons and the like as they came, and whether more follow."""
    records = _records(body, key)
    return records, bool(_more(headers, len(records)))


def parse_site(body: bytes) -> Record:
    """Read the account's address and name as they came."""
    return _object(body, "site")


def parse_created(body: bytes, headers: Mapping[str, str]) -> int:  # noqa: ARG001 - twin
    """Read the id of what was created."""
    created = _object(body, "opportunity").get("id")
    if not isinstance(created, int):
        raise DataError("the server created an opportunity but did not say under which id")
    return created


def parse_error(body: bytes) -> str:
    """Read the server's own words from a failed request, empty where there are none."""
    try:
        check_size(body, (b",", b"{", b"["))
        data = orjson.loads(body)
    except (orjson.JSONDecodeError, DataError):
        return ""
    if not isinstance(data, dict):
        return ""
    words = [data.get("message") or data.get("error")]
    errors = data.get("errors")
    if isinstance(errors, list):
        words += [
            ": ".join(str(error[key]) for key in ("field", "message") if error.get(key))
            for error in errors
            if isinstance(error, dict)
        ]
    return "; ".join(str(word) for word in words if word)


def _resource(path: str, position: int) -> Request:
    return Request("GET", f"/{path}", {"page": str(position), "perPage": "100"})


def _embedded(embed: Sequence[str]) -> dict[str, str]:
    return {"embed": ",".join(embed)} if embed else {}


def _load(body: bytes, expected: str, instead: str = "") -> dict[str, Any]:
    """Read a JSON object that has the expected key, or the one that may stand instead."""
    check_size(body, (b",", b"{", b"["))
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        what = "an HTML page" if b"<html" in body[:1000].lower() else f"no JSON ({error})"
        raise DataError(f"expected JSON with {expected!r}, but the body is {what}") from error
    if not isinstance(data, dict) or data.keys().isdisjoint({expected, instead}):
        raise DataError(f"expected a JSON object with {expected!r}")
    return data


def _list(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    records = data.get(key)
    if records is None:
        return []
    if not isinstance(records, list) or set(map(type, records)) - {dict}:
        raise DataError(f"expected {key!r} to be a list of JSON objects")
    return records


def _records(body: bytes, key: str) -> list[dict[str, Any]]:
    return _list(_load(body, key), key)


def _object(body: bytes, key: str) -> dict[str, Any]:
    value = _load(body, key)[key]
    if not isinstance(value, dict):
        raise DataError(f"expected {key!r} to be a JSON object")
    return value


def _part(record: dict[str, Any], key: str, field: str) -> dict[str, Any]:
    """Return a nested object; what stands there instead of one counts as its main field.

    So an owner given as text is read, and a list is reported by the column it ends up in.
    """
    return _as_part(record.get(key), field)


def _as_part(value: Any, field: str) -> dict[str, Any]:  # noqa: ANN401 - a raw value of any type
    if isinstance(value, dict):
        return value
    return _NOTHING if value is None else {field: value}


def _parts(records: list[dict[str, Any]], key: str, field: str) -> list[dict[str, Any]]:
    """Return a nested object of each record; nearly always all have one, or none."""
    values: list[Any] = [record.get(key) for record in records]
    kinds = set(map(type, values))
    if kinds == {dict}:
        return values
    if kinds == {type(None)}:
        return [_NOTHING] * len(values)
    return [_as_part(value, field) for value in values]


def _columns(records: list[dict[str, Any]]) -> RawColumns:
    columns: RawColumns = {name: [None] * len(records) for name in schema.RAW_NAMES}
    for name, key in _PLAIN.items():
        columns[name] = [record.get(key) for record in records]
    parts = {key: _parts(records, key, field) for key, field in _PARTS.items()}
    # An older stand-in keeps it inside the milestone.
    inside = _parts(parts["milestone"], "lastOpenMilestone", "name")
    parts["lastOpenMilestone"] = [
        last or older for last, older in zip(parts["lastOpenMilestone"], inside, strict=True)
    ]
    for name, (key, field) in _NESTED.items():
        if any(parts[key]):
            columns[name] = [part.get(field) for part in parts[key]]
    columns["party"] = [_party_name(party) for party in parts["party"]]
    if any(parts["lostReason"]):
        columns["lost_reason_id"] = [part.get("id") for part in parts["lostReason"]]
    if not set(map(type, columns["id"])) <= {int}:  # others compare ids, so they must be hashable
        columns["id"] = [str(key) if isinstance(key, list | dict) else key for key in columns["id"]]
    if any("tags" in record for record in records):
        columns["tags"] = [_tags(record.get("tags")) for record in records]
    if any("fields" in record for record in records):
        columns["fields"] = [_custom_fields(record) for record in records]
    if any("missingImportantFields" in record for record in records):
        columns["missing_important_fields"] = [
            record.get("missingImportantFields") for record in records
        ]
    return columns


def _party_name(party: dict[str, Any]) -> Any:  # noqa: ANN401 - a raw value of any type
    if party.get("name") or not party:
        return party.get("name")
    return " ".join(str(party[key]) for key in ("firstName", "lastName") if party.get(key))


def _tags(tags: object) -> tuple[str, ...] | None:
    if not isinstance(tags, list):
        return None
    return tuple(str(tag["name"]) for tag in tags if isinstance(tag, dict) and tag.get("name"))


def _custom_fields(record: dict[str, Any]) -> tuple[Field, ...] | None:
    """Read the custom fields; the name of a DataTag stands with the definition or the tags."""
    fields, tags = record.get("fields"), record.get("tags")
    if not isinstance(fields, list):
        return None
    names = {
        tag["id"]: tag.get("name")
        for tag in (tags if isinstance(tags, list) else [])
        if isinstance(tag, dict) and isinstance(tag.get("id"), int)
    }
    found = []
    for field in fields:
        if not isinstance(field, dict):
            continue
        definition = _part(field, "definition", "name")
        number, tag_id = definition.get("id"), field.get("tagId")
        tag = _part(definition, "tag", "name").get("name")
        if tag is None and isinstance(tag_id, int):
            tag = names.get(tag_id)
        found.append(
            Field(
                number if isinstance(number, int) else None,
                str(definition.get("name")),
                tag if isinstance(tag, str) else None,
                field.get("value"),
            )
        )
    return tuple(found)


def definition_of(record: Mapping[str, Any]) -> Field:
    """Read a definition of a custom field, its type in place of a value."""
    tag = record.get("tag")
    number, name = record.get("id"), tag.get("name") if isinstance(tag, dict) else None
    return Field(
        number if isinstance(number, int) else None,
        str(record.get("name")),
        name if isinstance(name, str) else None,
        str(record.get("type")).lower(),
    )


def _more(headers: Mapping[str, str], received: int) -> bool | None:
    """Tell whether more follow; None where the server does not say."""
    if not headers:
        return None if received else False
    from requests.structures import CaseInsensitiveDict  # noqa: PLC0415 - not for the sample
    from requests.utils import parse_header_links  # noqa: PLC0415

    headers = cast("Mapping[str, str]", CaseInsensitiveDict(headers))
    if (said := headers.get("X-Pagination-Has-More")) is not None:
        return said.strip().lower() == "true"
    if (link := headers.get("Link")) is not None:
        return any(part.get("rel") == "next" for part in parse_header_links(link))
    return None if received else False


def _body(party_id: int | None, fields: Mapping[str, Any]) -> bytes:
    """Write an opportunity with the given fields; None empties one."""
    record: dict[str, Any] = {} if party_id is None else {"party": {"id": party_id}}
    value: dict[str, Any] = {}
    for name, given in fields.items():
        match name:
            case "value":
                value["amount"] = given
            case "currency":
                value["currency"] = given
            case "milestone":
                record["milestone"] = {"id": given} if isinstance(given, int) else {"name": given}
            case "owner" | "team":
                named = {"id": given} if isinstance(given, int) else {_PARTS[name]: given}
                record[name] = None if given is None else named
            case _:
                record[_PLAIN[name]] = given
    if value:
        record["value"] = value
    try:
        return orjson.dumps({"opportunity": record}, default=_exact)
    except orjson.JSONEncodeError as error:
        raise ArgumentError(f"a field cannot be written as JSON: {error}") from error


def _exact(value: object) -> Any:  # noqa: ANN401 - JSON of any type
    if isinstance(value, Decimal):
        return orjson.Fragment(wire_text(value))
    return wire_text(value)
