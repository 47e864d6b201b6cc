"""CSV files that spreadsheets read without harm: exact cents, and text that stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(
    frame: pd.DataFrame, path: Path, *, amounts: Sequence[str] = (), days: Sequence[str] = ()
) -> None:
    """Write a frame as UTF-8 CSV with a header and without its index.

    Text that a spreadsheet would run as a formula, because it begins with ``=``, ``+``, ``-``,
    ``@``, a tab or a carriage return, gets an apostrophe in front.

    Parameters
    ----------
    frame
        What to write.
    path
        Where to.
    amounts
        Columns to write with two decimals, half a cent rounded away from zero; NaN is empty.
    days
        Columns of calendar days; other points in time get their UTC time of day.
    """
    written = frame.copy(deep=False)
    for name in frame.columns:
        column = frame[name]
        if name in amounts:
            written[name] = money_text(column.to_numpy(dtype=np.float64, na_value=np.nan))
        elif isinstance(column.dtype, pd.PeriodDtype):
            written[name] = column.astype(str).where(column.notna(), "")
        elif pd.api.types.is_datetime64_any_dtype(column.dtype):
            written[name] = column.dt.strftime("%Y-%m-%d" if name in days else "%Y-%m-%dT%H:%M:%SZ")
        elif not pd.api.types.is_numeric_dtype(column.dtype):
            written[name] = _as_text(column)
    written.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


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
    cents = np.floor(np.round(np.abs(amounts) * 100, 4) + 0.5)
    return np.sign(amounts) * cents / 100 + 0.0  # no minus before a zero


def _as_text(column: pd.Series) -> pd.Series:
    text = column.astype(object).map(_neutral, na_action="ignore")
    return text.where(column.notna(), "")


def _neutral(value: object) -> object:
    if isinstance(value, tuple):
        value = "; ".join(map(str, value))
    if isinstance(value, dict):
        value = "; ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
