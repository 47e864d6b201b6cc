"""An Excel workbook of frames: numbers as numbers, dates as dates, and text that stays text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics._words import round_cents
from capsule_analytics.errors import ArgumentError, missing_extra

from ._text import readable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_ROWS = 1_048_576
"""Rows of a sheet, its header included."""

PERCENTS = frozenset(
    {
        "probability",
        "calibrated",
        "chance",
        "attainment",
        "won_this_month",
        "won_this_quarter",
        "won_within_year",
        "won_ever",
        "raw_rate",
        "rate_of_all",
        "rate",
        "low",
        "high",
        "win_rate",
        "conversion",
        "share",
        "share_of_all",
    }
)
"""Columns of ratios that are read in percent."""

_RATIOS = frozenset({"coverage", "mean_days", "cycle_days"})
_AMOUNT = re.compile(
    r"(\w+_)?(value|tcv|weighted|p\d+(\.\d+)?)|target|gap|stake|velocity|average_won|against"
)
_MAX_TEXT = 32_767
_WIDTHS = (8, 48)
_SAMPLE = 1000
_EXACT = 10**15
_EPOCH = np.datetime64("1900-03-01")
"""Excel takes 1900 for a leap year and knows no day before it, so earlier days are text."""


@dataclass(frozen=True)
class _Column:
    cells: list[Any]
    form: str


def write_workbook(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write frames as the sheets of a workbook.

    Amounts have two decimals, rounded as in the CSV files; probabilities, chances and attainment
    are shown in percent; timestamps are in UTC. Every sheet has a header that stays in sight, and
    a filter. Text is never run as a formula nor turned into a number or a link.

    Parameters
    ----------
    tables
        Frames by the name of their sheet, which has at most 31 characters; indexes are left out.
    path
        The file to write.

    Raises
    ------
    ArgumentError
        If a frame has more rows than a sheet can hold.
    MissingExtraError
        If XlsxWriter is not installed.
    OSError
        If the file cannot be written.
    """
    try:
        import xlsxwriter  # noqa: PLC0415 - only workbooks need it
    except ImportError as error:
        raise missing_extra("The Excel workbook", "excel") from error
    for name, frame in tables.items():
        if len(frame) >= MAX_ROWS:
            raise ArgumentError(
                f"{name} has {len(frame):,} rows, and a sheet holds {MAX_ROWS - 1:,} below its "
                f"header; use the CSV file"
            )
    # Rows are written once, in order: a large account never stands in memory as cells.
    with path.open("wb") as file, xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        formats = {
            form: book.add_format({"num_format": form})
            for form in ("0", "#,##0", "#,##0.00", "0%", "0.0", "yyyy-mm-dd", "yyyy-mm-dd hh:mm")
        }
        header = book.add_format({"bold": True, "bottom": 1})
        for name, frame in tables.items():
            _fill(book.add_worksheet(name), frame, formats, header)


def _fill(sheet: Any, frame: pd.DataFrame, formats: dict[str, Any], header: Any) -> None:  # noqa: ANN401
    """Write a frame into a sheet."""
    columns = {str(label): _column(str(label), frame[label]) for label in frame.columns}
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(frame), max(len(columns) - 1, 0))
    for place, (label, column) in enumerate(columns.items()):
        # A cell that is written without a format takes its column's.
        sheet.set_column(place, place, _width(label, column), formats.get(column.form))
        sheet.write_string(0, place, label, header)
    put = [
        sheet.write_datetime if column.form.startswith("yyyy") else sheet.write_number
        for column in columns.values()
    ]
    rows = zip(*(column.cells for column in columns.values()), strict=True)
    for at, row in enumerate(rows, start=1):
        for place, value in enumerate(row):
            if isinstance(value, str):
                sheet.write_string(at, place, value)
            elif value is not None:
                put[place](at, place, value)


def _column(name: str, column: pd.Series) -> _Column:
    """Turn a column into numbers, dates, texts and None, with the number format they take."""
    dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return _moments(column)
    if pd.api.types.is_bool_dtype(dtype) or not pd.api.types.is_numeric_dtype(dtype):
        return _Column([_text(value) for value in column.astype(object)], "")
    if pd.api.types.is_integer_dtype(dtype):
        numbers = column.astype(object).where(column.notna(), None)
        # Excel keeps fifteen digits, and an id is all of its digits.
        values = [str(n) if n is not None and abs(n) >= _EXACT else n for n in numbers]
        return _Column(values, "0" if name.endswith("id") else "#,##0")
    amounts = column.to_numpy(dtype=np.float64, na_value=np.nan)
    form = "0%" if name in PERCENTS else "0.0" if name in _RATIOS else ""
    if _AMOUNT.fullmatch(name):
        form, amounts = "#,##0.00", round_cents(amounts)
    values = [amount if np.isfinite(amount) else None for amount in amounts.tolist()]
    return _Column(values, form)


def _moments(column: pd.Series) -> _Column:
    naive = column.dt.tz_localize(None) if column.dt.tz is not None else column
    known = naive.dropna()
    days = bool((known == known.dt.normalize()).all())
    early = (naive < _EPOCH).fillna(value=False)
    pattern = "%Y-%m-%d" if days else "%Y-%m-%d %H:%M"
    values = [
        None if moment is pd.NaT else f"{moment:{pattern}}" if old else moment.to_pydatetime()
        for moment, old in zip(naive.astype(object), early, strict=True)
    ]
    return _Column(values, "yyyy-mm-dd" if days else "yyyy-mm-dd hh:mm")


def _text(value: Any) -> str | None:  # noqa: ANN401
    if isinstance(value, tuple):
        value = "; ".join(map(str, value)) or None
    elif isinstance(value, dict):
        value = "; ".join(f"{key}: {item}" for key, item in value.items()) or None
    if value is None or value is pd.NaT or value is pd.NA or value != value:  # noqa: PLR0124 - NaN
        return None
    text = readable(str(value))
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}\N{HORIZONTAL ELLIPSIS}"


def _width(label: str, column: _Column) -> float:
    """Choose a width from the header and the first rows."""
    texts = [
        len(value) if isinstance(value, str) else len(f"{value:,.0f}") + 3
        for value in column.cells[:_SAMPLE]
        if isinstance(value, str | int | float)
    ]
    if column.form.startswith("yyyy"):
        texts = [len(column.form)]
    low, high = _WIDTHS
    # The button of the filter stands beside the header.
    return float(min(max(low, len(label) + 4, *texts), high))
