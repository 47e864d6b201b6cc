"""Conversion to a home currency: which rate on which day, and what happens where there is none."""

from __future__ import annotations

import builtins
import zipfile
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from deals import AS_OF, deals

from capsule_analytics import forecast, fx
from capsule_analytics.errors import ArgumentError, DataError, MissingExtraError, RateError

if TYPE_CHECKING:
    from pathlib import Path

# Thursday and Friday, then a weekend, and the Monday without a rate.
RATES = """date,currency,rate
2026-10-08,USD,0.75
2026-10-09,USD,0.80
2026-10-15,USD,0.78
2026-10-09,EUR,0.90
2026-10-15,EUR,0.88
"""


@pytest.fixture
def rates(tmp_path: Path) -> fx.Rates:
    return fx.read_rates(write(tmp_path, RATES), "GBP")


def write(folder: Path, text: str) -> Path:
    path = folder / "rates.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 10, 8), (0.75, date(2026, 10, 8))),
        (date(2026, 10, 9), (0.80, date(2026, 10, 9))),
        (date(2026, 10, 11), (0.80, date(2026, 10, 9))),  # Sunday
        (date(2026, 10, 12), (0.80, date(2026, 10, 9))),  # a holiday
        (date(2026, 10, 22), (0.78, date(2026, 10, 15))),  # a week later, just in time
    ],
)
def test_a_day_takes_its_rate_or_the_last_one_before(
    rates: fx.Rates, day: date, expected: tuple[float, date]
) -> None:
    assert rates.rate("USD", day, "GBP") == expected


@pytest.mark.parametrize("day", [date(2026, 10, 7), date(2026, 10, 23)])
def test_before_the_first_rate_and_a_week_after_the_last_there_is_none(
    rates: fx.Rates, day: date
) -> None:
    message = f"no rate from USD to GBP on {day} or in the 7 days before.*2026-10-08 to 2026-10-15"
    with pytest.raises(RateError, match=message):
        rates.rate("USD", day, "GBP")


def test_a_file_of_month_ends_needs_a_greater_age(tmp_path: Path) -> None:
    path = write(tmp_path, "date,currency,rate\n2026-09-30,USD,0.7\n")
    monthly = fx.read_rates(path, "GBP", max_age=31)
    assert monthly.rate("USD", date(2026, 10, 30), "GBP") == (0.7, date(2026, 9, 30))
    with pytest.raises(RateError, match="31 days before"):
        monthly.rate("USD", date(2026, 11, 1), "GBP")


def test_the_home_currency_is_worth_itself_on_any_day(rates: fx.Rates) -> None:
    assert rates.rate("GBP", date(1900, 1, 1), "GBP") == (1.0, date(1900, 1, 1))
    assert rates.rate("XXX", date(1900, 1, 1), "XXX") == (1.0, date(1900, 1, 1))


def test_two_foreign_currencies_go_by_way_of_the_base(rates: fx.Rates) -> None:
    # A dollar was 0.75 pounds on the 8th, but a euro's first rate is of the 9th.
    rate, day = rates.rate("USD", date(2026, 10, 9), "EUR")
    assert (rate, day) == (pytest.approx(0.8 / 0.9), date(2026, 10, 9))
    assert rates.rate("GBP", date(2026, 10, 9), "USD")[0] == pytest.approx(1 / 0.8)
    with pytest.raises(RateError, match="from USD to EUR on 2026-10-08"):
        rates.rate("USD", date(2026, 10, 8), "EUR")


def test_a_currency_that_the_rates_do_not_have_is_named(rates: fx.Rates) -> None:
    with pytest.raises(RateError, match="the rates have no CHF"):
        rates.rate("CHF", date(2026, 10, 9), "GBP")
    assert rates.currencies == ["EUR", "GBP", "USD"]
    assert rates.newest == date(2026, 10, 15)


DEALS = [
    # Won on a Sunday: the rate of Friday the 9th, not that of today.
    {"value": 1_000, "currency": "USD", "milestone": "Won", "closed_at": "2026-10-11"},
    # Open: the rate of the as-of day, the 15th. 3 months at 200.
    {
        "value": 200,
        "duration_basis": "MONTH",
        "duration": 3,
        "currency": "USD",
        "probability": 50,
        "expected_close": "2026-10-09",
    },
    {"value": 70, "currency": "GBP", "expected_close": "2026-12-01"},
    {"value": 50, "currency": "EUR", "milestone": "Lost", "closed_at": "2026-10-09"},
    {"value": 10, "currency": None, "expected_close": "2026-12-01"},
]


