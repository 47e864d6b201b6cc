"""The track record: past projections beside what came, and in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from capsule_analytics.schema import TEXT

from ._track import corrected, correction_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._track import Past

FEWEST_MONTHS = 6
"""From how many past months on a track record tells anything."""
_COLUMNS = ["month", "currency", "expected_value", "p10", "p50", "p90", "actual_value", "inside"]
_CENT = 0.005


def record_of(pasts: Mapping[str, Sequence[Past]], since: int) -> pd.DataFrame:
    """Lay past projections out as a table, each corrected by the months before it alone.

    Parameters
    ----------
    pasts
        By currency ("" for none), oldest first.
    since
        The first month to show, counted from year 0.
    """
    rows: list[dict[str, Any]] = []
    for currency, of_currency in pasts.items():
        for number, past in enumerate(of_currency):
            if past.month < since:
                continue
            law = corrected(past.law, correction_of(of_currency[:number]), past.simple)
            p10, p50, p90 = law.quantile([0.1, 0.5, 0.9])
            rows.append(
                {
                    "month": past.month - 23640,
                    "currency": currency or pd.NA,
                    "expected_value": law.mean,
                    "p10": p10,
                    "p50": p50,
                    "p90": p90,
                    "actual_value": past.came,
                    "inside": p10 - _CENT <= past.came <= p90 + _CENT,
                }
            )
    table = pd.DataFrame(rows, columns=_COLUMNS)
    months = pd.PeriodIndex.from_ordinals(table.pop("month").astype("int64"), freq="M")
    table.insert(0, "month", months)
    return table.astype({"currency": TEXT, "inside": "bool"}).astype(
        dict.fromkeys(_COLUMNS[2:-1], "float64")
    )


def track_words(record: pd.DataFrame) -> str:
    """Say in a few words how far projections have come true.

    Parameters
    ----------
    record
        Rows of `Projection.track_record`, of one currency.

    Examples
    --------
    >>> track_words(pd.DataFrame({"inside": [True] * 10 + [False] * 2}))
    'the last 12 months: 10 inside the range'
    >>> track_words(pd.DataFrame({"inside": [True] * 3}))
    'too few months to tell'
    """
    if len(record) < FEWEST_MONTHS:
        return "too few months to tell"
    return f"the last {len(record)} months: {int(record['inside'].sum())} inside the range"


__all__ = ["FEWEST_MONTHS", "record_of", "track_words"]
