"""A firm's list as Capsule would give it on a day: a `Pipeline` of every deal, open and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics.schema import COLUMNS, Pipeline, status_of, total_contract_value

from ._days import CHANCES, FEWER_CHANCES, FIRST, LOST, OPEN, WON, Days

if TYPE_CHECKING:
    from numpy.typing import NDArray


NAMES = ("Enquiry", "Met", "Quoted", "In talks", "Agreed in words")
REDONE = ("New", "Quoted", "In talks")
REASONS = ("Price", "Went elsewhere", "No answer", "No budget")


def _milestones(*, redone: bool) -> pd.DataFrame:
    """Give the milestones of the firm's one pipeline, archived ones too."""
    rows = [(11 + step, name, CHANCES[step], False, redone) for step, name in enumerate(NAMES)]
    if redone:
        rows += [
            (21 + step, name, FEWER_CHANCES[step], False, False) for step, name in enumerate(REDONE)
        ]
    rows += [(31, "Won", 1.0, True, False), (32, "Lost", 0.0, True, False)]
    table = pd.DataFrame(rows, columns=["id", "name", "probability", "complete", "archived"])
    table = table.set_index("id")
    table["description"] = pd.Series(pd.NA, index=table.index, dtype="string")
    table["pipeline"] = "Sales"
    table["pipeline_id"] = 1
    table["days_until_stale"] = pd.array([30] * len(table), dtype="Int64")
    return table


def _moments(days: NDArray[np.float64]) -> pd.DatetimeIndex:
    """Turn days since the first snapshot into times, NaN into none."""
    whole = pd.to_timedelta(np.round(days * 86_400), unit="s")
    return (pd.Timestamp(FIRST, tz="UTC") + whole).as_unit("us")


def pipeline(state: Days) -> Pipeline:
    """Show the list as it stands at the end of the day."""
    firm = state.firm
    deals = state.all_deals()
    redone = firm.renamed_in is not None and state.day >= firm.renamed_in * 30.4
    milestones = _milestones(redone=redone)
    outcome = deals["outcome"]
    moved = redone & (deals["touched"] >= (firm.renamed_in or 0) * 30.4)
    at = np.where(moved, 21 + np.minimum(deals["stage"], 2), 11 + np.minimum(deals["stage"], 4))
    identity = np.where(outcome == WON, 31, np.where(outcome == LOST, 32, at))
    by_milestone = milestones.loc[identity]
    probability = by_milestone["probability"].to_numpy(float)
    stated = np.where(np.isnan(deals["stated"]), probability, deals["stated"])
    basis = np.array([bool(product.months) for product in firm.products])[deals["product"]]
    changed = np.fmax(deals["touched"], deals["closed"] + 0.6)
    columns: dict[str, Any] = {
        "name": [f"Deal {number}" for number in deals["id"]],
        "description": None,
        "party_id": deals["id"] % 997,
        "party": [f"Customer {number % 997}" for number in deals["id"]],
        "currency": np.array(firm.currencies)[deals["currency"]],
        "value": deals["value"],
        "duration_basis": np.where(basis, "MONTH", "FIXED"),
        "duration": pd.array(np.where(basis, deals["duration"], 0), dtype="Int64"),
        "expected_close": _moments(deals["expected"]),
        "milestone": by_milestone["name"].to_numpy(),
        "milestone_id": identity,
        "pipeline": "Sales",
        "pipeline_id": 1,
        "probability": np.where(outcome == OPEN, stated, probability),
        "owner": [f"person{number}" for number in deals["name"]],
        "owner_id": deals["name"] + 1,
        "team": None,
        "team_id": None,
        "created_at": _moments(deals["created"]),
        "updated_at": _moments(changed),
        "last_stage_changed_at": _moments(
            np.where(outcome == OPEN, deals["stage_day"], deals["closed"] + 0.6)
        ),
        "last_contacted_at": _moments(deals["touched"]),
        "closed_at": _moments(deals["closed"]),
        "last_open_milestone": milestones.loc[at, "name"].to_numpy(),
        "last_open_milestone_id": at,
        "lost_reason": np.where(
            outcome == LOST, np.array(REASONS)[deals["id"] % len(REASONS)], None
        ),
        "counts_for_conversion": pd.array(np.where(outcome == LOST, 1, None), dtype="boolean"),
    }
    index = pd.Index(deals["id"], name="id")
    frame = pd.DataFrame(columns, index=index)
    frame["duration"] = frame["duration"].where(pd.Series(basis, index=index))
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
    day = FIRST + state.day
    loaded = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=23, minutes=50)
    return Pipeline(frame, milestones, issues, loaded, day.item(), firm.name)
