"""People over time: a user who was renamed is one person, shown by the newest name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping


def owner_names(deals: pd.DataFrame, known: Mapping[int, str] | None = None) -> dict[int, str]:
    """Return the name of each owner that has an id, by that id.

    Parameters
    ----------
    deals
        Opportunities; without the column ``owner_id`` they tell of nobody.
    known
        Names of earlier days, which those of these deals replace.

    Examples
    --------
    >>> deals = pd.DataFrame({"owner": ["ada", None], "owner_id": pd.array([8, None], "Int64")})
    >>> owner_names(deals, {8: "ada.b", 9: "bo"})
    {8: 'ada', 9: 'bo'}
    """
    names = dict(known or {})
    if "owner_id" in deals.columns:
        pairs = deals[["owner_id", "owner"]].dropna().drop_duplicates("owner_id", keep="last")
        names |= zip(pairs["owner_id"].tolist(), pairs["owner"].astype(object), strict=True)
    return names


def owners_under(deals: pd.DataFrame, names: Mapping[int, str]) -> pd.Series:
    """Return the column ``owner`` with each person under one name.

    Parameters
    ----------
    deals
        Opportunities.
    names
        As `owner_names` gives them. Who has no id, or is not among them, keeps the name.
    """
    if "owner_id" not in deals.columns or not names:
        return deals["owner"]
    old = deals["owner"].astype(object)
    new = deals["owner_id"].astype(object).map(names)
    shown = new.where(new.notna(), old)
    if shown.equals(old):
        return deals["owner"]
    is_category = isinstance(deals["owner"].dtype, pd.CategoricalDtype)
    return pd.Series(pd.Categorical(shown), index=deals.index) if is_category else shown
