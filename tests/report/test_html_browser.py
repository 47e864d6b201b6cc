"""The HTML report in a browser: it is filtered, pointed at, read without a mouse, and printed.

Needs Chromium and its driver, found on the PATH, selenium, and axe-playwright-python for the
accessibility checker that it brings, axe-core.
"""

from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics.report import Options
from capsule_analytics.report._figures import figures_of
from capsule_analytics.report._page import write_html
from capsule_analytics.report._text import without_formulas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capsule_analytics.report._figures import Figures

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no Chromium with chromedriver on the PATH"
)

ROOT_OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The sample account's figures, with all that may be in a report."""
    folder = tmp_path_factory.mktemp("rates")
    *_, first, second, before, after = ca.history.sample_history()
    targets = pd.DataFrame({"period": ["2026-Q4"], "currency": ["GBP"], "target": [500_000.0]})
    options = Options(
        html=True,
        formats=(),
        overdue="drop",
        targets=targets,
        changes=ca.history.changes(before, after),
        changed_deals=ca.history.changed_deals(before, after),
        snapshots=(first, second, before),
        before=before,
        web="https://tarn.capsulecrm.com",
        selection="owner praman, tag Renewal",
    )
    # Into the pound where a rate is known: the rates are listed, and other currencies stay.
    rates = folder / "rates-in.csv"
    rates.write_text("date,currency,rate\n2026-10-14,CHF,0.9\n", encoding="utf-8")
    converted = ca.fx.convert(after, "GBP", ca.fx.read_rates(rates, "GBP"), missing="flag")
    return figures_of(converted, options)


@pytest.fixture(scope="module")
def address(figures: Figures, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page is."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(figures, path)
    return path.as_uri()


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        chosen.add_argument(argument)
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=chosen, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)  # for axe, which looks at every element
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def browser(driver: Any, address: str) -> Any:
    """The page as it opens, 1280 pixels wide."""
    resize(driver, 1280)
    visit(driver, address)
    return driver


def visit(browser: Any, address: str) -> None:
    """Open a page anew: another fragment alone would not load it again."""
    browser.get("about:blank")
    browser.get(address)


def seen(browser: Any, selector: str) -> list[str]:
    """The text of what is seen."""
    return [
        element.text
        for element in browser.find_elements("css selector", selector)
        if element.is_displayed()
    ]


def select(browser: Any, name: str, value: str) -> None:
    """Choose in a list as the keyboard does."""
    control = browser.find_element("css selector", f".filters [name={name}]")
    browser.execute_script(
        "arguments[0].value = arguments[1];"
        "arguments[0].dispatchEvent(new Event('change'))", control, value
    )  # fmt: skip


def money(text: str) -> int:
    return int(re.sub(r"[^\d-]", "", text))


AXE = """
const [done] = arguments;
const levels = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
axe.run(document, {runOnly: levels, resultTypes: ["violations"]}).then((found) => done({
  passes: found.passes.length,
  violations: found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]),
}), (error) => done({passes: 0, violations: [String(error)]}));
"""


def resize(browser: Any, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )


def column(browser: Any, table: str, place: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll(arguments[0])].map("
        "row => row.cells[arguments[1]].textContent)"
    )
    return list(browser.execute_script(script, f"#{table} tbody tr", place))


def press(browser: Any, table: str, place: int) -> str | None:
    """Press a heading with the keyboard and return how its column is sorted then."""
    heading = browser.find_elements("css selector", f"#{table} thead th")[place]
    heading.find_element("tag name", "button").send_keys("\ue007")  # the enter key
    sort = heading.get_attribute("aria-sort")
    return None if sort is None else str(sort)


def test_no_error_on_the_console(browser: Any) -> None:
    browser.get_log("browser")
    browser.refresh()
    assert browser.get_log("browser") == []


def test_a_numeric_heading_sorts_by_amount_and_back(browser: Any) -> None:
    # Open deals, in the table of owners.
    before = [int(text) for text in column(browser, "owners", 4)]
    assert before != sorted(before, reverse=True)
    assert press(browser, "owners", 4) == "descending"
    assert [int(text) for text in column(browser, "owners", 4)] == sorted(before, reverse=True)
    assert press(browser, "owners", 4) == "ascending"
    assert [int(text) for text in column(browser, "owners", 4)] == sorted(before)


