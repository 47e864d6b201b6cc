"""Tables as an assistant reads them: few rows, plain values, and what was left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from capsule_analytics._safe_text import safe
from capsule_analytics._words import period_text, round_cents
from capsule_analytics.errors import ArgumentError

MOST = 100
"""Rows that an answer has at most."""

_AMOUNTS = {"value", "tcv", "stake", "target", "gap", "p10", "p50", "p90"}


def listed(table: pd.DataFrame, top: int, weight: str | None, what: str) -> dict[str, Any]:
    """Show the first rows of a table, or those that weigh most, in the table's order.

    Parameters
    ----------
    table
        The table.
    top
        How many rows, 1 to `MOST`.
    weight
        The column by whose size rows are chosen where there are more. Amounts of two currencies
        are not compared: each gives its largest, then each its second, and so on. None for the
        first rows.
    what
        Which ones are left out, in words: "those with the least expected value".

    Returns
    -------
    ``rows``, and ``left_out``: how many more there are, in words.

    Raises
    ------
    ArgumentError
        If `top` is no such number.
    """
    if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= MOST:
        raise ArgumentError(f"top must be 1 to {MOST}, not {top!r}")
    rank = pd.Series(np.arange(len(table)), index=table.index)
    if weight is not None:
        size = table[weight].astype("float64").abs().fillna(-1.0)
        money = is_amount(weight) and "currency" in table.columns
        apart = size.groupby(table["currency"].astype(object), dropna=False) if money else size
        rank = apart.rank(method="first", ascending=False)
    kept = np.sort(np.argsort(rank.to_numpy(), kind="stable")[:top])
    more = len(table) - len(kept)
    words = f"{more:,} of {len(table):,} rows, {what}" if more else "nothing"
    return {"rows": rows(table.iloc[kept]), "left_out": words}


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Write the rows of a table as JSON has them; amounts to the cent, shares to four digits."""
    written = table.copy(deep=False)
    for name in table.columns:
        if is_amount(str(name)):
            written[name] = round_cents(table[name].to_numpy(dtype=np.float64, na_value=np.nan))
    # As objects, so that a whole number beside a missing one stays whole.
    records = written.astype(object).to_dict("records")
    return [{str(name): plain(value) for name, value in row.items()} for row in records]


def is_amount(name: str) -> bool:
    """Tell whether a column is of amounts in the row's currency."""
    return name in _AMOUNTS or name.endswith(("_value", "_weighted"))


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    """Write one value as JSON has it; text as it may leave the process."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Period):
        return period_text(value)
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%dT%H:%MZ}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value if isinstance(value, bool | int) else safe(value)
