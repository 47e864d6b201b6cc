"""The goals of the sample account: what was to be reached in each period, and what was.

A sum counts deals in the goal's own currency alone: the account keeps no rates of each day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sample_setting import (
    AS_OF,
    CREATED_COUNT,
    CREATED_SUM,
    GOALS,
    LADDERS,
    OPENED,
    REACHED_COUNT,
    WON_STEP,
    WON_SUM,
    Goal,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sample_deals import Deal, Record

WON = {ladder.first_id + WON_STEP for ladder in LADDERS}
PIPELINE_OF = {
    ladder.first_id + step: ladder.id
    for ladder in LADDERS
    for step in range(len(ladder.milestones))
}
SUMS = {WON_SUM, CREATED_SUM}


def bounds(goal: Goal) -> list[tuple[date, date]]:
    """Return the periods of a goal; the day on which one ends is the first of the next."""
    if goal.frequency == "YEARLY":
        return [(date(goal.year, 1, 1), date(goal.year + 1, 1, 1))]
    starts = [date(goal.year, month, 1) for month in range(1, 13)]
    return list(zip(starts, [*starts[1:], date(goal.year + 1, 1, 1)], strict=True))


def worth(record: Record) -> float:
    """Return what a deal without flaws is worth in its own currency, else 0."""
    value, times = record["value"] or {}, record["duration"] or 1
    amount = value.get("amount")
    return float(amount * times) if isinstance(amount, int | float) and amount > 0 else 0.0


def counted(goal: Goal, deals: Sequence[Deal], records: Iterable[Record]) -> dict[date, float]:
    """Return what counted for a goal, by day."""
    days: dict[date, float] = defaultdict(float)
    if goal.type == REACHED_COUNT:
        wanted = goal.ladder.reference(goal.step) if goal.ladder and goal.step is not None else {}
        for deal in deals:
            reached = (
                moment for moment, one in deal.life if one and one.get("milestone") == wanted
            )
            first = next(reached, None)
            if first:
                days[first.date()] += 1
        return days
    created = goal.type in {CREATED_SUM, CREATED_COUNT}
    for record in records:
        owner, value = record["owner"] or {}, record["value"] or {}
        pipeline = PIPELINE_OF.get(record["milestone"]["id"])
        day = record["createdAt"][:10] if created else record.get("closedOn")
        if (
            (not created and record["milestone"]["id"] not in WON)
            or (goal.owner and owner.get("id") != goal.owner.id)
            or (goal.ladder and pipeline != goal.ladder.id)
            or (goal.currency and value.get("currency") != goal.currency)
        ):
            continue
        days[date.fromisoformat(day)] += worth(record) if goal.type in SUMS else 1
    return days


def goal_periods(deals: Sequence[Deal], records: Sequence[Record]) -> list[Record]:
    """Return the periods of all goals as the account lists them."""
    periods: list[Record] = []
    for goal in GOALS:
        days = counted(goal, deals, records)
        for (start, end), target in zip(bounds(goal), goal.targets, strict=True):
            within = Counter({day: days[day] for day in sorted(days) if start <= day < end})
            total, done = 0.0, None
            for day, amount in within.items():
                total += amount
                done = day if done is None and total >= target else done
            periods.append(
                {
                    "id": 1000 + len(periods),
                    "goal": {"id": goal.id},
                    "startOn": str(start),
                    "endOn": str(end),
                    "targetValue": float(target),
                    "currentValue": round(total, 2),
                    **({"completedOn": str(done)} if done else {}),
                }
            )
    return periods


def listed_goals(records: Sequence[Record]) -> list[Record]:
    """Return the goals as the account lists them."""
    listed = []
    for goal in GOALS:
        start, end = bounds(goal)[0][0], bounds(goal)[-1][1] - timedelta(days=1)
        milestone = (
            goal.ladder.reference(goal.step) if goal.ladder and goal.step is not None else None
        )
        pipeline = {"id": goal.ladder.id, "name": goal.ladder.name} if goal.ladder else None
        listed.append(
            {
                "id": goal.id,
                "name": goal.name,
                "frequency": goal.frequency,
                "status": "ACTIVE" if end >= AS_OF else _verdict(goal, records),
                "value": float(goal.targets[0]),
                "createdAt": OPENED,
                "updatedAt": OPENED,
                "startOn": str(start),
                "endOn": str(end),
                "currency": goal.currency,
                "type": goal.type,
                "user": goal.owner.user() if goal.owner else None,
                "pipeline": None if milestone else pipeline,
                "milestone": milestone,
            }
        )
    return listed


def _verdict(goal: Goal, records: Sequence[Record]) -> str:
    """Say how a goal ended whose time is over."""
    (start, end), target = bounds(goal)[0], goal.targets[0]
    reached = sum(n for day, n in counted(goal, (), records).items() if start <= day < end)
    return "COMPLETED" if reached >= target else "MISSED"
