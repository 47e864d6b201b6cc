"""Why deals were lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capsule_analytics.schema import TEXT

from ._outcomes import ended

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from capsule_analytics.schema import Pipeline


_KEYS = ["currency", "lost_reason"]


def lost_reasons(pipeline: Pipeline) -> pd.DataFrame:
    """Count the lost deals by reason, and what their reasons cost the win rate.

    Parameters
    ----------
    pipeline
        The account.

    Returns
    -------
    One row a currency and reason, the most frequent of a currency first, none last:
    ``currency``, ``lost_reason``, ``deals``, ``tcv`` (in the currency), ``counts`` (False for a
    reason that the account leaves out of its conversion rate), ``share`` (of the lost deals that
    count; NaN where it does not) and ``share_of_all`` (of all lost deals), 0 to 1.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = lost_reasons(ca.load_sample())
    >>> int(table["deals"].sum()), bool(table["counts"].all())
    (222, False)
    """
    rows = ended(pipeline)
    rows = rows[rows["won"] == 0].rename(columns={"counts_for_conversion": "counts"})
    return _shared(rows.assign(deals=1)[[*_KEYS, "deals", "tcv", "counts"]])


def lost_reasons_of(tally: pd.DataFrame, more: Sequence[str] = ()) -> pd.DataFrame:
    """List the reasons of many accounts from their counts.

    Parameters
    ----------
    tally
        As `_outcomes.tally` makes it, added up.
    more
        What to group by beside: ``account``.

    Returns
    -------
    As `lost_reasons` returns it, with the columns of `more` first.
    """
    rows = tally[~tally["won"]]
    rows = rows.assign(tcv=rows["cents"] / 100)
    return _shared(rows[[*more, *_KEYS, "deals", "tcv", "counts"]], more)


def _shared(rows: pd.DataFrame, more: Sequence[str] = ()) -> pd.DataFrame:
    """Add up lost deals by reason, and give each its shares."""
    keys, whose = [*more, *_KEYS], [*more, "currency"]
    groups = rows.groupby(keys, dropna=False)
    table = groups.agg(
        deals=("deals", "sum"), tcv=("tcv", "sum"), counts=("counts", "any")
    ).reset_index()
    of_currency = table.groupby(whose, dropna=False)["deals"].transform("sum")
    counted = table["deals"].where(table["counts"], 0)
    of_counted = counted.groupby([table[name] for name in whose], dropna=False).transform("sum")
    table = table.assign(
        share=(table["deals"] / of_counted.where(of_counted > 0)).where(table["counts"]),
        share_of_all=table["deals"] / of_currency,
        none=table["lost_reason"].isna(),
    ).astype({"share": "float64", "share_of_all": "float64", "counts": "bool"})
    table = table.sort_values(
        [*whose, "none", "deals", "lost_reason"],
        ascending=[*(True for _ in whose), True, False, True],
    )
    return table.drop(columns="none").reset_index(drop=True).astype(dict.fromkeys(keys, TEXT))
