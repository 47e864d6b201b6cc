"""The sample account is current, agrees with its history, and holds what its README says."""

from __future__ import annotations

import gzip
import importlib
import json
import re
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

DATA = Path(__file__).parent.parent / "data"
AS_OF = "2026-10-15"
SALES, RETAINERS, PILOTS = 2, 3, 1
# The closing milestones of the three pipelines; 115 is called "Won" and open.
WON, LOST = {16, 116, 126}, {17, 117, 127}
INTRODUCED = 18
RENAMED = 25
Record = dict[str, Any]


@pytest.fixture(scope="module")
def make_sample() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DATA))
        yield importlib.import_module("make_sample")


@pytest.fixture(scope="module")
def account() -> Record:
    read: Record = json.loads((DATA / "sample/account.json").read_bytes())
    return read


@pytest.fixture(scope="module")
def history() -> list[Record]:
    read: Record = json.loads((DATA / "sample/snapshots.json").read_bytes())
    snapshots: list[Record] = read["snapshots"]
    return snapshots


@pytest.fixture(scope="module")
def documented_flaws() -> dict[int, dict[str, Any]]:
    """The table of flaws in the README: id, field, value."""
    flaws: dict[int, dict[str, Any]] = defaultdict(dict)
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(.+?)` \| `(.+?)` \|", readme, re.MULTILINE)
    for number, path, text in rows:
        flaws[int(number)][path] = text if text == "(absent)" else json.loads(text)
    return dict(flaws)


@pytest.fixture(scope="module")
def sound(account: Record, documented_flaws: dict[int, Any]) -> list[Record]:
    """The records without a flaw."""
    return [r for r in account["opportunities"] if r["id"] not in documented_flaws]


def status(record: Record) -> str:
    number = record["milestone"]["id"]
    return "won" if number in WON else "lost" if number in LOST else "open"


def tcv(record: Record) -> float:
    return float(record["value"]["amount"] * (record["duration"] or 1))


def replay(history: list[Record]) -> Iterator[tuple[str, dict[int, Record]]]:
    state: dict[int, Record] = {}
    for snapshot in history:
        assert state.keys() >= set(snapshot["deleted"])
        kept = {number: state[number] for number in state if number not in snapshot["deleted"]}
        state = kept | {record["id"]: record for record in snapshot["changed"]}
        yield snapshot["day"], state


def test_files_are_what_the_script_would_write(make_sample: ModuleType) -> None:
    assert make_sample.main(["--check"]) == 0


def test_check_fails_on_a_missing_or_altered_file(
    make_sample: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_sample, "SAMPLE", tmp_path / "sample")
    assert make_sample.main(["--check"]) == 1
    assert make_sample.main([]) == 0
    assert make_sample.main(["--check"]) == 0
    with (tmp_path / "sample/snapshots.json").open("ab") as file:
        file.write(b" ")
    assert make_sample.main(["--check"]) == 1


def test_unknown_argument_is_refused(make_sample: ModuleType) -> None:
    assert make_sample.main(["--chekc"]) == 2


def test_files_are_small_with_one_record_a_line(account: Record) -> None:
    files = [(DATA / "sample" / name).read_bytes() for name in ("account.json", "snapshots.json")]
    assert all(len(text) < most for text, most in zip(files, (700_000, 2_100_000), strict=True))
    # So much of them travels in the package.
    assert sum(len(gzip.compress(text)) for text in files) < 300_000
    lines = (DATA / "sample/account.json").read_text(encoding="utf-8").split("\n")
    records = [json.loads(line.rstrip(",")) for line in lines if '"party":' in line]
    assert records == account["opportunities"]


def test_top_level_keys(account: Record) -> None:
    assert set(account) == {
        "account", "users", "teams", "pipelines", "milestones", "currencies", "lostReasons",
        "parties", "tags", "fieldDefinitions", "goals", "goalPeriods", "opportunities",
        "additionalParties", "deletedOpportunities",
    }  # fmt: skip
    assert account["account"]["asOf"] == AS_OF
    assert account["currencies"] == ["GBP", "EUR", "USD", "CHF"]
    assert (len(account["users"]), len(account["teams"]), len(account["tags"])) == (6, 2, 10)


def test_two_active_pipelines_and_an_archived_one(account: Record) -> None:
    pipelines = [(row["id"], row["name"], row.get("isDeleted")) for row in account["pipelines"]]
    assert pipelines == [
        (PILOTS, "Pilots 2024", True),
        (SALES, "Sales", None),
        (RETAINERS, "Retainers and licences", None),
    ]
    of_pipeline = defaultdict(list)
    for row in account["milestones"]:
        if not row.get("isDeleted"):
            of_pipeline[row["pipeline"]["id"]].append(row)
    steps = [
        (10, False),
        (25, False),
        (50, False),
        (70, False),
        (90, False),
        (100, True),
        (0, True),
    ]
    for rows in of_pipeline.values():
        assert [(row["probability"], row["complete"]) for row in rows] == steps
        assert [row.get("daysUntilStale", 0) > 0 for row in rows] == [not end for _, end in steps]
    assert set(of_pipeline) == {SALES, RETAINERS, PILOTS}


def test_names_mislead_where_ids_do_not(account: Record) -> None:
    complete = {row["id"]: row["complete"] for row in account["milestones"]}
    won = [row["id"] for row in account["milestones"] if row["name"] == "Won"]
    assert [(number, complete[number]) for number in won] == [(16, True), (115, False)]
    assert sum(record["milestone"]["id"] == 115 for record in account["opportunities"]) >= 3
    references = [
        row["definition"] for r in account["opportunities"] for row in r.get("fields", ())
    ]
    assert {row["id"] for row in references if row["name"] == "Reference"} == {68, 69}


def test_a_milestone_is_deleted_and_deals_still_refer_to_it(account: Record) -> None:
    [gone] = [row for row in account["milestones"] if row.get("isDeleted")]
    assert (gone["id"], gone["name"], gone["pipeline"]["id"]) == (INTRODUCED, "Introduced", SALES)
    there = [r for r in account["opportunities"] if r["milestone"]["id"] == INTRODUCED]
    was = [
        r
        for r in account["opportunities"]
        if (r["lastOpenMilestone"] or {}).get("id") == INTRODUCED
    ]
    assert len(there) >= 3
    assert len(was) >= 5
    assert {status(record) for record in there} == {"open"}
    assert {status(record) for record in was} == {"won", "lost"}


def test_a_user_was_renamed(account: Record, history: list[Record]) -> None:
    names = defaultdict(set)
    for day, state in replay(history):
        for record in state.values():
            if record["owner"] and record["owner"]["id"] == RENAMED:
                names[day < "2026-03-16"].add(record["owner"]["username"])
    assert names == {True: {"isolberg"}, False: {"ingrid.solberg"}}
    assert {user["username"] for user in account["users"] if user["id"] == RENAMED} == names[False]


def test_some_deals_belong_to_a_team_alone(sound: list[Record]) -> None:
    alone = [record for record in sound if record["owner"] is None]
    assert 10 <= len(alone) <= 20
    assert all(record["team"] for record in alone)
    assert {status(record) for record in alone} == {"open", "won", "lost"}


def test_some_lost_deals_do_not_count(account: Record, sound: list[Record]) -> None:
    uncounted = {r["id"] for r in account["lostReasons"] if not r["includedForConversion"]}
    assert uncounted == {47, 48}
    lost = [record for record in sound if record["lostReason"]]
    assert 10 <= sum(record["lostReason"]["id"] in uncounted for record in lost) <= 20


def test_custom_fields_of_every_type(account: Record) -> None:
    definitions = {row["id"]: row for row in account["fieldDefinitions"]}
    assert {row["type"] for row in definitions.values()} == {
        "text", "list", "date", "boolean", "number", "link", "multiselect",
    }  # fmt: skip
    forms = {"date": r"\d{4}-\d\d-\d\d", "number": r"\d+", "link": r"https://\S+"}
    seen: Counter[int] = Counter()
    for record in account["opportunities"]:
        tags = {tag["id"] for tag in record.get("tags", ())}
        for row in record.get("fields", ()):
            definition = definitions[row["definition"]["id"]]
            seen[definition["id"]] += 1
            value = row["value"]
            assert isinstance(value, bool) == (definition["type"] == "boolean")
            assert re.fullmatch(forms.get(definition["type"], ".*"), str(value))
            assert set(str(value).split(";")) <= set(definition.get("options", (str(value),)))
            assert row.get("tagId") == definition.get("tag", {}).get("id")
            assert "tagId" not in row or row["tagId"] in tags
    assert seen.keys() == definitions.keys()
    assert min(seen.values()) > 30


def test_missing_important_fields_are_told(account: Record) -> None:
    [important] = [row["id"] for row in account["fieldDefinitions"] if row["important"]]
    for record in account["opportunities"]:
        filled = {row["definition"]["id"] for row in record.get("fields", ())}
        assert record["missingImportantFields"] == (important not in filled)


def test_times_of_the_last_stage_and_the_last_contact(sound: list[Record]) -> None:
    for record in sound:
        changed, contacted = record["lastStageChangedAt"], record["lastContactedAt"]
        assert record["createdAt"] <= changed <= record["updatedAt"]
        assert contacted is None or record["createdAt"] <= contacted <= record["updatedAt"]
        if status(record) != "open":
            assert changed[:10] == record["closedOn"]
    assert 1 <= sum(record["lastContactedAt"] is None for record in sound) <= 60


def test_last_stages_are_those_of_the_history(history: list[Record]) -> None:
    before: dict[int, Record] = {}
    for _, now in replay(history):
        for number in before.keys() & now.keys():
            old, new = before[number], now[number]
            moved = old["milestone"] != new["milestone"]
            assert not moved or old["lastStageChangedAt"] < new["lastStageChangedAt"]
        before = now


def test_stale_deals_are_many_and_not_all(account: Record, sound: list[Record]) -> None:
    days = {row["id"]: row.get("daysUntilStale") for row in account["milestones"]}
    as_of = date.fromisoformat(AS_OF)
    ages = [
        (as_of - date.fromisoformat(r["lastStageChangedAt"][:10])).days - days[r["milestone"]["id"]]
        for r in sound
        if status(r) == "open"
    ]
    assert 0.2 < sum(age > 0 for age in ages) / len(ages) < 0.6


def test_goals_and_their_periods(account: Record, sound: list[Record]) -> None:
    goals = {goal["id"]: goal for goal in account["goals"]}
    periods = defaultdict(list)
    for row in account["goalPeriods"]:
        periods[row["goal"]["id"]].append(row)
    assert periods.keys() == goals.keys()
    assert len({goal["type"] for goal in goals.values()}) == 5
    assert {goal["status"] for goal in goals.values()} == {"ACTIVE", "MISSED"}
    for number, rows in periods.items():
        assert len(rows) == (12 if goals[number]["frequency"] == "MONTHLY" else 1)
        # Two periods share the day between them.
        assert [a["endOn"] for a in rows[:-1]] == [b["startOn"] for b in rows[1:]]
        assert rows[0]["startOn"] == goals[number]["startOn"]
        for row in rows:
            assert ("completedOn" in row) == (row["currentValue"] >= row["targetValue"])
            assert row["targetValue"] > 0
    # Won in pounds, June 2026, added up by hand from the records without a flaw.
    june = [
        tcv(record)
        for record in sound
        if status(record) == "won"
        and record["value"]["currency"] == "GBP"
        and record["closedOn"][:7] == "2026-06"
    ]
    assert periods[91][5]["currentValue"] == round(sum(june), 2) > 0
    retainers = [
        record
        for record in sound
        if record["milestone"]["id"] == 116 and record["closedOn"][:7] == "2026-03"
    ]
    assert periods[97][2]["currentValue"] == len(retainers) > 0


def test_counts(account: Record, sound: list[Record]) -> None:
    assert len(account["opportunities"]) == 602
    assert Counter(map(status, account["opportunities"])) == {"won": 216, "lost": 222, "open": 164}
    still_open = [record for record in sound if status(record) == "open"]
    assert sum(record["expectedCloseOn"] < AS_OF for record in still_open) == 39
    percent = {m["id"]: m["probability"] for m in account["milestones"]}
    overridden = [r for r in still_open if r["probability"] != percent[r["milestone"]["id"]]]
    assert 0.10 <= len(overridden) / len(still_open) <= 0.15
    assert max(record["expectedCloseOn"] for record in still_open) > "2027-03"
    assert 3 <= len(account["deletedOpportunities"]) <= 5
    assert 15 <= len(account["additionalParties"]) <= 25


def test_every_choice_of_the_configuration_is_in_use(account: Record, sound: list[Record]) -> None:
    basis = Counter(record["durationBasis"] for record in sound)
    assert set(basis) == {"FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
    assert basis["WEEK"] < 25
    assert basis["QUARTER"] < 25
    currencies = Counter(record["value"]["currency"] for record in sound).most_common()
    assert [currency for currency, _ in currencies] == account["currencies"]
    owners = {record["owner"]["id"] for record in sound if record["owner"]}
    assert owners == {user["id"] for user in account["users"]}
    assert {tag["id"] for r in sound for tag in r["tags"]} == {tag["id"] for tag in account["tags"]}
    reasons = {record["lostReason"]["id"] for record in sound if record["lostReason"]}
    assert reasons == {reason["id"] for reason in account["lostReasons"]}


def test_ids_are_unique_and_follow_creation(account: Record) -> None:
    numbers = [record["id"] for record in account["opportunities"]]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1001
    created = [record["createdAt"] for record in account["opportunities"]]
    assert created == sorted(created)
    assert not set(numbers) & {gone["id"] for gone in account["deletedOpportunities"]}


def test_timestamps_are_ordered(account: Record) -> None:
    for record in account["opportunities"]:
        assert record["createdAt"] <= record["updatedAt"] < f"{AS_OF}T00:00:00Z"
        if record.get("closedOn"):
            assert record["createdAt"][:10] < record["closedOn"] <= record["updatedAt"][:10]
    assert all(gone["deletedAt"] < AS_OF for gone in account["deletedOpportunities"])


def test_references_lead_somewhere(account: Record, sound: list[Record]) -> None:
    parties = {party["id"] for party in account["parties"]}
    opportunities = {str(record["id"]) for record in account["opportunities"]}
    assert len(parties) == len(account["parties"])
    assert {record["party"]["id"] for record in sound} <= parties
    assert set(account["additionalParties"]) <= opportunities
    assert {one for extra in account["additionalParties"].values() for one in extra} <= parties


def test_closed_deals_say_when_and_from_where(sound: list[Record]) -> None:
    for record in sound:
        closed = status(record) != "open"
        assert (record["closedOn"] is not None) == closed
        assert (record["lastOpenMilestone"] is not None) == closed
        assert closed or record["lostReason"] is None


def test_expected_date_of_a_closed_deal_is_usually_near_its_close(sound: list[Record]) -> None:
    closed = [record for record in sound if record["closedOn"]]
    near = [
        abs(date.fromisoformat(r["expectedCloseOn"]) - date.fromisoformat(r["closedOn"])).days <= 31
        for r in closed
    ]
    assert sum(near) / len(near) > 0.8


def test_documented_flaws_are_those_of_the_script(
    make_sample: ModuleType, documented_flaws: dict[int, Any]
) -> None:
    assert documented_flaws == make_sample.FLAWS


def test_every_documented_flaw_occurs(account: Record, documented_flaws: dict[int, Any]) -> None:
    records = {record["id"]: record for record in account["opportunities"]}
    assert len(documented_flaws) == 21
    for number, flaws in documented_flaws.items():
        for path, value in flaws.items():
            *parents, key = path.split(".")
            target = records[number]
            for parent in parents:
                target = target[parent]
            assert target.get(key, "(absent)") == value, (number, path)
    assert records[1547]["durationBasis"] == "MONTH"


def test_no_other_record_is_flawed(account: Record, sound: list[Record]) -> None:
    milestones = {milestone["id"] for milestone in account["milestones"]}
    keys = set(sound[0])
    for record in sound:
        assert set(record) == keys
        amount = Decimal(str(record["value"]["amount"]))
        assert amount > 0
        assert amount == round(amount, 2)
        assert record["value"]["currency"] in account["currencies"]
        assert (record["duration"] is None) == (record["durationBasis"] == "FIXED")
        assert record["duration"] is None or record["duration"] > 0
        assert 0 <= record["probability"] <= 100
        assert record["milestone"]["id"] in milestones
        assert date.fromisoformat(record["expectedCloseOn"]) > date(2024, 4, 15)
        assert record["name"]
        assert record["description"]
        assert record["team"]


@pytest.mark.parametrize("piece", ["&", "<", ">", '"', "'", "\n", "🚀", "需要", "Προβλέψεις"])
def test_awkward_names_occur_among_open_deals(sound: list[Record], piece: str) -> None:
    assert any(piece in record["name"] for record in sound if status(record) == "open")


def test_one_name_looks_like_a_formula(sound: list[Record]) -> None:
    assert [record["id"] for record in sound if record["name"].startswith("=")] == [1531]


def test_snapshots_are_month_ends_and_the_as_of_day(history: list[Record]) -> None:
    days = [snapshot["day"] for snapshot in history]
    assert len(days) == 19
    assert days[:3] == ["2025-04-30", "2025-05-31", "2025-06-30"]
    assert days[-2:] == ["2026-09-30", AS_OF]


def test_snapshots_replay_to_the_account(account: Record, history: list[Record]) -> None:
    *_, (_, last) = replay(history)
    assert sorted(last.values(), key=lambda record: record["id"]) == account["opportunities"]


def test_snapshots_hold_changes_alone_and_nothing_from_after_their_day(
    history: list[Record],
) -> None:
    before: dict[int, Record] = {}
    for snapshot, (day, state) in zip(history, replay(history), strict=True):
        for record in snapshot["changed"]:
            assert record["updatedAt"][:10] <= day
            assert before.get(record["id"]) != record
        before = state


def test_every_sort_of_change_occurs_between_snapshots(history: list[Record]) -> None:
    seen: Counter[str] = Counter()
    before: dict[int, Record] = {}
    for _, now in replay(history):
        seen["deleted"] += len(before.keys() - now.keys())
        for number in before.keys() & now.keys():
            old, new = before[number], now[number]
            seen[f"{status(old)} to {status(new)}"] += 1
            seen["owner"] += old["owner"] != new["owner"]
            if old["value"] and isinstance(old["value"]["amount"], int | float):
                seen["value up"] += new["value"]["amount"] > old["value"]["amount"]
                seen["value down"] += new["value"]["amount"] < old["value"]["amount"]
            if status(new) == "open" and old["expectedCloseOn"]:
                seen["pushed out"] += new["expectedCloseOn"] > old["expectedCloseOn"]
                seen["pulled in"] += new["expectedCloseOn"] < old["expectedCloseOn"]
        before = now
    assert seen["deleted"] >= 10
    assert seen["open to won"] > 100
    assert seen["open to lost"] > 100
    assert seen["lost to open"] >= 5
    assert seen["won to open"] == 0
    assert seen["owner"] > 10
    assert min(seen["value up"], seen["value down"]) > 30
    assert seen["pulled in"] > 30
    assert seen["pushed out"] > 4 * seen["pulled in"]


def test_won_business_looks_like_that_of_a_small_consultancy(sound: list[Record]) -> None:
    won: dict[str, float] = defaultdict(float)
    months: Counter[str] = Counter()
    for record in sound:
        if status(record) == "won":
            months[record["closedOn"][5:7]] += 1
            if record["value"]["currency"] == "GBP" and record["closedOn"] >= "2025-01":
                won[record["closedOn"][:7]] += tcv(record)
    whole_months = [total for month, total in won.items() if month < "2026-10"]
    assert len(whole_months) == 21
    usual = sorted(whole_months)[10]
    assert 120_000 < usual < 200_000
    assert sum(80_000 <= total <= 250_000 for total in whole_months) >= 13
    assert max(months, key=lambda month: months[month]) == "09"
    assert min(months, key=lambda month: months[month]) == "08"


def test_stated_probabilities_are_too_high_where_the_money_is(
    account: Record, history: list[Record], sound: list[Record]
) -> None:
    percent = {m["id"]: m["probability"] for m in account["milestones"]}
    fate = {record["id"]: status(record) for record in sound}
    stated: dict[int, float] = defaultdict(float)
    came_true: Counter[int] = Counter()
    weighted = won = 0.0
    for day, state in replay(history):
        for number, record in state.items():
            settled = fate.get(number) in ("won", "lost")
            if day < "2026-04" and settled and status(record) == "open":
                step = percent.get(record["milestone"]["id"], 0)
                stated[step] += record["probability"] / 100
                came_true[step] += fate[number] == "won"
                weighted += tcv(record) * record["probability"] / 100
                won += tcv(record) * (fate[number] == "won")
    assert all(came_true[step] < 0.8 * stated[step] for step in (70, 90))
    assert won < 0.8 * weighted


def test_owners_and_sizes_win_at_different_rates(sound: list[Record]) -> None:
    def win_rate(records: list[Record]) -> float:
        return sum(status(record) == "won" for record in records) / len(records)

    closed = [record for record in sound if status(record) != "open"]
    owners: dict[str | None, list[Record]] = defaultdict(list)
    for record in closed:
        owners[(record["owner"] or {}).get("username")].append(record)
    del owners[None]
    rates = sorted(map(win_rate, owners.values()))
    assert rates[-1] - rates[0] > 0.2
    small = [record for record in closed if tcv(record) < 10_000]
    large = [record for record in closed if tcv(record) > 40_000]
    assert win_rate(small) - win_rate(large) > 0.15