def test_won_deals_take_the_rate_of_their_day_and_all_others_that_of_the_as_of_day(
    rates: fx.Rates,
) -> None:
    frame = fx.convert(deals(DEALS), "GBP", rates).opportunities
    assert frame["value"].tolist() == pytest.approx([800, 156, 70, 44, 10])
    assert frame["tcv"].tolist() == pytest.approx([800, 468, 70, 44, 10])
    assert frame["fx_rate"].tolist() == [0.80, 0.78, 1.0, 0.88, pytest.approx(np.nan, nan_ok=True)]
    days = frame[["fx_asked", "fx_date"]].apply(lambda column: column.dt.strftime("%m-%d"))
    assert days["fx_asked"].tolist() == ["10-11", "10-15", "10-15", "10-15", "10-15"]
    assert days["fx_date"].fillna("none").tolist() == ["10-09", "10-15", "10-15", "10-15", "none"]
    assert frame["currency"].isna().tolist() == [False] * 4 + [True]
    assert set(frame["currency"].dropna()) == {"GBP"}


def test_what_a_deal_was_before_is_kept(rates: fx.Rates) -> None:
    pipeline = deals(DEALS)
    frame = fx.convert(pipeline, "GBP", rates).opportunities
    for name in ("currency", "value", "tcv"):
        pd.testing.assert_series_equal(
            frame[f"original_{name}"], pipeline.opportunities[name], check_names=False
        )
    assert set(fx.ORIGINALS) == set(frame.columns) - set(pipeline.opportunities.columns)


def test_a_converted_pipeline_has_one_forecast(rates: fx.Rates) -> None:
    table = forecast.by_month(fx.convert(deals(DEALS[:3]), "GBP", rates), period="year")
    assert table["currency"].tolist() == ["GBP"]
    assert table["won_value"].tolist() == pytest.approx([800])
    assert table["weighted_value"].tolist() == pytest.approx([468 * 0.5 + 70 * 0.5])


@pytest.mark.parametrize("closed", ["2026-10-16", None])
def test_a_won_deal_not_closed_yet_or_undated_takes_the_rate_of_the_as_of_day(
    rates: fx.Rates, closed: str | None
) -> None:
    won = {"value": 100, "currency": "USD", "milestone": "Won", "closed_at": closed}
    frame = fx.convert(deals([won]), "GBP", rates).opportunities
    assert frame["fx_rate"].tolist() == [0.78]


def test_another_as_of_day_asks_for_other_rates(rates: fx.Rates) -> None:
    frame = fx.convert(deals(DEALS), "GBP", rates, as_of=date(2026, 10, 10)).opportunities
    # The deal won on the 11th is not closed yet on the 10th.
    assert frame["fx_rate"].tolist()[:2] == [0.80, 0.80]
    assert set(frame["fx_asked"].dt.day) == {10}


def test_a_missing_rate_is_an_error_that_names_currency_and_day(rates: fx.Rates) -> None:
    early = {"value": 1, "currency": "USD", "milestone": "Won", "closed_at": "2026-01-02"}
    with pytest.raises(RateError, match="from USD to GBP on 2026-01-02"):
        fx.convert(deals([early]), "GBP", rates)
    with pytest.raises(RateError, match=r"from USD to GBP on 2027-01-01.*newer rates"):
        fx.convert(deals(DEALS), "GBP", rates, as_of=date(2027, 1, 1))


def test_a_flagged_deal_keeps_its_currency_and_is_found(rates: fx.Rates) -> None:
    rows = [
        {"value": 1, "currency": "USD", "milestone": "Won", "closed_at": "2026-01-02"},
        {"value": 5, "currency": "CHF", "expected_close": "2026-12-01"},
        {"value": 10, "currency": "USD", "expected_close": "2026-12-01"},
    ]
    before = deals(rows)
    after = fx.convert(before, "GBP", rates, missing="flag")
    assert after.opportunities["currency"].tolist() == ["USD", "CHF", "GBP"]
    assert after.opportunities["value"].tolist() == pytest.approx([1, 5, 7.8])
    assert after.opportunities["fx_rate"].isna().tolist() == [True, True, False]
    found = after.issues[after.issues["check"] == "missing_rate"]
    assert found[["opportunity_id", "severity", "detail"]].to_numpy().tolist() == [
        [1, "error", "no rate from USD to GBP on 2026-01-02: not converted"],
        [2, "error", "no rate from CHF to GBP on 2026-10-15: not converted"],
    ]
    assert len(after.issues) == len(before.issues) + 2
    assert after.issues["opportunity_id"].is_monotonic_increasing
    assert after.issues.dtypes.tolist() == before.issues.dtypes.tolist()


