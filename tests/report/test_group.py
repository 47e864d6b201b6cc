"""The report on a group: figures worked out by hand, and the files that show them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import openpyxl
import pandas as pd
import pytest
from deals import deals
from group_exports import Held, many_accounts, write_export

from capsule_analytics import fx
from capsule_analytics.errors import DataError
from capsule_analytics.portfolio import Portfolio
from capsule_analytics.report import (
    GroupFigures,
    Options,
    group_figures,
    whole_cents,
    write_figures,
)
from capsule_analytics.report._page import write_html

if TYPE_CHECKING:
    from pathlib import Path

    from capsule_analytics.portfolio import OnDay

FIRST, SECOND = date(2026, 10, 1), date(2026, 10, 15)
RATES = fx.Rates(
    "GBP", {"EUR": pd.Series([0.8], index=pd.DatetimeIndex(["2026-10-14"]))}, source="a test"
)
MARKUP = "<b>Hill & Vale</b> '\"</script>"
ARABIC = "شركة الشمال"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three accounts on two days, one of them without deals.

    On the second day the first has 200 GBP at 50 % in November, 1,000 EUR at 10 % overdue since
    September, 400 GBP won in October and 100 GBP lost; the second 300 GBP at 90 % in October
    without an owner's word, and a deal of no value.
    """
    november: dict[str, Any] = {"value": 200, "probability": 50, "expected_close": "2026-11-20"}
    overdue = {
        "value": 1000, "currency": "EUR", "probability": 10, "milestone": "Lead",
        "expected_close": "2026-09-10",
    }  # fmt: skip
    won = {"value": 400, "milestone": "Won", "closed_at": "2026-10-05"}
    lost = {"value": 100, "milestone": "Lost", "closed_at": "2026-08-05", "lost_reason": "Price"}
    october = {
        "value": 300, "probability": 90, "milestone": "Contract", "expected_close": "2026-10-30",
    }  # fmt: skip
    bare = {"value": None, "probability": 50, "expected_close": "2026-11-02"}
    empty = deals([won], as_of=SECOND)
    return write_export(
        tmp_path / "export",
        {
            MARKUP: [
                deals([november | {"value": 150}, overdue], as_of=FIRST),
                deals([november, overdue, won, lost], as_of=SECOND),
            ],
            ARABIC: [deals([october], as_of=FIRST), deals([october, bare], as_of=SECOND)],
            "nil": [replace(empty, opportunities=empty.opportunities.iloc[:0])],
        },
    )


def at_home(export: Path, **more: Any) -> GroupFigures:
    """The figures without a projection, which has tests of its own."""
    how: dict[str, Any] = {"projection": False, "changes_since": FIRST, "on_error": "skip"} | more
    return group_figures(export, home_currency="GBP", rates=RATES, **how)


def rows(table: pd.DataFrame | None, *names: str) -> list[tuple[Any, ...]]:
    assert table is not None
    return list(table[list(names)].itertuples(index=False, name=None))


@pytest.mark.parametrize("engine", ["duckdb", "dask"])
def test_figures_are_the_sums_of_the_accounts(export: Path, engine: Any) -> None:
    """1,000 EUR are 800 GBP."""
    group = at_home(export, engine=engine)
    assert rows(group.accounts, "account", "open_deals", "open_value", "weighted_value") == [
        (MARKUP, 2, 1000.0, 180.0),
        (ARABIC, 2, 300.0, 270.0),
    ]
    assert rows(group.accounts, "won_value", "expected_value", "overdue_value") == [
        (400.0, 500.0, 800.0),
        (0.0, 270.0, 0.0),
    ]
    # Of the quarter: the first wins 200 or nothing beside its 400, the second 300 at 90 %.
    assert rows(group.accounts, "p10", "p90", "month_p10", "month_p90", "changed_value") == [
        (400.0, 600.0, 400.0, 400.0, 50.0),
        (0.0, 300.0, 0.0, 300.0, 0.0),
    ]
    (head,) = group.headlines
    assert (head.currency, head.open_deals, head.open_value) == ("GBP", 4, 1300.0)
    assert (head.weighted_value, head.overdue_value) == (450.0, 800.0)
    assert (head.month.won, head.month.expected) == (400.0, 670.0)
    assert (head.quarter.won, head.quarter.expected) == (400.0, 770.0)
    # 400 won, and 300 at 90 % and 200 at 50 %: 400 in 5 of 100 cases, 600 in 5, 700 in 45.
    assert (head.quarter.low, head.quarter.high) == (600.0, 900.0)
    months = group.forecast_total
    assert rows(months, "month", "expected_value") == [
        (pd.Period("2026-09"), 80.0),
        (pd.Period("2026-10"), 670.0),
        (pd.Period("2026-11"), 100.0),
    ]
    assert rows(group.revenue_total, "month", "won_value", "weighted_value") == [
        (pd.Period("2026-09"), 0.0, 80.0),
        (pd.Period("2026-10"), 400.0, 270.0),
        (pd.Period("2026-11"), 0.0, 100.0),
    ]
    assert rows(group.milestones, "milestone", "open_deals", "open_value") == [
        ("Lead", 1, 800.0),
        ("Proposal", 2, 200.0),
        ("Contract", 1, 300.0),
    ]
    bridge = group.changes
    assert bridge is not None
    moved = bridge[bridge["value"] != 0]
    assert rows(moved, "part", "value") == [
        ("opening", 1250.0), ("value_up", 50.0), ("closing", 1300.0),
    ]  # fmt: skip
    rates = group.win_rates_by_account
    assert rows(rates, "account", "deals", "won", "raw_rate") == [(MARKUP, 2, 1, 0.5)]
    assert rows(group.win_rates_by_quarter, "deals", "won") == [(1, 0), (1, 1)]
    assert rows(group.lost_reasons, "currency", "lost_reason", "deals", "tcv") == [
        ("GBP", "Price", 1, 100.0)
    ]
    found = group.quality_by_account
    assert ("missing_value", "error", 1) in rows(
        found[found["account"] == ARABIC], "check", "severity", "deals"
    )
    assert ("overdue", "warning", 1) in rows(
        found[found["account"] == MARKUP], "check", "severity", "deals"
    )


