"""The HTML report as a file: what it says, and that nothing in an account can break it."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from deals import deals
from lxml import html

import capsule_analytics as ca
from capsule_analytics.report import Options, write_report

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


def page(pipeline: Pipeline, folder: Path, **options: Any) -> html.HtmlElement:
    write_report(pipeline, folder, Options(html=True, formats=(), **options))
    # Without an encoding in the parser lxml would go by the page's own; the text is known.
    return html.document_fromstring((folder / "report.html").read_text(encoding="utf-8"))


def words(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def tiles(tree: html.HtmlElement) -> dict[str, list[str]]:
    return {
        words(tile.find("dt")): [words(line) for line in tile.findall("dd")]
        for tile in tree.find_class("tile")
    }


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
        "Expected in October 2026": ["£800", "P10 to P90: £300 to £1,300"],
        # 300 won + 500 + 1,800. Neither is won with 5 %, A alone with 5 %: P10 is 300 + 1,000.
        "Expected in Q4 2026": ["£2,600", "P10 to P90: £1,300 to £3,300"],
        "Won in October 2026": ["£300"],
        "Won in Q4 2026": ["£300"],
        "Open": ["£7,000", "3 deals, weighted £2,700"],
        "Overdue": ["£4,000", "1 deal open past the close date"],
    }


def test_every_currency_has_its_own_row(tmp_path: Path) -> None:
    euros = {"value": 70, "probability": 10, "expected_close": "2026-11-01", "currency": "EUR"}
    tree = page(deals([*ROWS, euros]), tmp_path)
    rows = [[words(cell) for cell in row] for row in tree.iterfind(".//section/div/table/tbody/tr")]
    assert [row[0] for row in rows[:2]] == ["GBP", "EUR"]
    assert rows[1] == ["EUR", "€0 €0 to €0", "€7 €0 to €0", "€0", "€70", "€0"]


def test_a_fiscal_quarter_is_named_after_its_year(tmp_path: Path) -> None:
    assert "Expected in Q3 FY2027" in tiles(page(deals(ROWS), tmp_path, fiscal_year_start=4))


def test_targets_give_attainment_and_coverage(tmp_path: Path) -> None:
    targets = pd.DataFrame(
        {"period": ["2026", "2026-Q4"], "currency": ["GBP", "GBP"], "target": [9000.0, 1000.0]}
    )
    tree = page(deals(ROWS), tmp_path, targets=targets)
    # The quarter's target stands first: 300 of 1,000 won, 3,000 open over a gap of 700.
    assert tiles(tree)["Target 2026-Q4"][0] == "30%"
    assert tiles(tree)["Coverage 2026-Q4"] == [
        "4.3\N{MULTIPLICATION SIGN}",
        "open deals over the gap of £700",
    ]
    assert [row[:4] for row in cells(tree, "targets")] == [
        ["2026", "GBP", "£9,000", "£300"],
        ["2026-Q4", "GBP", "£1,000", "£300"],
    ]
    assert (tmp_path / "targets.csv").exists()


def test_the_target_of_an_owner_is_not_the_headline(tmp_path: Path) -> None:
    targets = pd.DataFrame(
        {"period": ["2026-Q4"], "currency": ["GBP"], "owner": ["amy"], "target": [1000.0]}
    )
    tree = page(deals(ROWS), tmp_path, targets=targets)
    assert "Target 2026-Q4" not in tiles(tree)
    assert cells(tree, "targets")[0][2] == "amy"


def test_the_bridge_is_told_in_words_too(tmp_path: Path) -> None:
    before = deals(ROWS[:1], as_of=date(2026, 9, 30))
    tree = page(deals(ROWS), tmp_path, changes=ca.history.changes(before, deals(ROWS)))
    told = words(tree.xpath("//*[@id='c0-changes-words']")[0])
    assert told == ("GBP: from £1,000 open on 2026-09-30 to £7,000 on 2026-10-15: new £6,000.")


def test_tables_list_owners_milestones_deals_and_findings(plain: html.HtmlElement) -> None:
    # amy has won 300 and expects 300 + 500 this quarter; D is overdue and in another quarter.
    assert cells(plain, "owners")[1] == [
        "amy", "GBP", "£300", "£800", "2", "£5,000", "£900", "1", "£4,000",
    ]  # fmt: skip
    assert cells(plain, "owners")[0][:4] == ["\N{EN DASH}", "GBP", "£0", "£1,800"]
    assert cells(plain, "milestones")[0] == ["Proposal", "GBP", "3", "£7,000", "£2,700", "1"]
    assert [row[1] for row in cells(plain, "largest")] == ["D", "C", "A"]
    assert cells(plain, "largest")[0][6] == "overdue"
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
    assert len(tree.findall(".//script")) == 1
    assert cells(tree, "largest")[0][1] == EVIL
    charts = " ".join(words(element) for element in tree.iter("svg"))
    assert "<script>alert" in charts  # the milestone's name, in the charts' own text


@pytest.mark.parametrize(
    "name", ["Pro\x01posal", "\N{CJK UNIFIED IDEOGRAPH-63D0}", "$x$ 100 %", ""]
)
def test_strange_names_do_not_break_the_page(tmp_path: Path, name: str) -> None:
    tree = page(deals([{**ROWS[0], "milestone": name, "name": name}]), tmp_path)
    assert len(list(tree.iter("svg"))) == 4


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sample")
    write_report(ca.load_sample(), folder, Options(html=True, formats=()))
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
    charts = list(html.document_fromstring(sample).iter("svg"))
    assert len(charts) == 16
    for chart in charts:
        assert chart.get("role") == "img"
        title, told = chart[0], chart[1]
        assert (title.tag, told.tag) == ("title", "desc")
        assert chart.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
        assert re.search(r"\d", told.text)
    assert charts[0][1].text.startswith("GBP: in 2026-10 won £26,650 and expected £320,725;")


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
    told = words(tree.get_element_by_id("settings"))
    for part in (
        "owner amy",
        "moved to the as-of day",
        "a correlation of 0.2",
        "begins in April",
        "corrected by what earlier deals became",
    ):
        assert part in told
    # Rolled, D counts 10 % of 4,000 this month; corrected, A counts 25 %.
    assert tiles(tree)["Expected in October 2026"][0] == "£950"


def test_long_tables_are_cut_and_say_where_the_rest_is(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "name": f"Deal {n}", "expected_close": "2026-01-01"} for n in range(120)]
    tree = page(deals(rows), tmp_path)
    assert len(cells(tree, "findings")) == 100
    section = tree.get_element_by_id("findings")
    assert "20 more rows." in words(section)
    assert section.xpath(".//p/a/@href") == ["data_quality.csv"]
    assert len(cells(tree, "largest")) == 10
    assert "110 more rows." in words(tree.get_element_by_id("largest"))


def test_currencies_beyond_the_charted_are_named(tmp_path: Path) -> None:
    codes = ["GBP", "EUR", "USD", "CHF", "SEK", None]
    rows = [{**ROWS[0], "currency": code} for code in codes]
    tree = page(deals(rows), tmp_path)
    assert len(tree.xpath("//section[starts-with(@id, 'charts-')]")) == 4
    assert "Without charts, in the tables only: USD, no currency." in words(tree)


def test_an_account_without_deals_is_reported(tmp_path: Path) -> None:
    tree = page(deals([]), tmp_path)
    assert "This account has no open or won deals." in words(tree)
    assert "No data-quality findings." in words(tree)


def test_a_report_of_nothing_but_lost_or_undated_deals(tmp_path: Path) -> None:
    rows = [{"value": None, "probability": None, "currency": None, "expected_close": None}]
    assert tiles(page(deals(rows), tmp_path))["Open"][1] == "1 deal, weighted 0"
