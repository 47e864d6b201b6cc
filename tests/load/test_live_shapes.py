"""Every status and every cell of the forecast, on an account that answers as a real one does.

What is expected is summed here, in decimals, from the facts that the account was made of; nothing
is taken from the server's answers or from the package.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
from commands import NO_CHARTS
from facts_account import (
    ARCHIVED,
    C_LOST,
    C_WON,
    LEAD,
    NEW,
    P_AGREED,
    P_PILOT,
    P_WON_OVER,
    PARTNERS,
    PROPOSAL,
    Deal,
    Facts,
    Line,
    Milestone,
    Quirks,
    make_facts,
)
from facts_server import TOKEN, FactsServer, serving

import capsule_analytics as ca
from capsule_analytics.cli import report_main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AS_OF = date(2026, 3, 10)
DELETED = frozenset({P_PILOT, P_AGREED})
OF_ARCHIVED = frozenset({701, C_WON, C_LOST})
OF_PARTNERS = frozenset({401, P_WON_OVER, 403, 404, 405})
EMBED = ("tags", "fields", "missingImportantFields")

MODES = {
    f"{'absent' if absent else 'null'}-{'told' if told else 'gone'}-{'all' if every else 'no_all'}"
    f"-{archived}": Quirks(
        absent=absent, deleted_milestones=told, milestones_all=every, archived=archived
    )
    for absent in (False, True)
    for told in (False, True)
    for every in (False, True)
    for archived in ("listed", "empty", "404")
}
OLD = {
    f"{kind}-{'absent' if absent else 'null'}": Quirks(old=kind, absent=absent)
    for kind in ("ids", "names", "oldest")
    for absent in (False, True)
}


def unknown_to(quirks: Quirks) -> frozenset[int]:
    """Give the milestones that no way of asking can tell."""
    if quirks.old:
        more = OF_PARTNERS if quirks.old == "oldest" else frozenset()
        return DELETED | OF_ARCHIVED | more
    return frozenset() if quirks.deleted_milestones else DELETED


def load(server: FactsServer, **options: Any) -> ca.Pipeline:
    with ca.CapsuleClient(base_url=server.url, token=TOKEN, api_version="v2") as client:
        return ca.load_pipeline(client, as_of=AS_OF, **options)


@cache
def account() -> Facts:
    return make_facts()


@cache
def loaded(mode: str) -> ca.Pipeline:
    """Load the account once a mode, with everything that can be asked for."""
    quirks = MODES[mode] if mode in MODES else OLD[mode]
    with serving(account(), quirks) as server:
        return load(server, embed=EMBED if mode in MODES else ())


# What is true, worked out from the facts.


def milestone_of(deal: Deal, facts: Facts, unknown: frozenset[int]) -> Milestone | None:
    at = deal.milestone
    return None if at is None or at in unknown else facts.milestones[at]


def status_of(deal: Deal, facts: Facts, unknown: frozenset[int]) -> str:
    at = milestone_of(deal, facts, unknown)
    return "open" if at is None else at.status


def chance_of(deal: Deal, facts: Facts, unknown: frozenset[int]) -> Decimal | None:
    at = milestone_of(deal, facts, unknown)
    own = deal.probability if deal.probability is not None else at and at.probability
    return None if own is None else Decimal(own) / 100


def worth_of(deal: Deal) -> Decimal | None:
    if deal.amount is None or deal.basis in {None, "FIXED"}:
        return deal.amount
    return None if deal.duration is None else deal.amount * deal.duration


MEASURES = (
    "open_deals", "open_value", "weighted_value", "won_deals", "won_value", "expected_value",
    "overdue_deals", "overdue_value", "overdue_weighted",
)  # fmt: skip

Key = tuple[str | None, ...]


def forecast_of(
    facts: Facts, unknown: frozenset[int], by: str | None = None
) -> dict[Key, dict[str, Decimal]]:
    """Sum by close month and currency, and by pipeline or owner, in decimals."""
    cells: dict[Key, dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(MEASURES, Decimal(0)))
    for deal in facts.deals.values():
        status = status_of(deal, facts, unknown)
        if status == "lost":
            continue
        day = (deal.closed or deal.expected) if status == "won" else deal.expected
        at = milestone_of(deal, facts, unknown)
        group = {
            None: (),
            "pipeline": (facts.lines[at.pipeline].name if at else None,),
            "owner": (facts.users[deal.owner]["username"] if deal.owner else None,),
        }[by]
        cell = cells[day and f"{day:%Y-%m}", deal.currency, *group]
        worth = worth_of(deal) or Decimal(0)
        weighted = worth * (chance_of(deal, facts, unknown) or 0)
        if status == "won":
            cell["won_deals"] += 1
            cell["won_value"] += worth
            cell["expected_value"] += worth
            continue
        kinds = ["open", "overdue"] if day and day < AS_OF else ["open"]
        for kind in kinds:
            cell[f"{kind}_deals"] += 1
            cell[f"{kind}_value"] += worth
        cell["weighted_value"] += weighted
        cell["expected_value"] += weighted
        cell["overdue_weighted"] += weighted if len(kinds) > 1 else 0
    return dict(cells)


def text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def check_forecast(
    pipeline: ca.Pipeline, facts: Facts, unknown: frozenset[int], by: str | None = None
) -> None:
    table = ca.forecast.by_month(pipeline, by=by)
    keys = ["month", "currency", *([by] if by else [])]
    told = {tuple(text(row[key]) for key in keys): row for row in table.to_dict("records")}
    expected = forecast_of(facts, unknown, by)
    assert len(told) == len(table)
    assert set(told) == set(expected)
    wrong = [
        (key, name, row[name], cell[name])
        for key, cell in expected.items()
        for row in [told[key]]
        for name in MEASURES
        if abs(Decimal(repr(float(row[name]))) - cell[name]) > Decimal("0.0001")
    ]
    assert wrong == []


def check_deals(pipeline: ca.Pipeline, facts: Facts, unknown: frozenset[int]) -> None:
    """Compare how every deal stands with the facts."""
    frame = pipeline.opportunities
    assert set(frame.index) == set(facts.deals)
    wrong = []
    for number, row in frame.to_dict("index").items():
        deal = facts.deals[number]
        at = milestone_of(deal, facts, unknown)
        name = facts.milestones[deal.milestone].name if deal.milestone is not None else None
        worth, chance = worth_of(deal), chance_of(deal, facts, unknown)
        expected = {
            "status": status_of(deal, facts, unknown),
            "milestone": name,
            "milestone_id": deal.milestone,
            "pipeline": facts.lines[at.pipeline].name if at else None,
            "pipeline_id": at.pipeline if at else None,
            "tcv": None if worth is None else float(worth),
            "value": None if deal.amount is None else float(deal.amount),
            "currency": deal.currency,
            "probability": None if chance is None else float(chance),
        }
        for key, value in expected.items():
            got = None if pd.isna(row[key]) else row[key]
            close = isinstance(value, float) and got is not None and abs(got - value) < 1e-6
            if got != value and not close:
                wrong.append((number, key, got, value))
    assert wrong == []


def found(pipeline: ca.Pipeline, check: str) -> set[int]:
    issues = pipeline.issues
    return {int(one) for one in issues.loc[issues["check"] == check, "opportunity_id"].dropna()}


def check_unknown(pipeline: ca.Pipeline, facts: Facts, unknown: frozenset[int]) -> None:
    """Each deal of an unknown milestone is told, as an error, and no other."""
    stray = {d.id for d in facts.deals.values() if milestone_of(d, facts, unknown) is None}
    assert found(pipeline, "unknown_milestone") == stray
    told = pipeline.issues[pipeline.issues["check"] == "unknown_milestone"]
    assert set(told["severity"]) <= {"error"}


@pytest.mark.parametrize("mode", MODES)
class TestEveryMode:
    def test_every_deal_stands_where_it_stands(self, mode: str) -> None:
        check_deals(loaded(mode), account(), unknown_to(MODES[mode]))

    def test_every_cell_of_the_forecast(self, mode: str) -> None:
        check_forecast(loaded(mode), account(), unknown_to(MODES[mode]))

    def test_unknown_milestones_are_told_as_errors(self, mode: str) -> None:
        check_unknown(loaded(mode), account(), unknown_to(MODES[mode]))

    def test_the_last_open_milestone_is_the_deals_own(self, mode: str) -> None:
        """Also where it is of another pipeline, and where its milestone was deleted."""
        facts = account()
        frame = loaded(mode).opportunities
        told = {
            int(i): (None if pd.isna(n) else int(n), text(name))
            for i, n, name in frame[["last_open_milestone_id", "last_open_milestone"]].itertuples()
        }
        assert told == {
            d.id: (d.last_open, None if d.last_open is None else facts.milestones[d.last_open].name)
            for d in facts.deals.values()
        }

    def test_a_renamed_user_is_one_person(self, mode: str) -> None:
        facts = account()
        frame = loaded(mode).opportunities
        told = {int(i): None if pd.isna(n) else int(n) for i, n in frame["owner_id"].items()}
        assert told == {deal.id: deal.owner for deal in facts.deals.values()}
        names = frame.groupby(frame["owner_id"].astype("object"))["owner"].agg(
            lambda held: sorted(set(held.astype(object)))
        )
        assert names.to_dict() == {n: [user["username"]] for n, user in facts.users.items()}

    def test_times_and_teams(self, mode: str) -> None:
        facts = account()
        frame = loaded(mode).opportunities

        def at(column: str) -> dict[int, datetime | None]:
            held = frame[column]
            return {int(i): None if pd.isna(t) else t.to_pydatetime() for i, t in held.items()}

        deals = facts.deals.values()
        assert at("created_at") == {deal.id: deal.created for deal in deals}
        assert at("last_stage_changed_at") == {deal.id: deal.stage_changed for deal in deals}
        assert at("last_contacted_at") == {deal.id: deal.contacted for deal in deals}
        days = {
            d.id: d.closed and datetime(d.closed.year, d.closed.month, d.closed.day, tzinfo=UTC)
            for d in deals
        }
        assert at("closed_at") == days
        assert {int(i): text(name) for i, name in frame["team"].items()} == {
            deal.id: None if deal.team is None else facts.teams[deal.team] for deal in deals
        }
        assert {int(i): None if pd.isna(n) else int(n) for i, n in frame["team_id"].items()} == {
            deal.id: deal.team for deal in deals
        }

    def test_parties_are_shown_by_the_name_that_they_have(self, mode: str) -> None:
        parties = {deal.id: deal.party for deal in account().deals.values()}
        told = loaded(mode).opportunities["party"]
        assert {int(i): text(name) for i, name in told.items()} == {
            number: party.get("name") or f"{party['firstName']} {party['lastName']}"
            for number, party in parties.items()
        }

    def test_win_rates_by_person_and_month(self, mode: str) -> None:
        """Won over won and lost, without the lost ones whose reason does not count."""
        frame = loaded(mode).opportunities
        ended = frame[frame["status"].isin(["won", "lost"])]
        left_out = ended["counts_for_conversion"].eq(other=False).fillna(value=False).astype(bool)
        lost_only = ended["status"] == "lost"
        assert not (left_out & ~lost_only).any()
        counted = ended[~left_out].assign(month=ended["closed_at"].dt.strftime("%Y-%m"))
        groups = counted.groupby([counted["owner_id"].astype("object"), "month"], dropna=False)
        told = {
            (None if pd.isna(owner) else int(owner), month): (int((rows == "won").sum()), len(rows))
            for (owner, month), rows in groups["status"]
        }
        assert told == won_and_counted(account(), unknown_to(MODES[mode]))

    def test_milestones_of_every_pipeline(self, mode: str) -> None:
        """Archived and deleted ones too, if any way of asking tells them."""
        facts, quirks = account(), MODES[mode]
        table = loaded(mode).milestones
        known = {n: m for n, m in facts.milestones.items() if n not in unknown_to(quirks)}
        assert set(known) <= set(table.index)
        for number, one in known.items():
            row = table.loc[number]
            assert row["name"] == one.name
            assert bool(row["complete"]) is one.complete
            assert row["probability"] == pytest.approx((one.probability or 0) / 100)
            assert row["pipeline_id"] == one.pipeline
            assert row["pipeline"] == facts.lines[one.pipeline].name
            stale = row["days_until_stale"]
            assert (None if pd.isna(stale) else int(stale)) == one.stale
            if not one.deleted:
                assert bool(row["archived"]) is (one.pipeline == ARCHIVED)


def won_and_counted(
    facts: Facts, unknown: frozenset[int]
) -> dict[tuple[int | None, str | None], tuple[int, int]]:
    """Count won and counted deals by person and month of closing."""
    counts: dict[tuple[int | None, str | None], list[int]] = defaultdict(lambda: [0, 0])
    for deal in facts.deals.values():
        status = status_of(deal, facts, unknown)
        counted = deal.lost_reason is None or facts.reasons[deal.lost_reason][1]
        if status == "open" or (status == "lost" and not counted):
            continue
        cell = counts[deal.owner, deal.closed and f"{deal.closed:%Y-%m}"]
        cell[0] += status == "won"
        cell[1] += 1
    return {key: (won, of) for key, (won, of) in counts.items()}


class TestGroups:
    @pytest.mark.parametrize("by", ["pipeline", "owner"])
    @pytest.mark.parametrize("mode", ["null-told-no_all-404", "absent-gone-all-listed"])
    def test_every_cell_by_group(self, mode: str, by: str) -> None:
        check_forecast(loaded(mode), account(), unknown_to(MODES[mode]), by)

    def test_win_rates_of_the_package_leave_out_what_does_not_count(self) -> None:
        facts, pipeline = account(), loaded("null-told-all-listed")
        table = ca.calibration.win_rates(ca.calibration.outcomes([], pipeline), by="owner")
        told = {row["key"]: row for row in table.to_dict("records") if not pd.isna(row["key"])}
        totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for (owner, _), (won, counted) in won_and_counted(facts, frozenset()).items():
            if owner is not None:
                totals[facts.users[owner]["username"]][0] += won
                totals[facts.users[owner]["username"]][1] += counted
        assert {name: [row["won"], row["deals"]] for name, row in told.items()} == dict(totals)
        for name, (won, counted) in totals.items():
            assert told[name]["raw_rate"] == pytest.approx(won / counted)

    def test_win_rates_by_owner_and_quarter(self) -> None:
        facts, pipeline = account(), loaded("null-told-all-listed")
        table = ca.calibration.win_rates(
            ca.calibration.outcomes([], pipeline), by=["owner", "quarter"]
        )
        told = {
            (row["owner"], str(row["quarter"]).replace("-", "")): [row["won"], row["deals"]]
            for row in table.to_dict("records")
            if not pd.isna(row["owner"])
        }
        counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for (owner, month), (won, counted) in won_and_counted(facts, frozenset()).items():
            if owner is not None and month is not None:
                cell = counts[facts.users[owner]["username"], str(pd.Period(month).asfreq("Q"))]
                cell[0] += won
                cell[1] += counted
        assert told == dict(counts)


class TestRequests:
    def test_a_milestone_is_asked_for_only_where_no_list_has_it(self) -> None:
        with serving(account(), Quirks(milestones_all=False)) as server:
            load(server)
        single = [p for _, p, _ in server.asked if p.removeprefix("milestones/").isdigit()]
        assert sorted(single) == sorted({f"milestones/{n}" for n in DELETED})

    def test_short_pages_of_reference_data_are_followed(self) -> None:
        quirks = Quirks(short_lists=2, milestones_all=False)
        with serving(account(), quirks) as server:
            pipeline = load(server)
        check_deals(pipeline, account(), frozenset())

    @pytest.mark.parametrize("shown", [False, True])
    def test_a_restricted_row_hides_what_is_not_shown(self, shown: bool) -> None:
        """It has no time: a deal that the same load shows is hidden no longer."""
        facts = account()
        number = min(facts.deals)
        deals = {n: deal for n, deal in facts.deals.items() if shown or n != number}
        facts = dataclasses.replace(facts, deals=deals, restricted=[number])
        with serving(facts) as server:
            pipeline = load(server)
        assert (number in pipeline.opportunities.index) is shown
        check_deals(pipeline, facts, frozenset())

    def test_a_load_is_a_few_dozen_requests(self) -> None:
        with serving(account()) as server:
            load(server)
        assert len(server.asked) < 60


class Standing(NamedTuple):
    """A deal and the milestone at which it stands."""

    deal: Deal
    at: Milestone


class TestFilters:
    @pytest.mark.parametrize(
        ("wanted", "is_wanted"),
        [
            ({"pipeline": "Partners"}, lambda x: x.at.pipeline == PARTNERS),
            ({"team": "North"}, lambda x: x.deal.team == 41),
            ({"status": "won"}, lambda x: x.at.status == "won"),
            ({"status": "open"}, lambda x: x.at.status == "open"),
            ({"owner": "ada"}, lambda x: x.deal.owner == 811),
            # Won is a name in each of the pipelines, and open in this one.
            ({"milestone": "Won", "pipeline": "Partners"}, lambda x: x.at.id == P_WON_OVER),
            ({"pipeline": "Renewals 2024", "status": "lost"}, lambda x: x.at.id == C_LOST),
            (
                {"tag": "Contract", "owner": "bo"},
                lambda x: 602 in x.deal.tags and x.deal.owner == 812,
            ),
        ],
        ids=lambda one: "-".join(one.values()) if isinstance(one, dict) else "",
    )
    def test_a_filter_loads_what_it_names(
        self, wanted: dict[str, str], is_wanted: Callable[[Standing], bool]
    ) -> None:
        facts = account()
        with serving(facts) as server:
            pipeline = load(server, **wanted)
        kept = {
            number: deal
            for number, deal in facts.deals.items()
            if is_wanted(Standing(deal, facts.milestones[deal.milestone or 0]))
        }
        assert len(kept) > 5
        check_deals(pipeline, dataclasses.replace(facts, deals=kept), frozenset())


class TestStale:
    def test_open_deals_that_stand_longer_than_their_milestone_allows(self) -> None:
        """Deals within two days of the limit are left out: the hour decides there."""
        facts, pipeline = account(), loaded("null-told-all-listed")
        over: dict[int, int] = {}
        for deal in facts.deals.values():
            at = facts.milestones[deal.milestone or 0]
            if at.status == "open" and deal.stage_changed is not None and at.stale is not None:
                over[deal.id] = (AS_OF - deal.stage_changed.date()).days - at.stale
        told = found(pipeline, "stale")
        assert told >= {number for number, days in over.items() if days > 2}
        assert not told & {number for number, days in over.items() if days < -2}
        assert told <= set(over)
        issues = pipeline.issues
        assert set(issues.loc[issues["check"] == "stale", "severity"]) == {"info"}


class TestOldStandIns:
    """A server that answers 404 to all that is new: same figures as far as names can tell."""

    @pytest.mark.parametrize("mode", ["ids-null", "ids-absent", "oldest-null", "oldest-absent"])
    def test_deals_with_ids_are_joined_to_the_milestones_that_are_listed(self, mode: str) -> None:
        """Pilot, Agreed, the archived pipeline, and with one list all of Partners, are unknown."""
        unknown = unknown_to(OLD[mode])
        frame = loaded(mode).opportunities
        facts = account()
        assert set(frame.index) == set(facts.deals)
        for number, status in frame["status"].items():
            assert status == status_of(facts.deals[number], facts, unknown), number
        check_unknown(loaded(mode), facts, unknown)
        check_forecast(loaded(mode), facts, unknown)

    @pytest.mark.parametrize("mode", ["names-null", "names-absent"])
    def test_deals_without_ids_are_joined_by_a_name_that_is_one_things(self, mode: str) -> None:
        """Lead, Proposal, Contract, Signed and Lost mean the same wherever they stand."""
        facts, frame = account(), loaded(mode).opportunities
        assert set(frame.index) == set(facts.deals)
        clear = {"Lead", "Proposal", "Contract", "Signed", "Lost"}
        for number, status in frame["status"].items():
            at = facts.milestones[facts.deals[number].milestone or 0]
            if at.name in clear:
                assert status == at.status, number

    @pytest.mark.parametrize("mode", ["names-null", "names-absent"])
    def test_a_name_of_two_outcomes_is_flagged(self, mode: str) -> None:
        """Won is a closing milestone in one pipeline and an open one in the other."""
        facts, pipeline = account(), loaded(mode)
        issues = pipeline.issues
        flagged = set(issues.loc[issues["severity"] != "info", "opportunity_id"])
        doubtful = {
            d.id for d in facts.deals.values() if facts.milestones[d.milestone or 0].name == "Won"
        }
        told = issues[issues["check"].str.contains("milestone") & (issues["severity"] != "info")]
        assert doubtful <= flagged
        assert doubtful <= set(told["opportunity_id"])

    def test_values_and_people_are_the_same(self) -> None:
        frame, facts = loaded("ids-null").opportunities, account()
        for number, tcv in frame["tcv"].items():
            worth = worth_of(facts.deals[number])
            assert (None if pd.isna(tcv) else tcv) == (worth and pytest.approx(float(worth)))


def with_deals(facts: Facts, *deals: Deal) -> Facts:
    """Add deals to an account, without touching it."""
    return dataclasses.replace(facts, deals=facts.deals | {deal.id: deal for deal in deals})


def small() -> Facts:
    return make_facts(seed=3, count=40)


def one_deal(number: int, milestone: int | None, **told: Any) -> Deal:
    defaults: dict[str, Any] = {"amount": Decimal(1000), "currency": "GBP", "owner": 812}
    defaults |= {"expected": date(2026, 5, 20), "party": {"id": 1, "type": "organisation"}}
    defaults |= {"username": "bo"}
    return Deal(number, f"Deal {number}", milestone=milestone, **(defaults | told))


class TestBadInput:
    @pytest.mark.parametrize("milestones_all", [False, True])
    def test_a_pipeline_that_goes_between_two_requests(self, milestones_all: bool) -> None:
        quirks = Quirks(vanished=frozenset({PARTNERS}), milestones_all=milestones_all)
        with serving(account(), quirks) as server:
            pipeline = load(server)
        check_deals(pipeline, account(), frozenset())
        check_forecast(pipeline, account(), frozenset())

    @pytest.mark.parametrize("short", [100, 7])
    def test_thirty_pipelines(self, short: int) -> None:
        """Each has Open, Won and Lost of its own."""
        facts = small()
        lines = {
            n: Line(n, f"Line {n}", f"2024-01-{n - 899:02}T08:00:00Z") for n in range(900, 930)
        }
        kinds = [("Open", False, 40), ("Won", True, 100), ("Lost", True, 0)]
        stages = {
            n * 10 + k: Milestone(n * 10 + k, name, n, done, chance)
            for n in lines
            for k, (name, done, chance) in enumerate(kinds)
        }
        facts = dataclasses.replace(
            facts, lines=facts.lines | lines, milestones=facts.milestones | stages
        )
        facts = with_deals(facts, *(one_deal(80_000 + n, n) for n in stages))
        with serving(facts, Quirks(short_lists=short, milestones_all=False)) as server:
            pipeline = load(server)
        check_deals(pipeline, facts, frozenset())
        check_forecast(pipeline, facts, frozenset())
        for number in lines:
            asked = [q for _, p, q in server.asked if p == f"pipelines/{number}/milestones"]
            assert len(asked) == 1

    def test_a_milestone_with_null_probability(self) -> None:
        facts = small()
        facts.milestones[LEAD] = dataclasses.replace(facts.milestones[LEAD], probability=None)
        facts = with_deals(facts, one_deal(80_001, LEAD), one_deal(80_002, LEAD, probability=30))
        for absent in (False, True):
            with serving(facts, Quirks(absent=absent)) as server:
                pipeline = load(server)
            check_deals(pipeline, facts, frozenset())
            check_forecast(pipeline, facts, frozenset())
            assert 80_001 in found(pipeline, "missing_probability")
            assert 80_002 not in found(pipeline, "missing_probability")

    def test_two_milestones_of_one_name_in_one_pipeline(self) -> None:
        facts = small()
        facts.milestones |= {
            521: Milestone(521, "Review", NEW, complete=False, probability=35),
            522: Milestone(522, "Review", NEW, complete=True, probability=0),
            523: Milestone(523, "Review", NEW, complete=True, probability=100),
        }
        facts = with_deals(
            facts,
            one_deal(80_001, 521),
            one_deal(80_002, 522, last_open=521, closed=date(2026, 2, 1)),
            one_deal(80_003, 523, last_open=521, closed=date(2026, 2, 1)),
        )
        with serving(facts) as server:
            pipeline = load(server)
        statuses = pipeline.opportunities["status"]
        assert [statuses[n] for n in (80_001, 80_002, 80_003)] == ["open", "lost", "won"]
        check_deals(pipeline, facts, frozenset())
        check_forecast(pipeline, facts, frozenset())

    @pytest.mark.parametrize("absent", [False, True])
    def test_a_deal_whose_milestone_is_null(self, absent: bool) -> None:
        facts = with_deals(small(), one_deal(80_001, None, probability=20), one_deal(80_002, None))
        with serving(facts, Quirks(absent=absent)) as server:
            pipeline = load(server)
        check_deals(pipeline, facts, frozenset())
        check_forecast(pipeline, facts, frozenset())
        assert found(pipeline, "unknown_milestone") == {80_001, 80_002}

    def test_a_value_of_which_only_the_currency_is_told(self) -> None:
        facts = with_deals(small(), one_deal(80_001, PROPOSAL, amount=None))
        with serving(facts) as server:
            pipeline = load(server)
        row = pipeline.opportunities.loc[80_001]
        assert row["currency"] == "GBP"
        assert pd.isna(row["tcv"])
        assert 80_001 in found(pipeline, "missing_value")

    def test_goals_of_an_unknown_type_do_not_hide_the_others(self) -> None:
        with (
            serving(account()) as server,
            ca.CapsuleClient(base_url=server.url, token=TOKEN, api_version="v2") as client,
        ):
            targets = ca.targets.from_goals(client)
        pounds = targets[targets["currency"] == "GBP"]
        assert pounds["target"].tolist() == [90000.0] * 3
        assert sorted(pounds["period"].astype(str)) == ["2026-01", "2026-02", "2026-03"]
        euros = targets[targets["currency"] == "EUR"]
        assert euros["target"].tolist() == [40000.0] * 3
        assert set(pounds["owner"]) == {"ada"}
        assert set(euros["pipeline"]) == {"New business"}
        assert (targets["target"] == 12).sum() == 3
        assert 7.0 not in targets["target"].tolist()

    def test_custom_fields_are_typed_and_do_not_collide(self) -> None:
        """Reference stands twice: a text of one DataTag and a number of the other."""
        facts = account()
        held = loaded("null-told-all-listed").opportunities["fields"]
        for number, deal in facts.deals.items():
            told = dict(held[number] or {})
            wanted = [typed(facts.definitions[which]["type"], raw) for which, raw in deal.fields]
            assert len(told) == len(wanted), number
            for value in wanted:
                alike = [one for one in told.values() if same(one, value)]
                assert alike, (number, value, told)

    def test_a_field_whose_type_has_changed(self) -> None:
        """West is no number: it stays as it came, and is told."""
        facts = small()
        facts.definitions[9021] = {"id": 9021, "type": "number", "name": "Region"}
        facts = with_deals(facts, one_deal(80_001, LEAD, fields=((9021, "West"), (9022, "12"))))
        with serving(facts) as server:
            pipeline = load(server, embed=("fields",))
        told = list(pipeline.opportunities.loc[80_001, "fields"].values())
        assert "West" in told
        assert 12 in told
        issues = pipeline.issues
        about = issues.loc[issues["opportunity_id"] == 80_001, "detail"]
        assert about.str.contains("Region").any()
        check_deals(pipeline, facts, frozenset())

    def test_a_total_that_disagrees_once_is_read_again(self) -> None:
        seen: set[tuple[int, int]] = set()
        sizes: list[int] = []

        def off(page: int, size: int) -> int:
            sizes.append(size)
            first = size == sizes[0] and (page, size) not in seen
            seen.add((page, size))
            return 1 if first else 0

        with serving(account(), Quirks(total_off=off)) as server:
            pipeline = load(server)
        check_deals(pipeline, account(), frozenset())

    @pytest.mark.parametrize("error", [1, -1, 250])
    def test_a_total_that_goes_on_disagreeing_is_an_incomplete_load(self, error: int) -> None:
        with (
            serving(account(), Quirks(total_off=lambda _page, _size: error)) as server,
            pytest.raises(ca.CompletenessError),
        ):
            load(server)

    def test_without_totals_nothing_is_missed(self) -> None:
        with serving(account(), Quirks(meta=False)) as server:
            pipeline = load(server)
        check_deals(pipeline, account(), frozenset())


class TestReport:
    """The command as a user gives it, on the same account."""

    @pytest.fixture
    def run(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> Callable[..., tuple[int, str]]:
        """Run the report into the folder `out`, and give its exit code and what it printed."""
        for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(name, str(tmp_path))
        monkeypatch.setenv("CAPSULE_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)

        def report(server: FactsServer, *options: str) -> tuple[int, str]:
            words = ["--base-url", server.url, "--as-of", f"{AS_OF}", "--out", "out"]
            words += [*NO_CHARTS, *options]
            monkeypatch.setattr(sys, "argv", ["capsule-report", *words])
            try:
                code = report_main()
            except SystemExit as ended:
                code = ended.code
            printed = capfd.readouterr()
            return int(code or 0), printed.out + printed.err

        return report

    @pytest.mark.parametrize("told", [True, False])
    def test_every_cell_of_the_file(
        self, run: Callable[..., tuple[int, str]], tmp_path: Path, told: bool
    ) -> None:
        """Deals of an unknown milestone are counted where one reads, and are no failure."""
        quirks = Quirks(deleted_milestones=told)
        unknown = unknown_to(quirks)
        with serving(account(), quirks) as server:
            code, printed = run(server, *(["--no-projection"] if told else []))
        assert code == 0, printed
        with (tmp_path / "out" / "forecast.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        cells = forecast_of(account(), unknown)
        assert {(row["month"] or None, row["currency"] or None) for row in rows} == set(cells)
        wrong = [
            (row["month"], row["currency"], name, row[name], cell[name])
            for row in rows
            for cell in [cells[row["month"] or None, row["currency"] or None]]
            for name in MEASURES
            if not name.startswith("overdue_")  # which the file does not have
            # Half a cent may be rounded either way: sums of floats cannot tell.
            if abs(Decimal(row[name]) - cell[name]) > Decimal("0.00501")
        ]
        assert wrong == []
        stray = sum(deal.milestone in unknown for deal in account().deals.values())
        lines = [line for line in printed.splitlines() if "milestone" in line.lower()]
        assert not stray or any(str(stray) in line for line in lines)

    def test_verify_prints_the_accounts_own_totals(
        self, run: Callable[..., tuple[int, str]]
    ) -> None:
        """In one currency, in which Capsule converts nothing."""
        facts = account()
        deals = {
            n: dataclasses.replace(deal, currency=deal.currency and "GBP")
            for n, deal in facts.deals.items()
        }
        with serving(dataclasses.replace(facts, deals=deals)) as server:
            code, printed = run(server, "--verify", "--no-projection")
        assert code == 0, printed
        assert server.worths
        digits = printed.replace(",", "").replace("\N{NO-BREAK SPACE}", "")
        for told in server.worths:
            assert str(int(told["totalValue"])) in digits

    def test_verify_without_such_totals_is_no_error(
        self, run: Callable[..., tuple[int, str]]
    ) -> None:
        with serving(account(), OLD["ids-null"]) as server:
            code, printed = run(server, "--verify", "--no-projection")
        assert code == 0, printed


def typed(kind: str, raw: Any) -> Any:
    """Give a field's value as its definition types it."""
    if kind == "number":
        return Decimal(raw)
    return date.fromisoformat(raw) if kind == "date" else raw