def test_a_text_heading_sorts_with_missing_values_last(browser: Any) -> None:
    before = column(browser, "owners", 0)
    assert press(browser, "owners", 0) == "ascending"
    known = sorted(text for text in before if text != "\N{EN DASH}")
    assert column(browser, "owners", 0) == [*known, *["\N{EN DASH}"] * (len(before) - len(known))]
    assert len(known) < len(before)
    sorted_by = browser.find_elements("css selector", "#owners th[aria-sort]")
    assert len(sorted_by) == 1


def test_a_click_sorts_too(browser: Any) -> None:
    heading = browser.find_elements("css selector", "#milestones thead th")[3]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", heading)
    heading.find_element("tag name", "button").click()
    assert heading.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_is_wider_than_the_window(browser: Any, width: int) -> None:
    resize(browser, width)
    assert browser.execute_script(ROOT_OVERFLOW) <= 0
    rooms = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].filter(plot => plot.offsetParent)"
        ".map(plot => plot.getBoundingClientRect().right)"
    )
    assert len(rooms) > 4
    assert max(rooms) <= width


def test_one_currency_is_shown_at_a_time(browser: Any, figures: Figures) -> None:
    names = [head.name for head in figures.headlines]
    assert seen(browser, ".tabs button") == names
    assert seen(browser, ".first h2") == names[:1]
    browser.find_element("xpath", "//div[@class='tabs']/button[.='EUR']").click()
    assert seen(browser, ".first h2") == ["EUR"]
    assert browser.current_url.endswith("#currency=EUR")
    assert set(seen(browser, "#forecast tbody td.currency")) == {"EUR"}
    assert seen(browser, ".tabs [aria-pressed=true]") == ["EUR"]


def test_a_link_leads_to_a_selection(browser: Any, address: str) -> None:
    visit(browser, f"{address}#currency=EUR&owner=praman")
    assert seen(browser, ".first h2") == ["EUR"]
    assert set(column(browser, "deals", 3)) <= {"praman"}
    assert seen(browser, ".sums h2") == ["Selected deals"]


def test_filters_change_the_sums_as_the_forecast_does(browser: Any, figures: Figures) -> None:
    """The same deals by the forecast, with its policy on overdue deals."""
    by = {"by": ("owner",)}
    table = ca.forecast.by_month(figures.pipeline, **(figures.options.placing() | by))
    mine = table[(table["owner"] == "praman") & (table["currency"] == "GBP")]
    select(browser, "owner", "praman")
    for row in browser.find_elements("css selector", "#forecast tbody tr"):
        if not row.is_displayed():
            continue
        month, _, count, opened, weighted, won, expected, p10, _ = (
            cell.text for cell in row.find_elements("tag name", "td")
        )
        months = mine["month"].map(lambda one: "undated" if pd.isna(one) else str(one))
        sums = mine[months == month]
        assert int(count) == sums["open_deals"].sum()
        for written, name in (
            (opened, "open_value"), (weighted, "weighted_value"), (won, "won_value"),
            (expected, "expected_value"),
        ):  # fmt: skip
            assert abs(money(written) - sums[name].sum()) <= 0.51
        assert p10 == "\N{EN DASH}"
    assert "cannot be summed in the page" in seen(browser, ".sums .note")[0]
    before = seen(browser, ".first .figure")
    select(browser, "owner", "")
    assert seen(browser, ".sums") == []
    assert seen(browser, ".first .figure") == before


def test_every_filter_narrows_the_deals(browser: Any, figures: Figures) -> None:
    frame = figures.pipeline.opportunities
    pounds = frame[(frame["currency"] == "GBP") & (frame["status"] == "open")]
    tags = pounds["tags"].dropna()
    tag = next(names[0] for names in tags if len(names))
    tagged = sum(tag in names for names in tags)
    said = "css selector", "#deals [role=status]"
    select(browser, "tag", tag)
    assert browser.find_element(*said).text.startswith(f"{tagged} deal")
    select(browser, "tag", "")
    select(browser, "status", "lost")
    lost = ((frame["currency"] == "GBP") & (frame["status"] == "lost")).sum()
    assert browser.find_element(*said).text.startswith(f"{lost} deals")
    browser.find_element("css selector", "[name=q]").send_keys("no such deal")
    assert browser.find_element(*said).text == "No deals meet the filters."
    browser.find_element("xpath", "//button[.='Show all']").click()
    assert browser.find_element(*said).text.startswith(f"{len(pounds)} deals")