def test_nothing_else_of_a_pipeline_changes(rates: fx.Rates) -> None:
    pipeline = deals(DEALS)
    frame, issues = pipeline.opportunities.copy(deep=True), pipeline.issues.copy(deep=True)
    converted = fx.convert(pipeline, "GBP", rates)
    pd.testing.assert_frame_equal(pipeline.opportunities, frame)
    pd.testing.assert_frame_equal(converted.issues, issues)
    assert converted.as_of == pipeline.as_of
    assert converted.milestones is pipeline.milestones


def test_a_frame_gives_a_frame(rates: fx.Rates) -> None:
    pipeline = deals(DEALS)
    frame = fx.convert(pipeline.opportunities, "GBP", rates, as_of=AS_OF)
    pd.testing.assert_frame_equal(frame, fx.convert(pipeline, "GBP", rates).opportunities)
    assert fx.convert(deals([]), "GBP", rates).opportunities.empty


def test_converting_twice_is_refused(rates: fx.Rates) -> None:
    once = fx.convert(deals(DEALS), "GBP", rates)
    with pytest.raises(ArgumentError, match="converted already"):
        fx.convert(once, "EUR", rates)


def test_a_wrong_policy_is_refused(rates: fx.Rates) -> None:
    policy: Any = "ignore"
    with pytest.raises(ArgumentError, match="error, flag"):
        fx.convert(deals(DEALS), "GBP", rates, missing=policy)


def test_each_deal_is_rounded_to_the_cent_so_that_deals_add_up() -> None:
    """Three of 0.55 at 0.9 are 0.495 each: 0.50, and so 1.50, where 1.485 would be 1.49."""
    rates = fx.Rates("GBP", {"USD": pd.Series([0.9], index=pd.DatetimeIndex(["2026-10-15"]))})
    row = {"value": 0.55, "currency": "USD", "expected_close": "2026-11-20"}
    exact = {"value": 0.125, "currency": "GBP", "expected_close": "2026-11-20"}
    frame = fx.convert(deals([row, row, row, exact]), "GBP", rates).opportunities
    assert frame["tcv"].tolist() == [0.5, 0.5, 0.5, 0.125]
    assert frame["value"].tolist() == [0.5, 0.5, 0.5, 0.125]


@pytest.mark.parametrize("home", ["gbp", "", "Pounds", "GB1"])
def test_a_home_currency_that_is_no_code(home: str, rates: fx.Rates) -> None:
    with pytest.raises(ArgumentError, match="three capital letters"):
        fx.convert(deals(DEALS), home, rates, missing="flag")


def test_a_home_currency_of_which_there_is_no_rate(rates: fx.Rates) -> None:
    """Nothing could be converted: that is no matter of single deals to be flagged."""
    with pytest.raises(RateError, match="no rate of ZZZ; there are EUR, GBP, USD"):
        fx.convert(deals(DEALS), "ZZZ", rates, missing="flag")


