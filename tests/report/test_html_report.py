"""The HTML report as a file: what it says, and that nothing in an account can break it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deals import deals
from lxml import html

import capsule_analytics as ca
from capsule_analytics.report import Options, figures_of, write_report
from capsule_analytics.report._page import write_html
from capsule_analytics.report._page_charts import Chart, Drawn, Mark, Slot
from capsule_analytics.report._page_tables import cell

if TYPE_CHECKING:
    from pathlib import Path

    from capsule_analytics.schema import Pipeline

EVIL = "<script>alert(1)</script>\"'&"

# As of 15 October 2026: this month 500 of 1,000 is expected of the first, 300 is won, and this
# quarter has another 90 % of 2,000; 4,000 are overdue since August.
ROWS: list[dict[str, Any]] = [
    {"name": "A", "value": 1000, "probability": 50, "expected_close": "2026-10-20"},
    {"name": "B", "value": 300, "probability": 100, "milestone": "Won", "closed_at": "2026-10-02"},
    {"name": "C", "value": 2000, "probability": 90, "expected_close": "2026-12-01"},
    {"name": "D", "value": 4000, "probability": 10, "expected_close": "2026-08-01"},
]


def page(
    pipeline: Pipeline, folder: Path, *, alone: bool = True, **options: Any
) -> html.HtmlElement:
    """Write the page, alone or with the tables that it names."""
    made = Options(html=True, formats=(), **{"projection": False, **options})
    if alone:
        write_html(figures_of(pipeline, made), folder / "report.html")
    else:
        write_report(pipeline, folder, made)
    # Without an encoding in the parser lxml would go by the page's own; the text is known.
    return html.document_fromstring((folder / "report.html").read_text(encoding="utf-8"))


def words(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def tiles(tree: html.HtmlElement) -> dict[str, list[str]]:
    """The figures of the first currency."""
    return {
        words(tile.find("dt")): [words(line) for line in tile.findall("dd")]
        for tile in tree.find_class("first")[0].find_class("tile")
    }


def told(tree: html.HtmlElement, key: str) -> str:
    """What a chart says."""
    return words(tree.get_element_by_id(key).find("figcaption"))


def columns(tree: html.HtmlElement, key: str) -> list[str]:
    """What the columns of a chart say."""
    return [slot.get("aria-label") for slot in tree.get_element_by_id(key).find_class("slot")]


def cells(tree: html.HtmlElement, key: str) -> list[list[str]]:
    return [
        [words(td) for td in row] for row in tree.get_element_by_id(key).iterfind(".//tbody/tr")
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> html.HtmlElement:
    """The page of `ROWS`, with all options as they are by default."""
    rows = [{**row, "owner": "amy" if row["name"] != "C" else None} for row in ROWS]
    return page(deals(rows), tmp_path_factory.mktemp("plain"))


def test_the_headline_has_the_figures_of_the_month_and_the_quarter(
    plain: html.HtmlElement,
) -> None:
    assert tiles(plain) == {
        "Weighted for October 2026": ["£800", "if all stated is right £300 to £1,300"],
        # 300 won + 500 + 1,800. Neither is won with 5 %, A alone with 5 %: P10 is 300 + 1,000.
        "Weighted for Q4 2026": ["£2,600", "if all stated is right £1,300 to £3,300"],
        "Won in October 2026": ["£300"],
        "Won in Q4 2026": ["£300"],
        "Open": ["£7,000", "3 deals, weighted £2,700"],
        "Overdue": ["£4,000", "1 deal open past the close date"],
    }


def test_deals_at_an_unknown_milestone_are_counted_in_the_head(
    plain: html.HtmlElement, tmp_path: Path
) -> None:
    """Before any figure: where a milestone is not told, none of them is whole."""
    stray = {"value": 10, "expected_close": "2026-11-01", "milestone": "Nowhere", "probability": 20}
    tree = page(deals([*ROWS, stray, stray]), tmp_path)
    (caution,) = (p for p in tree.find_class("selection") if "not whole" in words(p))
    assert words(caution).startswith("2 deals stand at a milestone that the account does not tell")
    headline = tree.find_class("first")[0]
    order = [element for element in tree.iter() if element in (caution, headline)]
    assert order == [caution, headline]
    assert not any("not whole" in words(p) for p in plain.find_class("selection"))


def test_every_currency_has_its_own_row(tmp_path: Path) -> None:
    euros = {"value": 70, "probability": 10, "expected_close": "2026-11-01", "currency": "EUR"}
    tree = page(deals([*ROWS, euros]), tmp_path)
    body = tree.find_class("currencies")[0].iterfind(".//tbody/tr")
    rows = [[words(cell) for cell in row] for row in body]
    assert [row[0] for row in rows[:2]] == ["GBP", "EUR"]
    assert rows[1] == ["EUR", "€0 €0 to €0", "€7 €0 to €0", "€0", "€70", "€0"]


def test_a_fiscal_quarter_is_named_in_one_way(tmp_path: Path) -> None:
    """In headline, charts, their words and tables: October to December of the year from April."""
    targets = pd.DataFrame(
        {"period": ["2027-Q3", "2027", "2026-10"], "currency": "GBP", "target": 1000.0}
    )
    tree = page(deals(ROWS), tmp_path, fiscal_year_start=4, period="quarter", targets=targets)
    assert {"Weighted for Q3 FY2027", "Won in Q3 FY2027", "Target Q3 FY2027"} <= set(tiles(tree))
    assert [row[0] for row in cells(tree, "forecast")] == ["Q3 FY2027"]
    assert [row[0] for row in cells(tree, "targets")] == ["Q3 FY2027", "FY2027", "2026-10"]
    assert "In Q3 FY2027 £300 won and, with open deals weighted, £2,600; in Q4 FY2027 £0." in told(
        tree, "c0-forecast"
    )
    assert columns(tree, "c0-targets")[0].startswith("Q3 FY2027: £300 won of £1,000")
    seen = list(tree.body.xpath(".//text()[not(ancestor::script)]"))
    assert not [text for text in seen if re.search("2027-?Q|Q[1-4] 20", text)]


def test_the_period_column_sorts_by_time_with_undated_deals_last(tmp_path: Path) -> None:
    rows = [*ROWS, {**ROWS[0], "expected_close": "2027-01-05"}, {**ROWS[0], "expected_close": None}]
    tree = page(deals(rows), tmp_path, period="quarter")
    keys = tree.xpath("//*[@id='forecast']//tbody/tr/td[1]/@data-order")
    assert keys == ["2026Q4", "2027Q1", ""]
    assert [row[0] for row in cells(tree, "forecast")] == ["Q4 2026", "Q1 2027", "undated"]


def test_amounts_are_rounded_half_away_from_zero(tmp_path: Path) -> None:
    tree = page(deals([{**ROWS[0], "value": 1000.5}, {**ROWS[0], "value": 2000}]), tmp_path)
    assert tiles(tree)["Open"][0] == "£3,001"
    assert sorted(row[8] for row in cells(tree, "deals")) == ["£1,001", "£2,000"]
    tree = page(deals([{**ROWS[0], "value": 1000.5, "currency": None}]), tmp_path)
    assert tiles(tree)["Open"][0] == "1,001"


def test_a_chance_of_half_a_percent_is_not_nothing() -> None:
    assert cell(0.005, "percent").text == "<1%"


def test_categories_add_up_from_won_to_best_case(tmp_path: Path) -> None:
    """At the usual thresholds: C stands at 90 %, A at 50, D before the as-of month."""
    tree = page(deals(ROWS), tmp_path)
    assert cells(tree, "categories") == [
        # Month, currency, won, commit, best case, pipeline: B is won and A is likely.
        ["2026-10", "GBP", "£300", "£300", "£1,300", "£1,000"],
        ["2026-12", "GBP", "£0", "£2,000", "£2,000", "£2,000"],
    ]
    tree = page(deals(ROWS), tmp_path, thresholds={"commit": 0.5, "best_case": 0.1})
    assert cells(tree, "categories")[0][3] == "£1,300"
    assert "open at 50% or above, best case at 10% or above" in words(
        tree.get_element_by_id("categories")
    )


def test_the_deals_behind_the_bridge_are_listed_by_currency(tmp_path: Path) -> None:
    """By currency as the page has them, then by what happened."""
    owned: list[dict[str, Any]] = [{**row, "owner": "amy"} for row in ROWS]
    euros = {"name": "E", "value": 70.5, "expected_close": "2026-11-01", "currency": "EUR"}
    before = deals([owned[0], owned[1], {**owned[2], "value": 2500}], as_of=date(2026, 9, 30))
    after = deals([*owned, euros])
    changed = ca.history.changed_deals(before, after)
    tree = page(after, tmp_path, changed_deals=changed)
    assert cells(tree, "changes") == [
        # Change, id, deal, owner, value, what happened: B was won on both days.
        ["new", "4", "D", "amy", "£4,000", "at Proposal, expected 2026-08-01"],
        ["value down", "3", "C", "amy", "-£500", "GBP 2,500.00 to GBP 2,000.00"],
        ["new", "5", "E", "\N{EN DASH}", "€71", "at Proposal, expected 2026-11-01"],
    ]
    heading = words(tree.get_element_by_id("changes-title"))
    assert heading == "Changes from 2026-09-30 to 2026-10-15"


def rates(folder: Path, days: int = 0) -> ca.fx.Rates:
    """Rates of the dollar and the euro in pounds, and of the dollar on days before."""
    lines = [
        "date,currency,rate",
        "2026-10-02,USD,0.8",
        "2026-10-14,USD,0.75",
        "2026-10-14,EUR,0.9",
    ]
    lines += [f"2026-09-{day:02},USD,0.{day:02}" for day in range(1, days + 1)]
    (folder / "input.csv").write_text("\n".join(lines), encoding="utf-8")
    return ca.fx.read_rates(folder / "input.csv", "GBP")


def test_exchange_rates_are_listed_from_the_newest(tmp_path: Path) -> None:
    """Open deals take the rate of 15 October, published the day before, B that of its own day."""
    rows = [
        {**ROWS[0], "currency": "USD"},
        {**ROWS[2], "currency": "USD"},
        {**ROWS[1], "currency": "USD"},
        {**ROWS[0], "currency": "EUR"},
        ROWS[0],
    ]
    converted = ca.fx.convert(deals(rows), "GBP", rates(tmp_path))
    tree = page(converted, tmp_path)
    assert cells(tree, "rates") == [
        ["EUR", "2026-10-15", "0.9", "2026-10-14", "1"],
        ["GBP", "2026-10-15", "1", "2026-10-15", "1"],
        ["USD", "2026-10-15", "0.75", "2026-10-14", "2"],
        ["USD", "2026-10-02", "0.8", "2026-10-02", "1"],
    ]
    assert "rates" not in [table.get("id") for table in page(deals(rows), tmp_path).iter("section")]


def test_long_tables_are_cut_on_paper(tmp_path: Path) -> None:
    """Of 12 rows each, paper has as many as six pages can take."""
    months = [
        f"{day.year}-{day.month:02}-05" for day in pd.period_range("2026-10", periods=12, freq="M")
    ]
    rows = [{**ROWS[0], "name": f"Deal {n}", "expected_close": day} for n, day in enumerate(months)]
    sold = [
        {**ROWS[1], "currency": "USD", "closed_at": f"2026-09-{day:02}"} for day in range(1, 13)
    ]
    after = ca.fx.convert(deals([*rows, *sold]), "GBP", rates(tmp_path, days=12))
    before = deals([], as_of=date(2026, 9, 30))
    changed = ca.history.changed_deals(before, deals(rows))
    tree = page(after, tmp_path, changed_deals=changed)
    printed = {
        key: len(tree.xpath(f"//*[@id='{key}']//tbody/tr[not(@class)]"))
        for key in ("categories", "changes", "rates", "forecast")
    }
    assert printed == {"categories": 4, "changes": 4, "rates": 4, "forecast": 6}
    assert [len(cells(tree, key)) for key in printed] == [12, 12, 13, 12]
    section = tree.get_element_by_id("rates")
    assert [words(one) for one in section.find_class("print")] == ["9 more rows."]
    assert section.xpath(".//p/a/@href") == ["rates.csv"]


def footer_files(tree: html.HtmlElement) -> list[str]:
    return [str(link) for link in tree.xpath("//footer//a/@href")]


def test_the_footer_names_the_files_that_are_written(tmp_path: Path) -> None:
    tree = page(deals(ROWS), tmp_path / "plain", alone=False)
    assert words(tree.xpath("//footer")[0]).endswith(
        "The figures are also in forecast.csv, scenarios.csv, attention.csv, revenue.csv,"
        " opportunities.csv and data_quality.csv."
    )
    assert set(footer_files(tree)) == {path.name for path in (tmp_path / "plain").glob("*.csv")}
    before = deals(ROWS[:1], as_of=date(2026, 9, 30))
    tree = page(
        ca.fx.convert(deals(ROWS), "GBP", rates(tmp_path)),
        tmp_path / "full",
        alone=False,
        targets=pd.DataFrame({"period": ["2026"], "currency": ["GBP"], "target": [9000.0]}),
        changes=ca.history.changes(before, deals(ROWS)),
        changed_deals=ca.history.changed_deals(before, deals(ROWS)),
    )
    assert set(footer_files(tree)) == {path.name for path in (tmp_path / "full").glob("*.csv")}
    assert len(footer_files(tree)) == 10


def test_a_selection_stands_beside_the_title(tmp_path: Path) -> None:
    tree = page(deals(ROWS), tmp_path, selection="owner praman, tag Renewal")
    assert words(tree.find(".//header/p")) == (
        "Only a selection of the account: owner praman, tag Renewal."
    )
    assert "test, owner praman, tag Renewal, 15 Oct 2026" in tree.findtext(".//title")
    plain = page(deals(ROWS), tmp_path)
    assert not plain.find_class("selection")
    assert plain.findtext(".//title") == "Sales forecast, test, 15 Oct 2026"


def test_a_selection_of_nothing_does_not_speak_for_the_account(tmp_path: Path) -> None:
    lost = [{**ROWS[0], "milestone": "Lost"}]
    said = words(page(deals(lost), tmp_path, selection="milestone Lost"))
    assert "No open or won deals are selected (milestone Lost)" in said
    assert "This account has no" not in said


def test_open_figures_tell_that_they_include_overdue_deals_the_forecast_drops(
    tmp_path: Path,
) -> None:
    rows = [{**row, "owner": "amy"} for row in ROWS]
    euros = {"value": 70, "probability": 10, "expected_close": "2026-11-01", "currency": "EUR"}
    tree = page(deals([*rows, euros]), tmp_path, overdue="drop")
    assert tiles(tree)["Open"] == ["£7,000", "3 deals, weighted £2,700; overdue included"]
    assert "Open overdue included" in [words(th) for th in tree.xpath("//section/div//thead//th")]
    said = "Overdue deals are included, unlike in the forecast."
    # amy holds A, C and D, of which D is overdue.
    assert cells(tree, "owners")[0][4:] == ["3", "£7,000", "£2,700", "1", "£4,000"]
    assert all(said in words(tree.get_element_by_id(key)) for key in ("owners", "milestones"))
    plain = page(deals(rows), tmp_path)
    assert "overdue included" not in words(plain)


def test_milestones_are_weighted_as_the_forecast_is(tmp_path: Path) -> None:
    """A at 25 % in place of 50: 250 + 90 % of 2,000 + 10 % of 4,000."""
    tree = page(deals(ROWS), tmp_path, probability=pd.Series({1: 0.25}))
    assert cells(tree, "milestones")[0] == ["Proposal", "GBP", "3", "£7,000", "£2,450", "1"]
    assert tiles(tree)["Open"][1] == "3 deals, weighted £2,450"
    assert "stated in Capsule" not in words(tree.get_element_by_id("settings"))


def test_a_column_of_a_chart_tells_its_figures(plain: html.HtmlElement) -> None:
    assert columns(plain, "c0-forecast") == [
        (
            "Aug 2026: £0 won, 1 open deal of £4,000, weighted £400; if every stated probability"
            " and date were right £0 to £0 (P10 to P90)"
        ),
        (
            "Oct 2026: £300 won, 1 open deal of £1,000, weighted £500; if every stated probability"
            " and date were right £300 to £1,300 (P10 to P90)"
        ),
        (
            "Dec 2026: £0 won, 1 open deal of £2,000, weighted £1,800; if every stated probability"
            " and date were right £0 to £2,000 (P10 to P90)"
        ),
    ]
    october = plain.get_element_by_id("c0-forecast").find_class("slot")[1]
    assert october.get("data-choose") == "status=any&period=2026-10"


def test_a_column_is_as_high_as_its_amount() -> None:
    """From 0 to 40 in steps of 10: 30 ends at a quarter from the top."""
    marks = (Mark("won", 0.0, 10.0), Mark("weighted", 10.0, 30.0), Mark("range", 0.0, 40.0))
    chart = Chart("c0", "title", "words", (Slot("Oct 2026", "words", marks),))
    assert chart.ticks == [(100.0, "0"), (75.0, "10"), (50.0, "20"), (25.0, "30"), (0.0, "40")]
    assert chart.drawn(chart.slots[0]) == [
        Drawn("won", 75.0, 25.0), Drawn("weighted", 25.0, 50.0), Drawn("range", 0.0, 100.0),
    ]  # fmt: skip
    assert [name for _, name in chart.legend] == ["won", "open deals, weighted", "P10 to P90"]


@pytest.mark.parametrize("amounts", [[], [0.0], [-5.0, 3.0], [float("nan")], [1e-9, 1e15]])
def test_any_amounts_can_be_drawn(amounts: list[float]) -> None:
    slots = tuple(Slot("", "", (Mark("won", 0.0, amount),)) for amount in amounts)
    chart = Chart("c0", "title", "words", slots)
    drawn = [mark for slot in slots for mark in chart.drawn(slot)]
    assert all(0 <= mark.top <= mark.top + abs(mark.height) <= 200 for mark in drawn)
    assert len(chart.ticks) <= 7


def test_targets_give_attainment_and_coverage(tmp_path: Path) -> None:
    targets = pd.DataFrame(
        {"period": ["2026", "2026-Q4"], "currency": ["GBP", "GBP"], "target": [9000.0, 1000.0]}
    )
    tree = page(deals(ROWS), tmp_path, alone=False, targets=targets)
    # The quarter's target stands first: 300 of 1,000 won, 3,000 open over a gap of 700.
    assert tiles(tree)["Target Q4 2026"][0] == "30%"
    assert tiles(tree)["Coverage Q4 2026"] == [
        "4.3\N{MULTIPLICATION SIGN}",
        "open deals over the gap of £700",
    ]
    assert [row[:4] for row in cells(tree, "targets")] == [
        ["2026", "GBP", "£9,000", "£300"],
        ["Q4 2026", "GBP", "£1,000", "£300"],
    ]
    assert (tmp_path / "targets.csv").exists()


def test_the_target_of_an_owner_is_not_the_headline(tmp_path: Path) -> None:
    targets = pd.DataFrame(
        {"period": ["2026-Q4"], "currency": ["GBP"], "owner": ["amy"], "target": [1000.0]}
    )
    tree = page(deals(ROWS), tmp_path, targets=targets)
    assert not [name for name in tiles(tree) if name.startswith("Target")]
    assert cells(tree, "targets")[0][2] == "amy"


def test_the_bridge_is_told_in_words_too(tmp_path: Path) -> None:
    before = deals(ROWS[:1], as_of=date(2026, 9, 30))
    tree = page(deals(ROWS), tmp_path, changes=ca.history.changes(before, deals(ROWS)))
    assert "From £1,000 open on 2026-09-30 to £7,000 on 2026-10-15: new £6,000." in told(
        tree, "c0-changes"
    )
    assert columns(tree, "c0-changes") == [
        "opening: £1,000, 1 deal", "new: £6,000, 2 deals", "closing: £7,000, 3 deals",
    ]  # fmt: skip


def test_tables_list_owners_milestones_deals_and_findings(plain: html.HtmlElement) -> None:
    # amy has won 300 and expects 300 + 500 this quarter; D is overdue and in another quarter.
    assert cells(plain, "owners")[1] == [
        "amy", "GBP", "£300", "£800", "2", "£5,000", "£900", "1", "£4,000",
    ]  # fmt: skip
    assert cells(plain, "owners")[0][:4] == ["\N{EN DASH}", "GBP", "£0", "£1,800"]
    assert cells(plain, "milestones")[0] == ["Proposal", "GBP", "3", "£7,000", "£2,700", "1"]
    assert [row[1] for row in cells(plain, "deals")] == ["D", "C", "A"]
    assert cells(plain, "deals")[0][6] == "overdue"
    assert [row[:4] for row in cells(plain, "findings")] == [["warning", "overdue", "4", "D"]]


def test_the_forecast_table_looks_ahead(plain: html.HtmlElement) -> None:
    assert [row[0] for row in cells(plain, "forecast")] == ["2026-10", "2026-12"]


def test_text_of_the_account_stays_text(tmp_path: Path) -> None:
    rows = [
        {
            **ROWS[0],
            "name": EVIL,
            "owner": EVIL,
            "party": EVIL,
            "milestone": EVIL,
            "lost_reason": EVIL,
        }
    ]
    tree = page(deals(rows), tmp_path, selection=EVIL)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert [script.get("type") for script in tree.findall(".//script")] == [
        "application/json",
        None,
    ]
    island = json.loads(tree.get_element_by_id("data").text)
    assert (island["columns"]["name"], island["texts"]["owner"]) == ([EVIL], [EVIL])
    assert cells(tree, "deals")[0][1] == EVIL
    assert cells(tree, "milestones")[0][0] == EVIL


@pytest.mark.parametrize(
    "name", ["Pro\x01posal", "\N{CJK UNIFIED IDEOGRAPH-63D0}", "$x$ 100 %", ""]
)
def test_strange_names_do_not_break_the_page(tmp_path: Path, name: str) -> None:
    tree = page(deals([{**ROWS[0], "milestone": name, "name": name}]), tmp_path)
    assert cells(tree, "milestones")[0][0] == (name or "\N{EN DASH}")
    texts = json.loads(tree.get_element_by_id("data").text)["texts"]
    assert texts["milestone"] == ([name] if name else [])


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sample")
    write_report(ca.load_sample(), folder, Options(html=True, formats=(), projection=False))
    return (folder / "report.html").read_text(encoding="utf-8")


def test_ids_are_unique_and_every_reference_has_one(sample: str) -> None:
    tree = html.document_fromstring(sample)
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    asked = set(re.findall(r'(?:url\(|href=")#([^)"]+)', sample))
    asked |= {name for value in tree.xpath("//@aria-labelledby") for name in value.split()}
    assert len(asked) > 20
    assert asked <= set(ids)


def test_every_chart_has_a_text_alternative(sample: str) -> None:
    charts = html.document_fromstring(sample).xpath("//figure")
    assert len(charts) == 12  # forecast and revenue, in six currencies
    for chart in charts:
        drawn = chart.xpath(".//*[local-name()='svg']")[0]
        assert drawn.get("role") == "group"
        assert drawn.get("aria-label") == words(chart.find(".//strong"))
        assert all(re.search(r"\d", slot.get("aria-label")) for slot in chart.find_class("slot"))
    assert "In Oct 2026 £26,650 won and, with open deals weighted, £320,725;" in words(charts[0])


def test_a_deal_that_needs_someone_has_its_reason_and_leads_to_capsule(tmp_path: Path) -> None:
    """D is 75 days late, worth 10 % of 4,000; of another server nothing is known to lead to."""
    tree = page(deals(ROWS), tmp_path, web="https://acme.capsulecrm.com")
    assert cells(tree, "needs") == [
        ["D", "\N{EN DASH}", "\N{EN DASH}", "£4,000", "£400", "overdue for 75 days"]
    ]
    found = tree.xpath("//*[@id='needs']//tbody//a/@href")
    assert found == ["https://acme.capsulecrm.com/opportunity/4"]
    assert len(tree.xpath("//*[@id='deals']//tbody//a")) == 3
    assert not page(deals(ROWS), tmp_path).xpath("//tbody//a")


def test_data_quality_tells_who_has_to_mend_what(plain: html.HtmlElement) -> None:
    assert cells(plain, "quality") == [["amy", "0", "1", "0", "overdue (1)"]]


def test_ageing_counts_deals_by_their_days_at_the_milestone(tmp_path: Path) -> None:
    """A moved 10 days ago, C 40 days ago; of D it is not known."""
    moved = {"A": "2026-10-05T09:00:00Z", "C": "2026-09-05T09:00:00Z"}
    rows = [{**row, "last_stage_changed_at": moved.get(row["name"])} for row in ROWS]
    tree = page(deals(rows), tmp_path)
    heads = [words(th) for th in tree.xpath("//*[@id='ageing']//thead//th")]
    (row,) = cells(tree, "ageing")
    counts = dict(zip(heads, row, strict=True))
    assert counts["under 30 days"] == "1"
    assert counts["30-89 days"] == "1"
    assert counts["Open"] == "£7,000"


def test_twenty_thousand_deals_fit_in_six_megabytes(tmp_path: Path) -> None:
    """Two thousand of them are a tenth of that, whatever the page holds beside deals."""
    rows = [
        {
            **ROWS[n % 4],
            "name": f"Deal number {n} of a customer",
            "party": f"Customer {n} Ltd",
            "owner": f"owner{n % 500}",
            "tags": [f"tag{n % 7}"],
        }
        for n in range(2000)
    ]
    page(deals(rows), tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 600_000


def test_the_page_loads_nothing_from_elsewhere(sample: str) -> None:
    tree = html.document_fromstring(sample)
    assert tree.xpath("//@src") == []
    assert tree.xpath("//link") == []
    assert not re.search(r"@import|url\((?!#)", sample)
    assert all(link.startswith("#") or link.endswith(".csv") for link in tree.xpath("//a/@href"))


def test_the_page_is_small(sample: str) -> None:
    assert len(sample.encode()) < 1_000_000


def test_the_options_are_told(tmp_path: Path) -> None:
    tree = page(
        deals(ROWS), tmp_path, overdue="roll", fiscal_year_start=4, correlation=0.2,
        selection="owner amy", probability=pd.Series({1: 0.25}),
    )  # fmt: skip
    said = words(tree.get_element_by_id("settings"))
    for part in (
        "owner amy",
        "moved to the as-of day",
        "a correlation of 0.2",
        "begins in April",
        "corrected by what earlier deals became",
    ):
        assert part in said
    # Rolled, D counts 10 % of 4,000 this month; corrected, A counts 25 %.
    assert tiles(tree)["Weighted for October 2026"][0] == "£950"


def test_long_tables_are_cut_and_say_where_the_rest_is(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "name": f"Deal {n}", "expected_close": "2026-01-01"} for n in range(120)]
    tree = page(deals(rows), tmp_path)
    assert len(cells(tree, "findings")) == 100
    section = tree.get_element_by_id("findings")
    assert "20 more rows." in words(section)
    assert section.xpath(".//p/a/@href") == ["data_quality.csv"]
    assert len(cells(tree, "deals")) == 10
    assert "110 more rows." in words(tree.get_element_by_id("deals"))


def test_currencies_beyond_the_charted_are_named(tmp_path: Path) -> None:
    codes = ["GBP", "EUR", "USD", "CHF", "SEK", "NOK", "DKK", None]
    rows = [{**ROWS[0], "currency": code} for code in codes]
    tree = page(deals(rows), tmp_path)
    assert len(tree.find_class("first")) == 8
    assert len(tree.get_element_by_id("forecast").xpath(".//figure")) == 6
    assert "Without charts, in the tables only: USD, no currency." in words(tree)


def test_an_account_without_deals_is_reported(tmp_path: Path) -> None:
    tree = page(deals([]), tmp_path)
    assert "This account has no open or won deals." in words(tree)
    assert "No data-quality findings." in words(tree)


def test_a_report_of_nothing_but_lost_or_undated_deals(tmp_path: Path) -> None:
    rows = [{"value": None, "probability": None, "currency": None, "expected_close": None}]
    assert tiles(page(deals(rows), tmp_path))["Open"][1] == "1 deal, weighted 0"