def test_a_click_on_a_column_shows_the_deals_behind_it(browser: Any, figures: Figures) -> None:
    table = figures.forecast_total
    row = table[(table["month"] == figures.month) & (table["currency"] == "GBP")].iloc[0]
    slot = browser.find_element(
        "css selector", "#c0-forecast [data-choose='status=any&period=2026-10']"
    )
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", slot)
    slot.click()
    count = row["open_deals"] + row["won_deals"]
    assert seen(browser, "#deals [role=status]")[0].startswith(f"{count} deals")
    assert browser.execute_script("return document.activeElement.id") == "deals-title"
    browser.find_element("css selector", ".chips button").click()
    assert "period" not in browser.current_url


@pytest.mark.parametrize("table", ["milestones", "owners", "lost_reasons", "needs"])
def test_a_click_in_a_table_shows_the_deals_behind_it(browser: Any, table: str) -> None:
    link = next(
        one for one in browser.find_elements("css selector", f"#{table} td.choose button")
        if one.is_displayed()
    )  # fmt: skip
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    assert not seen(browser, "#deals [role=status]")[0].startswith("No deals")
    name = {"milestones": "milestone=", "lost_reasons": "reason="}.get(table, "owner=")
    assert name in browser.current_url


def test_a_column_tells_its_figures_on_hover_and_with_the_keyboard(browser: Any) -> None:
    slots = browser.find_elements("css selector", "#c0-projection .slot")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", slots[-1])
    webdriver.ActionChains(browser).move_to_element(slots[-1]).perform()
    assert seen(browser, ".tip") == [slots[-1].get_attribute("aria-label")]
    assert "business not yet in the list" in seen(browser, ".tip")[0]
    browser.execute_script("arguments[0].focus()", slots[-1])
    keys = webdriver.ActionChains(browser)
    keys.send_keys("\ue012").perform()  # the left arrow
    assert seen(browser, ".tip") == [slots[-2].get_attribute("aria-label")]
    keys.send_keys("\ue00c").perform()  # escape
    assert seen(browser, ".tip") == []
    stops = browser.find_elements("css selector", "#c0-projection .slot[tabindex='0']")
    assert len(stops) == 1


def test_a_deal_leads_to_capsule(browser: Any) -> None:
    for table in ("needs", "deals"):
        link = browser.find_element("css selector", f"#{table} tbody a").get_attribute("href")
        assert re.fullmatch(r"https://tarn\.capsulecrm\.com/opportunity/\d+", link)


def test_columns_can_be_chosen_and_copied(browser: Any, figures: Figures) -> None:
    browser.execute_script(
        "window.copied = []; navigator.clipboard.writeText = async (text) => copied.push(text)"
    )
    browser.find_element("css selector", "#deals summary").click()
    for label in browser.find_elements("css selector", "#deals details label"):
        if label.text.strip() in {"Team", "Party"}:
            label.click()
    heads = seen(browser, "#deals thead th")
    assert "Team" in heads
    assert "Party" not in heads
    browser.find_element("css selector", ".csv").click()
    (text,) = browser.execute_script("return copied")
    copied = pd.read_csv(io.StringIO(text))
    assert [*copied.columns] == [*heads, "Currency"]
    frame = figures.pipeline.opportunities
    pounds = frame[(frame["currency"] == "GBP") & (frame["status"] == "open")]
    assert copied["TCV"].sum() == pytest.approx(pounds["tcv"].sum(), abs=0.005 * len(pounds))
    formulas = copied["Deal"].dropna().str.startswith("=")
    assert not formulas.any()
    assert copied["Deal"].dropna().str.startswith("'=").sum() == (
        pounds["name"].str.startswith("=").sum()
    )


def test_what_is_copied_runs_in_no_spreadsheet(driver: Any, tmp_path: Path) -> None:
    """Cell for cell as in the CSV files, whatever parts cells and lines."""
    names = [
        "a\r=1+1",
        "a\n=1+1",
        "\t=1",
        "a;=1",
        "\x00=1",
        "\uff1d1",
        "\u200b@A1",
        "\x85=1",
        "-2 + 3",
    ]
    sample = ca.load_sample()
    deals = sample.opportunities.query("status == 'open' and currency == 'GBP'")[: len(names)]
    pipeline = replace(sample, opportunities=deals.assign(name=pd.array(names, "string[python]")))
    write_html(figures_of(pipeline, Options(html=True, formats=())), tmp_path / "page.html")
    visit(driver, (tmp_path / "page.html").as_uri())
    driver.execute_script(
        "window.copied = []; navigator.clipboard.writeText = async (text) => copied.push(text)"
    )
    driver.find_element("css selector", ".csv").click()
    (text,) = driver.execute_script("return copied")
    copied = pd.read_csv(io.StringIO(text), lineterminator="\n")
    assert sorted(copied["Deal"]) == sorted(map(without_formulas, names))


