"""Small accounts of one group, drawn from a world whose laws are written here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from grown_accounts import LOST_A_MONTH, STAGES, STATED, month_end, pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from capsule_analytics.schema import Pipeline

# A group sells in its own way, which is not what any account is taken for beforehand.
WON_A_MONTH = (0.01, 0.12, 0.45)
MOVES_ON = 0.45
KEEPS = 0.6
"""Share of a month's shock that the next one keeps."""


@dataclass(frozen=True)
class Grown:
    """An account of a group: its month ends, and what it won in the months after."""

    seen: list[Pipeline]
    won_later: list[float]

    @property
    def name(self) -> str:
        """Its name."""
        return self.seen[0].account


def grown_group(
    accounts: int,
    months: int,
    *,
    seed: int,
    later: int = 3,
    shared: float = 0.0,
    own: float = 0.1,
) -> list[Grown]:
    """Let accounts live side by side.

    Parameters
    ----------
    accounts, months
        How many there are, and how many month ends are seen of each, from January 2024 on.
    seed
        The same gives the same group.
    later
        How many months are lived on after the last that is seen.
    shared, own
        Lasting spread of the log of a month's factor on winning, shared by all and of each alone.
    """
    draw = np.random.default_rng((41, seed))
    common = _path(draw, months + later, shared)
    return [_account(draw, f"a{number:02}", months, common, own) for number in range(accounts)]


def _path(draw: np.random.Generator, months: int, spread: float) -> np.ndarray:
    """Draw an autoregression whose factor is 1 on average."""
    path = np.empty(months)
    now = draw.normal(0, spread)
    for month in range(months):
        path[month] = now
        now = KEEPS * now + draw.normal(0, spread * np.sqrt(1 - KEEPS**2))
    return path - spread**2 / 2


def _account(
    draw: np.random.Generator, name: str, months: int, common: np.ndarray, own: float
) -> Grown:
    factor = np.exp(common + _path(draw, len(common), own) + draw.normal(0, 0.15))
    intake, size = np.exp(draw.normal(np.log(3), 0.4)), draw.normal(8, 0.3)
    rows: list[dict[str, Any]] = []
    seen: list[Pipeline] = []
    later: list[float] = []
    for number in range(len(common)):
        end = month_end(number)
        won = 0.0
        for _ in range(int(draw.poisson(intake))):
            rows.append(_entered(draw, end, len(rows) + 1, size))
        for row in rows:
            if row["status"] == "open":
                won += _lived(draw, row, end, factor[number])
        if number < months:
            seen.append(replace(pipeline([dict(row) for row in rows], end), account=name))
        else:
            later.append(won)
    return Grown(seen, later)


def _entered(draw: np.random.Generator, end: date, number: int, size: float) -> dict[str, Any]:
    day = end.replace(day=int(draw.integers(1, end.day + 1)))
    return {
        "id": number,
        "milestone": "Lead",
        "milestone_id": 1,
        "probability": 0.1,
        "status": "open",
        "tcv": float(np.round(np.exp(draw.normal(size, 0.7)))),
        "created_at": day,
        "updated_at": day,
        "closed_at": None,
        "expected_close": (np.datetime64(day) + int(draw.integers(20, 150))).astype(date),
    }


def _lived(draw: np.random.Generator, row: dict[str, Any], end: date, factor: float) -> float:
    """Let a deal live for a month; what it was won for."""
    stage = STAGES.index(row["milestone"])
    first = end.replace(day=1)
    day = end.replace(day=int(draw.integers(max(row["created_at"], first).day, end.day + 1)))
    wins = min(WON_A_MONTH[stage] * factor, 0.9)
    luck = draw.random()
    if luck < wins + LOST_A_MONTH:
        won = luck < wins
        row |= {"status": "won" if won else "lost", "closed_at": day, "updated_at": day}
        row |= {"milestone": "Won" if won else "Lost", "milestone_id": 8 + won}
        row |= {"probability": float(won)}
        return float(row["tcv"]) if won else 0.0
    if stage + 1 < len(STAGES) and draw.random() < MOVES_ON:
        row |= {"milestone": STAGES[stage + 1], "milestone_id": stage + 2}
        row |= {"probability": STATED[stage + 1], "updated_at": day}
    return 0.0


def exported(group: list[Grown], folder: Path) -> Path:
    """Write a group as the store exports it: a file an account and day."""
    for account in group:
        for day in account.seen:
            file = folder / f"account={account.name}" / f"day={day.as_of}" / "part.parquet"
            file.parent.mkdir(parents=True)
            frame = day.opportunities.reset_index()
            words = frame.select_dtypes("category").columns
            table = pa.Table.from_pandas(frame.astype(dict.fromkeys(words, object)))
            pq.write_table(table, file)
    return folder
