"""Amounts and shares as people read them, for charts and the HTML report.

Currency symbols come from Babel where it is installed (extra ``html``), ISO codes stand in their
place otherwise. British English symbols are used because they tell the dollars apart: ``US$`` and
``A$``, never a bare ``$``.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_CURRENCY = "no currency"
"""What a missing currency is called."""

UNKNOWN = "unknown"
"""What an amount is called that is not a number."""

# ISO 4217: the currencies in use whose minor unit is not a hundredth.
# fmt: off
_NO_DECIMALS = frozenset({
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
})
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
# fmt: on

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_THREE_DIGITS = Context(prec=3, rounding=ROUND_HALF_UP)


def currency_name(currency: object) -> str:
    """Return the ISO code, or words for a currency that is missing.

    Parameters
    ----------
    currency
        An ISO 4217 code, or None, NA or NaN.

    Examples
    --------
    >>> currency_name("GBP"), currency_name(None)
    ('GBP', 'no currency')
    """
    return currency if isinstance(currency, str) and currency else NO_CURRENCY


def format_money(amount: float, currency: object, *, whole: bool = False) -> str:
    """Write an amount in full, with the decimals of its currency, halves away from zero.

    Parameters
    ----------
    amount
        The amount in `currency`; not a number is written as ``unknown``.
    currency
        An ISO 4217 code, known or not, or None, NA or NaN.
    whole
        Leave out decimals, as fits totals of many deals.

    Examples
    --------
    >>> format_money(-1234.5, "ZZZ").replace("\N{NO-BREAK SPACE}", " ")
    '-ZZZ 1,234.50'
    >>> format_money(1234.5, None, whole=True)
    '1,235 (no currency)'
    """
    if not math.isfinite(amount):
        return UNKNOWN
    decimals = 0 if whole else _decimals(currency)
    return _with_currency(_digits(amount, decimals), amount, currency)


def whole_number(amount: float) -> str:
    """Write an amount without decimals as `format_money` does, where the currency stands elsewhere.

    Parameters
    ----------
    amount
        The amount; not a number is written as ``unknown``.

    Examples
    --------
    >>> whole_number(-1234.5), whole_number(-0.4)
    ('-1,235', '0')
    """
    if not math.isfinite(amount):
        return UNKNOWN
    digits = _digits(amount, 0)
    return _sign(digits, amount) + digits


def format_compact(amount: float, currency: object) -> str:
    """Write an amount in three significant digits, in thousands, millions and so on.

    Parameters
    ----------
    amount
        The amount in `currency`; not a number is written as ``unknown``.
    currency
        An ISO 4217 code, known or not, or None, NA or NaN.

    Examples
    --------
    >>> format_compact(1_249_000, "ZZZ").replace("\N{NO-BREAK SPACE}", " ")
    'ZZZ 1.25M'
    >>> format_compact(250_000, None)
    '250K (no currency)'
    """
    if not math.isfinite(amount):
        return UNKNOWN
    return _with_currency(_compact_digits(amount), amount, currency)


def compact_number(amount: float) -> str:
    """Write a number as `format_compact` does, where the unit stands elsewhere.

    Parameters
    ----------
    amount
        The number; not a number is written as ``unknown``.

    Examples
    --------
    >>> compact_number(-999_950), compact_number(12_500), compact_number(0)
    ('-1M', '12.5K', '0')
    """
    if not math.isfinite(amount):
        return UNKNOWN
    digits = _compact_digits(amount)
    return _sign(digits, amount) + digits


def counted(number: int, what: str) -> str:
    """Write how many there are of something.

    Examples
    --------
    >>> counted(1, "account"), counted(1200, "account")
    ('1 account', '1,200 accounts')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Write a share in whole percent, but never as nothing or all where it is not.

    Parameters
    ----------
    share
        The share, 1 for all.

    Examples
    --------
    >>> percent(0.254), percent(0.9975), percent(0.005), percent(1.0)
    ('25%', '>99%', '<1%', '100%')
    """
    if 0.995 <= share < 1:  # noqa: PLR2004 - what would be 100
        return ">99%"
    if 0 < share <= 0.005:  # noqa: PLR2004 - what would be 0
        return "<1%"
    return f"{share:.0%}"


def _digits(amount: float, decimals: int) -> str:
    (rounded,) = _rounded(np.array([amount], dtype=np.float64), decimals)
    return f"{abs(rounded):,.{decimals}f}"


def _compact_digits(amount: float) -> str:
    # Twelve digits are without binary dust. Rounded before the unit is chosen: 999,950 is 1M, not
    # 1,000K.
    rounded = float(_THREE_DIGITS.plus(Decimal(f"{abs(amount):.12g}")))
    size, suffix = next((unit for unit in _UNITS if rounded >= unit[0]), (1.0, ""))
    digits = f"{rounded / size:,.2f}".rstrip("0").rstrip(".")
    return digits + suffix


def _decimals(currency: object) -> int:
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def _sign(digits: str, amount: float) -> str:
    """Give the minus sign, but none to what rounds to zero."""
    return "-" if amount < 0 and digits.strip("0.,") else ""


def _with_currency(digits: str, amount: float, currency: object) -> str:
    sign = _sign(digits, amount)
    if not isinstance(currency, str) or not currency:
        return f"{sign}{digits} ({NO_CURRENCY})"
    symbol = _symbol(currency)
    gap = "\N{NO-BREAK SPACE}" if symbol[-1].isalnum() else ""
    return f"{sign}{symbol}{gap}{digits}"


@cache
def _symbol(code: str) -> str:
    try:
        from babel.numbers import get_currency_symbol  # noqa: PLC0415 - optional
    except ImportError:
        return code
    symbol: str = get_currency_symbol(code, locale="en_GB")
    # Babel answers with the sign for any currency where the code stands for none (XXX).
    return code if symbol == "\N{CURRENCY SIGN}" else symbol


def money_text(amounts: NDArray[np.float64]) -> list[str]:
    """Write amounts with two decimals.

    Examples
    --------
    >>> money_text(np.array([1234.5, 0.125, -0.125, np.nan, -0.001]))
    ['1234.50', '0.13', '-0.13', '', '0.00']
    """
    return ["" if np.isnan(amount) else f"{amount:.2f}" for amount in round_cents(amounts)]


def round_cents(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to cents, halves away from zero, as accountants do.

    Sums of decimal amounts carry binary dust: 875.175 is stored as 875.17499999. Rounding to a
    ten-thousandth of a cent first removes the dust, so that the half is seen as a half.

    Examples
    --------
    >>> round_cents(np.array([2500.5 * 0.35, -2500.5 * 0.35])).tolist()
    [875.18, -875.18]
    """
    return _rounded(amounts, 2)


