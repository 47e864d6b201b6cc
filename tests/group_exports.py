"""Groups of accounts for tests: exports of a few, and many in one frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from deals import AS_OF, deals

from capsule_analytics import calibration, quality
from capsule_analytics._deals import add_up
from capsule_analytics.history._store_rows import to_arrow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from capsule_analytics._deals import Measure, Placing
    from capsule_analytics.schema import Pipeline


def write_export(folder: Path, accounts: dict[str, list[Pipeline]]) -> Path:
    """Write each account's days as `Store.export_parquet` does."""
    for name, days in accounts.items():
        for pipeline in days:
            place = folder / f"account={quote(name, safe='')}" / f"day={pipeline.as_of}"
            place.mkdir(parents=True)
            pq.write_table(to_arrow(pipeline.opportunities), place / "part.parquet")
    return folder


@dataclass
class Held:
    """Many accounts in one frame, which stands in for a day of a portfolio."""

    frame: pd.DataFrame
    as_of: date = AS_OF
    left_out: list[dict[str, str]] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return [*map(str, self.frame.columns)]

    @property
    def days(self) -> dict[str, date]:
        return dict.fromkeys(self.frame["account"].unique(), self.as_of)

    @property
    def about(self) -> dict[str, Any]:
        day = self.as_of.isoformat()
        return {"day": day, "oldest_day": day, "accounts": len(self.days), "left_out": []}

    def add_up(self, measure: Measure, placing: Placing, more: Sequence[str]) -> pd.DataFrame:
        return add_up(self.frame, measure, placing, more)

    def ended(self) -> pd.DataFrame:
        return calibration.tally(self.frame)

    def findings(self) -> pd.DataFrame:
        return quality.tally(self.frame, self.as_of)


def many_accounts(number: int, each: int = 12) -> Held:
    """Make a group of many accounts whose deals close around the as-of day."""
    rows = [
        {
            "value": 1_000 * (1 + place),
            "probability": 10 + 20 * (place % 5),
            "milestone": ("Lead", "Proposal", "Contract", "Won", "Lost")[place % 5],
            "expected_close": f"2026-{1 + place % 12:02d}-20",
            "closed_at": f"2026-{1 + place % 10:02d}-10" if place % 5 > 2 else None,
            "created_at": "2026-01-05T10:00:00Z",
        }
        for place in range(each)
    ]
    one = deals(rows).opportunities
    frame = one.iloc[np.tile(np.arange(each), number)]
    names = [f"account {place:04d}" for place in range(number)]
    scale = np.repeat(1 + np.arange(number) / number, each)
    return Held(
        frame.assign(
            account=pd.Categorical(np.repeat(names, each)),
            tcv=frame["tcv"] * scale,
            value=frame["value"] * scale,
        )
    )
