"""What an account is set up with: people, pipelines, milestones, fields, and what follows of them.

The rules of a change look things up here; the deals themselves stand in `account`, above both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capsule_analytics.errors import DataError

from .records import Record, items, part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Configuration:
    """An account without its deals.

    Parameters
    ----------
    data
        The account in the form of the account file.

    Raises
    ------
    DataError
        A part has the wrong shape, or an id is not an integer.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.about: Record = dict(data.get("account") or {})
        self.users = rows(data, "users")
        self.teams = rows(data, "teams")
        self.pipelines, self.milestones = _housed(rows(data, "pipelines"), rows(data, "milestones"))
        self.currencies: list[str] = list(data.get("currencies") or [])
        self.goals = rows(data, "goals")
        self.goal_periods = rows(data, "goalPeriods")
        self.filters = rows(data, "filters")
        self.lost_reasons = rows(data, "lostReasons")
        self.tags = rows(data, "tags")
        self.parties: dict[int, Record] = {row["id"]: row for row in rows(data, "parties")}
        self.definitions = _defined(rows(data, "fieldDefinitions"), rows(data, "opportunities"))

    @property
    def default_user(self) -> Record | None:
        """The user that the token belongs to: the first of the account."""
        return self.users[0] if self.users else None

    @property
    def currency(self) -> str:
        """The currency of the account: what it says itself, else the first it lists."""
        return str(self.about.get("currency") or next(iter(self.currencies), "GBP"))

    def milestone(self, milestone_id: object) -> Record | None:
        """Look up a milestone, deleted ones and those of archived pipelines included.

        Parameters
        ----------
        milestone_id
            Its id; anything else leads nowhere.
        """
        return next((row for row in self.milestones if row["id"] == milestone_id), None)

    def status(self, record: Record) -> str:
        """Say whether a deal is ``"open"``, ``"won"`` or ``"lost"``.

        Parameters
        ----------
        record
            An opportunity. At a milestone that the account does not have, it counts as open.
        """
        milestone = self.milestone(part(record, "milestone").get("id"))
        if milestone is None or not milestone.get("complete"):
            return "open"
        return "won" if milestone.get("probability") else "lost"

    def is_missing_important(self, record: Record) -> bool:
        """Say whether a deal lacks a value of a custom field that is marked as important.

        Parameters
        ----------
        record
            An opportunity. Fields of a DataTag count only for deals that have the tag.
        """
        filled = {
            part(field, "definition").get("id")
            for field in items(record, "fields")
            if field.get("value") is not None
        }
        tags = {tag.get("id") for tag in items(record, "tags")}
        return any(
            row["id"] not in filled
            for row in self.definitions
            if row.get("important") and ("tag" not in row or row["tag"].get("id") in tags)
        )


def rows(data: Mapping[str, Any], part: str) -> list[Record]:
    """Take a part of an account.

    Parameters
    ----------
    data
        The account in the form of the account file.
    part
        Its key; a part that is missing is empty.

    Raises
    ------
    DataError
        The part is no list of objects with integer ids.
    """
    found = data.get(part) or []
    if not isinstance(found, list):
        raise DataError(f"The account's {part!r} must be a list.")
    for row in found:
        if not isinstance(row, dict) or type(row.get("id")) is not int:
            raise DataError(f"Every item of the account's {part!r} needs an integer id: {row!r}.")
    return list(found)


def _housed(pipelines: list[Record], milestones: list[Record]) -> tuple[list[Record], list[Record]]:
    """Give milestones without a pipeline the first one, and list those that they alone name."""
    named = [row["pipeline"] for row in milestones if part(row, "pipeline").get("id")]
    if not pipelines and not named and milestones:
        pipelines = [{"id": 1, "name": "Sales Pipeline"}]
    for row in named:
        if all(have["id"] != row["id"] for have in pipelines):
            pipelines = [*pipelines, row]
    first = pipelines[0] if pipelines else {}
    home = {key: first[key] for key in ("id", "name") if key in first}
    return pipelines, [
        row if part(row, "pipeline").get("id") else {**row, "pipeline": home} for row in milestones
    ]


def _defined(definitions: list[Record], records: Iterable[Record]) -> list[Record]:
    """Add a definition of a text for each that only fields of deals name."""
    known = {row["id"] for row in definitions}
    for record in records:
        for field in items(record, "fields"):
            named = part(field, "definition")
            if type(named.get("id")) is int and named["id"] not in known:
                known.add(named["id"])
                order = len(definitions) + 1
                row = {"type": "text", "displayOrder": order, **named}
                definitions = [*definitions, row]
    return definitions
