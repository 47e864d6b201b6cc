"""Make the sample account: two and a half years of a small consultancy's selling.

Run as ``python data/make_sample.py`` this writes ``sample/account.json`` (the account as it
stood on the as-of day) and ``sample/snapshots.json`` (how it stood at each month's end before).
With ``--check`` it writes nothing and exits 1 if the files differ from what it would write.

Each deal's life is simulated once, in ``sample_deals.py``, as a list of dated changes. Both files
are read off those lists by `record_at`, so they cannot disagree.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sample_deals import Dice, make_parties, simulate, stamp, tag_reference
from sample_goals import goal_periods, listed_goals
from sample_setting import (
    ACCOUNT,
    AS_OF,
    CURRENCIES,
    DATA_TAGS,
    DEFINITIONS,
    IMPORTANT,
    LOST_REASONS,
    MILESTONES,
    OPENED,
    OWNERS,
    PIPELINES,
    RENAMED_ON,
    SEED,
    TAGS,
    TEAMS,
    UNCOUNTED_REASONS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sample_deals import Deal, Life, Record

SAMPLE = Path(__file__).parent / "sample"
HISTORY_MONTHS = 18  # month-end snapshots before the as-of day
DELETIONS_SHOWN = timedelta(days=120)  # the account no longer lists older deletions

ABSENT = "(absent)"
FLAWS: dict[int, dict[str, Any]] = {  # by opportunity and field; README.md lists the same
    1466: {"duration": -2},
    1470: {"expectedCloseOn": None},
    1472: {"value.amount": None},
    1477: {"name": "", "legacyScore": {"grade": "B", "points": 41}},
    1488: {"value.amount": "12,500"},
    1489: {"expectedCloseOn": "0000-00-00"},
    1506: {"value.amount": -4750},
    1517: {"owner": None, "team": None},
    1547: {"duration": None},
    1554: {"value.currency": "XXX"},
    1558: {"party": None, "description": None},
    1575: {"probability": None},
    1579: {"expectedCloseOn": "2019-13-45"},
    1580: {"expectedCloseOn": None},
    1591: {"milestone.id": 4711, "milestone.name": "Scoping"},
    1597: {"value": None},
    1598: {"probability": 150},
    1601: dict.fromkeys(
        ("description", "lostReason", "team", "closedOn", "tags", "fields"), ABSENT
    ),
    1603: {"expectedCloseOn": None},
    1606: {"duration": 0},
    1619: {"value.currency": None},
}


def spoil(record: Record) -> Record:
    """Return the record with its flaws, if it is one of those flawed on purpose."""
    for path, value in FLAWS.get(record["id"], {}).items():
        *parents, key = path.split(".")
        target = record
        for parent in parents:
            target[parent] = dict(target[parent])
            target = target[parent]
        if value == ABSENT:
            del target[key]
        else:
            target[key] = value
    return record


def record_at(life: Life, day: date) -> Record | None:
    """Return the record as it stood at the end of `day`; None before creation or once deleted."""
    record: Record = {}
    for moment, changes in life:
        if moment.date() > day:
            break
        if changes is None:
            return None
        record |= changes
        record["updatedAt"] = stamp(moment)
    return finish(record, day) if record else None


def finish(record: Record, day: date) -> Record:
    """Add what a reading on `day` shows besides what changed, and the flaws."""
    former = {one.id: one.former for one in OWNERS if one.former}
    owner = record["owner"]
    if owner is not None and owner["id"] in former and day < RENAMED_ON:
        record["owner"] = {**owner, "username": former[owner["id"]]}
    spoiled = spoil(record)
    filled = {field["definition"]["id"] for field in spoiled.get("fields", ())}
    spoiled["missingImportantFields"] = IMPORTANT not in filled
    return spoiled


def snapshot_days() -> list[date]:
    """Return the days of the history: month ends, and the as-of day last."""
    days = [AS_OF]
    while len(days) <= HISTORY_MONTHS:
        days.append(days[-1].replace(day=1) - timedelta(days=1))
    return days[::-1]


def dump(item: object) -> str:
    """Write one item on one line, as compact as JSON allows."""
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def lines(brackets: str, items: Iterable[str]) -> str:
    """Write a JSON list or object with one item a line."""
    return f"{brackets[0]}\n" + ",\n".join(items) + f"\n{brackets[1]}"


def members(pairs: Mapping[str, str]) -> Iterable[str]:
    """Return the members of a JSON object whose values are already written."""
    return (f"{dump(key)}:{text}" for key, text in pairs.items())


def reasons(rows: Iterable[Record], *, counted: bool) -> list[Record]:
    """Return reasons for losing as the account lists them."""
    times = {"createdAt": OPENED, "updatedAt": OPENED}
    return [{**row, "includedForConversion": counted, **times} for row in rows]


def write_account(deals: Sequence[Deal], parties: Iterable[Record]) -> str:
    """Return the text of account.json."""
    records = [record for deal in deals if (record := record_at(deal.life, AS_OF))]
    kept = {record["id"] for record in records}
    extra = {str(d.id): dump(d.extra_parties) for d in deals if d.extra_parties and d.id in kept}
    since = datetime.combine(AS_OF, time(), UTC) - DELETIONS_SHOWN
    ends = [(deal.id, *deal.life[-1]) for deal in deals]
    lists: dict[str, Iterable[object]] = {
        "users": [owner.user() for owner in OWNERS],
        "teams": TEAMS,
        "pipelines": PIPELINES,
        "milestones": MILESTONES,
        "currencies": CURRENCIES,
        "lostReasons": [
            *reasons(LOST_REASONS, counted=True),
            *reasons(UNCOUNTED_REASONS, counted=False),
        ],
        "parties": parties,
        "tags": [*map(tag_reference, TAGS), *(tag_reference(tag, data=True) for tag in DATA_TAGS)],
        "fieldDefinitions": [
            {**row, "displayOrder": order, "important": row["id"] == IMPORTANT}
            for order, row in enumerate(DEFINITIONS, start=1)
        ],
        "goals": listed_goals(records),
        "goalPeriods": goal_periods(deals, records),
        "opportunities": records,
        "deletedOpportunities": [
            {"id": number, "deletedAt": stamp(moment)}
            for number, moment, changes in ends
            if changes is None and moment >= since
        ],
    }
    texts = {"account": dump(ACCOUNT)}
    texts |= {key: lines("[]", map(dump, items)) for key, items in lists.items()}
    texts["additionalParties"] = lines("{}", members(extra))
    return lines("{}", members(texts)) + "\n"


def write_snapshots(deals: Sequence[Deal]) -> str:
    """Return the text of snapshots.json: for each day what changed since the day before it."""
    snapshots = []
    before: dict[int, Record] = {}
    for day in snapshot_days():
        now = {deal.id: record for deal in deals if (record := record_at(deal.life, day))}
        changed = [record for number, record in now.items() if before.get(number) != record]
        texts = {
            "day": dump(str(day)),
            "deleted": dump([number for number in before if number not in now]),
            "changed": lines("[]", map(dump, changed)),
        }
        snapshots.append("{" + ",".join(members(texts)) + "}")
        before = now
    texts = {
        "account": dump(ACCOUNT),
        "milestones": lines("[]", map(dump, MILESTONES)),
        "snapshots": lines("[]", snapshots),
    }
    return lines("{}", members(texts)) + "\n"


def make_files() -> dict[Path, bytes]:
    """Make the sample's files.

    Returns
    -------
    The bytes of each file by its path.
    """
    parties = make_parties(Dice(SEED - 1))
    deals = simulate(parties)
    everyone = [party for of_currency in parties.values() for party in of_currency]
    return {
        SAMPLE / "account.json": write_account(deals, everyone).encode(),
        SAMPLE / "snapshots.json": write_snapshots(deals).encode(),
    }


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with ``--check`` compare them; return the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: make_sample.py [--check]", file=sys.stderr)
        return 2
    files = make_files()
    if arguments:
        stale = [path for path in files if not path.exists() or path.read_bytes() != files[path]]
        for path in stale:
            print(f"{path} is out of date: run data/make_sample.py", file=sys.stderr)
        return 1 if stale else 0
    SAMPLE.mkdir(exist_ok=True)
    for path, text in files.items():
        path.write_bytes(text)
        print(f"{path.name}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
