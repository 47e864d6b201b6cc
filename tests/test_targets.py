"""Targets: reading them, and how far the deals of a period get."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deals import deals

from capsule_analytics._words import period_text, period_words
from capsule_analytics.api import CapsuleClient
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.sandbox import Account, Sandbox
from capsule_analytics.targets import attainment, from_goals, read_targets, unmatched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEALS = [
    {"value": 60, "milestone": "Won", "closed_at": "2026-10-05", "owner": "ann"},
    {"value": 30, "probability": 50, "expected_close": "2026-10-20", "owner": "ann"},
    {"value": 50, "probability": 20, "expected_close": "2026-11-20", "owner": "bob"},
    {"value": 99, "milestone": "Lost", "closed_at": "2026-10-05", "owner": "bob"},
    {"value": 70, "currency": "EUR", "probability": 50, "expected_close": "2026-10-20"},
    {"value": 40, "milestone": "Won", "closed_at": "2026-02-05", "owner": "bob"},
]


def read(folder: Path, text: str) -> pd.DataFrame:
    path = folder / "targets.csv"
    path.write_text(text, encoding="utf-8")
    return read_targets(path)


def one(period: str, target: float, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"period": [period], "currency": "GBP", "target": [target], **more})


def row(period: str, target: float, **options: Any) -> dict[str, Any]:
    (figures,) = attainment(deals(DEALS), one(period, target), **options).to_dict("records")
    return figures


def test_a_month_against_its_target() -> None:
    # 60 is won, 30 is open at 50 %: the target of 80 needs the open deal.
    assert row("2026-10", 80) == {
        "period": "2026-10",
        "currency": "GBP",
        "target": 80,
        "won_value": 60,
        "expected_value": 75,
        "attainment": 0.75,
        "gap": 20,
        "coverage": 1.5,
        "chance": 0.5,
    }


def test_a_quarter_and_a_year_are_measured_on_their_own() -> None:
    # The quarter adds 50 at 20 %. To reach 120 from 60: only both, 50 % x 20 %.
    quarter = row("2026-Q4", 120)
    assert [quarter[n] for n in ("won_value", "expected_value", "gap")] == [60, 85, 60]
    assert quarter["coverage"] == pytest.approx(80 / 60)
    assert quarter["chance"] == pytest.approx(0.1)
    year = row("2026", 120)
    assert [year[n] for n in ("won_value", "gap", "coverage")] == [100, 20, 4]
    assert year["chance"] == pytest.approx(1 - 0.5 * 0.8)


def test_a_target_that_is_reached_has_no_gap_and_is_certain() -> None:
    reached = row("2026-10", 60)
    assert (reached["attainment"], reached["gap"], reached["chance"]) == (1, 0, 1)
    assert math.isnan(reached["coverage"])


def test_a_target_of_nothing_has_no_attainment() -> None:
    nothing = row("2026-10", 0)
    assert math.isnan(nothing["attainment"])
    assert (nothing["gap"], nothing["chance"]) == (0, 1)


def test_a_period_without_deals_has_zeros() -> None:
    empty = row("2030-01", 100)
    assert [empty[n] for n in ("won_value", "expected_value", "attainment", "gap")] == [
        0,
        0,
        0,
        100,
    ]
    assert (empty["coverage"], empty["chance"]) == (0, 0)


def test_owners_have_their_own_targets_beside_the_teams() -> None:
    targets = pd.DataFrame(
        {
            "period": "2026-Q4",
            "currency": "GBP",
            "owner": ["bob", None, "ann"],
            "target": [100.0, 100.0, 100.0],
        }
    )
    table = attainment(deals(DEALS), targets)
    assert list(table.columns) == [
        "period",
        "currency",
        "owner",
        "target",
        "won_value",
        "expected_value",
        "attainment",
        "gap",
        "coverage",
        "chance",
    ]
    assert table["owner"].fillna("team").tolist() == ["bob", "team", "ann"]
    assert table["won_value"].tolist() == [0, 60, 60]
    assert table["expected_value"].tolist() == [10, 85, 75]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"currency": "GPB"}, "the currency 'GPB', and no deal has it; there are EUR, GBP"),
        ({"owner": "anne"}, "the owner 'anne', and no deal has it; there are ann, bob"),
    ],
)
def test_a_target_that_no_deal_could_count_for_is_told(wrong: dict[str, str], message: str) -> None:
    """It may be a new colleague's, or mistyped: it has zeros, and is told."""
    goals = one("2026-10", 80).assign(**wrong)
    assert attainment(deals(DEALS), goals)["won_value"].tolist() == [0]
    assert unmatched(deals(DEALS), goals) == [f"there is a target for {message}"]
    assert unmatched(deals(DEALS), one("2026-10", 80)) == []
    (said,) = unmatched(deals([]), one("2026-10", 80))
    assert said.endswith("no deal has it; there are none")


