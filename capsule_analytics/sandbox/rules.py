"""What Capsule accepts in an opportunity, and what it fills in by itself.

Both API versions bring their input into the form of API v2 and come here, so a value is judged
in one place whichever way it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import isfinite
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from .currencies import CODES
from .records import Problem, Record, ValidationError, items, nested, nested_party, part, stamp

if TYPE_CHECKING:
    from datetime import datetime

    from .configuration import Configuration
    from .quirks import Quirks

BASES = ("FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")
FULL = 100


def apply(
    account: Configuration,
    changes: Mapping[str, Any],
    current: Record | None,
    now: datetime,
    quirks: Quirks,
) -> Record:
    """Work out the record that a change leads to.

    Parameters
    ----------
    account
        Knows the milestones, parties, users, tags and fields that a change may refer to.
    changes
        The fields sent, in the form of API v2. Fields that are read-only or unknown are ignored.
    current
        The record as it stands, or None for a new one.
    now
        The time of the change.
    quirks
        What Capsule may or may not accept.

    Returns
    -------
    A new record; for a new deal, without ``id``, ``createdAt`` and ``updatedAt``.

    Raises
    ------
    ValidationError
        A value is missing or wrong.
    """
    return _Change(account, changes, current, now, quirks).record()


class _Change:
    """The work of one call: collects problems, so that all are reported together."""

    def __init__(
        self,
        account: Configuration,
        changes: Mapping[str, Any],
        current: Record | None,
        now: datetime,
        quirks: Quirks,
    ) -> None:
        self.account = account
        self.changes = changes
        self.new = current is None
        self.now = now
        self.quirks = quirks
        self.problems: list[Problem] = []
        self.result: Record = _blank(account) if current is None else dict(current)

    def record(self) -> Record:
        self._name()
        self._party()
        self._milestone()
        self._closed_on()
        self._probability()
        self._value()
        self._duration()
        self._expected_close()
        self._owner_and_team()
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
        sent = self.changes.get(field)
        if sent is None:
            return []
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
        party = self.account.parties.get(number) if type(number) is int else None
        if party is None:
            self._wrong("party", "party not found")
            return
        self.result["party"] = nested_party(party)

    def _milestone(self) -> None:
        """Move the deal: also into another pipeline, which Capsule does without a word."""
        if not self._wanted("milestone"):
            return
        reference = self.changes.get("milestone")
        if not isinstance(reference, Mapping):
            self._wrong("milestone", "milestone is required")
            return
        there = [row for row in self.account.milestones if not row.get("isDeleted")]
        milestone = self._find(there, reference)
        if milestone is None:
            self._wrong("milestone", "milestone not found")
            return
        before = part(self.result, "milestone")
        if milestone["id"] == before.get("id"):
            return
        closes = bool(milestone.get("complete"))
        was = self.account.milestone(before.get("id"))
        if not closes:
            self.result["lastOpenMilestone"] = None
        elif was is not None and not was.get("complete"):
            self.result["lastOpenMilestone"] = nested(was)
        self.result["milestone"] = nested(milestone)
        self.result["lastStageChangedAt"] = stamp(self.now)
        self.result["probability"] = milestone.get("probability")
        today = self.now.astimezone(ZoneInfo(self.quirks.closing_zone)).date().isoformat()
        self.result["closedOn"] = today if closes else None

    def _is_open(self) -> bool:
        return self.account.status(self.result) == "open"

    def _closed_on(self) -> None:
        """Take another day of closing; of an open deal there is none to take."""
        day = self.changes.get("closedOn")
        if day is None or self._is_open():
            return
        if not _is_day(day):
            self._wrong("closedOn", "closedOn must be a date, YYYY-MM-DD")
        self.result["closedOn"] = day

    def _probability(self) -> None:
        percent = self.changes.get("probability")
        if percent is None:
            return
        if not self._is_open():
            self._wrong("probability", "probability can be updated only for open opportunity")
        elif type(percent) is not int or not 0 <= percent <= FULL:
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
        amount, currency = sent.get("amount"), sent.get("currency")
        if amount is not None and not _is_number(amount):
            self._wrong("value.amount", "amount must be a number")
        if currency is None:
            self._wrong("value.currency", "currency is required")
        elif not isinstance(currency, str) or currency not in CODES | {*self.account.currencies}:
            self._wrong("value.currency", "currency is not a supported currency code")
        have = part(self.result, "value").get("amount")
        self.result["value"] = {"amount": sent.get("amount", have), "currency": currency}

    def _duration(self) -> None:
        if "durationBasis" in self.changes:
            basis = self.changes["durationBasis"]
            basis = "FIXED" if basis is None else basis
            if basis not in BASES:
                self._wrong("durationBasis", f"durationBasis must be one of {', '.join(BASES)}")
            self.result["durationBasis"] = basis
        elif "duration" not in self.changes:
            return
        if "duration" in self.changes:
            self.result["duration"] = self.changes["duration"]
        duration = self.result.get("duration")
        if self.result.get("durationBasis") in (None, "FIXED"):
            if self.changes.get("duration") is not None:
                self._wrong("duration", "duration must be null if durationBasis is FIXED")
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

    def _owner_and_team(self) -> None:
        """Set who has the deal: an owner alone takes it away from its team."""
        if "owner" in self.changes:
            self.result["owner"] = self._reference("owner", self.account.users, "username", "name")
            if "team" not in self.changes:
                self.result["team"] = None
        if "team" in self.changes:
            self.result["team"] = self._reference("team", self.account.teams)
        owner, team = part(self.result, "owner"), part(self.result, "team")
        if not {"owner", "team"} & self.changes.keys() or self.problems:
            return
        if not owner and not team:
            self._wrong("owner", "owner or team is required")
        rows = [row for row in self.account.teams if row["id"] == team.get("id")]
        members = [part(one, "user").get("id") for row in rows for one in items(row, "memberships")]
        if owner and members and owner["id"] not in members:
            self._wrong("owner", "owner is not a member of the team")

    def _lost_reason(self) -> None:
        """Set the reason, which only a lost deal has: another drops it without a word."""
        if "lostReason" in self.changes:
            reason = self._reference("lostReason", self.account.lost_reasons)
            self.result["lostReason"] = reason
        touched = {"lostReason", "milestone"} & self.changes.keys()
        if touched and self.account.status(self.result) != "lost":
            self.result["lostReason"] = None

    def _reference(self, field: str, rows: list[Record], *names: str) -> Record | None:
        sent = self.changes[field]
        if sent is None:
            return None
        row = self._find(rows, sent) if isinstance(sent, Mapping) else None
        if row is None:
            self._wrong(field, f"{field} not found")
            return None
        return nested(row, *names)

    def _tags(self) -> None:
        """Add, or remove with ``_delete``, the tags that are sent; the others stay."""
        tags = items(self.result, "tags")
        for sent in self._items("tags"):
            tag = _find(self.account.tags, sent) if isinstance(sent, Mapping) else None
            if tag is None and isinstance(sent, Mapping) and self.quirks.tags_by_name:
                tag = self._new_tag(sent.get("name"))
            if tag is None:
                self._wrong("tags", "tag not found")
            elif sent.get("_delete"):
                tags = [have for have in tags if have.get("id") != tag["id"]]
            elif all(have.get("id") != tag["id"] for have in tags):
                tags.append(nested(tag, "name", "description", "dataTag"))
        self.result["tags"] = tags

    def _new_tag(self, name: object) -> Record | None:
        if not isinstance(name, str) or not name.strip():
            return None
        number = max((row["id"] for row in self.account.tags), default=0) + 1
        self.account.tags.append({"id": number, "name": name, "dataTag": False})
        return self.account.tags[-1]

    def _fields(self) -> None:
        """Set the custom fields that are sent, by definition; with ``_delete``, clear them."""
        fields = items(self.result, "fields")
        for sent in self._items("fields"):
            row = sent if isinstance(sent, Mapping) else {}
            if row.get("_delete"):
                fields = [have for have in fields if have.get("id") != row.get("id")]
                continue
            definition = _find(self.account.definitions, part(row, "definition"))
            if definition is None:
                self._wrong("fields", "a field needs a definition that the account has")
                continue
            value, problem = field_value(definition, row.get("value"))
            if problem:
                self._wrong("fields", f"{definition.get('name')}: {problem}")
            number = max((have.get("id", 0) for have in fields), default=0) + 1
            fields = [
                have for have in fields if part(have, "definition").get("id") != definition["id"]
            ]
            if value is not None:
                fields.append(
                    {"id": number, "value": value, "definition": nested(definition, "name", "tag")}
                )
        self.result["fields"] = fields

    def _find(self, rows: list[Record], reference: Mapping[str, Any]) -> Record | None:
        return _find(rows, reference, named=self.quirks.names_in_bodies)


def field_value(definition: Mapping[str, Any], value: object) -> tuple[Any, str]:
    """Bring the value of a custom field into the form in which it is read back.

    Parameters
    ----------
    definition
        Its definition.
    value
        The value that was sent.

    Returns
    -------
    The value, and what is wrong with it, empty if nothing is.

    Examples
    --------
    >>> field_value({"type": "number"}, 12.5), field_value({"type": "boolean"}, None)
    (('12.5', ''), (None, 'a boolean cannot be null'))
    """
    kind = definition.get("type")
    if value is None:
        return None, "a boolean cannot be null" if kind == "boolean" else ""
    if kind == "boolean":
        return value, "" if isinstance(value, bool) else "must be true or false"
    if kind == "number":
        good = _is_number(value) or (isinstance(value, str) and _is_numeric(value))
        return str(value), "" if good else "must be a number"
    if not isinstance(value, str):
        return None, "must be text"
    options = definition.get("options")
    pieces = value.split(";") if "multi" in str(kind).lower() else [value]
    if options and not set(pieces) <= set(options):
        return value, "is none of the options"
    return value, "must be a date, YYYY-MM-DD" if kind == "date" and not _is_day(value) else ""


def _blank(account: Configuration) -> Record:
    user = account.default_user
    return {
        "id": None,
        "createdAt": None,
        "updatedAt": None,
        "party": None,
        "name": None,
        "description": None,
        "owner": None if user is None else nested(user, "username", "name"),
        "team": None,
        "milestone": None,
        "lastOpenMilestone": None,
        "value": None,
        "expectedCloseOn": None,
        "probability": None,
        "durationBasis": "FIXED",
        "duration": None,
        "closedOn": None,
        "lostReason": None,
        "lastContactedAt": None,
        "lastStageChangedAt": None,
        "tags": [],
        "fields": [],
    }


def _find(rows: list[Record], reference: Mapping[str, Any], *, named: bool = True) -> Record | None:
    """Find a row by the id that is sent, or by its user name or name where no id is."""
    for key in ("id", "username", "name") if named else ("id",):
        wanted = reference.get(key)
        if wanted is not None and not isinstance(wanted, bool):
            return next((row for row in rows if row.get(key) == wanted), None)
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_numeric(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _is_day(value: object) -> bool:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return False
    return len(str(value)) == len("YYYY-MM-DD")
