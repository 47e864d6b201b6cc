"""The workbook, read back cell by cell."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import openpyxl
import pandas as pd
import pytest
from deals import deals

from capsule_analytics import fx, history
from capsule_analytics.errors import ArgumentError
from capsule_analytics.report import Options, write_report
from capsule_analytics.report import _workbook as _excel
from capsule_analytics.report._workbook import write_workbook

if TYPE_CHECKING:
    from pathlib import Path

    from openpyxl.worksheet.worksheet import Worksheet


def sheet(frame: pd.DataFrame, folder: Path) -> Worksheet:
    write_workbook({"Sheet": frame}, folder / "book.xlsx")
    return openpyxl.load_workbook(folder / "book.xlsx")["Sheet"]


def column(frame: pd.DataFrame, folder: Path) -> list[Any]:
    """Return the values of a frame's first column below the header, and the last one's format."""
    first = sheet(frame, folder)["A"]
    return [*(cell.value for cell in first[1:]), first[-1].number_format]


def test_amounts_are_numbers_in_whole_cents(tmp_path: Path) -> None:
    # 2,500.50 * 0.35 is 875.175, which binary fractions miss by a hair.
    values = pd.DataFrame({"open_value": [2500.5 * 0.35, float("nan"), -1.0]})
    assert column(values, tmp_path) == [875.18, None, -1, "#,##0.00"]


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("probability", 0.255, "0%"),
        ("attainment", 1.2, "0%"),
        ("chance", 0.5, "0%"),
        ("coverage", 3.25, "0.0"),
        ("fx_rate", 0.853461, "General"),
        ("open_deals", 1200, "#,##0"),
        ("opportunity_id", 1001, "0"),
    ],
)
def test_numbers_keep_all_their_digits(tmp_path: Path, name: str, value: float, form: str) -> None:
    assert column(pd.DataFrame({name: [value]}), tmp_path) == [value, form]


def test_an_id_that_excel_would_round_is_text(tmp_path: Path) -> None:
    ids = pd.DataFrame({"party_id": pd.array([None, 12345678901234567], dtype="Int64")})
    assert column(ids, tmp_path)[:2] == [None, "12345678901234567"]


def test_days_are_dates(tmp_path: Path) -> None:
    days = pd.DataFrame({"expected_close": pd.to_datetime([None, "2026-10-15"], utc=True)})
    assert column(days, tmp_path) == [None, datetime(2026, 10, 15), "yyyy-mm-dd"]  # noqa: DTZ001


def test_timestamps_are_dates_with_their_utc_time(tmp_path: Path) -> None:
    moments = pd.DataFrame({"created_at": pd.to_datetime(["2026-10-15T13:45:00Z"])})
    written = datetime(2026, 10, 15, 13, 45)  # noqa: DTZ001 - Excel knows no zones
    assert column(moments, tmp_path) == [written, "yyyy-mm-dd hh:mm"]


def test_days_that_excel_does_not_know_are_text(tmp_path: Path) -> None:
    days = pd.Series(pd.to_datetime(["1899-12-31", "2026-10-15"])).astype("datetime64[us]")
    assert column(pd.DataFrame({"closed_at": days}), tmp_path)[0] == "1899-12-31"


def test_months_are_text_that_sorts(tmp_path: Path) -> None:
    months = pd.DataFrame({"month": pd.PeriodIndex(["NaT", "2026-10"], freq="M")})
    assert column(months, tmp_path)[:2] == [None, "2026-10"]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "{=1+1}", "+cmd|' /C calc'!A0", "@SUM(A1)", "http://example.com/", "007", "<b>&"],
)
def test_text_stays_text(tmp_path: Path, text: str) -> None:
    cell = sheet(pd.DataFrame({"name": [text]}), tmp_path)["A2"]
    assert cell.value == text
    assert cell.data_type in ("s", "inlineStr")
    assert cell.hyperlink is None


def test_the_longest_text_that_a_cell_holds(tmp_path: Path) -> None:
    (text, _) = column(pd.DataFrame({"description": ["x" * 40_000]}), tmp_path)
    assert len(text) == 32_767
    assert text.endswith("x\N{HORIZONTAL ELLIPSIS}")


def test_tags_and_custom_fields_are_listed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"tags": [(), ("a", "b")]})
    assert column(frame, tmp_path)[:2] == [None, "a; b"]
    frame = pd.DataFrame({"fields": [{}, {"Source": "Web"}]})
    assert column(frame, tmp_path)[:2] == [None, "Source: Web"]


def test_the_header_stays_in_sight_and_filters(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["A", "B"], "open_value": [1234567.0, 2.0]})
    written = sheet(frame, tmp_path)
    assert written.freeze_panes == "A2"
    assert written.auto_filter.ref == "A1:B3"
    assert written["A1"].font.bold
    # Wide enough for 1,234,567.00.
    assert 12 <= written.column_dimensions["B"].width <= 20


def test_a_frame_without_rows_is_a_header(tmp_path: Path) -> None:
    written = sheet(pd.DataFrame({"name": [], "open_value": []}), tmp_path)
    assert [[cell.value for cell in row] for row in written.rows] == [["name", "open_value"]]


def test_more_rows_than_a_sheet_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_excel, "MAX_ROWS", 3)
    write_workbook({"Sheet": pd.DataFrame({"name": ["A", "B"]})}, tmp_path / "fits.xlsx")
    with pytest.raises(ArgumentError, match="Sheet has 3 rows, and a sheet holds 2"):
        write_workbook({"Sheet": pd.DataFrame({"name": ["A"] * 3})}, tmp_path / "book.xlsx")


def test_a_file_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_workbook({"Sheet": pd.DataFrame({"name": ["A"]})}, tmp_path / "none" / "book.xlsx")


def test_the_workbook_of_a_report_has_the_figures_of_its_csv_files(tmp_path: Path) -> None:
    rows = [
        {"name": "=A", "value": 2500.5, "probability": 35, "expected_close": "2026-10-20"},
        {"value": 300, "milestone": "Won", "closed_at": "2026-10-02"},
        {"value": 10, "probability": 50, "expected_close": "2026-01-20"},
    ]
    targets = pd.DataFrame({"period": ["2026"], "currency": ["GBP"], "target": [3000.0]})
    options = Options(xlsx=True, formats=(), targets=targets, projection=False)
    written = write_report(deals(rows), tmp_path, options)
    assert [path.name for path in written if path.suffix == ".xlsx"] == ["report.xlsx"]
    book = pd.read_excel(tmp_path / "report.xlsx", sheet_name=None)
    assert list(book) == [
        "Need someone", "Weighted forecast", "Revenue", "Categories", "Targets",
        "Win rates by owner", "Win rates by quarter", "Velocity", "Quality by owner",
        "Opportunities", "Data quality", "How figures are made",
    ]  # fmt: skip
    files = {
        "Weighted forecast": "forecast",
        "Revenue": "revenue",
        "Categories": "scenarios",
        "Targets": "targets",
    }
    for sheet_name, file in files.items():
        pd.testing.assert_frame_equal(
            book[sheet_name], pd.read_csv(tmp_path / f"{file}.csv"), check_dtype=False
        )
    # In October 300 are won; 2,500.50 at 35 % are neither committed nor likely.
    categories = book["Categories"].set_index("month").loc["2026-10"]
    assert categories.tolist() == ["GBP", 1, 300, 1, 300, 1, 300, 1, 2500.5]
    assert book["Weighted forecast"]["weighted_value"].tolist() == [5.0, 875.18]
    assert book["Opportunities"]["name"].tolist()[0] == "=A"
    assert (
        book["Data quality"]["check"].tolist()
        == pd.read_csv(tmp_path / "data_quality.csv")["check"].tolist()
    )


def test_the_workbook_has_the_deals_behind_the_bridge_and_the_rates(tmp_path: Path) -> None:
    rows = [
        {"name": "A", "value": 100, "currency": "USD", "expected_close": "2026-10-20"},
        {"name": "=B", "value": 50.5, "currency": "USD", "expected_close": "2026-11-20"},
    ]
    (tmp_path / "in.csv").write_text("date,currency,rate\n2026-10-14,USD,0.853461\n", "utf-8")
    rates = fx.read_rates(tmp_path / "in.csv", "GBP")
    before = deals(rows[:1], as_of=date(2026, 9, 30))
    options = Options(
        xlsx=True,
        formats=(),
        changes=history.changes(before, deals(rows)),
        changed_deals=history.changed_deals(before, deals(rows)),
    )
    write_report(fx.convert(deals(rows), "GBP", rates), tmp_path, options)
    book = openpyxl.load_workbook(tmp_path / "report.xlsx")
    assert book.sheetnames == [
        "Outlook", "Projection", "Track record", "Changes", "Changed deals", "Need someone",
        "Projected deals", "Weighted forecast", "Revenue", "Categories", "Velocity",
        "Quality by owner", "Opportunities", "Data quality", "Rates", "How figures are made",
    ]  # fmt: skip
    header, row = ([cell.value for cell in cells] for cells in book["Changed deals"].rows)
    assert dict(zip(header, row, strict=True)) == {
        "opportunity_id": 2,
        "name": "=B",
        "owner": None,
        "currency": "USD",
        "part": "new",
        "value": 50.5,
        "detail": "at Proposal, expected 2026-11-20",
    }
    header, row = ([cell.value for cell in cells] for cells in book["Rates"].rows)
    # 100 and 50.50 dollars are 85.35 and 43.10 pounds, each rounded.
    assert dict(zip(header, row, strict=True)) == {
        "currency": "USD",
        "date": datetime(2026, 10, 15),  # noqa: DTZ001
        "rate": 0.853461,
        "rate_date": datetime(2026, 10, 14),  # noqa: DTZ001
        "deals": 2,
        "original_tcv": 150.5,
        "tcv": 128.45,
    }
