"""What is known of an open deal, as numbers for the hazards of winning and losing it.

Each feature has a prior: the log odds ratio that a seller would expect of it before looking at the
account, and how far from that an account may well be (a standard deviation). Where the account
tells nothing the prior stands; where it tells much the prior does not matter. The prior means
are rough common knowledge of B2B sales (deals far from their date do not close yet, overdue and
often pushed ones close less), kept small; most are zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._evidence import month_of, month_start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._evidence import Sightings

_LOGIT_TYPICAL = -0.6
# A due date counts in classes of months before (-) and after it.
_DUE = (
    # name, words, prior of winning, prior of losing
    ("due_later_4", "due in four months or more", -0.7, -0.2),
    ("due_later_2", "due in two or three months", -0.4, -0.1),
    ("due_later_1", "due next month", -0.1, 0.0),
    ("due_now", "due this month", 0.6, 0.1),
    ("due_before_1", "due the month before", 0.2, 0.1),
    ("due_before_2", "due two or more months before", -0.2, 0.1),
)
_OVERDUE = (
    ("overdue_1", "overdue for up to a month", 1.0, 0.2, 0.2),
    ("overdue_3", "overdue for one to three months", 3.0, -0.4, 0.3),
    ("overdue_6", "overdue for three to six months", 6.0, -0.7, 0.3),
    ("overdue_more", "overdue for more than six months", np.inf, -1.0, 0.2),
)
# What tells less the further ahead one looks.
_LESS_AHEAD = (
    # name, group, words, prior of winning, its spread
    ("stated", "stated", "stated probability", -0.2, 0.4),
    ("still", "still", "time at the milestone", 0.0, 0.3),
    ("since_update", "update", "time since it was changed", 0.05, 0.3),
    ("unchanged_1", "update", "unchanged for over a month", 0.1, 0.3),
    ("unchanged_2", "update", "unchanged for over two months", 0.1, 0.3),
    ("since_contact", "contact", "time since contact", 0.0, 0.2),
)
# Places in `Design.fixed`: of these and the value, and of the first milestone.
_FADING = (0, 2, 4, 5, 6, 7, 9)
_STAGES = 13
_AGES = (0.5, 1.0, 2.0, 4.0, 8.0, 14.0, 24.0)
_AHEAD = (1, 2, 3, 6)
_OWNERS = 15


@dataclass(frozen=True)
class Feature:
    """One column of the design.

    Attributes
    ----------
    name
        Its name in `summary`.
    group
        What it belongs to, so that a reason is told once and not by column.
    words
        How it is said to people.
    win, lose
        Prior log odds ratios on winning and losing in a month.
    spread
        Prior standard deviation of both.
    seen
        Whether only a snapshot tells it.
    """

    name: str
    group: str
    words: str
    win: float = 0.0
    lose: float = 0.0
    spread: float = 0.3
    seen: bool = False


@dataclass(frozen=True)
class Design:
    """The features of an account and how to compute them.

    Attributes
    ----------
    features
        One a column, in order.
    milestones, pipelines, owners
        The codes that have a column of their own.
    taught
        How many endings of other accounts, seen in their snapshots, the priors stand on.
    """

    features: tuple[Feature, ...]
    milestones: int
    pipelines: int
    owners: tuple[int, ...]
    taught: float = 0.0

    def fixed(self, at: Sightings) -> NDArray[np.float64]:
        """Compute what does not depend on the month ahead, shape (sightings, ...)."""
        seen = at.seen.astype(np.float64)
        stated = np.where(np.isnan(at.probability), 0.3, at.probability).clip(0.03, 0.97)
        logit = (np.log(stated / (1 - stated)) - _LOGIT_TYPICAL) * seen
        still = np.log1p(np.nan_to_num(at.at_milestone)) * seen
        update = np.log1p(np.nan_to_num(at.since_update)) * seen
        contact = np.log1p(np.nan_to_num(at.since_contact)) * seen
        untouched = np.isnan(at.since_contact) * seen
        columns = [
            logit,
            np.log1p(at.pushes),
            still,
            (at.at_milestone > 3.0) * seen,  # noqa: PLR2004 - a quarter at one milestone
            update,
            (at.since_update > 1.0) * seen,
            (at.since_update > 2.0) * seen,  # noqa: PLR2004 - two months
            contact,
            untouched,
            at.relative,
            np.maximum(at.relative, 0.0),
            np.isnan(at.tcv).astype(np.float64),
            1.0 - seen,
        ]
        return np.column_stack(
            [
                *columns,
                _one_hot(at.milestone, np.arange(self.milestones)),
                _one_hot(at.pipeline, np.arange(self.pipelines)),
                _one_hot(at.owner, np.asarray(self.owners, dtype=np.int64)),
            ]
        )

    def rows(
        self,
        at: Sightings,
        fixed: NDArray[np.float64],
        which: NDArray[np.int64],
        ahead: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Compute the design of sightings in months ahead, shape (rows, features).

        Parameters
        ----------
        at, fixed
            The sightings and their fixed part.
        which
            The sighting of each row.
        ahead
            The month of each row: 0 is the one in which the next day lies.
        """
        start, _, _ = interval(at.day[which], ahead)
        elapsed = (start - at.day[which] - 1) / 30.4375
        far = np.log1p(elapsed)
        age = at.age[which] + elapsed
        seen = at.seen[which]
        month = month_of(at.day[which] + 1) + ahead
        due = np.where(np.isnan(at.due[which]), 0, at.due[which]).astype(np.int64)
        dated = seen & ~np.isnan(at.due[which])
        late = dated & (due <= at.day[which])
        to_come = dated & ~late
        gap = month_of(due) - month
        overdue = (at.day[which] - due) / 30.4375
        dues = [
            to_come & (gap >= 4),  # noqa: PLR2004 - the classes of _DUE
            to_come & (gap >= 2) & (gap <= 3),  # noqa: PLR2004
            to_come & (gap == 1),
            to_come & (gap == 0),
            to_come & (gap == -1),
            to_come & (gap <= -2),  # noqa: PLR2004
        ]
        below = 0.0
        for _, _, limit, _, _ in _OVERDUE:
            dues.append(late & (overdue >= below) & (overdue < limit))
            below = limit
        head = [
            np.ones(len(which)),
            *[(ahead >= step).astype(np.float64) for step in _AHEAD],
            np.log1p(age) - 1.0,
            *[(age >= step).astype(np.float64) - 0.5 for step in _AGES],
            *[flag.astype(np.float64) for flag in dues],
            (seen & ~dated).astype(np.float64),
            dues[3] * far,
            late * far,
        ]
        block = fixed[which]
        stages = block[:, _STAGES : _STAGES + self.milestones]
        rebuilt = 1.0 - seen
        other = [rebuilt * (ahead >= 1), rebuilt * far, rebuilt * (np.log1p(age) - 1.0)]
        later = [
            *other,
            *(block[:, _FADING] * far[:, None]).T,
            *(stages * far[:, None]).T,
        ]
        return np.column_stack([*head, *later, block])


