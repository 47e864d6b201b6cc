"""The lives of the sample account's deals, from creation to the as-of day.

What will become of a deal is drawn first and steers its path; the probability that its owner
states knows nothing of it, which is why calibrating the stated ones is worth something.
All chance comes from `Dice`, seeded once a deal: a change to one deal leaves the others alone.
"""

from __future__ import annotations

import random
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sample_setting import (
    AS_OF,
    ATTENTION,
    BANDS,
    BASE_INTAKE,
    CLOSING,
    CURRENCIES,
    DEFINITIONS,
    DESCRIPTIONS,
    FIRST_DAY,
    FIRST_ID,
    FRAMEWORK,
    GROWTH,
    INTAKE,
    INTRODUCED,
    INTRODUCED_UNTIL,
    KINDS,
    LEAD_SOURCE,
    LEAD_SOURCES,
    LICENCE,
    LOSS_DAYS,
    LOSS_ENTRY,
    LOSS_LAST,
    LOST_REASONS,
    LOST_STEP,
    ODD_NAMES,
    OPEN_PERCENT,
    OWNERS,
    PEOPLE,
    PILOTS,
    PILOTS_UNTIL,
    PROPOSAL,
    REFERRED,
    RETAINERS,
    SALES,
    SEED,
    SERVICES,
    STEMS,
    SUFFIXES,
    TAGS,
    TEAMS,
    TRADES,
    UNCOUNTED_REASONS,
    UNITS_PER_100_GBP,
    WIN_CHANCE,
    WIN_DAYS,
    WIN_ENTRY,
    WIN_LAST,
    WON_STEP,
    Kind,
    Ladder,
    Owner,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")
Record = dict[str, Any]
Life = list[tuple[datetime, Record | None]]  # a moment and what it changed; None: deleted


class Dice:
    """Chance built on ``Random.random`` alone, whose sequence Python promises not to change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        """Return True as often as `probability` says."""
        return self._random() < probability

    def between(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """Draw one of `items`, all alike."""
        return items[self.between(0, len(items) - 1)]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """Draw a key of `weights` as often as its share of their sum."""
        left = self._random() * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return key

    def along(self, quantiles: Sequence[int]) -> int:
        """Draw from the distribution with these evenly spaced quantiles, straight between them."""
        place = self._random() * (len(quantiles) - 1)
        low = int(place)
        return int(quantiles[low] + (place - low) * (quantiles[low + 1] - quantiles[low]))

    def working_moment(self, day: date) -> datetime:
        """Draw a moment of `day` between eight and six o'clock."""
        seconds = self.between(8 * 3600, 18 * 3600 - 1)
        return datetime.combine(day, time(), UTC) + timedelta(seconds=seconds)


def month_end(day: date) -> date:
    """Return the last day of the month of `day`."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def working_day(day: date) -> date:
    """Return `day`, or the Monday after it at a weekend."""
    return day + timedelta(days=7 - day.weekday() if day.weekday() > 4 else 0)


def stamp(moment: datetime) -> str:
    """Write a UTC moment as the API does."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def amount(pence: int) -> int | float:
    """Return an amount held in hundredths as the number the API shows."""
    return pence / 100 if pence % 100 else pence // 100


def short(record: Record) -> Record:
    """Return the part of a record by which others refer to it."""
    return {"id": record["id"], "name": record["name"]}


def make_parties(dice: Dice) -> dict[str, list[Record]]:
    """Make the organisations of each currency, and some of their people."""
    number = 201
    parties: dict[str, list[Record]] = {}
    for currency, stems in STEMS.items():
        parties[currency] = []
        for stem in stems.split():
            name = f"{stem.replace('&', ' & ')} {dice.pick(TRADES[currency])}"
            firm = {"id": number, "type": "organisation", "name": name}
            parties[currency].append(firm)
            number += 1
            for _ in range(dice.between(0, 2)):
                first_names, last_names = dice.pick(PEOPLE[currency])
                employer = short(firm) if dice.chance(0.85) else None
                parties[currency].append(
                    {
                        "id": number,
                        "type": "person",
                        "firstName": dice.pick(first_names.split()),
                        "lastName": dice.pick(last_names.split()),
                        "organisation": employer,
                    }
                )
                number += 1
    return parties


def party_reference(party: Record) -> Record:
    """Return a party as an opportunity shows it."""
    names = ("firstName", "lastName") if party["type"] == "person" else ("name",)
    reference = {"id": party["id"], "type": party["type"]}
    return reference | {name: party[name] for name in names} | {"pictureURL": None}


def tag_reference(tag: Record, *, data: bool = False) -> Record:
    """Return a tag as an opportunity shows it."""
    return {**tag, "dataTag": data}


@dataclass
class Deal:
    """One deal: what will become of it, where it stands, and its life so far."""

    id: int
    created: datetime
    parties: list[Record]
    dice: Dice
    currency: str
    owner: Owner
    kind: Kind
    life: Life = field(default_factory=list)
    extra_parties: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw what the seller asks for, and what fate holds."""
        dice = self.dice
        unit = 100 * self.kind.step
        pence = dice.along(self.kind.prices) * UNITS_PER_100_GBP[self.currency]
        self.pence = max(unit, round(pence / unit) * unit)
        if dice.chance(0.06):
            self.pence -= dice.pick((1, 50, 125))  # just below a round price
        self.duration = dice.pick(self.kind.durations) if self.kind.durations else None
        pounds = self.pence * (self.duration or 1) / UNITS_PER_100_GBP[self.currency]
        band = next(factor for top, factor in BANDS if top is None or pounds < top)
        self.wins = dice.chance(WIN_CHANCE * self.owner.skill * band)
        days = dice.along(WIN_DAYS if self.wins else LOSS_DAYS)
        self.closes = self.closing_day(self.created.date() + timedelta(days=days))
        hoped = days if self.wins else dice.along(WIN_DAYS)
        self.expected = self.date_given(
            self.created.date() + timedelta(days=max(10, hoped * dice.between(45, 105) // 100))
        )
        self.attention = dice.weighted(ATTENTION)
        self.stage = dice.weighted(WIN_ENTRY if self.wins else LOSS_ENTRY)
        self.last_stage = max(self.stage, dice.weighted(WIN_LAST if self.wins else LOSS_LAST))
        self.steps = self.plan_steps(self.created.date())
        self.reopens = not self.wins and dice.chance(0.1)
        # What came later has chance of its own, so that fates are what they were without it.
        self.later = Dice(SEED * 30_000 + self.id)
        self.ladder = SALES
        self.is_referred = False
        self.vanishes = date.max
        if dice.chance(0.06):
            self.vanishes = self.created.date() + timedelta(days=dice.between(5, 200))

    def closing_day(self, ready: date) -> date:
        """Return the day on which a deal ready to close does, later in quiet months."""
        while not self.dice.chance(CLOSING[ready.month - 1]):
            ready += timedelta(days=self.dice.between(8, 20))
        if ready.month % 3 == 0 and self.dice.chance(0.5):
            ready = max(ready, month_end(ready) - timedelta(days=self.dice.between(1, 8)))
        return working_day(ready)

    def date_given(self, day: date) -> date:
        """Return a date near `day` as a seller writes it: mostly a month's end."""
        return month_end(day) if self.dice.chance(0.55) else working_day(day)

    def plan_steps(self, start: date) -> list[date]:
        """Return the days on which the deal reaches each later open milestone, in order."""
        span = (self.closes - start).days * (90 if self.wins else 65) // 100
        count = self.last_stage - self.stage
        days = sorted(self.dice.between(3, max(4, span)) for _ in range(count))
        return [start + timedelta(days=number) for number in days]

    def choose_ladder(self, name: str) -> Ladder:
        """Return the pipeline that the deal is entered in."""
        if self.kind.basis in {"MONTH", "QUARTER", "YEAR"}:
            return RETAINERS
        return PILOTS if "pilot" in name and self.created.date() < PILOTS_UNTIL else SALES

    def milestone(self, day: date) -> Record:
        """Return the open milestone at which the deal stands on `day`."""
        early = self.is_referred and self.ladder is SALES and day < INTRODUCED_UNTIL
        return INTRODUCED if early and self.stage == PROPOSAL else self.ladder.reference(self.stage)

    def standing(self, day: date) -> Record:
        """Return milestone and probability of the open milestone the deal reaches on `day`."""
        percent = OPEN_PERCENT[self.stage]
        if self.dice.chance(0.13):
            bend = self.owner.bend + self.dice.pick((-5, 0, 5, 10))
            percent = min(95, max(5, percent + (bend or 15)))
        self.open_at = self.milestone(day)
        return {"milestone": self.open_at, "lastOpenMilestone": None, "probability": percent}

    def value(self) -> Record:
        """Return the value as the API shows it."""
        return {"amount": amount(self.pence), "currency": self.currency}

    def happen(self, day: date, changes: Record | None) -> None:
        """Add to the deal's life what changed on `day`, at some moment of the working day."""
        moment = self.dice.working_moment(day)
        if changes is not None and "milestone" in changes:
            changes["lastStageChangedAt"] = stamp(moment)
        if changes is not None and self.later.chance(0.7):
            before = max(moment - timedelta(hours=self.later.between(1, 130)), self.created)
            changes["lastContactedAt"] = stamp(before)
        self.life.append((moment, changes))

    def begin(self) -> None:
        """Create the record."""
        dice = self.dice
        party = dice.pick(self.parties)
        name = dice.pick(self.kind.titles) + dice.weighted(SUFFIXES)
        name = name.format(year=self.created.year)
        if dice.chance(0.4) and party["type"] == "organisation":
            name = f"{party['name'].split()[0]}: {name}"
        tags = [tag_reference(tag) for tag in TAGS if dice.chance(0.11)]
        self.is_referred = any(tag["id"] == REFERRED for tag in tags)
        self.ladder = self.choose_ladder(name)
        source = dice.pick(LEAD_SOURCES)
        if dice.chance(0.15):
            self.extra_parties = [
                person["id"]
                for person in self.parties
                if (person.get("organisation") or {}).get("id") == party["id"]
            ]
        # Some come in without an owner: the whole team looks after them.
        owner = None if self.id % 37 == 6 else self.owner.user()
        description = dice.pick(DESCRIPTIONS)
        standing = self.standing(self.created.date())
        values: dict[int, Any] = {LEAD_SOURCE["id"]: source} if dice.chance(0.5) else {}
        values |= self.details()
        for data_tag, number in ((FRAMEWORK, 68), (LICENCE, 69)):
            if number in values:
                tags.append(tag_reference(data_tag, data=True))
        self.life.append((self.created, {
            "id": self.id,
            "createdAt": stamp(self.created),
            "updatedAt": "",  # each reading fills it with the last change
            "party": party_reference(party),
            "name": ODD_NAMES.get(self.id, name),
            "description": description,
            "owner": owner,
            "team": short(TEAMS[self.owner.team]),
            **standing,
            "value": self.value(),
            "expectedCloseOn": str(self.expected),
            "durationBasis": self.kind.basis,
            "duration": self.duration,
            "closedOn": None,
            "lostReason": None,
            "lastContactedAt": stamp(self.created) if self.later.chance(0.8) else None,
            "lastStageChangedAt": stamp(self.created),
            "tags": tags,
            "fields": custom_fields(self.id, values),
        }))  # fmt: skip

    def details(self) -> dict[int, Any]:
        """Return the values of the custom fields that the account got later, by definition."""
        later = self.later
        values: dict[int, Any] = {}
        if later.chance(0.3):
            values[62] = str(later.pick((5, 10, 12, 25, 40, 60, 150, 400)))
        if later.chance(0.85):
            values[63] = later.chance(0.55)
        if later.chance(0.25):
            start = self.created.date() + timedelta(days=later.between(30, 240))
            values[64] = str(working_day(start))
        if later.chance(0.1):
            values[65] = f"https://files.tarnreed.example/briefs/{self.id}"
        if later.chance(0.3):
            wanted = [service for service in SERVICES if later.chance(0.4)]
            if wanted:
                values[66] = ";".join(wanted)
        if later.chance(0.12):
            values[67] = f"PO-{later.between(10_000, 99_999)}"
        return values | self.tagged_details()

    def tagged_details(self) -> dict[int, Any]:
        """Return the values of the fields that belong to DataTags."""
        later = self.later
        values: dict[int, Any] = {}
        if self.kind.basis in {"FIXED", "DAY"} and later.chance(0.12):
            values[68] = f"RM{later.between(3000, 6999)}/{later.between(1, 9)}"
        if self.kind.basis == "YEAR":
            values[69] = str(later.between(100_000, 999_999))
            if later.chance(0.7):
                values[70] = str(self.created.date().replace(day=1) + timedelta(days=400))
        return values

    def advance(self, day: date) -> Record:
        """Move to the next open milestone, where the price and the date may move too."""
        dice = self.dice
        self.stage += 1
        del self.steps[0]
        changes = self.standing(day)
        if self.stage >= PROPOSAL and dice.chance(0.4):
            changes |= self.revise()
        if dice.chance(0.2):
            sooner = self.expected - timedelta(days=dice.between(14, 45))
            self.expected = max(working_day(sooner), working_day(day + timedelta(days=7)))
            changes["expectedCloseOn"] = str(self.expected)
        return changes

    def revise(self) -> Record:
        """Change the price, or sometimes how long the work will run."""
        dice = self.dice
        if self.kind.durations and dice.chance(0.4):
            self.duration = dice.pick(self.kind.durations)
            return {"duration": self.duration}
        unit = 100 * self.kind.step
        self.pence = max(unit, round(self.pence * dice.between(80, 116) / (100 * unit)) * unit)
        return {"value": self.value()}

    def push_out(self, day: date) -> Record:
        """Give the client more time."""
        days = self.dice.along((15, 35, 55, 80, 150))
        self.expected = self.date_given(day + timedelta(days=days))
        return {"expectedCloseOn": str(self.expected)}

    def hand_over(self) -> Record:
        """Give the deal to another owner of the same team."""
        team = [one for one in OWNERS if one.team == self.owner.team and one != self.owner]
        self.owner = self.dice.pick(team)
        return {"owner": self.owner.user()}

    def close(self, day: date) -> Record:
        """Win or lose the deal."""
        changes: Record = {
            "milestone": self.ladder.reference(WON_STEP if self.wins else LOST_STEP),
            "lastOpenMilestone": self.open_at,
            "probability": 100 if self.wins else 0,
            "closedOn": str(day),
        }
        if self.dice.chance(0.65):
            self.expected = day
            changes["expectedCloseOn"] = str(self.expected)
        if not self.wins and self.dice.chance(0.9):
            reason = self.dice.pick(LOST_REASONS)
            uncounted = self.later.chance(0.09)
            changes["lostReason"] = self.later.pick(UNCOUNTED_REASONS) if uncounted else reason
        return changes

    def reopen(self, day: date) -> Record:
        """Take a lost deal up again where it stood, with a new fate."""
        self.reopens = False
        self.wins = self.dice.chance(0.45)
        self.closes = self.closing_day(day + timedelta(days=self.dice.between(25, 120)))
        changes = self.standing(day) | self.push_out(day)
        return changes | {"closedOn": None, "lostReason": None}

    def look(self, day: date) -> Record:
        """Return what the owner changes when looking at an open deal on `day`."""
        if self.steps and day >= self.steps[0]:
            return self.advance(day)
        if self.expected < day + timedelta(days=6) and self.dice.chance(self.attention):
            return self.push_out(day)
        if self.dice.chance(0.004):
            return self.hand_over()
        if self.dice.chance(0.012):
            return self.revise()
        return {}

    def run(self) -> None:
        """Live from creation to the as-of day: the owner looks in every week or so."""
        self.begin()
        day = self.created.date()
        while True:
            next_look = working_day(day + timedelta(days=self.dice.between(4, 10)))
            day = min(next_look, self.closes)
            if day >= AS_OF:
                return
            if day >= self.vanishes:
                self.happen(day, None)
                return
            if day < self.closes:
                if changes := self.look(day):
                    self.happen(day, changes)
                continue
            self.happen(day, self.close(day))
            day = working_day(day + timedelta(days=self.dice.between(30, 120)))
            if not self.reopens or day >= AS_OF:
                return
            self.happen(day, self.reopen(day))


def custom_fields(deal: int, values: Mapping[int, Any]) -> list[Record]:
    """Return the values of a deal's custom fields as it shows them."""
    fields = []
    for row in DEFINITIONS:
        if row["id"] in values:
            tag = {"tagId": row["tag"]["id"]} if "tag" in row else {}
            number = 100 * deal + len(fields)
            value = {"id": number, "value": values[row["id"]], "definition": short(row)}
            fields.append(value | tag)
    return fields


def creation_moments(dice: Dice) -> list[datetime]:
    """Return when deals were created, in order: working days, fewer in quiet months."""
    moments = []
    day = FIRST_DAY
    months = 0
    while day < AS_OF:
        wanted = BASE_INTAKE * (1 + GROWTH * months) * INTAKE[day.month - 1]
        for _ in range(int(wanted) + dice.between(-2, 3)):
            created = working_day(day + timedelta(days=dice.between(0, 28)))
            moment = dice.working_moment(created)
            if created < AS_OF:
                moments.append(moment)
        day = (month_end(day) + timedelta(days=1)).replace(day=15)
        months += 1
    return sorted(moments)


def simulate(parties: dict[str, list[Record]]) -> list[Deal]:
    """Live through every deal of the account."""
    deals = []
    for number, created in enumerate(creation_moments(Dice(SEED)), start=FIRST_ID):
        dice = Dice(SEED * 10_000 + number)
        currency = dice.weighted(CURRENCIES)
        home = 0 if dice.chance(0.94 if currency == "GBP" else 0.15) else 1
        owner = dice.pick([one for one in OWNERS if one.team == home])
        kind = dice.weighted({kind: kind.share for kind in KINDS})
        deal = Deal(number, created, parties[currency], dice, currency, owner, kind)
        deal.run()
        deals.append(deal)
    return deals