def test_the_rates_that_were_used(rates: fx.Rates) -> None:
    rows = [*DEALS, DEALS[1], {"value": 1, "currency": "CHF", "expected_close": "2026-12-01"}]
    used = fx.rates_used(fx.convert(deals(rows), "GBP", rates, missing="flag"))
    assert list(used.columns[:4]) == ["currency", "date", "rate", "rate_date"]
    assert list(used.columns[4:]) == ["deals", "original_tcv", "tcv"]
    shown = used.assign(date=used["date"].dt.day, rate_date=used["rate_date"].dt.day)
    assert shown.astype(object).where(shown.notna(), "none").to_numpy().tolist() == [
        ["CHF", 15, "none", "none", 1, 1.0, "none"],  # and no euro: that deal is lost
        ["GBP", 15, 1.0, 15, 1, 70.0, 70.0],
        ["USD", 11, 0.80, 9, 1, 1000.0, 800.0],
        ["USD", 15, 0.78, 15, 2, 1200.0, 936.0],  # two retainers, 3 months at 200
    ]
    with pytest.raises(ArgumentError, match="convert first"):
        fx.rates_used(deals(DEALS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header must be date,currency,rate"),
        ("day,currency,rate\n", "line 1: the header"),
        ("date,currency,rate\n2026-10-08,USD,0.8\n08/10/2026,USD,0.8\n", "line 3: '08/10/2026'"),
        ("date,currency,rate\n2026-10-08,usd,0.8\n", "line 2: 'usd' is not a currency code"),
        ("date,currency,rate\n2026-10-08,USD,cheap\n", "line 2: the rate 'cheap' is not a number"),
        ("date,currency,rate\n2026-10-08,USD,0\n", "line 2: the rate must be positive"),
        ("date,currency,rate\n2026-10-08,USD,nan\n", "line 2: the rate must be positive"),
        ("date,currency,rate\n2026-10-08,USD\n", "line 2: three fields"),
        ("date,currency,rate\n2026-10-08,USD,0,8\n", "line 2: three fields"),
        ("date,currency,rate\n2026-10-08,GBP,0.8\n", "line 2: one GBP is worth 1 GBP"),
        (
            "date,currency,rate\n2026-10-08,USD,0.8\n2026-10-08,USD,0.9\n",
            "line 3: USD has another rate on 2026-10-08",
        ),
        ('date,currency,rate\n2026-10-08,"USD', "cannot be read as a CSV file"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fx.read_rates(write(tmp_path, text), "GBP")


def test_a_file_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        fx.read_rates(tmp_path / "none.csv", "GBP")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        fx.read_rates(tmp_path / "binary.csv", "GBP")


def test_files_saved_by_excel_with_a_byte_order_mark_and_rows_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes(
        b"\xef\xbb\xbfdate,currency,rate\r\n2026-10-09,USD,0.8\r\n\r\n2026-10-08,USD,0.7\r\n"
    )
    rates = fx.read_rates(path, "GBP")
    assert rates.rate("USD", date(2026, 10, 8), "GBP")[0] == 0.7
    assert rates.rate("USD", date(2026, 10, 9), "GBP")[0] == 0.8


def test_the_central_banks_rates_that_ship_with_the_converter() -> None:
    rates = fx.ecb_rates()
    # On Thursday 28 March 2024 a euro was 1.0811 dollars and 0.8551 pounds; Easter followed.
    rate, day = rates.rate("USD", date(2024, 3, 31), "EUR")
    assert (rate, day) == (pytest.approx(1 / 1.0811), date(2024, 3, 28))
    assert rates.rate("USD", date(2024, 3, 28), "GBP")[0] == pytest.approx(0.8551 / 1.0811)
    assert rates.newest is not None
    assert rates.newest >= date(2024, 3, 28)
    with pytest.raises(RateError, match="RUB"):
        rates.rate("RUB", date(2024, 3, 28), "EUR")


HISTORY = "Date,USD,JPY,CYP,\n2026-10-15,1.25,160,N/A,\n2026-10-14,1.20,N/A,N/A,\n"


def test_a_downloaded_file_of_the_central_bank(tmp_path: Path) -> None:
    path = tmp_path / "eurofxref-hist.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("eurofxref-hist.csv", HISTORY)
    rates = fx.ecb_rates(path)
    assert rates.rate("USD", date(2026, 10, 15), "EUR") == (0.8, date(2026, 10, 15))
    assert rates.currencies == ["EUR", "JPY", "USD"]
    with pytest.raises(RateError, match="from JPY to EUR on 2026-10-14"):
        rates.rate("JPY", date(2026, 10, 14), "EUR")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>Not found</body></html>",
        "Date,USD\n",
        "Date,USD\n2026-10-15,high\n",
        "Date,USD\n2026-10-15,-1\n",
        "Date,USD\n15.10.2026,1.2\n",
        "Day,USD\n2026-10-15,1.2\n",
    ],
)
def test_a_file_that_is_not_the_central_banks(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="not the European Central Bank's"):
        fx.ecb_rates(write(tmp_path, text))


def test_a_broken_archive_and_an_address_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rates.zip").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="not the European Central Bank's"):
        fx.ecb_rates(tmp_path / "rates.zip")
    with pytest.raises(DataError, match="not the European Central Bank's"):
        fx.ecb_rates("https://127.0.0.1:9/eurofxref-hist.zip")


def test_without_the_converter_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "currency_converter":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"capsule-analytics\[fx\]"):
        fx.ecb_rates()