def test_an_owner_with_lost_deals_alone_has_zeros() -> None:
    lost = {"value": 9, "milestone": "Lost", "closed_at": "2026-10-05", "owner": "eve"}
    table = attainment(deals([*DEALS, lost]), one("2026-10", 80, owner=["eve"]))
    assert table["expected_value"].tolist() == [0]


def test_currencies_are_apart() -> None:
    euros = one("2026-10", 70).assign(currency="EUR")
    table = attainment(deals(DEALS), euros)
    assert table[["won_value", "expected_value", "chance"]].to_numpy().tolist() == [[0, 35, 0.5]]


@pytest.mark.parametrize(
    ("period", "start", "won"),
    [
        ("2026-Q4", 1, 60),  # October to December 2026
        ("2026-Q4", 4, 40),  # January to March 2026
        ("2027-Q3", 4, 60),  # October to December 2026
        ("2026", 4, 40),  # April 2025 to March 2026
        ("2027", 4, 60),  # April 2026 to March 2027
        ("2026", 11, 100),  # November 2025 to October 2026
        ("2026-10", 4, 60),  # months are those of the calendar
    ],
)
def test_quarters_and_years_are_those_of_the_fiscal_year(
    period: str, start: int, won: float
) -> None:
    assert row(period, 1_000, fiscal_year_start=start)["won_value"] == won


def test_overdue_deals_follow_the_policy() -> None:
    late = deals([{"value": 30, "probability": 50, "expected_close": "2026-09-20"}])
    expected = {
        policy: attainment(late, one("2026-10", 100), overdue=policy)["expected_value"].item()
        for policy in ("keep", "roll", "drop")
    }
    assert expected == {"keep": 0, "roll": 15, "drop": 0}


def test_other_probabilities_and_correlation_change_the_chance() -> None:
    assert row("2026-10", 80, probability=pd.Series({2: 0.3}))["chance"] == pytest.approx(0.3)
    # Deals of 50 % and 20 % that go together: both are won as often as the less likely one.
    assert row("2026-Q4", 140, correlation=0.0)["chance"] == pytest.approx(0.1)
    assert row("2026-Q4", 140, correlation=1.0)["chance"] == pytest.approx(0.2, abs=1e-3)


def test_deals_of_unknown_amount_add_nothing() -> None:
    rows = [{"value": None, "expected_close": "2026-10-20"}, *DEALS]
    (figures,) = attainment(deals(rows), one("2026-10", 80)).to_dict("records")
    assert figures == row("2026-10", 80)


def test_targets_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    targets = read(
        tmp_path,
        "period,currency,owner,target\n"
        "2026,GBP,,1000000\n"
        "2026-Q4,GBP,ann,250000.50\n"
        "2026-10,EUR,,0\n",
    )
    assert targets.astype(object).where(targets.notna(), "none").to_numpy().tolist() == [
        ["2026", "GBP", "none", 1_000_000.0],
        ["2026-Q4", "GBP", "ann", 250_000.5],
        ["2026-10", "EUR", "none", 0.0],
    ]
    assert attainment(deals(DEALS), targets)["won_value"].tolist() == [100, 60, 0]


def test_a_file_without_owners_and_with_columns_in_another_order(tmp_path: Path) -> None:
    targets = read(tmp_path, "\ufefftarget, period, currency\n5, 2026 ,GBP\n\n")
    assert list(targets.columns) == ["period", "currency", "target"]
    assert targets.to_numpy().tolist() == [["2026", "GBP", 5.0]]


