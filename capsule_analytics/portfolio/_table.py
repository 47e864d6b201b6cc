"""The chosen days of a portfolio, as a table in parts that adds up its partial sums."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from capsule_analytics import calibration, quality
from capsule_analytics._deals import NEEDED, add_relation, coarser, plain
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.history import DEAL_COLUMNS, bridge, moved

from ._files import batches
from ._read import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    import duckdb
    import pandas as pd

    from capsule_analytics._deals import Measure, Placing

    from ._files import Place, Unit
    from ._read import Conversion, Job, Join, Result, Told

    class Run(Protocol):
        """Read batches, here or on a cluster, and put together what comes of them."""

        def __call__(
            self, reading: Job, work: Sequence[Any], join: Join = ..., told: Told | None = ...
        ) -> Result: ...


OnError = Literal["raise", "skip"]
MOVING = ("currency", "expected_close", "tcv", "status")
"""What `_changes.moved` looks at."""

_ENDING = (
    "currency",
    "status",
    "closed_at",
    "expected_close",
    "tcv",
    "lost_reason",
    "counts_for_conversion",
)
"""What `calibration.tally` looks at."""

_CHECKED = (
    "name",
    "value",
    "currency",
    "duration_basis",
    "duration",
    "expected_close",
    "closed_at",
    "probability",
    "status",
    "created_at",
    "last_contacted_at",
)
"""What `quality.tally` looks at."""


def compared(
    days: Mapping[str, tuple[date, date]],
    period: tuple[date | str, date | str] | None,
    groups: Sequence[str],
    frame: pd.DataFrame,
) -> pd.DataFrame:
    """Compare the two days of some accounts; ``days`` tells which of theirs those are."""
    account, day = frame["account"].astype(object), frame["day"].astype(object)
    deals = frame.set_index("account", append=True)
    views = []
    for which in (0, 1):
        days_of = {name: str(both[which]) for name, both in days.items()}
        view = deals[(day == account.map(days_of)).to_numpy()]
        if not view.index.is_unique:
            raise DataError("has two deals of the same id on one day")
        views.append(view)
    return moved(*views, period=period, groups=groups)


def _measured(
    measure: Measure, placing: Placing, more: Sequence[str], frame: pd.DataFrame
) -> pd.DataFrame:
    """Measure a chunk of deals that has come into memory."""
    return measure(plain(frame, placing, more), placing)


@dataclass(frozen=True)
class _Summed:
    """Partial sums that were read, and how: what can be made of them is not read again."""

    measure: Measure
    placing: Placing
    more: tuple[str, ...]
    table: pd.DataFrame


@dataclass(frozen=True)
class OnDay:
    """A portfolio on a day: `forecast` and `history.changes` take it like a pipeline.

    Each account counts with its newest snapshot at or before the day. Nothing is read before a
    figure is asked for, and what was summed by account is not read again for the total. Made by
    `Portfolio.on`.

    Attributes
    ----------
    as_of
        The day from which to look.
    """

    place: Place
    chosen: list[Unit]
    as_of: date
    conversion: Conversion | None
    run: Run
    on_error: OnError
    left_out: list[dict[str, str]]
    _summed: list[_Summed] = field(default_factory=list, init=False, repr=False, compare=False)
    _moved: list[tuple[OnDay, Any, OnDay, pd.DataFrame]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __repr__(self) -> str:
        """Say how much there is."""
        count = len({unit.account for unit in self.chosen})
        return f"<Portfolio of {count:,} account{'s' * (count != 1)} as of {self.as_of}>"

    @property
    def columns(self) -> list[str]:
        """All columns that an export has; what a file lacks is missing in its rows."""
        return [*(column.name for column in DEAL_COLUMNS), "account"]

    def add_up(self, measure: Measure, placing: Placing, more: Sequence[str]) -> pd.DataFrame:
        """Add up the partial sums of all accounts."""
        for one in self._summed:
            alike = one.measure is measure and one.more == tuple(more)
            if alike and placing.is_made_of(one.placing):
                return coarser(one.table, one.placing, placing)
        here = None
        if self.conversion is None and not placing.needs_frame:
            here = partial(add_relation, measure=measure, placing=placing, more=more)
        part = partial(_measured, measure, placing, tuple(more))
        table = self.read(part, (*placing.columns, *more), here=here)
        self._summed.append(_Summed(measure, placing, tuple(more), table))
        return table.copy()

    def ended(self) -> pd.DataFrame:
        """Count the deals that ended by account, currency, month, outcome and reason."""
        return self.read(calibration.tally, _ENDING)

    def findings(self) -> pd.DataFrame:
        """Count what is wrong with the deals by account and check, as far as an export tells."""
        return self.read(partial(quality.tally, as_of=self.as_of), _CHECKED)

    @property
    def days(self) -> dict[str, date]:
        """The day of each account's snapshot, those included that could not be read."""
        return {unit.account: unit.day for unit in self.chosen}

    def read(
        self,
        part: Callable[[pd.DataFrame], pd.DataFrame],
        columns: Sequence[str],
        *,
        whole: bool = False,
        here: Callable[[duckdb.DuckDBPyRelation], pd.DataFrame] | None = None,
    ) -> pd.DataFrame:
        """Add up what `part` makes of frames of all accounts, or `here` of their files."""
        wanted = list(dict.fromkeys(name for name in ("id", *columns) if name != "account"))
        if self.conversion is not None:
            wanted += [name for name in ("value", *NEEDED) if name not in wanted]
        reading = Reading(self.place, part, tuple(wanted), self.conversion, whole, here)
        result = self.run(reading, list(batches(self.chosen)))
        self.settle(result)
        if not result.sums:
            raise DataError(f"no account in {self.place.address} can be read")
        (sums,) = result.sums
        return sums

    def settle(self, result: Result) -> None:
        """Refuse what cannot be read, or note that it is left out."""
        if result.left_out and self.on_error == "raise":
            first, *others = result.left_out
            more = f" (and {len(others)} more accounts)" if others else ""
            raise DataError(
                f"account {first.account!r} cannot be read: {first.path}: {first.problem}{more}; "
                "export it again, or leave such accounts out (on_error='skip', --unreadable skip)"
            )
        for found in result.left_out:
            if found._asdict() not in self.left_out:  # ranges read the portfolio once more
                self.left_out.append(found._asdict())

    @property
    def about(self) -> dict[str, Any]:
        """Which snapshots a figure is made of, and which are left out: for ``attrs``."""
        unread = {found["account"] for found in self.left_out}
        read = [unit for unit in self.chosen if unit.account not in unread]
        return {
            "day": max(unit.day for unit in read).isoformat(),
            "oldest_day": min(unit.day for unit in read).isoformat(),
            "accounts": len({unit.account for unit in read}),
            "left_out": self.left_out,
        }

    def changed_to(
        self,
        after: OnDay,
        *,
        period: tuple[date | str, date | str] | None,
        by: Literal["account"] | None,
    ) -> pd.DataFrame:
        """Make the bridge to another day of the same portfolio (see `history.changes`)."""
        if by not in {None, "account"}:
            raise ArgumentError(f"changes are by account or in total, not by {by!r}")
        if not isinstance(after, OnDay) or after.place != self.place:
            raise ArgumentError("the two days are of different portfolios")
        first, second = (max(unit.day for unit in view.chosen) for view in (self, after))
        if second < first:
            raise ArgumentError(f"the first day, {first}, is after the second, {second}")
        last_of = {unit.account: unit for unit in after.chosen}
        pairs = [(unit, last_of[unit.account]) for unit in self.chosen]
        chosen = [unit for pair in pairs for unit in dict.fromkeys(pair)]
        days = {last.account: (first.day, last.day) for first, last in pairs}
        both, moves = self._moves(after, chosen, days, period)
        groups = () if by is None else (by,)
        table = bridge([moves if groups else moves.drop(columns="account")], groups)
        table.attrs |= both.about
        read = days.keys() - {found["account"] for found in both.left_out}
        table.attrs["before"] = max(days[name][0] for name in read).isoformat()
        table.attrs["after"] = table.attrs.pop("day")
        return table

    def _moves(
        self,
        after: OnDay,
        chosen: list[Unit],
        days: Mapping[str, tuple[date, date]],
        period: tuple[date | str, date | str] | None,
    ) -> tuple[OnDay, pd.DataFrame]:
        """Read what moved in each account, once for the bridge by account and for that of all."""
        for other, its_period, both, moves in self._moved:
            if other is after and its_period == period:
                return both, moves
        both = replace(after, chosen=chosen, left_out=list(self.left_out))
        part = partial(compared, days, period, ("account",))
        moves = both.read(part, MOVING, whole=True)
        self._moved.append((after, period, both, moves))
        return both, moves
