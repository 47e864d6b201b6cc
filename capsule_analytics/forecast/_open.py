"""The open pipeline as it stands on the as-of day: by milestone, and by age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from capsule_analytics import quality
from capsule_analytics._deals import chances
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Hashable

    from capsule_analytics._deals import Probability
    from capsule_analytics.schema import Pipeline

    Stage = tuple[Hashable, Hashable]

AGES = ("under 30", "30-89", "90-179", "180-364", "365+")
"""Classes of age, in days since a deal was entered."""

_DAYS = (30, 90, 180, 365)
_SINCE = ("created_at", "last_stage_changed_at")
_STAGE = ["pipeline", "milestone"]
_MEASURES = ["open_deals", "open_value", "weighted_value", "overdue_deals", "overdue_value"]


def open_by_milestone(pipeline: Pipeline, *, probability: Probability = None) -> pd.DataFrame:
    """Sum the open deals by milestone and currency.

    Every open deal counts, the overdue ones too.

    Parameters
    ----------
    pipeline
        The account.
    probability
        Other probabilities for the weighted value, as for `by_month`; None for Capsule's own.

    Returns
    -------
    One row for each currency of an open deal and each milestone that is configured and not
    complete, those without deals too, so that gaps in the funnel are seen; empty if no deal is
    open. Currencies with the most deals stand first, a missing one last; milestones in the
    account's order, then those with deals that its configuration lacks, deals without one last.
    ``attrs`` has ``as_of`` and ``account``. The columns:

    - ``currency``, ``pipeline``, ``milestone``: text, missing where not known;
    - ``configured``: whether the account's configuration has the milestone;
    - ``open_deals``, ``open_value`` (TCV), ``weighted_value`` (TCV times probability): of the open
      deals, in the row's currency, not rounded; what is not known adds nothing.
    - ``overdue_deals``, ``overdue_value``: of these, the ones whose expected close has passed.

    Raises
    ------
    ArgumentError
        If `probability` is none.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = open_by_milestone(ca.load_sample())
    >>> table[["currency", "milestone", "open_deals", "open_value"]].head(3)
      currency  milestone  open_deals  open_value
    0      GBP       Lead          10    299875.0
    1      GBP  Qualified          26    647775.0
    2      GBP   Proposal          19    512350.0
    """
    deals = _open_deals(pipeline, probability)
    return _filled(deals, [], pipeline)


def open_by_age(
    pipeline: Pipeline,
    *,
    probability: Probability = None,
    since: Literal["created_at", "last_stage_changed_at"] = "created_at",
) -> pd.DataFrame:
    """Sum the open deals by age, milestone and currency.

    Every open deal counts, the overdue ones too.

    Parameters
    ----------
    pipeline
        The account; ages are counted in whole days from the day on which a deal was entered (UTC)
        to the as-of day. A deal that was entered after it counts as new.
    probability
        Other probabilities for the weighted value, as for `by_month`; None for Capsule's own.
    since
        ``"last_stage_changed_at"`` counts from the day on which a deal came to its milestone
        instead (API v2): the time that it has stood there.

    Returns
    -------
    The rows and columns of `open_by_milestone` for each age, with ``age`` as first column: one of
    `AGES`, in that order, missing (and last) for deals without that date.

    Raises
    ------
    ArgumentError
        If `probability` is none, or `since` is neither.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = open_by_age(ca.load_sample())
    >>> table.groupby("age", observed=True)["open_deals"].sum().to_dict()
    {'under 30': 31, '30-89': 29, '90-179': 43, '180-364': 39, '365+': 22}
    """
    if since not in _SINCE:
        raise ArgumentError(f"since must be one of {', '.join(_SINCE)}, not {since!r}")
    deals = _open_deals(pipeline, probability)
    days = (pd.Timestamp(pipeline.as_of, tz="UTC") - deals[since].dt.normalize()).dt.days
    place = np.searchsorted(_DAYS, days.to_numpy(dtype=np.float64, na_value=np.nan), side="right")
    names = np.array(AGES, dtype=object)[np.minimum(place, len(AGES) - 1)]
    deals["age"] = np.where(days.isna(), None, names)
    ages: list[Hashable] = [*AGES, *([None] if days.isna().any() else [])]
    table = _filled(deals, ages, pipeline)
    table["age"] = pd.Categorical(table["age"], categories=AGES, ordered=True)
    return table


def _open_deals(pipeline: Pipeline, probability: Probability) -> pd.DataFrame:
    """Return what is summed, one row an open deal; text that is missing is None."""
    frame = pipeline.opportunities
    frame = frame[(frame["status"] == "open").to_numpy(dtype=bool)]
    tcv = frame["tcv"].to_numpy(dtype=np.float64, na_value=np.nan)
    value = np.nan_to_num(tcv, nan=0.0)
    late = quality.overdue(frame, pipeline.as_of).to_numpy(dtype=bool)
    names = {
        name: frame[name].astype("object").where(frame[name].notna(), None).to_numpy()
        for name in ("currency", *_STAGE)
    }
    return pd.DataFrame(
        {
            **names,
            **{name: frame[name].array for name in _SINCE},
            "open_deals": 1,
            "open_value": value,
            "weighted_value": np.nan_to_num(tcv * chances(frame, probability), nan=0.0),
            "overdue_deals": late.astype(np.int64),
            "overdue_value": np.where(late, value, 0.0),
        }
    )


def _filled(deals: pd.DataFrame, ages: list[Hashable], pipeline: Pipeline) -> pd.DataFrame:
    """Sum deals by age (where there are any), milestone and currency, with the rows of none."""
    keys = [*(["age"] if ages else []), "currency", *_STAGE]
    sums = deals.groupby(keys, dropna=False, sort=False)[_MEASURES].sum()
    found = {
        tuple(None if pd.isna(part) else part for part in key): row
        for key, row in zip(sums.index, sums.itertuples(index=False, name=None), strict=True)
    }
    counts = deals.groupby("currency", dropna=False)["open_deals"].sum().to_dict()
    counts = {None if pd.isna(code) else code: count for code, count in counts.items()}
    currencies = sorted(counts, key=lambda code: (code is None, -counts[code], str(code)))
    stages, configured = _stages(deals, pipeline)
    none = (0, 0.0, 0.0, 0, 0.0)
    prefixes: list[tuple[Hashable, ...]] = [(age,) for age in ages] or [()]
    rows = [
        (*age, currency, *stage, place < configured, *found.get((*age, currency, *stage), none))
        for age in prefixes
        for currency in currencies
        for place, stage in enumerate(stages)
        if place < configured or (*age, currency, *stage) in found
    ]
    table = pd.DataFrame(rows, columns=[*keys, "configured", *_MEASURES])
    table = table.astype(dict.fromkeys(["currency", *_STAGE], TEXT))
    table.attrs = {"as_of": pipeline.as_of.isoformat(), "account": pipeline.account}
    return table


def _stages(deals: pd.DataFrame, pipeline: Pipeline) -> tuple[list[Stage], int]:
    """Return pipeline and milestone of each row in order, and how many are configured."""
    milestones = pipeline.milestones
    still = milestones[~milestones["complete"].astype(bool).to_numpy()]
    known = _pairs(still.rename(columns={"name": "milestone"}))
    strange = [stage for stage in _pairs(deals) if stage not in set(known)]
    # Milestones that the configuration lacks stand after its own, and deals without one last.
    strange.sort(key=lambda stage: (stage[1] is None, str(stage[0] or ""), str(stage[1])))
    return [*known, *strange], len(known)


def _pairs(frame: pd.DataFrame) -> list[Stage]:
    """Return each pair of pipeline and milestone once, in order."""
    columns = (frame[name].astype("object").where(frame[name].notna(), None) for name in _STAGE)
    return list(dict.fromkeys(zip(*columns, strict=True)))