def test_a_file_of_a_header_alone_has_no_targets(tmp_path: Path) -> None:
    targets = read(tmp_path, "period,currency,target\n")
    assert attainment(deals(DEALS), targets).empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header must be"),
        ("month,currency,target\n", "line 1: the header must be"),
        ("period,currency,target,team\n", "line 1: .* and may have owner, pipeline, measure"),
        ("period,currency,target,target\n", "line 1: the header must be"),
        ("period,currency,measure,target\n2026,GBP,won,1\n", "value or deals, not 'won'"),
        ("period,currency,measure,target\n2026,GBP,deals,1.5\n", "a whole number, not 1.5"),
        ("period,currency,measure,target\n2026,,value,1\n", "'' is not a currency code"),
        (
            "period,currency,target\n2026-Q4,GBP,1\nQ4 2026,GBP,2\n",
            "line 3: line 2 has a target for 2026-Q4 GBP already",
        ),
        ("period,currency,target\n2026-13,GBP,1\n", "line 2: '2026-13' is not a period"),
        ("period,currency,target\n2026-Q5,GBP,1\n", "line 2: '2026-Q5' is not a period"),
        ("period,currency,target\n26,GBP,1\n", "line 2: '26' is not a period"),
        ("period,currency,target\n2026,pounds,1\n", "line 2: 'pounds' is not a currency code"),
        ("period,currency,target\n2026,GBP,many\n", "line 2: the target 'many' is not a number"),
        ("period,currency,target\n2026,GBP,-1\n", "line 2: a target must be 0 or more"),
        ("period,currency,target\n2026,GBP,inf\n", "line 2: a target must be 0 or more"),
        ("period,currency,target\n2026,GBP\n", "line 2: as many fields"),
        ("period,currency,target\n2026,GBP,1,000\n", "line 2: as many fields"),
        (
            "period,currency,owner,target\n2026,GBP,ann,1\n2026,GBP,,2\n2026,GBP,ann,3\n",
            "line 4: line 2 has a target for 2026 GBP ann already",
        ),
        ('period,currency,target\n2026,"GBP', "cannot be read as a CSV file"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_targets(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (one("2026", 1).drop(columns="currency"), "'currency'"),
        (one("soon", 1), "'soon' is not a period"),
        (one("2026", -1), "0 or more"),
        (one("2026", math.nan), "0 or more"),
    ],
)
def test_a_table_of_targets_is_checked_too(targets: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        attainment(deals(DEALS), targets)


@pytest.mark.parametrize("targets", ["targets.csv", None])
def test_what_is_no_table_of_targets_is_refused(targets: Any) -> None:
    with pytest.raises(ArgumentError, match="a table as read_targets returns it, not"):
        attainment(deals(DEALS), targets)


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(ArgumentError, match="1 to 12"):
        row("2026", 1, fiscal_year_start=0)
    with pytest.raises(ArgumentError, match="not list"):
        attainment([], one("2026", 1))  # type: ignore[arg-type]


def test_nothing_is_changed() -> None:
    pipeline, targets = deals(DEALS), one("2026", 1)
    frame, copy = pipeline.opportunities.copy(deep=True), targets.copy(deep=True)
    attainment(pipeline, targets, overdue="roll")
    pd.testing.assert_frame_equal(pipeline.opportunities, frame)
    pd.testing.assert_frame_equal(targets, copy)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("2026-10", "2026-10"),
        ("Oct 2026", "2026-10"),
        ("oct 2026", "2026-10"),
        ("2026-Q4", "2026-Q4"),
        ("2026Q4", "2026-Q4"),
        ("2026 Q4", "2026-Q4"),
        ("Q4 2026", "2026-Q4"),
        ("Q4\N{NO-BREAK SPACE}2026", "2026-Q4"),
        ("Q3 FY2027", "2027-Q3"),
        ("FY2027-Q3", "2027-Q3"),
        ("2026", "2026"),
        ("FY2027", "2027"),
        ("FY 2027", "2027"),
    ],
)
def test_a_period_is_read_in_every_form_that_is_printed(
    tmp_path: Path, text: str, period: str
) -> None:
    assert read(tmp_path, f"period,currency,target\n{text},GBP,1\n")["period"].tolist() == [period]
    assert row(text, 900)["period"] == period
    assert row(text, 900) == row(period, 900)


@pytest.mark.parametrize("freq", ["M", "Q-DEC", "Q-MAR", "Q-JUN", "Y-DEC", "Y-MAR"])
def test_what_the_package_prints_names_the_same_days(freq: str) -> None:
    """Each of 24 deals counts for its own period, whichever way that is written."""
    start = {"MAR": 4, "JUN": 7}.get(freq[2:], 1)
    days = pd.date_range("2025-01-15", "2026-12-15", freq="MS") + pd.Timedelta(days=14)
    won = [
        {"value": 2**n, "milestone": "Won", "closed_at": f"{day:%Y-%m-%d}"}
        for n, day in enumerate(days)
    ]
    values = pd.Series([deal["value"] for deal in won]).groupby(days.to_period(freq)).sum()
    forms = [(str(period), period_words(period), period_text(period)) for period in values.index]
    plan = pd.concat([one(text, 1) for texts in forms for text in texts], ignore_index=True)
    table = attainment(deals(won), plan, fiscal_year_start=start)
    assert table["won_value"].tolist() == [value for value in values for _ in range(3)]


