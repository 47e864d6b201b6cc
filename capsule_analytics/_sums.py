"""Sums that add up: a table of a part of the deals, and the table of all of them.

Every table of the forecast is the `combine` of partial sums, so that parts of an account, or many
accounts, add up to the same figures as the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MEASURES = (
    "open_deals",
    "open_value",
    "weighted_value",
    "won_deals",
    "won_value",
    "expected_value",
    "overdue_deals",
    "overdue_value",
    "overdue_weighted",
)
"""Columns of sums: deals are counts, the others amounts in the row's currency."""


def group_names(by: str | Sequence[str] | None) -> list[str]:
    """Return the further columns to group by as a list."""
    return [] if by is None else [by] if isinstance(by, str) else list(by)


def sums(placed: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Sum placed deals by bucket, currency and group: a part that `combine` adds up."""
    keys = ["bucket", "currency", *groups]
    open_ = ~placed["won"].to_numpy()
    late = placed["overdue"].to_numpy()
    tcv = np.nan_to_num(placed["tcv"].to_numpy(), nan=0.0)
    weighted = placed["weighted"].to_numpy()
    measured = placed[keys].assign(
        open_deals=open_.astype(np.int64),
        open_value=np.where(open_, tcv, 0.0),
        weighted_value=weighted,
        won_deals=(~open_).astype(np.int64),
        won_value=np.where(open_, 0.0, tcv),
        expected_value=0.0,
        overdue_deals=late.astype(np.int64),
        overdue_value=np.where(late, tcv, 0.0),
        overdue_weighted=np.where(late, weighted, 0.0),
    )
    # pandas sums groups with compensation, so a million deals stay exact to the cent.
    table = measured.groupby(keys, dropna=False, observed=True, sort=False).sum().reset_index()
    return table.astype(dict.fromkeys(keys[1:], TEXT))


def combine(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Add up partial sums.

    Parameters
    ----------
    parts
        Tables of one set of key columns and of `MEASURES` (or some of them), in any order.

    Returns
    -------
    One table, sorted by its keys, missing keys last.
    """
    table = pd.concat(list(parts), ignore_index=True)
    keys = [name for name in table.columns if name not in MEASURES]
    table = table.groupby(keys, dropna=False, sort=False).sum().reset_index()
    table["expected_value"] = table["won_value"] + table["weighted_value"]
    return table.sort_values(keys, na_position="last", ignore_index=True)