def test_totals_are_made_of_what_was_read_by_account(export: Path) -> None:
    """Another view reads them by themselves: the same to the cent, in each period and policy."""
    for overdue, period in (("keep", "month"), ("roll", "quarter"), ("drop", "year")):
        how: dict[str, Any] = {"overdue": overdue, "period": period, "fiscal_year_start": 4}
        group = group_figures(export, projection=False, by=("owner", "milestone"), **how)
        alone = Portfolio(export)
        total = alone.by_month(by=None, ranges=True, **how)
        pd.testing.assert_frame_equal(group.forecast_total, total, rtol=0, atol=1e-9)
        earned = whole_cents(alone.revenue_schedule(by=None, **how))
        pd.testing.assert_frame_equal(group.revenue_total, earned, rtol=0, atol=1e-9)
        assert "owner" in group.forecast.columns
        assert "owner" not in group.forecast_by_account.columns


def test_without_a_home_currency_each_stands_by_itself(export: Path, tmp_path: Path) -> None:
    group = group_figures(export, projection=False)
    assert [head.name for head in group.headlines] == ["GBP", "EUR"]
    write_html(group, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No home currency was given: each currency has its own figures" in text


def test_the_home_currency_comes_first(export: Path) -> None:
    """Although more deals are in another; one that cannot be converted is named."""
    francs = fx.Rates("CHF", {"EUR": pd.Series([0.9], index=pd.DatetimeIndex(["2026-10-14"]))})
    group = group_figures(
        export, home_currency="CHF", rates=francs, missing_rate="flag", projection=False
    )
    assert [head.name for head in group.headlines] == ["CHF", "GBP"]
    assert group.headlines[0].open_value == 900.0
    problems = rows(group.exceptions, "account", "problem")
    assert (MARKUP, "2 deals not converted: no exchange rate from GBP to CHF") in problems
    assert ("nil", "no open or won deals") in problems
    found = group.quality_by_account
    flagged = found[found["check"] == "missing_rate"]
    assert rows(flagged.sort_values("deals"), "account", "deals") == [(ARABIC, 2), (MARKUP, 3)]


@pytest.mark.parametrize("engine", ["duckdb", "dask"])
def test_an_account_that_failed_is_shown(export: Path, tmp_path: Path, engine: Any) -> None:
    (file,) = (export / "account=nil").rglob("*.parquet")
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="'nil'"):
        write_figures(group_figures(export, engine=engine), tmp_path / "report")
    assert not (tmp_path / "report").exists()
    group = at_home(export, engine=engine)
    assert rows(group.unread, "account") == [("nil",)]
    (problem,) = rows(group.exceptions, "account", "problem")
    assert problem[0] == "nil"
    assert problem[1].startswith("in no figure: ")
    write_html(group, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "1 account is in no figure: nil." in text
    assert data_of(text)["problems"][data_of(text)["accounts"].index("nil")].startswith("in no")


def test_an_account_without_a_first_day_is_in_no_bridge_alone(export: Path) -> None:
    group = at_home(export)
    assert rows(group.unread, "account") == []
    assert rows(group.left_out, "account") == [("nil",)]
    assert ("nil", "not in what changed: has no snapshot up to 2026-10-01") in rows(
        group.exceptions, "account", "problem"
    )


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def cell(data: dict[str, Any], key: str, account: str, name: str) -> list[Any]:
    """The column of a table of the page that is of one account."""
    table, at = data["tables"][key], data["accounts"].index(account)
    values = table["columns"][name][table["at"][at] : table["at"][at + 1]]
    texts = table["texts"].get(name)
    return values if texts is None else [texts[value] for value in values]


def test_the_files_of_a_group(export: Path, tmp_path: Path) -> None:
    files = write_figures(at_home(export, html=True, xlsx=True), tmp_path / "report")
    assert [file.name for file in files] == [
        "changes.png", "forecast.png", "revenue.png", "report.html", "report.xlsx", "accounts.csv",
        "changes.csv", "changes_total.csv", "data_quality.csv", "forecast.csv",
        "forecast_total.csv", "left_out.csv", "revenue.csv", "revenue_total.csv", "win_rates.csv",
    ]  # fmt: skip
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "group of 3 accounts" in page
    assert MARKUP not in page
    assert "&lt;b&gt;Hill &amp; Vale&lt;/b&gt;" in page
    assert page.count("</script>") == 2
    data = data_of(page)
    assert data["accounts"] == [MARKUP, "nil", ARABIC]
    assert cell(data, "forecast", MARKUP, "key") == ["2026-09", "2026-10", "2026-11"]
    assert cell(data, "forecast", MARKUP, "past") == [1, 0, 0]
    assert cell(data, "forecast", MARKUP, "expected_value") == [8_000, 40_000, 10_000]
    assert cell(data, "milestones", ARABIC, "milestone") == ["Proposal", "Contract"]
    assert cell(data, "accounts", "nil", "open_value") == []
    assert cell(data, "win_rates_by_account", MARKUP, "raw_rate") == [50]
    book = openpyxl.load_workbook(tmp_path / "report" / "report.xlsx")
    assert book.sheetnames == [
        "Accounts", "Changes", "Changes by account", "Weighted forecast", "Forecast by account",
        "Revenue", "Revenue by account", "Win rates by account", "Milestones",
        "Milestones by account", "Win rates by quarter", "Lost reasons", "Accounts to look at",
        "Data quality", "Left out", "How figures are made",
    ]  # fmt: skip
    head, first, second, *_ = book["Accounts"].iter_rows(values_only=True)
    table = pd.DataFrame([first, second], columns=head)
    assert table["account"].tolist() == [MARKUP, ARABIC]
    assert table["weighted_value"].tolist() == [180, 270]
    text = (tmp_path / "report" / "accounts.csv").read_text(encoding="utf-8").splitlines()
    assert text[0].startswith("account,currency,day,open_deals,open_value,weighted_value,")
    assert text[2].startswith(f"{ARABIC},GBP,2026-10-15,2,300.00,270.00,0,0.00,0.00,270.00,")


def test_without_ranges_nothing_claims_one(export: Path, tmp_path: Path) -> None:
    group = group_figures(export, ranges=False, projection=False, formats=(), html=True)
    write_figures(group, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "P10" not in page.partition("<script>")[0]  # whose words are of all pages
    assert "nan" not in page
    assert "p10" not in group.accounts.columns


def test_a_group_without_any_deal(tmp_path: Path) -> None:
    one = deals([{"value": 1}])
    none = replace(one, opportunities=one.opportunities.iloc[:0])
    export = write_export(tmp_path / "export", {"a": [none], "b": [none]})
    group = group_figures(export, formats=("png",), html=True, xlsx=True)
    write_figures(group, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "No account of the group has open or won deals." in page
    assert rows(group.exceptions, "account", "problem") == [
        ("a", "no open or won deals"), ("b", "no open or won deals"),
    ]  # fmt: skip


def group_of(held: Held, **options: Any) -> GroupFigures:
    return GroupFigures(cast("OnDay", held), Options(formats=(), **options), home="GBP")


@pytest.mark.parametrize("number", [1, 1_000])
def test_the_page_of_one_account_and_of_a_thousand(number: int, tmp_path: Path) -> None:
    group = group_of(many_accounts(number), ranges=number == 1)
    path = tmp_path / "report.html"
    write_html(group, path)
    assert path.stat().st_size < 3_000_000
    data = data_of(path.read_text(encoding="utf-8"))
    assert len(data["accounts"]) == number
    last = f"account {number - 1:04d}"
    mine = group.forecast_by_account
    mine = mine[(mine["account"] == last) & (mine["month"] >= pd.Period("2026-10"))]
    shown = cell(data, "forecast", last, "expected_value")[-len(mine) :]
    assert shown == [round(100 * value) for value in mine["expected_value"]]
    assert group.headlines[0].open_value == pytest.approx(group.accounts["open_value"].sum())
