"""CSV files that spreadsheets read without harm: exact cents, and text that stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._words import money_text

from ._text import without_formulas

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def write_csv(
    frame: pd.DataFrame, path: Path, *, amounts: Sequence[str] = (), days: Sequence[str] = ()
) -> None:
    """Write a frame as UTF-8 CSV with a header and without its index.

    No spreadsheet runs any of its text as a formula (see `without_formulas`).

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
            written[name] = _as_iso(column, days=name in days)
        elif not pd.api.types.is_numeric_dtype(column.dtype):
            written[name] = _as_text(column)
    written.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


def _as_iso(column: pd.Series, *, days: bool) -> NDArray[np.str_]:
    """Write points in time as strftime does, in a tenth of its time."""
    moments = column.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    text = np.datetime_as_string(moments, unit="D" if days else "s")
    return np.where(np.isnat(moments), "", text if days else np.char.add(text, "Z"))


def _as_text(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):  # many rows have few labels
        labels = np.array([*map(_neutral, column.cat.categories), ""], dtype=object)
        return pd.Series(labels[column.cat.codes], index=column.index, dtype=object)
    text = column.astype(object).map(_neutral, na_action="ignore")
    return text.where(column.notna(), "")


def _neutral(value: object) -> object:
    if isinstance(value, tuple):
        value = "; ".join(map(str, value))
    if isinstance(value, dict):
        value = "; ".join(f"{key}: {item}" for key, item in value.items())
    return without_formulas(value) if isinstance(value, str) else value
