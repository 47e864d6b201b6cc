"""Why deals were lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capsule_analytics.schema import TEXT

from ._outcomes import ended

if TYPE_CHECKING:
    import pandas as pd

    from capsule_analytics.schema import Pipeline


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
    keys = ["currency", "lost_reason"]
    groups = rows.groupby(keys, dropna=False)
    table = groups.agg(
        deals=("opportunity_id", "size"), tcv=("tcv", "sum"), counts=("counts", "any")
    ).reset_index()
    of_currency = table.groupby("currency", dropna=False)["deals"].transform("sum")
    counted = table["deals"].where(table["counts"], 0)
    of_counted = counted.groupby(table["currency"], dropna=False).transform("sum")
    table = table.assign(
        share=(table["deals"] / of_counted.where(of_counted > 0)).where(table["counts"]),
        share_of_all=table["deals"] / of_currency,
        none=table["lost_reason"].isna(),
    ).astype({"share": "float64", "share_of_all": "float64", "counts": "bool"})
    table = table.sort_values(
        ["currency", "none", "deals", "lost_reason"], ascending=[True, True, False, True]
    )
    return table.drop(columns="none").reset_index(drop=True).astype(dict.fromkeys(keys, TEXT))
