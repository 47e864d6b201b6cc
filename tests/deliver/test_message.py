"""What is said of a report: figures worked out by hand, one currency first, nothing invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from deals import deals

from capsule_analytics.deliver import Message, message_of
from capsule_analytics.deliver import _message as message_module
from capsule_analytics.report import Figures, Options, figures_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WON = {"milestone": "Won", "closed_at": "2026-10-02T09:00:00Z"}
ROWS: list[dict[str, Any]] = [
    {"name": "Alpha", "value": 1000, "expected_close": "2026-10-20"},  # half of it counts
    {"name": "Beta", "value": 300, "expected_close": "2026-10-14", "owner": "ann"},  # late
    {"name": "Gamma", "value": 5000, "expected_close": "2026-11-20"},  # the quarter's
    {"name": "Delta", "value": 200, "expected_close": "2026-10-01", **WON},
    {"name": "Eins", "value": 70, "currency": "EUR", "expected_close": "2026-10-20"},
]


def figures(rows: list[dict[str, Any]] = ROWS, **options: Any) -> Figures:
    return figures_of(deals(rows), Options(projection=False, **options))


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_headline_is_the_first_currency_worked_out_by_hand() -> None:
    message = message_of(figures())
    # October: 200 won, half of 1,000 and of 300 open; the quarter half of 5,000 more.
    assert message.subject == "Sales forecast, test, 15 Oct 2026: £850 expected in October 2026"
    month, quarter, held, vital = message.headline
    assert month.startswith(
        "£850 expected in October 2026: £200 won, and £650 from open deals if every stated "
        "probability and date is right (P10 to P90 of that: £"
    )
    assert quarter.startswith("£3,350 expected in Q4 2026: £200 won, and £3,150 from open deals")
    assert held == "Open: 3 deals worth £6,300, of which 1 deal worth £300 is overdue."
    assert plain(vital) == "1 deal needs someone, with £150 at stake: Beta (£150)."
    assert message.outlook.title == "October 2026 by currency"
    assert [(row[0], row[1], row[2], row[-1]) for row in message.outlook.rows] == [
        ("GBP", "200", "850", "3,350"),
        ("EUR", "0", "35", "35"),
    ]
    assert message.outlook.note == (
        "Expected, P10 and P90 as if every stated probability and date were right."
    )


def test_a_projection_leads_and_promises_four_in_five() -> None:
    amounts = {"won_value": 200.0, "open_value": 400.0, "new_value": 150.0, "p10": 300.0}
    rows = [
        {"month": pd.Period("2026-11", "M"), "currency": "GBP", **amounts},
        {"month": pd.Period("2026-10", "M"), "currency": "GBP", **amounts},
    ]
    table = pd.DataFrame(rows).assign(p90=1200.0, expected_value=[1.0, 750.0])
    message = message_of(figures(), projection=table, track_record="10 of 12 months inside.")
    assert message.subject.endswith(": £750 expected in October 2026")
    assert message.headline[:2] == (
        (
            "£750 will probably be won in October 2026: £200 so far, £400 from open deals, £150 "
            "from business not yet in the list. Four outcomes in five lie between £300 and £1,200."
        ),
        "10 of 12 months inside.",
    )
    assert message.outlook.rows[0][:5] == ("GBP", "200", "750", "300", "1,200")


def test_deals_that_need_someone_lead_to_capsule() -> None:
    needs = message_of(figures(), deal_url="https://acme.capsulecrm.com/opportunity/").needs
    assert needs is not None
    assert needs.title == "Deals that need someone"
    assert needs.rows == (("Beta", "£300", "ann", "overdue for 1 day"),)
    assert needs.links == ("https://acme.capsulecrm.com/opportunity/2",)


def test_the_few_of_each_currency_come_first_and_the_rest_is_counted() -> None:
    late = {"expected_close": "2026-10-01"}
    rows = [{**late, "name": "Small", "value": 1}] * 11
    rows += [{**late, "name": "Large", "value": 90, "id": None}]
    rows += [{**late, "name": "Einzig", "value": 5, "currency": "EUR"}]
    needs = message_of(figures(rows), deal_url="https://x/").needs
    assert needs is not None
    assert [row[0] for row in needs.rows] == ["Large", "Einzig", *["Small"] * 8]
    assert needs.rows[1] == ("Einzig", "€5", "nobody", "overdue for 14 days")
    assert needs.links[:3] == ("", "https://x/13", "https://x/1")  # ids below one are ours
    assert needs.note == "And 3 more in the report."


def test_changes_are_those_of_the_first_currency() -> None:
    bridge = pd.DataFrame(
        [
            ("GBP", "opening", 2, 100.0),
            ("GBP", "new", 1, 30.0),
            ("GBP", "lost", 0, 0.0),
            ("GBP", "closing", 3, 130.0),
            ("EUR", "opening", 1, 9.0),
        ],
        columns=["currency", "part", "deals", "value"],
    )
    bridge.attrs["before"] = "2026-10-08"
    changes = message_of(figures(changes=bridge)).changes
    assert changes is not None
    assert changes.title == "Changes since 8 Oct 2026, GBP"
    assert changes.rows == (
        ("Open before", "2", "£100"),
        ("New", "1", "£30"),
        ("Open now", "3", "£130"),
    )
    assert changes.note == "More in the report: EUR."


def test_names_bring_no_second_line_no_controls_and_have_an_end() -> None:
    odd = "Acme\r\nBcc: eve@example.com \x1b[2J\u202e" + "x" * 200
    rows = [{"name": odd, "owner": odd, "value": 5, "expected_close": "2026-10-01"}]
    pipeline = deals(rows)
    object.__setattr__(pipeline, "account", odd)
    message = message_of(figures_of(pipeline, Options(projection=False)))
    assert message.needs is not None
    (row,) = message.needs.rows
    for words in (message.subject, *message.headline, *row):
        assert words.isprintable()
        assert "x" * 60 not in words
    assert message.subject.startswith("Sales forecast, Acme Bcc: eve@example.com \\x1b[2J\\u202e")


def test_no_deals_at_all_say_so() -> None:
    message = message_of(figures([]))
    assert message.subject == "Sales forecast, test, 15 Oct 2026"
    assert message.headline == ("There is no open and no won deal.",)
    assert message.needs is None
    assert "There is no open and no won deal." in message.text


def test_charts_and_page_go_along_unless_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in ("changes.png", "forecast.png", "report.html", "x.csv")]
    for file in files:
        file.write_bytes(file.name.encode())

    def sent() -> Message:
        return message_of(figures(), files)

    assert [picture.file for picture in sent().pictures] == ["forecast.png", "changes.png"]
    assert sent().page == b"report.html"
    monkeypatch.setattr(message_module, "_LARGEST_PAGE", 5)
    assert sent().page is None
    assert "The page is too large to be sent (0 MB)." in sent().notes


def test_the_plain_text_fits_a_mail() -> None:
    text = plain(message_of(figures()).text)
    table = text.partition("October 2026 by currency\n\n")[2]
    assert table.startswith("Currency ")
    assert max(map(len, table.splitlines())) <= 76
    assert "Beta  " in table


def test_a_projected_month_stands_beside_a_projected_quarter() -> None:
    whole = figures_of(deals(ROWS), Options())
    message = message_of(whole, projection=whole.projected)
    quarters = {one.name: f"{one.quarter.expected:,.0f}" for one in whole.outlook}
    assert message.outlook.columns[-1] == "Quarter"
    assert {row[0]: row[-1] for row in message.outlook.rows} == quarters
    weighted = {head.name: f"{head.quarter.expected:,.0f}" for head in whole.headlines}
    assert quarters.keys() == weighted.keys()
    assert quarters != weighted


def test_a_weighted_quarter_stands_beside_no_projected_month() -> None:
    projected = figures_of(deals(ROWS), Options()).projected
    message = message_of(figures(), projection=projected)
    assert message.outlook.columns == ("Currency", "Won", "Expected", "P10", "P90")
