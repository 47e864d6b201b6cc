"""Small pipelines written out in a test, through the same typing as real ones."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from capsule_analytics.load._frame import assemble, milestone_frame
from capsule_analytics.schema import COLUMNS, RAW_NAMES, Pipeline

AS_OF = date(2026, 10, 15)

MILESTONES = [
    {"id": 1, "name": "Lead", "probability": 10, "complete": False, "pipeline": "Sales"},
    {"id": 2, "name": "Proposal", "probability": 50, "complete": False, "pipeline": "Sales"},
    {"id": 3, "name": "Contract", "probability": 90, "complete": False, "pipeline": "Sales"},
    {"id": 4, "name": "Won", "probability": 100, "complete": True, "pipeline": "Sales"},
    {"id": 5, "name": "Lost", "probability": 0, "complete": True, "pipeline": "Sales"},
]


def deals(
    rows: list[dict[str, Any]],
    *,
    as_of: date = AS_OF,
    currencies: tuple[str, ...] = (),
    typed: bool = True,
) -> Pipeline:
    """Build a pipeline from raw records: probability in percent, dates as text.

    Ids count from 1, the currency is GBP and the milestone Proposal unless a row says otherwise.
    """
    optional = [c.name for c in COLUMNS if c.optional and any(c.name in row for row in rows)]
    defaults = {"currency": "GBP", "milestone": "Proposal"}
    page = {
        name: [{"id": n, **defaults, **row}.get(name) for n, row in enumerate(rows, start=1)]
        for name in [*RAW_NAMES, *optional]
    }
    return assemble(
        [page],
        typed=typed,
        milestones=milestone_frame(MILESTONES, typed=True),
        currencies=currencies,
        loaded_at=pd.Timestamp(as_of, tz="UTC"),
        as_of=as_of,
        account="test",
    )
