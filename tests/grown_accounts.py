"""Small accounts drawn from a world whose laws are written here, seen month by month."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from capsule_analytics.schema import Pipeline

STAGES = ("Lead", "Proposal", "Contract")
STATED = (0.1, 0.5, 0.9)
WON_A_MONTH = (0.03, 0.12, 0.35)
LOST_A_MONTH = 0.08


def pipeline(rows: list[dict[str, Any]], as_of: date, account: str = "test") -> Pipeline:
    """Build a pipeline from rows: days as text, everything else typed by hand."""
    defaults = {
        "currency": "EUR",
        "milestone": "Proposal",
        "milestone_id": 2,
        "pipeline": "Sales",
        "probability": 0.5,
        "owner": "ann",
        "status": "open",
        "tcv": 1000.0,
        "created_at": None,
        "updated_at": None,
        "closed_at": None,
        "expected_close": None,
    }
    filled = [{"id": n, **defaults, **row} for n, row in enumerate(rows, start=1)]
    frame = pd.DataFrame(filled, columns=["id", *defaults]).set_index("id")
    for name in ("created_at", "updated_at", "closed_at", "expected_close"):
        days = pd.Series(frame[name].to_numpy(dtype="datetime64[us]"), index=frame.index)
        frame[name] = days.dt.tz_localize("UTC")
    for name in ("currency", "milestone", "pipeline", "owner", "status"):
        frame[name] = frame[name].astype("category")
    frame["milestone_id"] = frame["milestone_id"].astype("Int64")
    frame["tcv"] = frame["tcv"].astype("float64")
    frame["probability"] = frame["probability"].astype("float64")
    nothing = pd.DataFrame()
    return Pipeline(frame, nothing, nothing, pd.Timestamp(as_of, tz="UTC"), as_of, account)


def month_end(number: int) -> date:
    """Give the last day of a month, counted from January 2024."""
    first = np.datetime64("2024-01", "M") + number + 1
    return (first.astype("datetime64[D]") - 1).astype(date)


def grown(months: int, *, intake: int = 8, seed: int = 1) -> list[Pipeline]:
    """Let an account live: snapshots of its month ends, from January 2024 on."""
    draw = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    seen = []
    for number in range(months):
        end = month_end(number)
        for row in rows:
            if row["status"] != "open":
                continue
            stage = STAGES.index(row["milestone"])
            luck = draw.random()
            day = end.replace(day=int(draw.integers(1, end.day + 1)))
            if luck < WON_A_MONTH[stage] + LOST_A_MONTH:
                won = luck < WON_A_MONTH[stage]
                row |= {"status": "won" if won else "lost", "closed_at": day, "updated_at": day}
                row |= {"milestone": "Won" if won else "Lost", "milestone_id": 8 + won}
                row |= {"probability": float(won)}
            elif stage < 2 and draw.random() < 0.3:
                row |= {"milestone": STAGES[stage + 1], "milestone_id": stage + 2}
                row |= {"probability": STATED[stage + 1], "updated_at": day}
        for _ in range(int(draw.poisson(intake))):
            day = end.replace(day=int(draw.integers(1, end.day + 1)))
            due = np.datetime64(day) + int(draw.integers(30, 120))
            rows.append(
                {
                    "id": len(rows) + 1,
                    "milestone": "Lead",
                    "milestone_id": 1,
                    "probability": 0.1,
                    "status": "open",
                    "owner": ("ann", "bob")[int(draw.integers(2))],
                    "tcv": float(np.round(np.exp(draw.normal(8, 0.8)))),
                    "created_at": day,
                    "updated_at": day,
                    "closed_at": None,
                    "expected_close": due.astype(date),
                }
            )
        seen.append(pipeline([dict(row) for row in rows], end))
    return seen
