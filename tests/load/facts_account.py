"""An account made by a seed, what is true of it, and how Capsule writes its records as JSON."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NEW, PARTNERS, ARCHIVED = 42, 31, 27
"""Pipelines; the oldest active one has not the lowest id."""

LEAD, PROPOSAL, CONTRACT, WON, LOST = 501, 502, 503, 504, 505
P_LEAD, P_WON_OVER, P_PROPOSAL, P_SIGNED, P_LOST, P_PILOT, P_AGREED = (
    401,
    402,
    403,
    404,
    405,
    406,
    407,
)
C_DUE, C_WON, C_LOST = 701, 702, 703
GOAL_TYPES = {
    "won_sum": "bbc7a4b4-78eb-3bbd-85bb-9f20ec2e3f5d",
    "won_count": "264be3b0-490b-3d73-ae0d-d02b488ba1eb",
    "unknown": "00000000-0000-4000-8000-00000000beef",
}


@dataclass(frozen=True)
class Line:
    """A pipeline."""

    id: int
    name: str
    created: str
    archived: bool = False


@dataclass(frozen=True)
class Milestone:
    """A milestone; a deleted one is in no list."""

    id: int
    name: str
    pipeline: int
    complete: bool
    probability: int | None
    stale: int | None = None
    deleted: bool = False

    @property
    def status(self) -> str:
        if not self.complete:
            return "open"
        return "lost" if self.probability == 0 else "won"


@dataclass(frozen=True)
class Deal:
    """What is true of a deal, whatever way it is told."""

    id: int
    name: str
    party: dict[str, Any]
    milestone: int | None
    last_open: int | None = None
    amount: Decimal | None = None
    currency: str | None = None
    basis: str | None = None
    duration: int | None = None
    expected: date | None = None
    closed: date | None = None
    probability: int | None = None
    owner: int | None = None
    username: str | None = None
    team: int | None = None
    lost_reason: int | None = None
    created: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    updated: datetime = datetime(2025, 1, 2, tzinfo=UTC)
    stage_changed: datetime | None = None
    contacted: datetime | None = None
    tags: tuple[int, ...] = ()
    fields: tuple[tuple[int, Any], ...] = ()
    missing_important: bool = False


@dataclass
class Facts:
    """An account: records by id, and lists that are served as they stand."""

    lines: dict[int, Line]
    milestones: dict[int, Milestone]
    deals: dict[int, Deal]
    users: dict[int, dict[str, Any]]
    teams: dict[int, str]
    reasons: dict[int, tuple[str, bool]]
    tags: dict[int, tuple[str, bool]]
    definitions: dict[int, dict[str, Any]]
    goals: list[dict[str, Any]]
    periods: dict[int, list[dict[str, Any]]]
    deleted: list[dict[str, Any]] = field(default_factory=list)
    restricted: list[int] = field(default_factory=list)


def make_facts(seed: int = 7, count: int = 728) -> Facts:
    """Make an account of so many deals."""
    rng = random.Random(seed)  # noqa: S311 - an account, no secret
    lines = [
        Line(PARTNERS, "Partners", "2024-03-01T08:00:00Z"),
        Line(NEW, "New business", "2022-02-05T08:00:00Z"),
        Line(ARCHIVED, "Renewals 2024", "2021-06-01T08:00:00Z", archived=True),
    ]
    rows = [
        (LEAD, "Lead", NEW, False, 10, 14), (PROPOSAL, "Proposal", NEW, False, 45, 21),
        (CONTRACT, "Contract", NEW, False, 85, 7), (WON, "Won", NEW, True, 100),
        (LOST, "Lost", NEW, True, 0), (P_LEAD, "Lead", PARTNERS, False, 15, 30),
        (P_WON_OVER, "Won", PARTNERS, False, 60, 20),
        (P_PROPOSAL, "Proposal", PARTNERS, False, 30, 25),
        (P_SIGNED, "Signed", PARTNERS, True, 100), (P_LOST, "Lost", PARTNERS, True, 0),
        (P_PILOT, "Pilot", PARTNERS, False, 35, 40, True),
        (P_AGREED, "Agreed", PARTNERS, True, 100, None, True),
        (C_DUE, "Due", ARCHIVED, False, 70, 30), (C_WON, "Won", ARCHIVED, True, 100),
        (C_LOST, "Lost", ARCHIVED, True, 0),
    ]  # fmt: skip
    milestones = {row[0]: Milestone(*row) for row in rows}
    users = {
        # Renamed from ada.b: some deals still carry the old user name beside the same id.
        811: {"id": 811, "username": "ada", "name": "Ada Brook"},
        812: {"id": 812, "username": "bo", "name": "Bo Lind"},
        813: {"id": 813, "username": "cleo", "name": "Cleo Marsh"},
    }
    reasons = {93: ("Price", True), 94: ("Entered twice", False), 95: ("No answer", True)}
    tags = {601: ("Textiles", False), 602: ("Contract", True), 603: ("Service", True)}
    definitions = {
        9021: {"id": 9021, "type": "list", "name": "Region", "options": ["West", "East"]},
        9022: {"id": 9022, "type": "number", "name": "Seats"},
        9023: {"id": 9023, "type": "boolean", "name": "Signed"},
        9024: {"id": 9024, "type": "date", "name": "Starts"},
        9025: {"id": 9025, "type": "text", "name": "Reference", "tag": 602},
        9026: {"id": 9026, "type": "number", "name": "Reference", "tag": 603},
        9027: {"id": 9027, "type": "link", "name": "Folder"},
    }
    facts = Facts(
        {line.id: line for line in lines}, milestones, {}, users,
        {41: "North", 43: "South"}, reasons, tags, definitions, *_make_goals(),
    )  # fmt: skip
    share = {NEW: 58, PARTNERS: 33, ARCHIVED: 9}
    for number in rng.sample(range(70_000, 70_000 + 3 * count), count):
        line = rng.choices(list(share), list(share.values()))[0]
        there = [one for one in milestones.values() if one.pipeline == line]
        facts.deals[number] = _make_deal(rng, facts, number, rng.choice(there))
    gone = max(facts.deals) + 1
    facts.deleted = [{"id": gone, "deletedAt": "2026-02-14T12:00:00Z"}]
    facts.restricted = [gone + 1]
    return facts


def _make_goals() -> tuple[list[dict[str, Any]], dict[int, list[dict[str, Any]]]]:
    stamps = {"createdAt": "2026-01-02T09:00:00Z", "updatedAt": "2026-01-02T09:00:00Z"}
    span = {"frequency": "MONTHLY", "startOn": "2026-01-01", "endOn": "2026-03-31"}
    goals, periods = [], {}
    for number, kind, value, currency, user, line in [
        (15, "won_sum", 90000.0, "GBP", 811, None),
        (16, "won_count", 12, None, None, PARTNERS),
        (17, "won_sum", 40000.0, "EUR", None, NEW),
        (18, "unknown", 7, None, 812, None),
    ]:
        goals.append(
            {"id": number, "name": f"Goal {number}", "type": GOAL_TYPES[kind], "status": "ACTIVE"}
            | stamps | span | {"value": value, "currency": currency, "user": user, "pipeline": line}
            | {"milestone": None}
        )  # fmt: skip
        edges = ["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"]
        periods[number] = [
            {"id": number * 10 + n, "goal": {"id": number}, "startOn": edges[n]}
            | {"endOn": edges[n + 1], "targetValue": value, "currentValue": 0.0}
            for n in range(3)
        ]
    return goals, periods


def _make_deal(rng: random.Random, facts: Facts, number: int, at: Milestone) -> Deal:
    """Make one deal that stands at a milestone."""
    created = datetime(2024, 9, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(700_000))
    ended = at.status != "open"
    expected = created.date() + timedelta(days=rng.randrange(10, 240))
    closed = created.date() + timedelta(days=rng.randrange(5, 300)) if ended else None
    basis = rng.choice([None, "FIXED", "FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"])
    long = basis not in {None, "FIXED"} and rng.random() > 0.04
    open_ids = [one.id for one in facts.milestones.values() if one.status == "open"]
    alike = [one for one in open_ids if facts.milestones[one].pipeline == at.pipeline]
    # One in eight was moved here from another pipeline while it was open.
    last = rng.choice(open_ids if rng.random() < 0.125 else alike) if ended else None
    currency = rng.choice(["GBP", "GBP", "EUR", "USD", None if rng.random() < 0.1 else "GBP"])
    cents = Decimal(rng.randrange(10_000, 4_000_000)) / 100
    own = at.probability if ended else rng.choice([at.probability, 5, 25, 50, 75, 95])
    owner = rng.choice([811, 811, 812, 813, None])
    username = None if owner is None else facts.users[owner]["username"]
    if owner == 811 and created.year == 2024:
        username = "ada.b"
    changed = created + timedelta(days=rng.randrange(1, 90), seconds=rng.randrange(86_400))
    tags = tuple(sorted(rng.sample(sorted(facts.tags), rng.randrange(4))))
    return Deal(
        id=number,
        name=f"Deal {number}",
        party=_make_party(rng),
        milestone=at.id,
        last_open=last,
        amount=cents if currency and rng.random() > 0.04 else None,
        currency=currency,
        basis=basis,
        duration=rng.randrange(1, 37) if long else None,
        expected=expected if rng.random() > 0.05 else None,
        closed=closed,
        probability=own if rng.random() > 0.1 else None,
        owner=owner,
        username=username,
        team=rng.choice([41, 43]) if owner is None else rng.choice([41, 43, None]),
        lost_reason=rng.choice([*facts.reasons, None]) if at.status == "lost" else None,
        created=created,
        updated=changed + timedelta(hours=3),
        stage_changed=changed if rng.random() > 0.1 else None,
        contacted=changed - timedelta(hours=7) if rng.random() > 0.5 else None,
        tags=tags,
        fields=_make_fields(rng, tags),
        missing_important=rng.random() < 0.2,
    )


def _make_party(rng: random.Random) -> dict[str, Any]:
    number = rng.randrange(5000, 5200)
    if number % 10 == 0:
        return {"id": number, "type": "organisation", "name": "Private", "isRestricted": True}
    if number % 3:
        return {"id": number, "type": "organisation", "name": f"Mill {number}", "pictureURL": None}
    return {"id": number, "type": "person", "firstName": "Ines", "lastName": f"Roth {number}"}


def _make_fields(rng: random.Random, tags: tuple[int, ...]) -> tuple[tuple[int, Any], ...]:
    """Give some custom fields as the wire has them: numbers as text."""
    free: list[tuple[int, Any]] = [
        (9021, rng.choice(["West", "East"])), (9022, str(rng.randrange(1, 90))),
        (9023, rng.random() < 0.5), (9024, f"2026-0{rng.randrange(1, 10)}-15"),
        (9027, "https://files.example/7"),
    ]  # fmt: skip
    held = [one for one in free if rng.random() < 0.5]
    held += [(9025, "R-" + str(rng.randrange(99)))] if 602 in tags else []
    held += [(9026, str(rng.randrange(99)) + ".5")] if 603 in tags else []
    return tuple(held)


@dataclass
class Quirks:
    """What is unconfirmed or goes wrong."""

    absent: bool = False
    """Leave empty keys out instead of writing null."""
    deleted_milestones: bool = True
    """Whether /milestones/{id} still tells a deleted milestone."""
    milestones_all: bool = True
    archived: str = "listed"
    """An archived pipeline's milestones: listed, empty or 404. /milestones/{id} knows them."""
    old: str | None = None
    """None, or a stand-in that knows nothing new and lists the milestones of all active pipelines
    (ids), gives deals only their milestones' names (names), or lists one pipeline (oldest)."""
    meta: bool = True
    vanished: frozenset[int] = frozenset()
    """Pipelines that are listed, and 404 when their milestones are asked for."""
    short_lists: int = 100
    """Most rows of a page of reference data."""
    total_off: Callable[[int, int], int] = lambda _page, _size: 0
    """By how much meta.totalCount is wrong on this page of the list of deals."""


