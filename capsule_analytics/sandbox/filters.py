"""The structured searches of API v2: conditions on fields, joined by "and", groups by "or"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from .records import (
    Problem,
    Record,
    ValidationError,
    items,
    part,
    party_name,
)

if TYPE_CHECKING:
    from .account import Account
    from .quirks import Quirks

Kind = Literal["boolean", "date", "number", "string", "reference", "money"]
Test = Callable[[Record], bool]

STATUSES = ("open", "won", "lost")
DEEPEST = 10
MOST_DAYS = 100_000
# The kinds of custom fields whose values are not plain text.
CUSTOM_KINDS: dict[object, Kind] = {"boolean": "boolean", "date": "date", "number": "number"}


class Field(NamedTuple):
    """A field that a condition can name.

    Attributes
    ----------
    kind
        Its type, which says what operators it has. A reference is compared by id, or by name
        where a text is given.
    values
        Its values in a record: several for tags, one for the other fields.
    """

    kind: Kind
    values: Callable[[Record], list[Any]]


def fields(account: Account, now: datetime) -> dict[str, Field]:
    """List the fields of opportunities that can be searched by, custom ones included.

    Parameters
    ----------
    account
        Knows which milestones are complete and which pipeline each belongs to.
    now
        The time at which deals are stale or not.
    """
    parties = account.parties
    reasons = {row["id"]: row for row in account.lost_reasons}
    user = account.default_user or {}

    def milestone(record: Record) -> Record:
        return account.milestone(part(record, "milestone").get("id")) or {}

    def nested(name: str, key: str) -> Callable[[Record], list[Any]]:
        return lambda record: [part(record, name).get(key)]

    def plain(name: str) -> Callable[[Record], list[Any]]:
        return lambda record: [record.get(name)]

    def contacts(record: Record) -> list[Record]:
        return [parties[key] for key in account.contacts.get(record["id"], ()) if key in parties]

    def is_stale(record: Record) -> bool:
        days = milestone(record).get("daysUntilStale")
        since = str(record.get("lastStageChangedAt") or record.get("createdAt") or "")[:10]
        if not isinstance(days, int) or account.status(record) != "open" or not since:
            return False
        return since < (now.date() - timedelta(days=min(days, MOST_DAYS))).isoformat()

    def counts(record: Record) -> bool:
        reason = reasons.get(part(record, "lostReason").get("id"), {})
        return reason.get("includedForConversion") is not False

    known = {
        "id": Field("number", plain("id")),
        "name": Field("string", plain("name")),
        "status": Field("string", lambda record: [account.status(record)]),
        "pipeline": Field("reference", lambda record: [milestone(record).get("pipeline")]),
        "milestone": Field("reference", plain("milestone")),
        "probability": Field("number", plain("probability")),
        "lostReason": Field("reference", plain("lostReason")),
        "currency": Field("string", nested("value", "currency")),
        "expectedValue": Field("money", plain("value")),
        "tag": Field("reference", lambda record: items(record, "tags")),
        "owner": Field("reference", plain("owner")),
        "team": Field("reference", plain("team")),
        "party": Field("reference", plain("party")),
        "primaryContact": Field("reference", contacts),
        "primaryContactName": Field(
            "string", lambda record: [party_name(one) for one in contacts(record)]
        ),
        "isOpen": Field("boolean", lambda record: [account.status(record) == "open"]),
        "isStale": Field("boolean", lambda record: [is_stale(record)]),
        "isOwnedByMe": Field(
            "boolean", lambda record: [part(record, "owner").get("id") == user.get("id", 0)]
        ),
        "hasTags": Field("boolean", lambda record: [bool(record.get("tags"))]),
        # The sandbox has no tasks.
        "hasOpenTasks": Field("boolean", lambda _: [False]),
        "includedForConversion": Field("boolean", lambda record: [counts(record)]),
        "addedOn": Field("date", plain("createdAt")),
        "updatedOn": Field("date", plain("updatedAt")),
        "closedOn": Field("date", plain("closedOn")),
        "expectedCloseOn": Field("date", plain("expectedCloseOn")),
        "lastContactedOn": Field("date", plain("lastContactedAt")),
    }
    for row in account.definitions:
        kind = CUSTOM_KINDS.get(row.get("type"), "string")
        known[f"custom:{row['id']}"] = Field(kind, _custom(row))
    return known


def _custom(definition: Record) -> Callable[[Record], list[Any]]:
    """Read the values that a deal has of a custom field: several of a multi-select."""
    several = "multi" in str(definition.get("type")).lower()
    number = definition.get("type") == "number"

    def values(record: Record) -> list[Any]:
        found = [
            field.get("value")
            for field in items(record, "fields")
            if part(field, "definition").get("id") == definition["id"]
        ]
        if several:
            return [piece for text in found for piece in str(text or "").split(";") if piece]
        return [_as_number(value) for value in found] if number else found

    return values


def _as_number(value: object) -> object:
    try:
        return float(str(value))
    except ValueError:
        return value


def search(
    account: Account, query: Mapping[str, Any], now: datetime, quirks: Quirks
) -> Sequence[Record]:
    """Find the opportunities that a filter describes.

    Parameters
    ----------
    account
        The account to search.
    query
        The ``filter`` object of the request: ``conditions`` and ``orderBy``, both optional.
    now
        The time that "is within last" and its like count from.
    quirks
        Whether an order is heeded, and how a status is written.

    Returns
    -------
    The records in the order asked for, else by id.

    Raises
    ------
    ValidationError
        The filter names a field, operator, value or direction that there is not.
    """
    known = fields(account, now)
    today = now.date()
    if quirks.exact_status:
        _check_statuses(query, DEEPEST)
    tests = [_test(known, condition, today, DEEPEST) for condition in _list(query, "conditions")]
    orders = [_order(known, order) for order in _list(query, "orderBy")]
    if not quirks.order_by:
        orders = []

    def build() -> list[Record]:
        records = [r for r in account.opportunities() if all(test(r) for test in tests)]
        # Sorting is stable, so the last key goes first.
        for field, descending in reversed(orders):
            records = _ordered(records, field, descending=descending)
        return records

    return account.view(("filter", orjson.dumps(query), today), build)


def _list(query: Mapping[str, Any], name: str) -> list[Any]:
    found = query.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ValidationError([Problem(name, f"{name} must be a list")])
    return found


def _check_statuses(group: Mapping[str, Any], depth: int) -> None:
    for condition in _list(group, "conditions"):
        if not isinstance(condition, Mapping) or not depth:
            continue
        if "conditions" in condition:
            _check_statuses(condition, depth - 1)
        elif condition.get("field") == "status" and condition.get("value") not in STATUSES:
            raise ValidationError([Problem("value", "invalid status")])


def _order(known: Mapping[str, Field], order: object) -> tuple[Field, bool]:
    if not isinstance(order, Mapping):
        raise ValidationError([Problem("orderBy", "an order must be an object")])
    direction = order.get("direction", "ascending")
    if direction not in ("ascending", "descending"):
        raise ValidationError([Problem("orderBy", "unknown direction")])
    return _field(known, order.get("field")), direction == "descending"


def _ordered(records: list[Record], field: Field, *, descending: bool) -> list[Record]:
    def value(record: Record) -> str | float | None:
        first = next(iter(field.values(record)), None)
        if isinstance(first, Mapping):
            first = first.get("amount" if field.kind == "money" else "name")
        if field.kind in {"number", "money"}:
            return first if isinstance(first, int | float) else None
        return None if first is None else str(first)

    keyed = [(value(record), record) for record in records]
    full = [pair for pair in keyed if pair[0] is not None]
    full.sort(key=lambda pair: pair[0], reverse=descending)  # type: ignore[arg-type,return-value]
    return [record for _, record in full] + [record for key, record in keyed if key is None]


def _field(known: Mapping[str, Field], name: object) -> Field:
    if not isinstance(name, str) or name not in known:
        raise ValidationError([Problem("field", "invalid field name")])
    return known[name]


def _test(known: Mapping[str, Field], condition: object, today: date, depth: int) -> Test:
    if not isinstance(condition, Mapping):
        raise ValidationError([Problem("conditions", "a condition must be an object")])
    if "conditions" in condition:
        if not depth:
            raise ValidationError([Problem("conditions", "the groups stand too deep")])
        tests = [_test(known, one, today, depth - 1) for one in _list(condition, "conditions")]
        return lambda record: any(test(record) for test in tests)
    field = _field(known, condition.get("field"))
    operator, value = condition.get("operator"), condition.get("value")
    if field.kind == "money":
        field, value = _priced(field, value)
    if operator in ("is", "is not"):
        same = _is(field, value)
        return same if operator == "is" else lambda record: not same(record)
    test = None
    if isinstance(operator, str) and field.kind in _MAKERS:
        test = _MAKERS[field.kind](operator, value, today)
    if test is None:
        problem = f"{condition.get('field')} cannot be asked this operator with this value"
        raise ValidationError([Problem("operator", problem)])
    return lambda record: any(test(have) for have in field.values(record) if have is not None)


def _priced(field: Field, value: object) -> tuple[Field, object]:
    """Turn a condition on money into one on the amounts of its currency, or on all amounts."""
    currency = None
    if isinstance(value, Mapping):
        currency, value = value.get("currency"), value.get("amount")
    if isinstance(value, str):
        value = _as_number(value)

    def amounts(record: Record) -> list[Any]:
        have = [one for one in field.values(record) if isinstance(one, Mapping)]
        return [one.get("amount") for one in have if currency in (None, one.get("currency"))]

    return Field("number", amounts), value


def _is(field: Field, value: object) -> Test:
    def same(have: object) -> bool:
        if isinstance(have, Mapping):
            if isinstance(value, int) and not isinstance(value, bool):
                return have.get("id") == value
            name = have.get("name") or party_name(have)
            return isinstance(value, str) and (
                have.get("username") == value or _same_text(name, value)
            )
        if field.kind == "date" and isinstance(have, str) and isinstance(value, str):
            return have[:10] == value[:10]
        if isinstance(have, str) and isinstance(value, str):
            return _same_text(have, value)
        return isinstance(have, bool) == isinstance(value, bool) and have == value

    if value is None:
        return lambda record: all(have is None for have in field.values(record))
    return lambda record: any(same(have) for have in field.values(record))


def _same_text(have: object, value: object) -> bool:
    return str(have).casefold() == str(value).casefold()


def _text_test(operator: str, value: object, _today: date) -> Callable[[Any], bool] | None:
    if not isinstance(value, str):
        return None
    wanted = value.casefold()

    def text(have: Any) -> str:  # noqa: ANN401
        return str(have.get("name") if isinstance(have, Mapping) else have).casefold()

    tests: dict[str, Callable[[Any], bool]] = {
        "contains": lambda have: wanted in text(have),
        "starts with": lambda have: text(have).startswith(wanted),
        "ends with": lambda have: text(have).endswith(wanted),
    }
    return tests.get(operator)


def _number_test(operator: str, value: object, _today: date) -> Callable[[Any], bool] | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    tests: dict[str, Callable[[Any], bool]] = {
        "is greater than": lambda have: isinstance(have, int | float) and have > value,
        "is less than": lambda have: isinstance(have, int | float) and have < value,
    }
    return tests.get(operator)


def _date_test(operator: str, value: object, today: date) -> Callable[[Any], bool] | None:
    # Dates written alike sort as text, and odd ones such as 0000-00-00 cannot break the search.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_DAYS:
        now = today.isoformat()
        past = (today - timedelta(days=value)).isoformat()
        coming = (today + timedelta(days=value)).isoformat()
        by_days: dict[str, Callable[[Any], bool]] = {
            "is older than": lambda have: str(have)[:10] < past,
            "is within last": lambda have: past <= str(have)[:10] <= now,
            "is within next": lambda have: now <= str(have)[:10] <= coming,
        }
        return by_days.get(operator)
    if isinstance(value, str):
        by_day: dict[str, Callable[[Any], bool]] = {
            "is after": lambda have: str(have)[:10] > value[:10],
            "is before": lambda have: str(have)[:10] < value[:10],
        }
        return by_day.get(operator)
    return None


_MAKERS: dict[str, Callable[[str, object, date], Callable[[Any], bool] | None]] = {
    "string": _text_test,
    "reference": _text_test,
    "number": _number_test,
    "date": _date_test,
}