@pytest.mark.parametrize("text", ["2026-13", "Q5 2026", "26", "Okt 2026", "FY26", "2026-Q4-1", ""])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(DataError, match="is not a period"):
        row(text, 1)


PIPELINES = [
    {"value": 60, "milestone": "Won", "closed_at": "2026-10-05", "pipeline": "Sales"},
    {"value": 25, "milestone": "Won", "closed_at": "2026-10-06", "pipeline": "Partners"},
    {"value": None, "milestone": "Won", "closed_at": "2026-10-07", "pipeline": "Sales"},
    {"value": 9, "currency": "EUR", "milestone": "Won", "closed_at": "2026-10-08"}
    | {"pipeline": "Sales"},
    {"value": 30, "probability": 50, "expected_close": "2026-10-20", "pipeline": "Sales"},
    {"value": 10, "probability": 20, "expected_close": "2026-10-20", "pipeline": "Sales"},
]


def test_targets_of_deals_and_of_pipelines(tmp_path: Path) -> None:
    targets = read(
        tmp_path,
        "period,currency,pipeline,measure,target\n"
        "2026-10,GBP,Sales,value,80\n"
        "2026-10,GBP,,,85\n"
        "2026-10,GBP,Sales,deals,4\n"
        "2026-10,,Sales,deals,4\n",
    )
    assert targets["measure"].tolist() == ["value", "value", "deals", "deals"]
    table = attainment(deals(PIPELINES), targets)
    # Sales in pounds: 60 and a deal of unknown value are won, 30 at 50 % and 10 at 20 % are open.
    figures = table[["won_value", "expected_value", "attainment", "gap", "coverage"]]
    assert figures.fillna(-1).to_numpy().tolist() == [
        [60, 60 + 15 + 2, 60 / 80, 20, 40 / 20],
        [85, 85 + 15 + 2, 1, 0, -1],
        [2, 2 + 0.5 + 0.2, 2 / 4, 2, 2 / 2],
        [3, 3 + 0.5 + 0.2, 3 / 4, 1, 2 / 1],
    ]
    # 20 more: only the deal of 30 will do. Two deals more: both. One more: not neither.
    assert table["chance"].tolist() == pytest.approx([0.5, 1, 0.5 * 0.2, 1 - 0.5 * 0.8])


def test_a_measure_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="value or deals, not 'won'"):
        attainment(deals(DEALS), one("2026", 1, measure=["won"]))


def test_a_pipeline_that_no_deal_has_is_told() -> None:
    (said,) = unmatched(deals(PIPELINES), one("2026", 1, pipeline=["Sale"]))
    assert said == (
        "there is a target for the pipeline 'Sale', and no deal has it; there are Partners, Sales"
    )


def test_an_owner_is_known_by_id_whatever_the_name() -> None:
    rows = [deal | {"owner_id": {"ann": 7, "bob": 8}.get(str(deal.get("owner")))} for deal in DEALS]
    goals = one("2026-10", 80, owner=["ann.old"], owner_id=[7])
    assert attainment(deals(rows), goals)["won_value"].tolist() == [60]
    assert attainment(deals(rows), goals)["owner"].tolist() == ["ann.old"]
    assert unmatched(deals(rows), goals) == []
    # An account of API v1 has no ids: there, the name decides.
    assert attainment(deals(DEALS), goals)["won_value"].tolist() == [0]
    assert attainment(deals(DEALS), goals.assign(owner="ann"))["won_value"].tolist() == [60]
    assert len(unmatched(deals(DEALS), goals)) == 1


WON_SUM = "bbc7a4b4-78eb-3bbd-85bb-9f20ec2e3f5d"
WON_COUNT = "264be3b0-490b-3d73-ae0d-d02b488ba1eb"
CREATED_SUM = "7b05186c-c342-343f-8236-121dfbb2ae45"
REACHED = "1659cb58-2401-30eb-aa82-c42771aea74e"


def goals_of(
    goals: list[dict[str, Any]],
    periods: Mapping[int, Sequence[tuple[str, str, float]]],
    **options: Any,
) -> pd.DataFrame:
    """Serve goals with their periods, and read them."""
    account = {
        "users": [{"id": 7, "username": "ann", "name": "Ann"}],
        "goals": [
            {"id": number, "name": f"Goal {number}", "type": WON_SUM, "currency": "GBP"}
            | {"user": None, "pipeline": None, "milestone": None}
            | goal
            for number, goal in enumerate(goals, start=1)
        ],
        "goalPeriods": [
            {"id": 10 * number + n, "goal": {"id": number}, "targetValue": target}
            | {"startOn": start, "endOn": end, "currentValue": 0}
            for number, spans in periods.items()
            for n, (start, end, target) in enumerate(spans)
        ],
    }
    with (
        Sandbox(Account(account)) as sandbox,
        CapsuleClient(base_url=sandbox.url, token=sandbox.token, api_version="v2") as client,
    ):
        return from_goals(client, **options)


