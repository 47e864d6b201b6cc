"""Raw records with their values typed exactly, for those who read single opportunities."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from capsule_analytics._kinds import DATE, INTEGER, MOMENT, NUMBER, PERCENT, Kind
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import COLUMNS

from ._protocol import field_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._protocol import Record


def exact_amount(value: object) -> Decimal:
    """Read an amount exactly; a float counts as the decimal it is written as."""
    if not isinstance(value, bool) and isinstance(value, int | float | str | Decimal):
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            amount = Decimal("NaN")
        if amount.is_finite():
            return amount
    raise ArgumentError(f"value must be a finite number, not {value!r}")


def as_utc(moment: datetime | None) -> Any:  # noqa: ANN401 - None stays None
    """Take a naive time as UTC."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise ArgumentError(f"a time must be a datetime, not {moment!r}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def typed_record(raw: Record) -> Record:
    """Type a raw record exactly; what cannot be read stays as it came."""
    return {name: _READERS.get(name, _as_is)(value) for name, value in raw.items()}


def _as_is(value: object) -> object:
    return value


def _exact(value: object) -> object:
    try:
        return exact_amount(value)
    except ArgumentError:
        return value


def _integer(value: object) -> object:
    try:
        return int(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _date(value: object) -> object:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else value
    except ValueError:
        return value


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return as_utc(datetime.fromisoformat(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        return value


def _boolean(value: object) -> object:
    return value.lower() == "true" if isinstance(value, str) else value


def _by_name(value: object) -> object:
    """Turn custom fields into a dict; two of one name are told apart by their DataTags."""
    if not isinstance(value, tuple):
        return value
    keys = field_keys(value)
    return {keys[one.definition, one.name]: one.value for one in value}


_OF_KIND: dict[Kind, Callable[[object], object]] = {
    INTEGER: _integer, NUMBER: _exact, PERCENT: _integer, DATE: _date, MOMENT: _moment,
}  # fmt: skip

_READERS = {column.name: _OF_KIND[column.kind] for column in COLUMNS if column.kind in _OF_KIND} | {
    "total_value": _exact,
    "projected_value": _exact,
    "deleted_at": _moment,
    "complete": _boolean,
    "days_until_stale": _integer,
    "lost_reason_id": _integer,
    "fields": _by_name,
}
