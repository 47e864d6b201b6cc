"""What an assistant is told: small answers, figures worked out by hand, and how sure they are."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pandas as pd
import pytest
from deals import deals

import capsule_analytics as ca
from capsule_analytics import history
from capsule_analytics.errors import ArgumentError, HistoryError
from capsule_analytics.mcp import TOOLS, Analyst
from capsule_analytics.mcp._rows import rows
from capsule_analytics.report import Figures, Options, figures_of

EARLIER = [
    {"name": "Alpha", "value": 1000, "probability": 50, "expected_close": "2026-11-10"},
    {"name": "Beta", "value": 400, "probability": 50, "expected_close": "2026-11-20"},
]
ROWS: list[dict[str, Any]] = [
    {"name": "Alpha", "value": 1500, "probability": 50, "expected_close": "2026-11-10"},
    {"name": "Beta", "value": 400, "milestone": "Won", "closed_at": "2026-10-02"},
    {"name": "Gamma", "value": 900, "probability": 10, "expected_close": "2026-10-01"},
    {"name": "Gamma two", "value": 80, "probability": 20, "expected_close": "2026-12-01"},
    {"name": "Yen", "value": 999_999, "currency": "JPY", "expected_close": "2026-11-01"},
    {"name": "Lost", "value": 10, "milestone": "Lost", "closed_at": "2026-09-02"},
    {"name": "Unpriced", "probability": 50, "expected_close": "2026-11-05"},
]
OWNERS = ["Ann", "Ben", "Ann", "Ann", "Ben", "Ann", "Ben"]


@dataclass
class Desk:
    """A source of figures that stand still."""

    held: Figures
    words: str = "a test"

    def figures(self) -> Figures:
        return self.held

    def since(self, day: date) -> Figures:
        raise HistoryError(f"no snapshot of {day}")


def desk(**options: Any) -> Desk:
    before = deals(EARLIER, as_of=date(2026, 9, 30))
    now = deals([row | {"owner": owner} for row, owner in zip(ROWS, OWNERS, strict=True)])
    asked = Options(
        before=before,
        changes=history.changes(before, now),
        changed_deals=history.changed_deals(before, now),
        projection=False,
        web="https://acme.capsulecrm.com",
    )
    return Desk(figures_of(now, replace(asked, **options)))


@pytest.fixture(scope="module")
def analyst() -> Analyst:
    return Analyst(desk())


@pytest.fixture(scope="module")
def projecting() -> Analyst:
    return Analyst(desk(projection=True))


QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("projection", {}),
    ("projection", {"period": "quarter", "by": "owner", "currency": "gbp", "target": 100.0}),
    ("projection", {"by": "team"}),
    ("projection", {"by": "party", "top": 3}),
    ("forecast", {"by": "owner", "past": True}),
    ("changes", {}),
    ("deals_needing_attention", {}),
    ("deal", {"deal_id": 1}),
    ("deal", {"name": "gamma"}),
    ("win_rates", {"by": ["owner", "quarter"]}),
    ("data_quality", {}),
]


@pytest.mark.parametrize(("name", "arguments"), QUESTIONS)
def test_every_answer_says_of_when_it_is_and_how_sure(
    projecting: Analyst, name: str, arguments: dict[str, Any]
) -> None:
    answer = getattr(projecting, name)(**arguments)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert answer["account"] == "test"
    assert answer["source"] == "a test"
    assert answer["as_of"] == "2026-10-15"
    assert answer["loaded_at"] == "2026-10-15T00:00:00Z"
    assert answer["how_sure"]["errors"] == 1  # the deal without a value
    assert answer["how_sure"]["track_record"].endswith(": too few months to tell")
    assert answer["how_sure"]["evidence"].startswith("7 deals, 2 of them ended and 1 won;")


def test_every_tool_is_asked_here() -> None:
    assert {name for name, _ in QUESTIONS} == set(TOOLS)


def test_a_projection_is_that_of_the_report(projecting: Analyst) -> None:
    figures = projecting._source.figures()
    answer = projecting.projection(months=1, currency="GBP")
    assert figures.projected is not None
    row = figures.projected.set_index("currency").loc[["GBP"]].iloc[0]
    assert answer["rows"][0]["month"] == "2026-10"
    assert answer["rows"][0]["won_value"] == 400
    for name in ("expected_value", "p10", "p90"):
        assert answer["rows"][0][name] == pytest.approx(row[name], abs=0.006)
    assert answer["in_words"] == [figures.outlook[0].sentence]
    assert figures.outlook[0].currency == "GBP"


def test_how_far_a_projection_goes_is_checked(projecting: Analyst) -> None:
    with pytest.raises(ArgumentError, match="months must be 1 to 60, not 0"):
        projecting.projection(months=0)


def test_a_forecast_starts_with_the_running_period_and_tells_what_is_overdue(
    analyst: Analyst,
) -> None:
    answer = analyst.forecast(currency="GBP")
    told = {row["month"]: (row["weighted_value"], row["won_value"]) for row in answer["rows"]}
    # October: Gamma is overdue within it, 900 x 10 %, beside Beta, won. September was lost.
    assert told == {"2026-10": (90, 400), "2026-11": (750, 0), "2026-12": (16, 0)}
    assert answer["overdue"] == [{"currency": "GBP", "overdue_deals": 1, "overdue_value": 900}]
    assert "stated probability" in answer["note"]
    by_owner = analyst.forecast(by="owner", currency="GBP", period="year")
    assert {row["owner"]: row["expected_value"] for row in by_owner["rows"]} == {
        "Ann": 856,
        "Ben": 400,
    }


def test_where_rows_are_left_out_the_answer_says_how_many(analyst: Analyst) -> None:
    answer = analyst.forecast(currency="GBP", top=2)
    assert [row["month"] for row in answer["rows"]] == ["2026-10", "2026-11"]
    assert answer["left_out"] == "1 of 3 rows, those with the least expected value"
    assert analyst.forecast(currency="GBP", top=3)["left_out"] == "nothing"


def test_amounts_of_two_currencies_are_not_compared(analyst: Analyst) -> None:
    told = analyst.forecast(top=2)["rows"]
    # The largest of each: not two of the yen's, whose figures are larger.
    assert [(row["currency"], row["month"]) for row in told] == [
        ("GBP", "2026-11"),
        ("JPY", "2026-11"),
    ]


def test_changes_are_the_bridge_and_its_largest_deals(analyst: Analyst) -> None:
    answer = analyst.changes(currency="GBP", top=1)
    assert answer["compared_with"] == "2026-09-30"
    assert {row["part"]: row["value"] for row in answer["bridge"]} == {
        "opening": 1400,
        "new": 980,
        "value_up": 500,
        "won": -400,
        "closing": 2480,
    }
    assert answer["deals"]["rows"][0]["name"] == "Gamma"
    assert answer["deals"]["rows"][0]["value"] == 900
    assert answer["deals"]["left_out"].startswith("4 of 5 rows")


def test_changes_since_a_day_ask_for_its_snapshot(analyst: Analyst) -> None:
    with pytest.raises(HistoryError, match="no snapshot of 2026-09-01"):
        analyst.changes(since="2026-09-01")
    with pytest.raises(ArgumentError, match="no day of the form YYYY-MM-DD"):
        analyst.changes(since="last week")


def test_without_a_snapshot_changes_say_what_to_do() -> None:
    alone = Analyst(desk(before=None, changes=None, changed_deals=None))
    with pytest.raises(HistoryError, match="capsule-snapshot records them"):
        alone.changes()


def test_deals_that_need_someone_have_reason_stake_and_link(analyst: Analyst) -> None:
    answer = analyst.deals_needing_attention(owner="ann", currency="GBP")
    first = next(row for row in answer["rows"] if row["name"] == "Gamma")
    assert first["reason"] == "overdue for 14 days"
    assert first["stake"] == 90
    assert first["link"] == "https://acme.capsulecrm.com/opportunity/3"
    assert {row["owner"] for row in answer["rows"]} == {"Ann"}


def test_a_deal_is_told_whole(projecting: Analyst) -> None:
    answer = projecting.deal(name="ALPHA")
    assert answer["deal"]["id"] == 1
    assert answer["deal"]["tcv"] == 1500
    assert answer["deal"]["expected_close"] == "2026-11-10"
    assert 0 < answer["chances"]["won_within_year"] < 1
    assert answer["link"] == "https://acme.capsulecrm.com/opportunity/1"
    assert "chances" not in projecting.deal(deal_id=2)  # it was won


def test_a_name_of_several_deals_gives_them_to_choose_from(analyst: Analyst) -> None:
    assert analyst.deal(name="gamma")["deal"]["id"] == 3  # just this name, not a part of one
    answer = analyst.deal(name="gam")
    assert [row["id"] for row in answer["candidates"]["rows"]] == [3, 4]


def test_win_rates_count_what_ended(analyst: Analyst) -> None:
    answer = analyst.win_rates(by=["owner"])
    assert answer["all"] == {"deals": 2, "won": 1, "left_out": 0}
    rates = {row["owner"]: (row["deals"], row["raw_rate"]) for row in answer["rows"]}
    assert rates == {"Ann": (1, 0.0), "Ben": (1, 1.0)}


def test_data_quality_tells_errors_first_and_whose_they_are(analyst: Analyst) -> None:
    answer = analyst.data_quality(top=1)
    assert answer["rows"][0] == {
        "opportunity_id": 7,
        "check": "missing_value",
        "severity": "error",
        "detail": answer["rows"][0]["detail"],
        "name": "Unpriced",
        "owner": "Ben",
    }
    assert answer["left_out"].endswith("rows, the less severe")
    assert analyst.data_quality(severity="error", owner="Ann")["rows"] == []


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("projection", {"months": 0}, "there is no projection"),
        ("projection", {"target": 5.0}, "give currency, too"),
        ("forecast", {"period": "week"}, "week"),
        ("forecast", {"by": "mood"}, "mood"),
        ("forecast", {"currency": "CHF"}, "no open or won deal is in 'CHF'; there are GBP, JPY"),
        ("forecast", {"top": 0}, "top must be 1 to 100, not 0"),
        ("deals_needing_attention", {"owner": "Anne"}, "names like it: Ann"),
        ("deal", {}, "either deal_id or name"),
        ("deal", {"deal_id": 1, "name": "Alpha"}, "either deal_id or name"),
        ("deal", {"deal_id": 99}, "no deal 99"),
        ("deal", {"name": "Omega"}, "no deal with 'Omega'"),
        ("deal", {"name": " "}, "no deal with"),
        ("win_rates", {"by": ["mood"]}, "'mood'"),
        ("win_rates", {"by": []}, "nothing"),
        ("data_quality", {"severity": "bad"}, "error, warning, info"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(
    analyst: Analyst, name: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError, match=words):
        getattr(analyst, name)(**arguments)


def test_an_account_without_deals_is_answered() -> None:
    empty = Analyst(Desk(figures_of(deals([]))))
    assert empty.projection()["rows"] == []
    assert empty.forecast()["rows"] == []
    assert empty.deals_needing_attention()["rows"] == []
    assert empty.data_quality()["rows"] == []


def test_names_leave_without_what_drives_a_terminal() -> None:
    pipeline = deals([{"name": "bad\x1b[2Jname", "value": 1, "expected_close": "2026-09-01"}])
    answer = Analyst(Desk(figures_of(pipeline, Options(projection=False)))).deal(deal_id=1)
    assert answer["deal"]["name"] == "bad\\x1b[2Jname"


def test_values_are_plain_and_missing_ones_null() -> None:
    table = pd.DataFrame(
        {
            "count": pd.array([3, pd.NA], dtype="Int64"),
            "open_value": [0.125, float("nan")],
            "rate": [1 / 3, float("inf")],
            "day": pd.to_datetime(["2026-10-15", None], utc=True),
            "quarter": pd.PeriodIndex(["2026Q4", "NaT"], freq="Q-DEC"),
        }
    )
    assert rows(table) == [
        {
            "count": 3,
            "open_value": 0.13,
            "rate": 0.3333,
            "day": "2026-10-15",
            "quarter": "Q4 2026",
        },
        dict.fromkeys(table.columns),
    ]


def test_the_sample_is_answered_as_its_report_shows_it() -> None:
    """Without a projection, which takes a while."""
    figures = figures_of(ca.load_sample(), Options(projection=False))
    answer = Analyst(Desk(figures)).forecast(currency="GBP", top=1)
    assert answer["rows"][0]["expected_value"] == figures.headlines[0].month.expected
    assert answer["how_sure"]["track_record"] is None
