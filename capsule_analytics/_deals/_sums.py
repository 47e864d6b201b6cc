"""Sums that add up: a table of a part of the deals, and the table of all of them.

Every table of the forecast is the total of partial sums, so that parts of an account, or many
accounts on many machines, add up to the same figures as the whole. A sum of floats depends on the
order of its terms in the last digits, which may tip a half cent. Amounts are therefore summed as
two numbers: their whole units, which floats add exactly up to 2**53, and the rests, which are so
small that what is lost in adding them reaches no cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

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

SUMMED = frozenset([*MEASURES, "deals", "cents"])
"""Columns of partial sums that are added up; all others are keys."""

_REST = "_rest"


def group_names(by: str | Sequence[str] | None) -> list[str]:
    """Return the further columns to group by as a list, each once."""
    if by is None or isinstance(by, str):
        return [] if by is None else [by]
    try:
        return list(dict.fromkeys(by))
    except TypeError as error:
        raise ArgumentError(f"group by a name or several names, not by {by!r}") from error


def split(name: str, amounts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Split amounts into whole units and rests: two columns of a partial sum.

    Examples
    --------
    >>> split("value", np.array([1234.75, -0.5]))
    {'value': array([1235.,   -0.]), 'value_rest': array([-0.25, -0.5 ])}
    """
    whole = np.rint(amounts)
    return {name: whole, f"{name}{_REST}": amounts - whole}


def sums(placed: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Sum placed deals by bucket, currency and group: a part that `add` and `combine` add up."""
    keys = ["bucket", "currency", *groups]
    open_ = ~placed["won"].to_numpy()
    late = placed["overdue"].to_numpy()
    tcv = np.nan_to_num(placed["tcv"].to_numpy(), nan=0.0)
    weighted = placed["weighted"].to_numpy()
    measured = placed[keys].assign(
        open_deals=open_.astype(np.int64),
        **split("open_value", np.where(open_, tcv, 0.0)),
        **split("weighted_value", weighted),
        won_deals=(~open_).astype(np.int64),
        **split("won_value", np.where(open_, 0.0, tcv)),
        overdue_deals=late.astype(np.int64),
        **split("overdue_value", np.where(late, tcv, 0.0)),
        **split("overdue_weighted", np.where(late, weighted, 0.0)),
    )
    # pandas sums groups with compensation, so the rests of a million deals are exact too.
    table = measured.groupby(keys, dropna=False, observed=True, sort=False).sum().reset_index()
    return table.astype(dict.fromkeys(keys[1:], TEXT))


def alike(placed: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Count placed open deals that are worth the same with the same probability.

    Ranges are not sums, but the deals that they are made of are: this part adds up like `sums`,
    and loses nothing. Deals without a TCV or a probability are left out.
    """
    keys = ["bucket", "currency", *groups, "tcv", "probability"]
    open_ = placed.loc[~placed["won"], keys].dropna(subset=["tcv", "probability"])
    counted = open_.assign(open_deals=np.int64(1)).groupby(
        keys, dropna=False, observed=True, sort=False
    )
    return counted.sum().reset_index().astype(dict.fromkeys(keys[1:-2], TEXT))


def add(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Add up partial sums to a partial sum, which may be added up again.

    Parameters
    ----------
    parts
        Tables of one set of key columns and of some of `SUMMED` with their rests, in any order.

    Returns
    -------
    One table of the same columns, in no order.
    """
    table = pd.concat(list(parts), ignore_index=True)
    keys = [name for name in table.columns if name.removesuffix(_REST) not in SUMMED]
    return table.groupby(keys, dropna=False, sort=False).sum().reset_index()


def combine(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Add up partial sums to the table that is shown.

    Parameters
    ----------
    parts
        Tables of one set of key columns and of `MEASURES` (or some of them), in any order.

    Returns
    -------
    One table, sorted by its keys, missing keys last.
    """
    table = add(parts)
    for name in [name for name in table.columns if name.endswith(_REST)]:
        table[name.removesuffix(_REST)] += table.pop(name)
    table["expected_value"] = table["won_value"] + table["weighted_value"]
    measures = [name for name in MEASURES if name in table.columns]
    keys = [name for name in table.columns if name not in MEASURES]
    return table[[*keys, *measures]].sort_values(keys, na_position="last", ignore_index=True)
