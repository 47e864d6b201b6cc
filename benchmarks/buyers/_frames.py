"""A firm's list as Capsule would give it on a day: a `Pipeline` of every deal, open and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics.schema import COLUMNS, Pipeline, status_of, total_contract_value

from ._calendar import FIRST
from ._life import LOST, OPEN, TWICE, WON, Life
from ._sellers import month_seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIPELINES = ("Sales", "New business", "Renewals")
STEPS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("Lead", 0.1), ("Qualified", 0.2), ("Offer", 0.4), ("Short list", 0.6), ("Contract", 0.85)),
    (("Talking", 0.15), ("Solution", 0.35), ("Business case", 0.6), ("Legal", 0.9)),
    (("Due", 0.7), ("Discussed", 0.8), ("Papers", 0.95)),
)
"""Open milestones and their probabilities, by pipeline."""
PLACES = np.array([[0, 1, 2, 3, 4], [0, 1, 1, 2, 3], [0, 0, 1, 1, 2]])
"""Which of them stands for each of the five steps of a seller's mind, by pipeline."""
WON_AT, LOST_AT = 90, 91
REASONS = ("Lost to another", "No decision", "No answer", "Budget", "Entered twice")


def _milestones(pipelines: int, *, renamed: bool) -> pd.DataFrame:
    """Give the milestones of the firm's pipelines, archived ones too."""
    table = pd.DataFrame(
        [
            (100 * (number + 1) + place, name, chance, place >= WON_AT, PIPELINES[number])
            for number in range(pipelines)
            for place, (name, chance) in [
                *enumerate(STEPS[number]), (WON_AT, ("Won", 1.0)), (LOST_AT, ("Lost", 0.0))
            ]
        ],
        columns=["id", "name", "probability", "complete", "pipeline"],
    ).set_index("id")  # fmt: skip
    table["pipeline_id"] = table.index // 100
    table["archived"] = renamed & (table["pipeline_id"] == 1) & ~table["complete"]
    table["description"] = pd.Series(pd.NA, index=table.index, dtype="string")
    table["days_until_stale"] = pd.array([45] * len(table), dtype="Int64")
    return table


def _moments(days: NDArray[np.float64]) -> pd.DatetimeIndex:
    """Turn days of the calendar into times, NaN into none."""
    whole = pd.to_timedelta(np.round(days * 86_400), unit="s")
    return (pd.Timestamp(FIRST, tz="UTC") + whole).as_unit("us")


def pipeline(life: Life) -> Pipeline:
    """Show the list as it stands at the end of the day."""
    firm, deals = life.firm, life.listed()
    renamed = firm.renamed_in is not None and month_seen(life) >= firm.renamed_in
    milestones = _milestones(
        3 if firm.second_pipeline and renamed else 1 + renamed, renamed=renamed
    )
    status, process = deals["status"], deals["process"].astype(int)
    at = 100 * (process + 1) + PLACES[process, deals["stage"].astype(int)]
    base = 100 * (process + 1)
    identity = np.select([status == WON, status == LOST], [base + WON_AT, base + LOST_AT], at)
    by_milestone = milestones.loc[identity]
    probability = by_milestone["probability"].to_numpy(float)
    stated = np.where(np.isnan(deals["stated"]), probability, deals["stated"])
    runs = deals["term"] > 0
    seller = deals["seller"].astype(int)
    teams = np.array(["North", "South"])[seller % 2] if firm.desks >= 4 else None
    columns: dict[str, Any] = {
        "name": [f"Deal {number}" for number in deals["id"]],
        "description": None,
        "party_id": deals["customer"] + 1,
        "party": [f"Customer {number}" for number in deals["customer"]],
        "currency": np.array(firm.currencies)[deals["currency"]],
        "value": np.round(deals["shown"] / np.maximum(deals["term"], 1), 2),
        "duration_basis": np.where(runs, "MONTH", "FIXED"),
        "duration": pd.array(deals["term"], dtype="Int64"),
        "expected_close": _moments(deals["expected"]),
        "milestone": by_milestone["name"].to_numpy(),
        "milestone_id": identity,
        "pipeline": by_milestone["pipeline"].to_numpy(),
        "pipeline_id": process + 1,
        "probability": np.where(status == OPEN, stated, probability),
        "owner": [f"seller{number}" for number in seller],
        "owner_id": seller + 1,
        "team": teams,
        "team_id": seller % 2 + 1 if firm.desks >= 4 else None,
        "created_at": _moments(deals["created"]),
        "updated_at": _moments(np.maximum(deals["looked"], deals["stage_since"])),
        "last_stage_changed_at": _moments(deals["stage_since"]),
        "last_contacted_at": _moments(deals["looked"]),
        "closed_at": _moments(deals["closed"]),
        "last_open_milestone": milestones.loc[at, "name"].to_numpy(),
        "last_open_milestone_id": at,
        "lost_reason": np.array([*REASONS, None], object)[deals["reason"]],
        "counts_for_conversion": pd.array(
            np.where(status == LOST, deals["reason"] != TWICE, None), dtype="boolean"
        ),
    }
    index = pd.Index(deals["id"], name="id")
    frame = pd.DataFrame(columns, index=index)
    frame["duration"] = frame["duration"].where(pd.Series(runs, index=index))
    frame = frame.astype({c.name: c.kind.dtype for c in COLUMNS if c.name in frame})
    frame["tcv"] = total_contract_value(
        frame["value"].to_numpy(float), frame["duration_basis"].astype(object), frame["duration"]
    )
    frame["status"] = status_of(by_milestone["complete"].to_numpy(bool), probability).set_axis(
        index
    )
    issues = pd.DataFrame(
        {
            "opportunity_id": pd.Series(dtype="Int64"),
            "check": pd.Series(dtype="string"),
            "severity": pd.Series(dtype="string"),
            "detail": pd.Series(dtype="string"),
        }
    )
    day = FIRST + life.day
    loaded = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=23, minutes=50)
    return Pipeline(frame, milestones, issues, loaded, loaded.date(), firm.name)