def test_without_script_the_page_reads_whole(driver: Any, address: str, figures: Figures) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(driver, address)
        assert seen(driver, ".first h2") == [head.name for head in figures.headlines]
        assert len(seen(driver, "#deals tbody tr")) > 10
        assert seen(driver, ".bar") == []
        assert len(driver.find_elements("css selector", ".slot title")) > 50
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def axe_finds(browser: Any, address: str, scheme: str) -> None:
    """Let axe-core look at a page in a colour scheme: WCAG 2.2 at level AA."""
    try:
        checker = distribution("axe-playwright-python").locate_file(
            "axe_playwright_python/axe.min.js"
        )
    except PackageNotFoundError:
        pytest.skip("axe-core is not installed")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        visit(browser, address)
        browser.execute_script(Path(str(checker)).read_text(encoding="utf-8"))
        found = browser.execute_async_script(AXE)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found["passes"] > 20
    assert found["violations"] == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_axe_finds_nothing(browser: Any, address: str, width: int, scheme: str) -> None:
    """With a selection, so that all there is can be seen."""
    resize(browser, width)
    axe_finds(browser, f"{address}#owner=praman&period=2026-11", scheme)


WIDEST = """
const [selector, shown] = arguments;
return [...document.querySelectorAll(selector)].map(
  element => element.getBoundingClientRect().right - shown)
"""


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_every_currency_shows_all_its_figures(browser: Any, width: int) -> None:
    resize(browser, width)
    beyond = browser.execute_script(WIDEST, ".currencies td", width)
    assert len(beyond) > 20
    assert max(beyond) < 0


def test_on_a_phone_the_figures_of_a_currency_are_named_one_by_one(browser: Any) -> None:
    resize(browser, 360)
    label = "return getComputedStyle(document.querySelector('.currencies td'), '::before').content"
    assert browser.execute_script(label) == '"Projected for October 2026, P10 to P90"'
    resize(browser, 1280)
    assert browser.execute_script(label) in {"none", "normal"}


def test_on_a_phone_charts_scroll_to_the_coming_months(browser: Any, address: str) -> None:
    resize(browser, 360)
    visit(browser, address)
    whole, room, at = browser.execute_script(
        "const one = document.querySelector('#c0-projection .scroll');"
        "return [one.scrollWidth, one.clientWidth, one.scrollLeft]"
    )
    assert whole > room
    assert at == pytest.approx(whole - room, abs=2)


def test_dark_mode_has_light_text_on_dark_cards(browser: Any) -> None:
    def lightness(selector: str, name: str) -> float:
        script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        color = browser.execute_script(script, selector, name)
        return sum(map(int, color.removeprefix("rgb(").removesuffix(")").split(","))) / 765

    def prefer(scheme: str) -> None:
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    try:
        prefer("light")
        assert lightness(".card", "backgroundColor") > 0.9
        assert lightness("h1", "color") < 0.3
        prefer("dark")
        assert lightness(".card", "backgroundColor") < 0.2
        assert lightness("h1", "color") > 0.8
        fill = "return getComputedStyle(document.querySelector('rect.won')).fill"
        assert browser.execute_script(fill) == "rgb(124, 196, 238)"
    finally:
        prefer("")


def test_the_currency_that_is_shown_is_printed(browser: Any, address: str) -> None:
    visit(browser, f"{address}#currency=EUR")
    printed = browser.execute_script(
        "return [...document.querySelectorAll('#forecast tbody tr:not(.more)')]"
        ".filter(row => !row.hidden).map(row => row.dataset.currency)"
    )
    assert printed[:1] == ["EUR"]
    assert set(printed) == {"EUR"}


def test_it_prints_on_one_to_six_pages(browser: Any) -> None:
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
    assert 1 <= len(pages) <= 6