def test_goals_become_targets() -> None:
    months = [("2026-01-01", "2026-02-01", 90.5), ("2026-02-01", "2026-03-01", 80)]
    targets = goals_of(
        [
            {"user": {"id": 7, "username": "ann.old", "name": "Ann"}},
            {"type": WON_COUNT, "currency": None, "pipeline": {"id": 31, "name": "Partners"}},
            {"user": 7, "currency": "EUR"},
        ],
        {
            1: months,
            2: [("2026-01-01", "2026-03-31", 12)],
            3: [("2026-01-01", "2027-01-01", 500)],
        },
    )
    shown = targets.astype(object).where(targets.notna(), None).to_numpy().tolist()
    assert list(targets.columns) == [
        "period", "currency", "owner", "owner_id", "pipeline", "pipeline_id", "measure", "target",
        "goal",
    ]  # fmt: skip
    assert shown == [
        ["2026-01", "GBP", "ann", 7, None, None, "value", 90.5, "Goal 1"],
        ["2026-02", "GBP", "ann", 7, None, None, "value", 80.0, "Goal 1"],
        ["2026-Q1", None, None, None, "Partners", 31, "deals", 12.0, "Goal 2"],
        ["2026", "EUR", "ann", 7, None, None, "value", 500.0, "Goal 3"],
    ]
    assert targets.attrs["left_out"] == []
    # A deal won on the day that two periods share counts for the later one.
    shared = {"milestone": "Won", "closed_at": "2026-02-01", "owner": "ann", "owner_id": 7}
    table = attainment(deals([shared | {"value": 5}]), targets)
    assert table["won_value"].tolist() == [0, 5, 0, 0]


def test_goals_that_cannot_be_measured_are_told_and_left_out() -> None:
    year = [("2026-01-01", "2026-12-31", 5)]
    targets = goals_of(
        [
            {"type": CREATED_SUM},
            {"type": REACHED},
            {"type": "00000000-0000-4000-8000-00000000beef"},
            {"milestone": {"id": 3, "name": "Bid"}},
            {},
            {},
            {"name": None},
        ],
        {
            **dict.fromkeys((1, 2, 3, 4, 7), year),
            6: [("2026-01-05", "2026-01-12", 1), ("2026-01-12", "2026-01-19", 1)],
        },
    )
    assert targets[["period", "goal"]].to_numpy().tolist() == [["2026", "number 7"]]
    assert targets.attrs["left_out"] == [
        "the goal 'Goal 1' is left out: it is of the value of created deals, not of won ones",
        "the goal 'Goal 2' is left out: it is of the deals that reach a milestone",
        "the goal 'Goal 3' is left out: its type is unknown",
        "the goal 'Goal 4' is left out: it is of one milestone alone",
        "the goal 'Goal 5' is left out: its periods are not told",
        (
            "2 periods of the goal 'Goal 6' left out: from 2026-01-05 to 2026-01-12 is no month,"
            " quarter or year"
        ),
    ]


def test_goals_are_named_after_the_fiscal_year() -> None:
    spans = [("2026-04-01", "2026-07-01", 1), ("2026-04-01", "2027-03-31", 2)]
    fiscal = goals_of([{}], {1: spans}, fiscal_year_start=4)
    assert fiscal["period"].tolist() == ["2027-Q1", "2027"]
    won = deals([{"value": 5, "milestone": "Won", "closed_at": "2026-04-01"}])
    assert attainment(won, fiscal, fiscal_year_start=4)["won_value"].tolist() == [5, 5]
    calendar = goals_of([{}], {1: spans})
    assert calendar["period"].tolist() == ["2026-Q2"]
    assert len(calendar.attrs["left_out"]) == 1


def test_an_account_without_goals() -> None:
    targets = goals_of([], {})
    assert targets.empty
    assert attainment(deals(DEALS), targets).empty


def test_only_api_v2_has_goals() -> None:
    with (
        CapsuleClient(base_url="http://127.0.0.1:9", token="none", api_version="v1") as client,
        pytest.raises(ArgumentError, match="only API v2"),
    ):
        from_goals(client)
