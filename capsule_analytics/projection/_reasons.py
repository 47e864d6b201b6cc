"""Why a deal is likelier or less likely to be won soon than the average one, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._evidence import day_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._evidence import History, Sightings
    from ._open_deals import Hazards

_NEXT_MONTHS = 3
_TIMES = "\u00d7"
_MOST = 3
_WORTH_SAYING = 0.1
_DAYS_A_MONTH = 30.4375
_JOINED = {"still": "milestone"}
_UNSAID = {"level", "ahead", "rebuilt"}


def reasons_of(hazards: Hazards, at: Sightings, history: History) -> list[str]:
    """Write each deal's reasons, the strongest first.

    Parameters
    ----------
    hazards
        The fitted odds.
    at
        The open deals.
    history
        The account, for its names.
    """
    if not len(at):
        return []
    design = hazards.design
    which = np.repeat(np.arange(len(at)), _NEXT_MONTHS)
    ahead = np.tile(np.arange(_NEXT_MONTHS), len(at))
    matrix = design.rows(at, design.fixed(at), which, ahead)
    # The nearest months are what "soon" means; all three count alike.
    matrix = matrix.reshape(len(at), _NEXT_MONTHS, -1).mean(axis=1)
    moved = (matrix - matrix.mean(axis=0)) * hazards.coef[0]
    groups = [_JOINED.get(feature.group, feature.group) for feature in design.features]
    names = [name for name in dict.fromkeys(groups) if name not in _UNSAID]
    effects = np.column_stack([moved[:, [g == name for g in groups]].sum(axis=1) for name in names])
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :_MOST]
    return [
        "; ".join(
            f"{_words(names[number], at, row, history)}: {_TIMES}{np.exp(effects[row, number]):.1f}"
            for number in order[row]
            if abs(effects[row, number]) >= _WORTH_SAYING
        )
        for row in range(len(at))
    ]


def _words(group: str, at: Sightings, row: int, history: History) -> str:
    """Say how a deal stands in one respect."""
    if group in {"owner", "pipeline"}:
        names: tuple[str, ...] = getattr(history, f"{group}s")
        code = int(getattr(at, group)[row])
        return f"{group} {names[code]}" if code >= 0 else f"no {group}"
    milestone, times = int(at.milestone[row]), int(at.pushes[row])
    stage = history.milestones[milestone] if milestone >= 0 else "no milestone"
    contact = at.since_contact[row]
    worth = f"worth {np.exp(at.relative[row]):.1f} times the median open deal"
    return {
        "due": _due(at.due[row], int(at.day[row])),
        "milestone": f"at {stage} for {_days(at.at_milestone[row])}",
        "stated": f"stated at {100 * at.probability[row]:.0f}%",
        "pushes": f"pushed {times} time{'s' * (times > 1)}" if times else "never pushed",
        "update": f"unchanged for {_days(at.since_update[row])}",
        "contact": "never contacted" if np.isnan(contact) else f"contacted {_days(contact)} ago",
        "value": "no value" if np.isnan(at.tcv[row]) else worth,
        "age": f"entered {_days(at.age[row])} ago",
    }[group]


def _due(due: float, today: int) -> str:
    if np.isnan(due):
        return "no expected close"
    days = int(due) - today
    if days <= 0:
        return f"overdue for {-days} day{'s' * (days != -1)}"
    return f"due {day_from(int(due)).isoformat()}"


def _days(months: float | NDArray[np.float64]) -> str:
    if np.isnan(months):
        return "an unknown time"
    days = round(float(months) * _DAYS_A_MONTH)
    return f"{days} day{'s' * (days != 1)}"