def _rounded(amounts: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Round halves away from zero once binary dust is removed: the one rounding of all amounts."""
    unit = 10**decimals
    steps = np.abs(amounts) * unit
    # From 2**53 ten-thousandths on numpy cannot round to these; the product has no dust left then.
    cleared = np.where(steps < 2**53 / 1e4, np.round(steps, 4), steps)
    rounded: NDArray[np.float64] = np.sign(amounts) * np.floor(cleared + 0.5) / unit
    return rounded + 0.0  # no minus before a zero


def period_words(period: pd.Period) -> str:
    """Write a month, quarter or year in words, a fiscal year as one.

    A fiscal year is named after the calendar year in which it ends.

    Examples
    --------
    >>> period_words(pd.Period("2026-10", freq="M"))
    'Oct 2026'
    >>> period_words(pd.Period("2026Q4", freq="Q-DEC")), period_words(pd.Period("2027Q3", "Q-MAR"))
    ('Q4 2026', 'Q3 FY2027')
    >>> period_words(pd.Period("2027", freq="Y-MAR"))
    'FY2027'
    """
    freq = period.freqstr
    if freq == "M":
        return str(period.strftime("%b %Y"))
    fiscal = "" if freq.endswith("-DEC") else "FY"
    if freq.startswith("Q"):
        return f"Q{period.quarter} {fiscal}{period.qyear}"
    return f"{fiscal}{period.end_time:%Y}"


def period_text(period: pd.Period) -> str:
    """Write a period: months as in the CSV files, which sort; quarters and years in words.

    Examples
    --------
    >>> period_text(pd.Period("2026-10", freq="M")), period_text(pd.Period("2027Q3", freq="Q-MAR"))
    ('2026-10', 'Q3 FY2027')
    """
    return str(period) if period.freqstr == "M" else period_words(period)


def day_words(day: str) -> str:
    """Write an ISO date as people do.

    Examples
    --------
    >>> day_words("2026-10-05")
    '5 Oct 2026'
    """
    stamp = pd.Timestamp(day)
    return f"{stamp.day} {stamp:%b %Y}"