def same(told: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return told is value
    if isinstance(value, Decimal):
        return not isinstance(told, str | bool | date) and float(told) == float(value)
    if isinstance(value, date):
        return isinstance(told, date) and (told.year, told.month, told.day) == (
            value.year,
            value.month,
            value.day,
        )
    return bool(told == value)


class TestFacts:
    """The account holds every shape that it is there for."""

    def test_it_has_what_it_should(self) -> None:
        facts = account()
        deals = facts.deals.values()
        line = {number: one.pipeline for number, one in facts.milestones.items()}
        assert len(deals) == 728
        assert {deal.milestone for deal in deals} == set(facts.milestones)
        assert sum(d.last_open in DELETED for d in deals) > 5
        moved = [d for d in deals if d.last_open and line[d.last_open] != line[d.milestone or 0]]
        assert len(moved) > 10
        assert {d.basis for d in deals} >= {None, "FIXED", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"}
        assert sum(d.username == "ada.b" for d in deals) > 20
        assert sum(d.owner is None and d.team is not None for d in deals) > 50
        assert sum(d.currency is not None and d.amount is None for d in deals) > 5
        assert sum(d.probability is None for d in deals) > 20
        assert sum("isRestricted" in d.party for d in deals) > 20
        assert {d.lost_reason for d in deals} >= {93, 94, 95}
        assert {d.currency for d in deals} == {"GBP", "EUR", "USD", None}

    def test_it_is_the_same_every_time(self) -> None:
        assert make_facts() == make_facts()
        assert json.dumps(str(make_facts(seed=8))) != json.dumps(str(make_facts()))
