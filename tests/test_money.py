"""Amounts as people read them."""

from __future__ import annotations

import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule_analytics import _money
from capsule_analytics._money import (
    compact_number,
    currency_name,
    format_compact,
    format_money,
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
        (1234.5, "JPY", "JP¥1,234"),
        (1.2345, "KWD", f"KWD{SPACE}1.234"),
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
        (0, "0"),
        (999, "999"),
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
