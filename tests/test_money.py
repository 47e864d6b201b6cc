"""Amounts as people read them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capsule_analytics import _words as _money
from capsule_analytics._words import (
    compact_number,
    currency_name,
    format_compact,
    format_money,
    percent,
    round_cents,
    whole_number,
)

SPACE = "\N{NO-BREAK SPACE}"


@pytest.fixture
def no_babel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Babel look as if it were not installed."""
    monkeypatch.setitem(sys.modules, "babel.numbers", None)
    monkeypatch.setattr(_money, "_symbol", _money._symbol.__wrapped__)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234.5, "GBP", "£1,234.50"),
        (-1234.5, "USD", "-US$1,234.50"),
        (1234.5, "JPY", "JP¥1,235"),
        (1.2345, "KWD", f"KWD{SPACE}1.235"),
        (10, "XXX", f"XXX{SPACE}10.00"),
        (10, "ZZZ", f"ZZZ{SPACE}10.00"),
        (10, None, "10.00 (no currency)"),
        (10, pd.NA, "10.00 (no currency)"),
        (10, "", "10.00 (no currency)"),
        (-0.001, "GBP", "£0.00"),
        (float("nan"), "GBP", "unknown"),
    ],
)
def test_money_in_full(amount: float, currency: object, text: str) -> None:
    pytest.importorskip("babel")
    assert format_money(amount, currency) == text


def test_whole_money_leaves_out_decimals() -> None:
    assert format_money(-1999.6, "ZZZ", whole=True) == f"-ZZZ{SPACE}2,000"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (3_391_748.50, "3,391,749"),
        (355_199.50, "355,200"),
        (0.5, "1"),
        (-2.5, "-3"),
        (-0.4, "0"),
        # 21 thirds of 35.50 are 248.5, and in binary fractions 248.49999999999997.
        (21 * (35.5 / 3), "249"),
        (2.4999, "2"),
        (1e18, "1,000,000,000,000,000,000"),
        (float("nan"), "unknown"),
    ],
)
def test_halves_are_rounded_away_from_zero(amount: float, text: str) -> None:
    assert whole_number(amount) == text
    if text != "unknown":
        assert format_money(amount, None, whole=True) == f"{text} (no currency)"


@given(st.floats(min_value=-1e12, max_value=1e12))
@example(576_460_752_304.835)
def test_amounts_in_full_are_those_of_the_csv_files(amount: float) -> None:
    (cents,) = round_cents(np.array([amount]))
    assert format_money(amount, None) == f"{cents:,.2f} (no currency)"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (0.001, "<1%"),
        (0.005, "<1%"),
        (0.006, "1%"),
        (0.994, "99%"),
        (0.995, ">99%"),
        (0.9999, ">99%"),
        (1.0, "100%"),
        (1.25, "125%"),
        (-0.25, "-25%"),
    ],
)
def test_no_share_is_rounded_to_nothing_or_all(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_125_000, "1.13M"),
        (-2.345, "-2.35"),
        (-12_500, "-12.5K"),
        (250_000, "250K"),
        (999_950, "1M"),
        (1_249_000, "1.25M"),
        (3e9, "3B"),
        (4.5e15, "4,500T"),
        (0.05, "0.05"),
        (-0.001, "0"),
        (float("inf"), "unknown"),
    ],
)
def test_compact_numbers_have_three_digits(amount: float, text: str) -> None:
    assert compact_number(amount) == text


def test_compact_money_names_its_currency() -> None:
    pytest.importorskip("babel")
    assert format_compact(-1_200_000, "EUR") == "-€1.2M"
    assert format_compact(1_200_000, "CHF") == f"CHF{SPACE}1.2M"
    assert format_compact(1_200_000, None) == "1.2M (no currency)"
    assert format_compact(float("nan"), "EUR") == "unknown"


@pytest.mark.usefixtures("no_babel")
def test_codes_stand_for_symbols_without_babel() -> None:
    assert format_money(1234.5, "GBP") == f"GBP{SPACE}1,234.50"
    assert format_money(1234, "JPY") == f"JPY{SPACE}1,234"
    assert format_compact(250_000, "GBP") == f"GBP{SPACE}250K"


def test_missing_currencies_have_a_name() -> None:
    assert [currency_name(code) for code in ("GBP", None, float("nan"))] == [
        "GBP",
        "no currency",
        "no currency",
    ]


@given(st.floats(min_value=1, max_value=9e14))
def test_compact_numbers_keep_three_digits_of_the_amount(amount: float) -> None:
    text = compact_number(amount)
    unit = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1.0)
    assert float(text.rstrip("KMBT").replace(",", "")) * unit == pytest.approx(amount, rel=0.0051)
    assert compact_number(-amount) == f"-{text}"
