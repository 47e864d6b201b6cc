"""The account as Capsule would have shown it at the end of a day."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import capsule_analytics as ca

from .deals import DELETED, LOST, PAUSED, PROMISED, SIGNING, WON, WORKING
from .history import REACH, open_on_screen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .account import Pipe
    from .history import History

WON_ID, LOST_ID = 9, 8
"""Added to a hundred times a pipeline's number: ids of the milestones that close deals."""

REASONS = ("No decision", "Price", "Competitor", "No budget", "Timing", "Went silent")
TIDIED = "No longer relevant"
DURATIONS = (6, 12, 24)
FIRMS = 160
NEVER = 10**9


@cache
def _dtypes() -> dict[str, Any]:
    """Ask the package for an empty frame: its columns and dtypes, whatever they are by now."""
    empty = ca.opportunities_from_pages([b'{"opportunities":[]}'], api_version="v2")
    return {str(name): dtype for name, dtype in empty.dtypes.items()}


class Screen:
    """Builds the frame of a day from a history."""

    def __init__(self, history: History) -> None:
        """Lay out what does not change: ids, names, customers, hours."""
        self.history = history
        account, traits = history.account, history.traits
        rng = np.random.default_rng((11, *account.seed))
        count = traits.tcv.size
        # In order of arrival, with gaps, as ids of a service with other customers are.
        self.ids = 10_000 + np.cumsum(rng.integers(1, 40, count))
        firm = np.minimum((rng.pareto(1.0, count) * 12).astype(np.int64), FIRMS - 1)
        recurring = np.array([kind.recurring for kind in account.kinds])[traits.kind]
        self.duration = np.where(rng.random(count) < recurring, rng.choice(DURATIONS, count), 0)
        self.unvalued = rng.random(count) < account.unvalued
        self.reason = rng.integers(0, len(REASONS), count)
        self.hour = rng.uniform(8, 18, count)
        self.touches = rng.uniform(4, 22, count)
        self.touched = rng.random(count)
        whale = np.array([kind.gap > 0 for kind in account.kinds])[traits.kind]
        self.firm = np.where(whale, FIRMS, firm)
        firms = np.array([f"Customer {n + 1}" for n in range(FIRMS)] + ["Key account"], object)
        self.party = firms
        names = [f"{firms[f]}: order {n}" for n, f in enumerate(self.firm)]
        self.names = np.array(names, object)
        # Of an older list, what was open came along on the day on which the account was set up,
        # and a deal that was lost by then only if it was taken up again.
        start = history.column(account.connected)
        entry = history.at(start - 1)
        state = history.log.state[entry]
        self.entered = np.maximum(history.created, start)
        self.entered[history.log.deal[entry[np.isin(state, (WON, LOST, DELETED))]]] = NEVER
        again = entry[state == PAUSED]
        after = np.minimum(again + 1, history.log.deal.size - 1)
        follows = history.log.deal[after] == history.log.deal[again]
        self.entered[history.log.deal[again]] = np.where(follows, history.log.column[after], NEVER)

    def frame(self, day: date) -> pd.DataFrame:
        """Build the frame of a day."""
        history = self.history
        account, log, traits = history.account, history.log, history.traits
        column = history.column(day.toordinal())
        entry = history.at(column)
        entry = entry[(self.entered[log.deal[entry]] <= column) & (log.state[entry] != DELETED)]
        deal, state, stage = log.deal[entry], log.state[entry], log.stage[entry]
        is_open, won = open_on_screen(state), state == WON
        changed = log.column[entry]
        entered = self.entered[deal]
        typed = np.searchsorted(history.typed.line, deal * REACH + column, side="right") - 1
        close = history.typed.close[typed]

        pipe = np.array([k.pipeline for k in account.kinds])[traits.kind[deal]]
        position, rung_id, rung_name, rung_stated = self._rungs(day, entry)
        numbers = np.array([p.number for p in account.pipes[0]])[pipe]
        milestone_id = np.where(
            is_open, rung_id, 100 * numbers + 1000 + np.where(won, WON_ID, LOST_ID)
        )
        milestone = np.where(is_open, rung_name, np.where(won, "Won", "Lost"))

        own = history.stated[deal, position]
        own = np.clip(np.round((rung_stated + own) * 20) / 20, 0.05, 0.95)
        probability = np.where(np.isnan(own), rung_stated, own)
        probability = np.where(is_open, probability, np.where(won, 1.0, 0.0))

        tcv = log.tcv[entry]
        duration = self.duration[deal]
        value = np.where(duration > 0, np.round(tcv / np.maximum(duration, 1), 2), tcv)
        value = np.where(self.unvalued[deal] & is_open & (stage == 0), np.nan, value)
        tcv = np.where(duration > 0, value * duration, value)

        interval = self.touches[deal]
        alive = np.isin(state, (WORKING, PROMISED, SIGNING))
        until = np.where(alive, column, changed)
        begun = history.created[deal]
        contacts = np.floor((until - begun) / interval - self.touched[deal])
        contacted = np.where(
            contacts >= 0, begun + (contacts + self.touched[deal]) * interval, np.nan
        )
        typed_on = history.typed.line[typed] % REACH
        updated = np.maximum(np.maximum(changed, typed_on), np.nan_to_num(contacted, nan=0.0))

        hour = self.hour[deal] / 24
        tidied = np.isin(changed + history.market.days.origin, account.cleanups)
        reason = np.where(tidied, len(REASONS), self.reason[deal])
        lost = ~is_open & ~won
        people = [owner.name for owner in account.owners]
        firm = self.firm[deal]
        data: dict[str, Any] = {
            "name": pd.array(self.names[deal], dtype="string[python]"),
            "party_id": pd.array(5000 + firm, dtype="Int64"),
            "party": _category(firm, self.party),
            "currency": _category(traits.currency[deal], account.currencies),
            "value": value,
            "duration_basis": _category((duration > 0).astype(np.int64), ("FIXED", "MONTH")),
            "duration": pd.arrays.IntegerArray(duration.astype(np.int64), duration == 0),
            "expected_close": self._time(np.where(close >= 0, close, np.nan)),
            "milestone": pd.Categorical(milestone),
            "milestone_id": pd.array(milestone_id, dtype="Int64"),
            "pipeline": _category(pipe, [p.name for p in account.pipes[0]]),
            "pipeline_id": pd.array(numbers, dtype="Int64"),
            "probability": probability,
            "owner": _category(traits.owner[deal], people),
            "owner_id": pd.array(700 + traits.owner[deal], dtype="Int64"),
            "created_at": self._time(entered + hour),
            "updated_at": self._time(np.maximum(updated, entered) + np.maximum(hour, 0.75)),
            "last_stage_changed_at": self._time(np.maximum(history.moved[entry], entered) + hour),
            "last_contacted_at": self._time(np.maximum(contacted, entered) + hour),
            "closed_at": self._time(np.where(is_open, np.nan, changed)),
            "last_open_milestone": pd.Categorical(np.where(is_open, None, rung_name)),
            "last_open_milestone_id": pd.arrays.IntegerArray(rung_id, is_open),
            "lost_reason": _category(np.where(lost, reason, -1), (*REASONS, TIDIED)),
            "counts_for_conversion": pd.arrays.BooleanArray(lost & (reason < len(REASONS)), ~lost),
            "tcv": tcv,
            "status": pd.Categorical.from_codes(
                np.where(is_open, 0, np.where(won, 1, 2)),
                categories=pd.Index(["open", "won", "lost"], dtype=object),
            ),
        }
        index = pd.Index(self.ids[deal], name="id")
        frame = {}
        for name, dtype in _dtypes().items():
            missing = pd.Series(pd.NA, index=range(deal.size), dtype="object")
            frame[name] = data[name] if name in data else missing.astype(dtype).array
        return pd.DataFrame(frame, index=index, copy=False)

    def _rungs(
        self, day: date, entry: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.object_], NDArray[np.float64]]:
        """Find the open milestone of deals, or their last one: place, id, name, probability.

        An open deal stands at a milestone of the day; one closed before they were renamed does
        not, unless the ids stayed.
        """
        history, account, log = self.history, self.history.account, self.history.log
        kind = history.traits.kind[log.deal[entry]]
        after = (day.toordinal() >= account.renamed) & (
            account.keeps_ids
            | open_on_screen(log.state[entry])
            | (log.column[entry] >= history.column(account.renamed))
        )
        pipe = np.array([k.pipeline for k in account.kinds])[kind]
        # A kind with fewer stages than its pipeline skips the first ones.
        length = np.array([len(k.waits) for k in account.kinds])[kind]
        rungs = np.array([len(p.of_stage) for p in account.pipes[0]])[pipe]
        position = rungs - 1 - length + log.stage[entry]
        ids = np.zeros(entry.size, dtype=np.int64)
        names = np.empty(entry.size, dtype=object)
        stated = np.zeros(entry.size)
        for version, ours in enumerate((~after, after)):
            for number, one in enumerate(account.pipes[version]):
                at = np.flatnonzero(ours & (pipe == number))
                rung = np.asarray(one.of_stage)[position[at]]
                ids[at] = np.array([m[0] for m in one.milestones])[rung]
                names[at] = np.array([m[1] for m in one.milestones], object)[rung]
                stated[at] = np.array([m[2] for m in one.milestones])[rung]
        return position, ids, names, stated

    def milestones(self, day: date) -> pd.DataFrame:
        """List the milestones that there are on a day, those that deals still refer to included."""
        account = self.history.account
        renamed = day.toordinal() >= account.renamed
        versions: list[tuple[Pipe, ...]] = []
        if not renamed or not account.keeps_ids:
            versions.append(account.pipes[0])
        if renamed:
            versions.append(account.pipes[1])
        rows = [
            (number, name, stated, False, pipe.name)
            for pipes in versions
            for pipe in pipes
            for number, name, stated in pipe.milestones
        ]
        for pipe in account.pipes[0]:
            rows.append((1000 + 100 * pipe.number + WON_ID, "Won", 1.0, True, pipe.name))
            rows.append((1000 + 100 * pipe.number + LOST_ID, "Lost", 0.0, True, pipe.name))
        rows = list(dict.fromkeys(rows))
        return pd.DataFrame(
            {
                "name": pd.array([row[1] for row in rows], dtype="string[python]"),
                "description": pd.array([None] * len(rows), dtype="string[python]"),
                "probability": [row[2] for row in rows],
                "complete": [row[3] for row in rows],
                "pipeline": pd.array([row[4] for row in rows], dtype="string[python]"),
            },
            index=pd.Index([row[0] for row in rows], name="id"),
        )

    def pipeline(self, day: date) -> ca.Pipeline:
        """Show the account at the end of a day."""
        return ca.Pipeline(
            opportunities=self.frame(day),
            milestones=self.milestones(day),
            issues=pd.DataFrame(
                {
                    "opportunity_id": pd.array([], dtype="Int64"),
                    "check": pd.array([], dtype="string[python]"),
                    "severity": pd.array([], dtype="string[python]"),
                    "detail": pd.array([], dtype="string[python]"),
                }
            ),
            loaded_at=pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=23, minutes=30),
            as_of=day,
            account=self.history.account.name,
        )

    def _time(self, column: NDArray[np.float64]) -> pd.DatetimeIndex:
        """Turn columns, with a fraction for the hour, into times; NaN is missing."""
        origin = self.history.market.days.origin - date(1970, 1, 1).toordinal()
        second = np.round((np.nan_to_num(column) + origin) * 86_400).astype(np.int64)
        times = second.astype("datetime64[s]").astype("datetime64[us]")
        times[np.isnan(column)] = np.datetime64("NaT")
        return pd.DatetimeIndex(times).tz_localize("UTC")


def _category(codes: NDArray[np.int64], labels: Any) -> pd.Categorical:  # noqa: ANN401
    """Make a category of those labels only that occur, as a load does."""
    used, codes_of_used = np.unique(codes, return_inverse=True)
    real = used >= 0
    labels = np.asarray(labels, dtype=object)[used[real]]
    shift = int((~real).sum())
    return pd.Categorical.from_codes(
        codes_of_used - shift, categories=pd.Index(labels, dtype=object)
    )