def stamp(at: datetime | None) -> str | None:
    """Write a time as Capsule does."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Wire:
    """The records of an account as they go over the wire."""

    def __init__(self, facts: Facts, quirks: Quirks) -> None:
        self.facts, self.quirks = facts, quirks

    def bare(self, value: Any) -> Any:
        """Leave empty keys out, at every depth, where the quirk says so."""
        if isinstance(value, dict):
            keep = {key: self.bare(one) for key, one in value.items()}
            return {k: v for k, v in keep.items() if v is not None} if self.quirks.absent else keep
        return [self.bare(one) for one in value] if isinstance(value, list) else value

    def user(self, number: int | None, username: str | None = None) -> dict[str, Any] | None:
        if number is None:
            return None
        user = self.facts.users[number]
        return {"id": number, "username": username or user["username"], "name": user["name"]}

    def line(self, number: int | None) -> dict[str, Any] | None:
        return None if number is None else {"id": number, "name": self.facts.lines[number].name}

    def nested(self, number: int | None) -> dict[str, Any] | None:
        if number is None:
            return None
        name = self.facts.milestones[number].name
        return {"name": name} if self.quirks.old == "names" else {"id": number, "name": name}

    def milestone(self, one: Milestone, *, pipeline: bool = True) -> dict[str, Any]:
        times = dict.fromkeys(("createdAt", "updatedAt"), "2024-03-05T08:00:00Z")
        row = {"id": one.id, "name": one.name, "description": None, "complete": one.complete}
        row |= {"probability": one.probability, "daysUntilStale": one.stale} | times
        return row | ({"pipeline": self.line(one.pipeline)} if pipeline else {})

    def tag(self, number: int) -> dict[str, Any]:
        name, data = self.facts.tags[number]
        return {"id": number, "name": name, "dataTag": data}

    def definition(self, one: dict[str, Any]) -> dict[str, Any]:
        extra = {"displayOrder": one["id"] - 9000, "important": one["id"] % 2 == 0}
        return one | extra | {"tag": self.tag(one["tag"]) if "tag" in one else None}

    def deal(self, one: Deal, embed: set[str]) -> dict[str, Any]:
        facts = self.facts
        worth = None if one.currency is None else {"currency": one.currency}
        if worth is not None and one.amount is not None:
            worth = {"amount": float(one.amount), **worth}
        at, last = self.nested(one.milestone), self.nested(one.last_open)
        if self.quirks.old and at is not None:
            at, last = at | {"lastOpenMilestone": last}, None
        row = {
            "id": one.id, "createdAt": stamp(one.created), "updatedAt": stamp(one.updated),
            "name": one.name, "description": None, "party": one.party,
            "owner": self.user(one.owner, one.username),
            "team": None if one.team is None else {"id": one.team, "name": facts.teams[one.team]},
            "milestone": at, "lastOpenMilestone": last, "value": worth,
            "expectedCloseOn": one.expected and one.expected.isoformat(),
            "closedOn": one.closed and one.closed.isoformat(), "probability": one.probability,
            "durationBasis": one.basis, "duration": one.duration,
            "lostReason": one.lost_reason
            and {"id": one.lost_reason, "name": facts.reasons[one.lost_reason][0]},
            "lastContactedAt": stamp(one.contacted), "lastStageChangedAt": stamp(one.stage_changed),
            "somethingNew": {"unknown": True},
        }  # fmt: skip
        if self.quirks.old:
            row = {k: v for k, v in row.items() if k not in {"lastOpenMilestone", "somethingNew"}}
        if "tags" in embed:
            row["tags"] = [self.tag(number) for number in one.tags]
        if "fields" in embed:
            row["fields"] = [self._value(n, *pair) for n, pair in enumerate(one.fields, start=1)]
        if "missingImportantFields" in embed:
            row["missingImportantFields"] = one.missing_important
        return row

    def _value(self, number: int, definition: int, value: Any) -> dict[str, Any]:
        told = self.facts.definitions[definition]
        row = {"id": number, "value": value, "definition": {"id": definition, "name": told["name"]}}
        return row | ({"tagId": told["tag"]} if "tag" in told else {})
