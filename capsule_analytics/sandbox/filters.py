"""The structured searches of API v2: conditions on fields, joined by "and", groups by "or"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from .rules import Problem, Record, ValidationError

if TYPE_CHECKING:
    from .account import Account

Kind = Literal["boolean", "date", "number", "string", "reference"]
Test = Callable[[Record], bool]


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


def fields(account: Account) -> dict[str, Field]:
    """List the fields of opportunities that can be searched by.

    Parameters
    ----------
    account
        Knows which milestones are complete and which pipeline each belongs to.
    """
    milestones = {row["id"]: row for row in account.milestones}

    def milestone(record: Record) -> Record:
        return milestones.get((record.get("milestone") or {}).get("id"), {})

    def status(record: Record) -> str:
        stage = milestone(record)
        if not stage.get("complete"):
            return "open"
        return "won" if stage.get("probability") else "lost"

    def part(name: str, key: str) -> Callable[[Record], list[Any]]:
        return lambda record: [(record.get(name) or {}).get(key)]

    def plain(name: str) -> Callable[[Record], list[Any]]:
        return lambda record: [record.get(name)]

    user = account.default_user
    return {
        "id": Field("number", plain("id")),
        "name": Field("string", plain("name")),
        "status": Field("string", lambda record: [status(record)]),
        "pipeline": Field("reference", lambda record: [milestone(record).get("pipeline")]),
        "milestone": Field("reference", plain("milestone")),
        "probability": Field("number", plain("probability")),
        "lostReason": Field("reference", plain("lostReason")),
        "currency": Field("string", part("value", "currency")),
        "tag": Field("reference", lambda record: record.get("tags") or []),
        "owner": Field("reference", plain("owner")),
        "team": Field("reference", plain("team")),
        "isOpen": Field("boolean", lambda record: [status(record) == "open"]),
        "isOwnedByMe": Field("boolean", lambda record: [record.get("owner") == user]),
        "hasTags": Field("boolean", lambda record: [bool(record.get("tags"))]),
        "addedOn": Field("date", plain("createdAt")),
        "updatedOn": Field("date", plain("updatedAt")),
        "closedOn": Field("date", plain("closedOn")),
        "expectedCloseOn": Field("date", plain("expectedCloseOn")),
    }


def search(account: Account, query: Mapping[str, Any], now: datetime) -> Sequence[Record]:
    """Find the opportunities that a filter describes.

    Parameters
    ----------
    account
        The account to search.
    query
        The ``filter`` object of the request: ``conditions`` and ``orderBy``, both optional.
    now
        The time that "is within last" and its like count from.

    Returns
    -------
    The records in the order asked for, else by id.

    Raises
    ------
    ValidationError
        The filter names a field, operator, value or direction that there is not.
    """
    known = fields(account)
    today = now.date()
    tests = [_test(known, condition, today) for condition in _items(query, "conditions")]
    orders = [_order(known, order) for order in _items(query, "orderBy")]

    def build() -> list[Record]:
        records = [r for r in account.opportunities() if all(test(r) for test in tests)]
        # Sorting is stable, so the last key goes first.
        for field, descending in reversed(orders):
            records = _ordered(records, field, descending=descending)
        return records

    return account.view(("filter", orjson.dumps(query), today), build)


def _items(query: Mapping[str, Any], name: str) -> list[Any]:
    items = query.get(name) or []
    if not isinstance(items, list):
        raise ValidationError([Problem(name, f"{name} must be a list")])
    return items


def _order(known: Mapping[str, Field], order: object) -> tuple[Field, bool]:
    if not isinstance(order, Mapping):
        raise ValidationError([Problem("orderBy", "an order must be an object")])
    direction = order.get("direction", "ascending")
    if direction not in ("ascending", "descending"):
        raise ValidationError([Problem("orderBy", f"unknown direction {direction!r}")])
    return _field(known, order.get("field")), direction == "descending"


def _ordered(records: list[Record], field: Field, *, descending: bool) -> list[Record]:
    def value(record: Record) -> str | float | None:
        first = next(iter(field.values(record)), None)
        if isinstance(first, Mapping):
            first = first.get("name")
        if field.kind == "number":
            return first if isinstance(first, int | float) else None
        return None if first is None else str(first)

    keyed = [(value(record), record) for record in records]
    full = [pair for pair in keyed if pair[0] is not None]
    full.sort(key=lambda pair: pair[0], reverse=descending)  # type: ignore[arg-type,return-value]
    return [record for _, record in full] + [record for key, record in keyed if key is None]


def _field(known: Mapping[str, Field], name: object) -> Field:
    if isinstance(name, str) and name.removeprefix("custom:").isdecimal() and ":" in name:
        number = int(name.removeprefix("custom:"))
        return Field(
            "string",
            lambda record: [
                field.get("value")
                for field in record.get("fields") or []
                if (field.get("definition") or {}).get("id") == number
            ],
        )
    if not isinstance(name, str) or name not in known:
        raise ValidationError([Problem("field", f"unknown field {name!r}")])
    return known[name]


def _test(known: Mapping[str, Field], condition: object, today: date) -> Test:
    if not isinstance(condition, Mapping):
        raise ValidationError([Problem("conditions", "a condition must be an object")])
    if "conditions" in condition:
        tests = [_test(known, inner, today) for inner in _items(condition, "conditions")]
        return lambda record: any(test(record) for test in tests)
    field = _field(known, condition.get("field"))
    operator, value = condition.get("operator"), condition.get("value")
    if operator == "is":
        return _is(field, value)
    if operator == "is not":
        same = _is(field, value)
        return lambda record: not same(record)
    makers = {
        "string": _text_test,
        "reference": _text_test,
        "number": _number_test,
        "date": _date_test,
    }
    test = field.kind in makers and makers[field.kind](operator, value, today)
    if not test:
        name = condition.get("field")
        raise ValidationError(
            [Problem("operator", f"{name!r} cannot be asked {operator!r} {value!r}")]
        )
    return lambda record: any(test(have) for have in field.values(record) if have is not None)


def _is(field: Field, value: object) -> Test:
    def same(have: object) -> bool:
        if isinstance(have, Mapping):
            if isinstance(value, int) or value is None:
                return have.get("id") == value
            return have.get("username") == value or _same_text(have.get("name"), value)
        if field.kind == "date" and isinstance(have, str) and isinstance(value, str):
            return have[:10] == value[:10]
        if isinstance(have, str) and isinstance(value, str):
            return _same_text(have, value)
        return have == value

    if value is None:
        return lambda record: all(have is None for have in field.values(record))
    return lambda record: any(same(have) for have in field.values(record))


def _same_text(have: object, value: object) -> bool:
    return str(have).casefold() == str(value).casefold()


def _text_test(operator: object, value: object, _today: date) -> Callable[[Any], bool] | None:
    if not isinstance(value, str):
        return None
    wanted = value.casefold()

    def text(have: Any) -> str:  # noqa: ANN401
        return str(have.get("name") if isinstance(have, Mapping) else have).casefold()

    tests: dict[object, Callable[[Any], bool]] = {
        "contains": lambda have: wanted in text(have),
        "starts with": lambda have: text(have).startswith(wanted),
        "ends with": lambda have: text(have).endswith(wanted),
    }
    return tests.get(operator)


def _number_test(operator: object, value: object, _today: date) -> Callable[[Any], bool] | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    tests: dict[object, Callable[[Any], bool]] = {
        "is greater than": lambda have: isinstance(have, int | float) and have > value,
        "is less than": lambda have: isinstance(have, int | float) and have < value,
    }
    return tests.get(operator)


def _date_test(operator: object, value: object, today: date) -> Callable[[Any], bool] | None:
    # Dates written alike sort as text, and odd ones such as 0000-00-00 cannot break the search.
    if isinstance(value, int) and not isinstance(value, bool):
        now = today.isoformat()
        past = (today - timedelta(days=value)).isoformat()
        coming = (today + timedelta(days=value)).isoformat()
        by_days: dict[object, Callable[[Any], bool]] = {
            "is older than": lambda have: str(have)[:10] < past,
            "is within last": lambda have: past <= str(have)[:10] <= now,
            "is within next": lambda have: now <= str(have)[:10] <= coming,
        }
        return by_days.get(operator)
    if isinstance(value, str):
        by_day: dict[object, Callable[[Any], bool]] = {
            "is after": lambda have: str(have)[:10] > value[:10],
            "is before": lambda have: str(have)[:10] < value[:10],
        }
        return by_day.get(operator)
    return None
