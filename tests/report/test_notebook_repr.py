"""The cards that objects show in a notebook."""

from __future__ import annotations

from deals import deals
from lxml import html

from capsule_analytics.risk import distribution

ROWS = [
    {"value": 1000, "probability": 50, "expected_close": "2026-10-20"},
    {"value": 2000, "probability": 10, "expected_close": "2026-08-20"},
    {"value": 70, "probability": 10, "expected_close": "2026-10-20", "currency": "EUR"},
    {"value": 300, "milestone": "Won", "closed_at": "2026-10-02"},
]


def words(card: str) -> str:
    return " ".join(" ".join(html.fromstring(card).itertext()).split())


def table(card: str) -> list[list[str]]:
    return [[str(cell.text) for cell in row] for row in html.fromstring(card).iterfind(".//tr")]


def test_the_card_of_a_pipeline_says_what_is_in_it() -> None:
    card = deals(ROWS)._repr_html_()
    assert "test as of 2026-10-15" in words(card)
    assert "3 open, 1 won, 0 lost" in words(card)
    # The second deal is overdue.
    assert "Data quality: 1 warning" in words(card)
    assert table(card) == [
        ["Open", "Deals", "TCV", "Weighted"],
        ["GBP", "2", "£3,000", "£700"],
        ["EUR", "1", "€70", "€7"],
    ]


def test_deals_without_currency_are_told() -> None:
    card = deals([{**ROWS[0], "currency": None}])._repr_html_()
    assert table(card)[1] == ["no currency", "1", "1,000 (no currency)", "500 (no currency)"]


def test_the_card_of_an_account_without_deals_has_no_table() -> None:
    card = deals([])._repr_html_()
    assert "0 open, 0 won, 0 lost Data quality: no findings" in words(card)
    assert table(card) == []


def test_text_in_a_card_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    card = deals([{**ROWS[0], "currency": evil}])._repr_html_()
    assert "<script" not in card
    assert table(card)[1][0] == evil


def test_a_card_suits_light_and_dark_notebooks() -> None:
    """It sets no text colour and no opaque background, so both are the notebook's."""
    card = deals(ROWS)._repr_html_()
    assert ";color:" not in card
    assert '"color:' not in card
    assert "background:#" not in card


def test_the_card_of_a_distribution_has_its_quantiles() -> None:
    card = distribution([1000.0, 3000.0, float("nan")], [0.5, 0.5, 0.5])._repr_html_()
    assert "2 open deals, 1 left out" in words(card)
    assert table(card) == [
        ["Mean", "Std", "P10", "P50", "P90"],
        ["2,000.00", "1,581.14", "0.00", "1,000.00", "4,000.00"],
    ]
