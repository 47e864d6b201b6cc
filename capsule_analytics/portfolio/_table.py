"""The chosen days of a portfolio, as a table in parts that adds up its partial sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from capsule_analytics._deals import NEEDED
from capsule_analytics.errors import DataError
from capsule_analytics.history import DEAL_COLUMNS, moved

from ._files import batches
from ._read import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    import pandas as pd

    from ._files import Place, Unit
    from ._read import Conversion, Result

    Run: TypeAlias = Callable[[Reading, Sequence[Sequence[Unit]]], Result]

OnError = Literal["raise", "skip"]
MOVING = ("currency", "expected_close", "tcv", "status")
"""What `_changes.moved` looks at."""


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


@dataclass(frozen=True)
class Held:
    """The chosen days of all accounts, as a table in parts (see `_engines.Parted`)."""

    place: Place
    chosen: list[Unit]
    as_of: date
    conversion: Conversion | None
    run: Run
    on_error: OnError
    left_out: list[dict[str, str]]
    whole: bool

    @property
    def columns(self) -> list[str]:
        """All columns that an export has; what a file lacks is missing in its rows."""
        return [*(column.name for column in DEAL_COLUMNS), "account"]

    def add_up(
        self, part: Callable[[pd.DataFrame], pd.DataFrame], columns: Sequence[str]
    ) -> pd.DataFrame:
        """Add up the partial sums of all accounts."""
        wanted = [name for name in columns if name != "account"]
        if self.conversion is not None:
            needed = ("value", *NEEDED)
            wanted += [name for name in needed if name not in wanted]
        reading = Reading(self.place, part, tuple(wanted), self.conversion, self.whole)
        result = self.run(reading, list(batches(self.chosen)))
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
        if not result.sums:
            raise DataError(f"no account in {self.place.address} can be read")
        (sums,) = result.sums
        return sums

    def noted(self, table: pd.DataFrame) -> pd.DataFrame:
        """Note in a table which snapshots it is made of, and which are left out."""
        unread = {found["account"] for found in self.left_out}
        read = [unit for unit in self.chosen if unit.account not in unread]
        table.attrs |= {
            "day": max(unit.day for unit in read).isoformat(),
            "oldest_day": min(unit.day for unit in read).isoformat(),
            "accounts": len({unit.account for unit in read}),
            "left_out": self.left_out,
        }
        return table