def design_for(
    history_milestones: tuple[str, ...],
    pipelines: tuple[str, ...],
    owners: tuple[str, ...],
    at: Sightings,
) -> Design:
    """Choose the features that an account can have.

    Parameters
    ----------
    history_milestones, pipelines, owners
        The account's lists.
    at
        Its sightings, whose most frequent owners get a feature each.
    """
    counts = np.bincount(at.owner[at.owner >= 0], minlength=len(owners))
    often = np.lexsort((np.arange(len(counts)), -counts))[:_OWNERS]
    kept = tuple(sorted(int(code) for code in often)) if len(owners) > 1 else ()
    several = len(pipelines) if len(pipelines) > 1 else 0
    f = Feature
    head = [
        f("intercept", "level", "level", -2.9, -2.7, 1.5),
        *[f(f"ahead_{s}", "ahead", f"{s} or more months ahead", spread=0.8) for s in _AHEAD],
        f("age_log", "age", "age", 0.0, 0.0, 0.5),
        *[f(f"age_{s:g}", "age", f"older than {s:g} months", spread=0.3) for s in _AGES],
        *[f(n, "due", w, a, b, 0.6, seen=True) for n, w, a, b in _DUE],
        *[f(n, "due", w, a, b, 0.6, seen=True) for n, w, _, a, b in _OVERDUE],
        f("undated", "due", "no expected close", -0.5, 0.1, 0.6, seen=True),
        f("due_now_ahead", "due", "due in a month further ahead", -0.1, 0.0, 0.3, seen=True),
        f("overdue_ahead", "due", "overdue, further ahead", 0.0, 0.0, 0.3, seen=True),
        f("rebuilt_ahead_1", "rebuilt", "rebuilt, a month ahead", spread=0.7),
        f("rebuilt_ahead", "rebuilt", "rebuilt, further ahead", spread=0.5),
        f("rebuilt_age", "rebuilt", "rebuilt, by age", spread=0.5),
        *[
            f(f"{name}_ahead", group, f"{words}, further ahead", win, 0.0, spread, seen=True)
            for name, group, words, win, spread in _LESS_AHEAD
        ],
        f("value_ahead", "value", "value, further ahead", spread=0.2),
        *[
            f(f"milestone_{m}_ahead", "milestone", f"at {m}, further ahead", spread=0.4, seen=True)
            for m in history_milestones
        ],
        f("stated", "stated", "stated probability", 0.75, -0.25, 0.4, seen=True),
        f("pushes", "pushes", "pushed before", -0.2, 0.1, 0.3, seen=True),
        f("still", "still", "time at the milestone", -0.25, 0.0, 0.3, seen=True),
        f("still_long", "still", "over three months at the milestone", -0.1, 0.0, 0.3, seen=True),
        f("since_update", "update", "time since it was changed", -0.1, 0.0, 0.25, seen=True),
        f("unchanged_1", "update", "unchanged for over a month", -0.4, 0.0, 0.6, seen=True),
        f("unchanged_2", "update", "unchanged for over two months", -0.4, 0.0, 0.6, seen=True),
        f("since_contact", "contact", "time since contact", -0.05, 0.0, 0.25, seen=True),
        f("no_contact", "contact", "never contacted", 0.0, 0.0, 0.25, seen=True),
        f("value", "value", "value", -0.1, 0.0, 0.3),
        f("value_above", "value", "above the median value", 0.0, 0.0, 0.2),
        f("no_value", "value", "no value", -0.2, 0.1, 0.3),
        f("rebuilt", "rebuilt", "rebuilt from dates alone", 0.0, 0.0, 0.7),
        *[
            f(f"milestone_{m}", "milestone", f"at {m}", spread=0.5, seen=True)
            for m in history_milestones
        ],
        *[f(f"pipeline_{p}", "pipeline", f"in {p}", spread=0.3) for p in pipelines[:several]],
        *[
            f(f"owner_{owners[code]}", "owner", f"with {owners[code]}", spread=0.25)
            for code in kept
        ],
    ]
    return Design(tuple(head), len(history_milestones), several, kept)


def interval(
    day: NDArray[np.int64], ahead: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Give the days on which months ahead begin and end (exclusive), and their share of a month."""
    month = month_of(day + 1) + ahead
    first, end = month_start(month), month_start(month + 1)
    start = np.maximum(first, day + 1)
    return start, end, (end - start) / (end - first)


def _one_hot(codes: NDArray[np.int64], of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mark which of some codes each entry has."""
    return np.asarray(codes[:, None] == of[None, :], dtype=np.float64)
