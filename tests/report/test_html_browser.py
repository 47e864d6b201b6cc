"""The HTML report in a browser: it sorts, fits every width, and has a dark side.

Needs Chromium and its driver, found on the PATH, and selenium.
"""

from __future__ import annotations

import base64
import re
import shutil
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import capsule_analytics as ca
from capsule_analytics.report import Options, write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

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
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The sample account's report with all that may be in one, opened from its file."""
    folder = tmp_path_factory.mktemp("report")
    *_, before, after = ca.history.sample_history()
    targets = pd.DataFrame({"period": ["2026-Q4"], "currency": ["GBP"], "target": [500_000.0]})
    options = Options(
        html=True,
        formats=(),
        overdue="drop",
        targets=targets,
        changes=ca.history.changes(before, after),
        changed_deals=ca.history.changed_deals(before, after),
        selection="owner praman, tag Renewal",
    )
    # Into the pound where a rate is known: the rates are listed, and four currencies charted.
    rates = folder / "rates-in.csv"
    rates.write_text("date,currency,rate\n2026-10-14,EUR,0.9\n", encoding="utf-8")
    converted = ca.fx.convert(
        ca.load_sample(), "GBP", ca.fx.read_rates(rates, "GBP"), missing="flag"
    )
    write_report(converted, folder, options)
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        chosen.add_argument(argument)
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=chosen, service=webdriver.ChromeService(DRIVER))
    try:
        driver.get((folder / "report.html").as_uri())
        yield driver
    finally:
        driver.quit()


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
    charts = browser.execute_script(
        "return [...document.querySelectorAll('.chart:not(.wide) svg')]"
        ".map(svg => [svg.getBoundingClientRect().width,"
        " svg.parentElement.getBoundingClientRect().width])"
    )
    assert len(charts) == 16
    assert all(200 < chart <= card for chart, card in charts)


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
    assert browser.execute_script(label) == '"Expected in October 2026, P10 to P90"'
    resize(browser, 1280)
    assert browser.execute_script(label) in {"none", "normal"}


def test_on_a_phone_wide_charts_scroll_inside_their_figure_and_say_so(browser: Any) -> None:
    resize(browser, 360)
    rooms = browser.execute_script(
        "return [...document.querySelectorAll('.chart.wide')].map(figure => ["
        " figure.scrollWidth, figure.clientWidth, figure.getBoundingClientRect().right,"
        " getComputedStyle(figure, '::before').content])"
    )
    assert len(rooms) > 1
    for whole, seen, right, hint in rooms:
        assert whole > seen
        assert right <= 360
        assert "Scroll sideways" in hint
    moved = browser.execute_script(
        "const figure = document.querySelector('.chart.wide');"
        "figure.scrollLeft = 9999;"
        "return figure.querySelector('svg').getBoundingClientRect().right"
    )
    assert moved <= 360
    resize(browser, 800)
    assert browser.execute_script(
        "return [...document.querySelectorAll('.chart.wide')].every("
        "figure => figure.scrollWidth <= figure.clientWidth)"
    )


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
        # Charts are inverted, so that their dark ink becomes light.
        style = "return getComputedStyle(document.querySelector('.chart svg')).filter"
        assert "invert" in browser.execute_script(style)
    finally:
        prefer("")


def test_it_prints_on_one_to_four_pages(browser: Any) -> None:
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
    assert 1 <= len(pages) <= 4
