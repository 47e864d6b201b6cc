"""The page of a group in a browser: from the group to an account, by click, keyboard and link."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import pandas as pd
import pyarrow.parquet as pq
import pytest
from group_exports import Held, many_accounts
from grown_group import exported, grown_group
from test_html_browser import (
    ROOT_OVERFLOW,
    axe_finds,
    driver,
    money,
    pytestmark,
    resize,
    seen,
    select,
    visit,
)

from capsule_analytics._words import format_money
from capsule_analytics.report import GroupFigures, Options, group_figures
from capsule_analytics.report._page import write_html

if TYPE_CHECKING:
    from capsule_analytics.portfolio import OnDay

__all__ = ["driver", "pytestmark"]  # of all pages in a browser

NAMES = ["<i>Hill & Vale</i>=100%+1", "شركة الشمال", "Broken Ltd"]


def group_of(held: Held, **options: Any) -> GroupFigures:
    return GroupFigures(cast("OnDay", held), Options(formats=(), **options))


@pytest.fixture(scope="module")
def group() -> GroupFigures:
    """Two accounts, the second with some deals in euros, and one that could not be read."""
    held = many_accounts(2)
    frame = held.frame.assign(account=held.frame["account"].cat.rename_categories(NAMES[:2]))
    currency = frame["currency"].astype(object)
    euros = (frame["account"] == NAMES[1]) & (frame.index % 4 == 2)
    frame = frame.assign(currency=pd.Categorical(currency.mask(euros, "EUR")))
    lost = {"account": NAMES[2], "day": "2026-10-15", "path": "", "problem": "has no file"}
    return group_of(replace(held, frame=frame, left_out=[lost]))


@pytest.fixture(scope="module")
def address(group: GroupFigures, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("group") / "report.html"
    write_html(group, path)
    return path.as_uri()


@pytest.fixture
def browser(driver: Any, address: str) -> Any:
    resize(driver, 1280)
    visit(driver, address)
    return driver


def account(group: GroupFigures, name: str, currency: str = "GBP") -> pd.Series:
    table = group.accounts
    return table[(table["account"] == name) & (table["currency"] == currency)].iloc[0]


def test_the_group_comes_first(browser: Any, group: GroupFigures) -> None:
    browser.get_log("browser")
    browser.refresh()
    assert browser.get_log("browser") == []
    head = group.headlines[0]
    assert head.currency == "GBP"
    assert money(seen(browser, ".first .figure")[4]) == round(head.open_value)
    assert seen(browser, ".sums") == []
    assert seen(browser, "#accounts td.choose") == [NAMES[1], NAMES[0]]
    warned = seen(browser, "header .selection")
    assert warned[0] == "1 account is in no figure: Broken Ltd."
    assert warned[1].startswith("No home currency was given")


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_click_leads_to_an_account_and_back(browser: Any, group: GroupFigures, name: str) -> None:
    browser.find_element("xpath", f"//*[@id='accounts']//button[.='{name}']").click()
    assert browser.current_url.endswith(f"account={quote(name, safe='')}")
    assert seen(browser, "#sums-title") == [name]
    assert browser.execute_script("return document.activeElement.id") == "sums-title"
    assert seen(browser, ".first") == []
    mine = account(group, name)
    figures = [money(text) for text in seen(browser, ".sums .figure")]
    assert figures == [
        round(mine[column])
        for column in (
            "month_expected_value", "expected_value", "month_won_value", "won_value",
            "open_value", "overdue_value",
        )
    ]  # fmt: skip
    table = group.forecast_by_account
    table = table[(table["account"] == name) & (table["currency"] == "GBP")]
    for row in browser.find_elements("css selector", "#forecast tbody tr"):
        month, _, count, opened, weighted, won, expected, p10, p90 = (
            one.text for one in row.find_elements("tag name", "td")
        )
        (found,) = table[table["month"].astype(str) == month].to_dict("records")
        assert int(count) == found["open_deals"]
        for written, column in (
            (opened, "open_value"), (weighted, "weighted_value"), (won, "won_value"),
            (expected, "expected_value"), (p10, "p10"), (p90, "p90"),
        ):  # fmt: skip
            assert written == format_money(found[column], "GBP", whole=True)
    slot = browser.find_element("css selector", "#c0-forecast [data-key='2026-09']")
    september = table[table["month"] == "2026-09"].iloc[0]
    won = format_money(september["won_value"], "GBP", whole=True)
    assert f"Sep 2026, {won} won" in slot.get_attribute("aria-label")
    assert seen(browser, ".chart .words") == []
    before = len(group.forecast_total)
    browser.find_element("xpath", "//button[.='Back to the group']").click()
    assert "account" not in browser.current_url
    assert len(seen(browser, ".first h2")) == 1
    assert money(seen(browser, ".first .figure")[4]) == round(group.headlines[0].open_value)
    assert len(browser.find_elements("css selector", "#forecast tbody tr")) <= before
    assert seen(browser, "#c0-forecast .words") != []


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> tuple[GroupFigures, str]:
    """Three accounts, one of which does not tell when its deals were entered; and their page."""
    folder = tmp_path_factory.mktemp("projected")
    export = exported(grown_group(3, 4, seed=7), folder / "export")
    for file in (export / "account=a02").rglob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["created_at"]), file)
    figures = group_figures(export, formats=())
    write_html(figures, folder / "report.html")
    return figures, (folder / "report.html").as_uri()


def test_the_projection_leads_of_the_group_and_of_an_account(
    driver: Any, projected: tuple[GroupFigures, str]
) -> None:
    group, address = projected
    resize(driver, 360)
    visit(driver, address)
    assert seen(driver, ".first .lead") == [group.outlook[0].sentence]
    tiles = [money(text) for text in seen(driver, ".first .figure")]
    assert tiles[:2] == [
        round(p.expected) for p in (group.outlook[0].month, group.outlook[0].quarter)
    ]
    scrolled = "const s = document.querySelector('#c0-projection .scroll'); return {}"
    end = scrolled.format("Math.abs(s.scrollWidth - s.clientWidth - s.scrollLeft) < 2")
    assert driver.execute_script(end)  # where the coming months stand
    assert driver.execute_script(ROOT_OVERFLOW) <= 0
    slots = driver.find_elements("css selector", "#c0-projection .slot")
    whole = [slot.get_attribute("aria-label") for slot in slots]
    select(driver, "account", "a01")
    mine = group.outlook_by_account["a01", "EUR"]
    assert seen(driver, ".sums .lead") == [mine.sentence]
    tiles = [money(text) for text in seen(driver, ".sums .figure")]
    assert tiles[:2] == [round(mine.month.expected), round(mine.quarter.expected)]
    assert driver.execute_script(end)
    table = group.projected_by_account
    assert table is not None
    first = table[(table["account"] == "a01").to_numpy()].iloc[0]
    label = slots[-6].get_attribute("aria-label")
    told = [
        format_money(first[name], "EUR", whole=True) for name in ("expected_value", "p10", "p90")
    ]
    assert label.startswith(f"May 2024, {told[0]} expected: ")
    assert label.endswith(f"P10 to P90 {told[1]} to {told[2]}")
    won = group.forecast_by_account
    april = won[((won["account"] == "a01") & (won["month"] == "2024-04")).to_numpy()]
    past = format_money(april["won_value"].sum(), "EUR", whole=True)
    assert slots[-7].get_attribute("aria-label") == f"Apr 2024, {past} won"
    select(driver, "account", "a02")
    assert seen(driver, ".sums .lead") == []
    assert seen(driver, "#c0-projection") == []
    assert seen(driver, ".sums .selection")[0].startswith("not in the projection: no deal has the")
    assert seen(driver, ".sums dt")[0] == "Weighted for April 2024"
    select(driver, "account", "")
    assert [slot.get_attribute("aria-label") for slot in slots] == whole
    assert len(seen(driver, "#c0-projection figcaption strong")) == 1


def test_a_link_leads_to_an_account(browser: Any, address: str, group: GroupFigures) -> None:
    visit(browser, f"{address}#currency=EUR&account={quote(NAMES[1])}")
    assert seen(browser, "#sums-title") == [NAMES[1]]
    mine = account(group, NAMES[1], "EUR")
    assert money(seen(browser, ".sums .figure")[4]) == round(mine["open_value"])
    select(browser, "account", NAMES[0])  # which has no euros
    assert seen(browser, "#sums-title") == [NAMES[0]]
    assert seen(browser, ".tabs button") == ["GBP"]
    assert set(seen(browser, "#milestones tbody td.currency")) == {"GBP"}
    select(browser, "account", "")
    assert seen(browser, ".tabs button") == ["GBP", "EUR"]


def test_an_account_that_failed_says_why(browser: Any, address: str) -> None:
    visit(browser, f"{address}#account={quote(NAMES[2])}")
    assert seen(browser, ".sums .selection") == ["in no figure: has no file"]
    assert seen(browser, ".sums .figure") == []
    visit(browser, f"{address}#account=nobody")
    assert seen(browser, ".sums") == []


def test_a_table_of_an_account_is_sorted_and_the_group_comes_back(browser: Any) -> None:
    before = seen(browser, "#milestones tbody td")
    select(browser, "account", NAMES[0])
    mine = seen(browser, "#milestones tbody td")
    assert mine != before
    heading = browser.find_elements("css selector", "#milestones thead th")[3]
    heading.find_element("tag name", "button").send_keys("\ue007")
    opened = [money(text) for text in seen(browser, "#milestones tbody td:nth-child(4)")]
    assert opened == sorted(opened, reverse=True)
    select(browser, "account", "")
    assert sorted(seen(browser, "#milestones tbody td")) == sorted(before)


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_is_wider_than_the_window(browser: Any, address: str, width: int) -> None:
    resize(browser, width)
    for fragment in ("", f"#account={quote(NAMES[0])}"):
        visit(browser, address + fragment)
        assert browser.execute_script(ROOT_OVERFLOW) <= 0


def test_without_script_the_group_reads_whole(driver: Any, address: str) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(driver, address)
        assert seen(driver, ".first h2") == ["GBP", "EUR"]
        assert len(seen(driver, "#accounts tbody tr")) == 3
        assert seen(driver, ".bar") == []
        assert seen(driver, ".sums") == []
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
@pytest.mark.parametrize("fragment", ["", f"#account={quote(NAMES[1])}"])
def test_axe_finds_nothing(
    browser: Any, address: str, width: int, scheme: str, fragment: str
) -> None:
    resize(browser, width)
    axe_finds(browser, address + fragment, scheme)


OPENED = """
const [navigation] = performance.getEntriesByType("navigation");
const rows = [...document.querySelectorAll("#accounts tbody tr")];
return [navigation.domInteractive, rows.length, rows.filter((row) => row.offsetParent).length];
"""


def test_a_thousand_accounts_open(driver: Any, tmp_path: Any) -> None:
    """The size and the work stay bounded; how long it takes is measured in the benchmarks."""
    group = group_of(many_accounts(1_000), ranges=False)
    path = tmp_path / "report.html"
    write_html(group, path)
    visit(driver, path.as_uri())
    interactive, rows, unfolded = driver.execute_script(OPENED)
    print(f"{path.stat().st_size:,} bytes, interactive after {interactive:,.0f} ms")  # noqa: T201
    assert (rows, unfolded) == (1_000, 10)
    select(driver, "account", "account 0777")
    mine = account(group, "account 0777")
    assert money(seen(driver, ".sums .figure")[4]) == round(mine["open_value"])
