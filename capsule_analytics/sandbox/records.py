"""The forms of a record: what all rooms of the sandbox read and write, below every one of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from capsule_analytics.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

Record = dict[str, Any]


class Problem(NamedTuple):
    """One thing that is wrong with a change.

    Attributes
    ----------
    field
        The field of API v2 that is wrong.
    message
        What is wrong with it.
    """

    field: str
    message: str


class ValidationError(DataError):
    """A change that Capsule would refuse.

    Attributes
    ----------
    problems
        Everything that is wrong, in the order of the fields.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))
        self.problems = problems


def part(record: Mapping[str, Any], key: str) -> Record:
    """Return a nested object; an empty one where there is none, or something else stands.

    Parameters
    ----------
    record
        A record, odd ones included.
    key
        Where the object stands in it.
    """
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def items(record: Mapping[str, Any], key: str) -> list[Record]:
    """Return the objects of a list, without what else stands there.

    Parameters
    ----------
    record
        A record, odd ones included.
    key
        Where the list stands in it.
    """
    value = record.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def party_name(party: Mapping[str, Any]) -> str:
    """Name a party: the name of an organisation, first and last name of a person.

    Parameters
    ----------
    party
        A party of the account file.

    Examples
    --------
    >>> party_name({"id": 1, "type": "person", "firstName": "Ada", "lastName": "Byron"})
    'Ada Byron'
    """
    if party.get("type") == "person":
        parts = (party.get("firstName"), party.get("lastName"))
        return " ".join(str(one) for one in parts if one)
    return str(party.get("name") or "")


def nested_party(party: Mapping[str, Any]) -> Record:
    """Write a party as an opportunity shows it: a person has two names and no ``name``.

    Parameters
    ----------
    party
        A party of the account file.

    Examples
    --------
    >>> nested_party({"id": 1, "type": "person", "firstName": "Ada", "lastName": "Byron"})
    {'id': 1, 'type': 'person', 'firstName': 'Ada', 'lastName': 'Byron', 'pictureURL': None}
    """
    names = ("firstName", "lastName") if party.get("type") == "person" else ("name",)
    return {
        "id": party["id"],
        "type": party.get("type"),
        **{name: party.get(name) for name in names},
        "pictureURL": party.get("pictureURL"),
    }


def nested(row: Mapping[str, Any], *names: str) -> Record:
    """Write a row as other records refer to it: its id, and the names that it has.

    Parameters
    ----------
    row
        A user, team, milestone or reason.
    *names
        The further keys; ``name`` if none is given.
    """
    return {"id": row["id"], **{name: row[name] for name in names or ("name",) if name in row}}


def stamp(moment: datetime) -> str:
    """Write a time as Capsule does: UTC, whole seconds, ``2026-03-02T09:15:00Z``.

    Parameters
    ----------
    moment
        A time that knows its zone.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> stamp(datetime(2026, 3, 2, 9, 15, 0, 999, tzinfo=UTC))
    '2026-03-02T09:15:00Z'
    """
    # strftime writes the year 1 as "1", which would sort after 2026.
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
