"""What Capsule accepts in an opportunity, and what it fills in by itself.

Both API versions bring their input into the form of API v2 and come here, so a value is judged
in one place whichever way it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from capsule_analytics.errors import DataError

if TYPE_CHECKING:
    from .account import Account

Record = dict[str, Any]

BASES = ("FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
FULL = 100


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
        return " ".join(part for part in parts if part)
    return str(party.get("name") or "")


def apply(
    account: Account, changes: Mapping[str, Any], current: Record | None, now: datetime
) -> Record:
    """Work out the record that a change leads to.

    Parameters
    ----------
    account
        Knows the milestones, parties, users, currencies and tags that a change may refer to.
    changes
        The fields sent, in the form of API v2. Fields that are read-only or unknown are ignored.
    current
        The record as it stands, or None for a new one.
    now
        The day a deal that reaches a complete milestone is closed on.

    Returns
    -------
    A new record; for a new deal, without ``id``, ``createdAt`` and ``updatedAt``.

    Raises
    ------
    ValidationError
        A value is missing or wrong.
    """
    return _Change(account, changes, current, now).record()


class _Change:
    """The work of one call: collects problems, so that all are reported together."""

    def __init__(
        self, account: Account, changes: Mapping[str, Any], current: Record | None, now: datetime
    ) -> None:
        self.account = account
        self.changes = changes
        self.new = current is None
        self.now = now
        self.problems: list[Problem] = []
        self.result: Record = dict(current) if current is not None else _blank(account)

    def record(self) -> Record:
        self._name()
        self._party()
        self._milestone()
        self._probability()
        self._value()
        self._duration()
        self._expected_close()
        self._owner()
        self._team()
        self._lost_reason()
        self._tags()
        self._fields()
        self._description()
        if self.problems:
            raise ValidationError(self.problems)
        return self.result

    def _wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))

    def _wanted(self, field: str) -> bool:
        """Say whether a required field has to be looked at: sent, or needed by a new record."""
        return self.new or field in self.changes

    def _items(self, field: str) -> list[Any]:
        sent = self.changes.get(field) or []
        if not isinstance(sent, list):
            self._wrong(field, f"{field} must be a list")
            return []
        return sent

    def _name(self) -> None:
        if self._wanted("name"):
            name = self.changes.get("name")
            if not isinstance(name, str) or not name.strip():
                self._wrong("name", "name is required")
            self.result["name"] = name

    def _description(self) -> None:
        if "description" in self.changes:
            text = self.changes["description"]
            if text is not None and not isinstance(text, str):
                self._wrong("description", "description must be text")
            self.result["description"] = text

    def _party(self) -> None:
        if not self._wanted("party"):
            return
        reference = self.changes.get("party")
        if not isinstance(reference, Mapping):
            self._wrong("party", "party is required")
            return
        number = reference.get("id")
        party = self.account.parties.get(number) if isinstance(number, int) else None
        if party is None:
            self._wrong("party", "party not found")
            return
        self.result["party"] = {
            "id": party["id"],
            "type": party.get("type"),
            "name": party_name(party),
        }

    def _milestone(self) -> None:
        if not self._wanted("milestone"):
            return
        reference = self.changes.get("milestone")
        if not isinstance(reference, Mapping):
            self._wrong("milestone", "milestone is required")
            return
        milestone = _find(self.account.milestones, reference)
        if milestone is None:
            self._wrong("milestone", "milestone not found")
            return
        before = self.result.get("milestone") or {}
        if milestone["id"] == before.get("id"):
            return
        was = _find(self.account.milestones, before)
        last_open = before.get("lastOpenMilestone")
        if was is not None and not was.get("complete"):
            last_open = {"id": was["id"], "name": was["name"]}
        self.result["milestone"] = {
            "id": milestone["id"],
            "name": milestone["name"],
            "lastOpenMilestone": last_open if milestone.get("complete") else None,
        }
        self.result["probability"] = milestone.get("probability")
        today = self.now.date().isoformat()
        self.result["closedOn"] = today if milestone.get("complete") else None
        if not milestone.get("complete"):
            self.result["lostReason"] = None

    def _probability(self) -> None:
        percent = self.changes.get("probability")
        if percent is None:
            return
        if type(percent) is not int or not 0 <= percent <= FULL:
            self._wrong("probability", "probability must be a whole number from 0 to 100")
        self.result["probability"] = percent

    def _value(self) -> None:
        if "value" not in self.changes:
            return
        sent = self.changes["value"]
        if sent is None:
            self.result["value"] = None
            return
        if not isinstance(sent, Mapping):
            self._wrong("value", "value must have an amount and a currency")
            return
        value = {"amount": None, "currency": None, **(self.result.get("value") or {}), **sent}
        if value["currency"] is None:
            value["currency"] = next(iter(self.account.currencies), None)
        amount = value["amount"]
        if "amount" in sent and amount is not None and not _is_number(amount):
            self._wrong("value.amount", "amount must be a number")
        if "currency" in sent and value["currency"] not in self.account.currencies:
            self._wrong("value.currency", "currency is not a supported currency code")
        self.result["value"] = value

    def _duration(self) -> None:
        if "durationBasis" in self.changes:
            basis = self.changes["durationBasis"] or "FIXED"
            if basis not in BASES:
                self._wrong("durationBasis", f"durationBasis must be one of {', '.join(BASES)}")
            self.result["durationBasis"] = basis
        elif "duration" not in self.changes:
            return
        if "duration" in self.changes:
            self.result["duration"] = self.changes["duration"]
        duration = self.result.get("duration")
        if self.result.get("durationBasis") in (None, "FIXED"):
            self.result["duration"] = None
        elif duration is None:
            self._wrong("duration", "duration is required unless durationBasis is FIXED")
        elif type(duration) is not int or duration < 1:
            self._wrong("duration", "duration must be a whole number above 0")

    def _expected_close(self) -> None:
        if "expectedCloseOn" not in self.changes:
            return
        day = self.changes["expectedCloseOn"]
        if day is not None and not _is_day(day):
            self._wrong("expectedCloseOn", "expectedCloseOn must be a date, YYYY-MM-DD")
        self.result["expectedCloseOn"] = day

    def _owner(self) -> None:
        if "owner" not in self.changes:
            return
        self.result["owner"] = self._reference("owner", self.account.users)

    def _team(self) -> None:
        if "team" in self.changes:
            self.result["team"] = self._reference("team", self.account.teams)

    def _lost_reason(self) -> None:
        if "lostReason" in self.changes:
            self.result["lostReason"] = self._reference("lostReason", self.account.lost_reasons)

    def _reference(self, field: str, rows: list[Record]) -> Record | None:
        sent = self.changes[field]
        if sent is None:
            return None
        row = _find(rows, sent) if isinstance(sent, Mapping) else None
        if row is None:
            self._wrong(field, f"{field} not found")
        return row

    def _tags(self) -> None:
        tags = list(self.result.get("tags") or [])
        for sent in self._items("tags"):
            tag = _find(self.account.tags, sent) if isinstance(sent, Mapping) else None
            if tag is None:
                self._wrong("tags", "tag not found")
            elif sent.get("_delete"):
                tags = [have for have in tags if have["id"] != tag["id"]]
            elif all(have["id"] != tag["id"] for have in tags):
                tags.append({"id": tag["id"], "name": tag["name"]})
        self.result["tags"] = tags

    def _fields(self) -> None:
        fields = list(self.result.get("fields") or [])
        for sent in self._items("fields"):
            definition = sent.get("definition") if isinstance(sent, Mapping) else None
            if not isinstance(definition, Mapping) or "id" not in definition:
                self._wrong("fields", "a field needs a definition with an id")
                continue
            kept = [have for have in fields if have["definition"]["id"] != definition["id"]]
            number = max((have["id"] for have in fields), default=0) + 1
            fields = [*kept, {"id": number, "definition": definition, "value": sent.get("value")}]
        self.result["fields"] = fields


def _blank(account: Account) -> Record:
    return {
        "id": None,
        "createdAt": None,
        "updatedAt": None,
        "party": None,
        "lostReason": None,
        "name": None,
        "description": None,
        "owner": account.default_user,
        "team": None,
        "milestone": None,
        "value": None,
        "expectedCloseOn": None,
        "probability": None,
        "durationBasis": "FIXED",
        "duration": None,
        "closedOn": None,
        "tags": [],
        "fields": [],
    }


def _find(rows: list[Record], reference: Mapping[str, Any]) -> Record | None:
    """Find a row by the id that is sent, or by its user name or name where no id is."""
    for key in ("id", "username", "name"):
        if reference.get(key) is not None:
            return next((row for row in rows if row.get(key) == reference[key]), None)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_day(value: object) -> bool:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return False
    return len(str(value)) == len("YYYY-MM-DD")
