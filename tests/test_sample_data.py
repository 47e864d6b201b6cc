"""The sample account is current, agrees with its history, and holds what its README says."""

from __future__ import annotations

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
WON, LOST = 16, 17
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
    return {WON: "won", LOST: "lost"}.get(record["milestone"]["id"], "open")


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
    assert (DATA / "sample/account.json").stat().st_size < 500_000
    assert (DATA / "sample/snapshots.json").stat().st_size < 1_500_000
    lines = (DATA / "sample/account.json").read_text(encoding="utf-8").split("\n")
    records = [json.loads(line.rstrip(",")) for line in lines if '"createdAt"' in line]
    assert records == account["opportunities"]


def test_top_level_keys(account: Record) -> None:
    assert set(account) == {
        "account", "users", "teams", "pipelines", "milestones", "currencies", "lostReasons",
        "parties", "tags", "opportunities", "additionalParties", "deletedOpportunities",
    }  # fmt: skip
    assert account["account"]["asOf"] == AS_OF
    assert account["currencies"] == ["GBP", "EUR", "USD", "CHF"]
    assert (len(account["users"]), len(account["teams"]), len(account["tags"])) == (6, 2, 8)
    steps = [(m["probability"], m["complete"]) for m in account["milestones"]]
    assert steps == [
        (10, False), (25, False), (50, False), (70, False), (90, False), (100, True), (0, True),
    ]  # fmt: skip


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
    assert {record["owner"]["id"] for record in sound} == {user["id"] for user in account["users"]}
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
        assert (record["milestone"]["lastOpenMilestone"] is not None) == closed
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
    assert len(documented_flaws) == 22
    for number, flaws in documented_flaws.items():
        for path, value in flaws.items():
            *parents, key = path.split(".")
            target = records[number]
            for parent in parents:
                target = target[parent]
            assert target.get(key, "(absent)") == value, (number, path)
    assert records[1547]["durationBasis"] == "MONTH"
    assert records[1523]["team"] is not None


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
        assert record["owner"]
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
    fate = {record["id"]: status(record) for record in sound}
    stated: dict[int, float] = defaultdict(float)
    came_true: Counter[int] = Counter()
    weighted = won = 0.0
    for day, state in replay(history):
        for number, record in state.items():
            settled = fate.get(number) in ("won", "lost")
            if day < "2026-04" and settled and status(record) == "open":
                stated[record["milestone"]["id"]] += record["probability"] / 100
                came_true[record["milestone"]["id"]] += fate[number] == "won"
                weighted += tcv(record) * record["probability"] / 100
                won += tcv(record) * (fate[number] == "won")
    late = [m["id"] for m in account["milestones"] if 50 < m["probability"] < 100]
    assert late == [14, 15]
    assert all(came_true[number] < 0.8 * stated[number] for number in late)
    assert won < 0.8 * weighted


def test_owners_and_sizes_win_at_different_rates(sound: list[Record]) -> None:
    def win_rate(records: list[Record]) -> float:
        return sum(status(record) == "won" for record in records) / len(records)

    closed = [record for record in sound if status(record) != "open"]
    owners: dict[str, list[Record]] = defaultdict(list)
    for record in closed:
        owners[record["owner"]["username"]].append(record)
    rates = sorted(map(win_rate, owners.values()))
    assert rates[-1] - rates[0] > 0.2
    small = [record for record in closed if tcv(record) < 10_000]
    large = [record for record in closed if tcv(record) > 40_000]
    assert win_rate(small) - win_rate(large) > 0.15
