"""The projection of many accounts: an account a task, and what they bring together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from capsule_analytics import projection
from capsule_analytics._deals import NEEDED, Placing
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.projection import COLUMNS, LONGEST, Share, total_of_shares
from capsule_analytics.schema import TEXT, Pipeline

from ._read import LeftOut, Reading, Result, gathered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from capsule_analytics._deals import Period
    from capsule_analytics.projection import Group, Lesson, Prior, Projected

    from ._files import Unit
    from ._table import OnDay

_MONTHS = 48
"""How far back snapshots are read: of each month the last, as the projection learns of it."""
_TEACHERS = 64
"""From how many accounts it is learnt what is usual among all; the largest."""
_VALUES = ["won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"]


class Row(NamedTuple):
    """What an account may bring in a period and currency."""

    bucket: int
    currency: str
    figures: tuple[float, ...]
    share: Share


class Basis(NamedTuple):
    """What an account's projection stands on."""

    account: str
    as_of: date
    deals: int
    ended: int
    won: int
    snapshots: int
    is_thin: bool


class Done(NamedTuple):
    """The projection of an account."""

    basis: Basis
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Asked:
    """What is asked of each account.

    Attributes
    ----------
    placing
        The kind of period.
    buckets
        The periods, numbered as `Placing.buckets` numbers them.
    target
        An amount whose chance is asked for.
    pooled
        Whether accounts learn from each other.
    """

    placing: Placing
    buckets: tuple[int, ...]
    target: float | None
    pooled: bool

    @classmethod
    def of(
        cls,
        day: date,
        months: int,
        *,
        period: Period,
        fiscal_year_start: int,
        target: float | None,
        pooled: bool,
    ) -> Asked:
        """Choose the periods in which the months after a day lie."""
        if not isinstance(months, int | np.integer) or not 1 <= months <= LONGEST:
            raise ArgumentError(f"months must be 1 to {LONGEST}, not {months!r}")
        placing = Placing.of(day, period=period, fiscal_year_start=fiscal_year_start)
        now = np.datetime64(day + timedelta(days=1), "M")
        numbers = placing.buckets((now + np.arange(months)).astype("datetime64[s]"))
        return cls(placing, tuple(np.unique(numbers).tolist()), target, pooled)

    def days(self, bucket: int) -> tuple[date, date]:
        """Give the first day of a period, and the day after its last."""
        found = self.placing.periods(np.array([bucket]))[0]
        return found.start_time.date(), (found + 1).start_time.date()

    def figures(self, law: Projected) -> tuple[float, ...]:
        """Give the figures of a row."""
        parts = law.won_value, law.open_value, law.new_value, law.mean
        chance = () if self.target is None else (law.chance_of(self.target),)
        return (*parts, *map(float, law.quantile([0.1, 0.5, 0.9])), *chance)


@dataclass(frozen=True)
class Each:
    """How an account is read, and what is then done with it.

    Attributes
    ----------
    reading
        How its files are read.
    job
        What is made of its snapshots.
    """

    reading: Reading
    job: Callable[[Sequence[Pipeline]], Any]

    def __call__(self, units: Sequence[Unit]) -> Result:
        """Work on an account, given by the files of its days."""
        frame, left_out = self.reading.account(units)
        if frame is None:
            return Result([], left_out)
        pipelines = [_pipeline(frame, unit) for unit in units]
        if reason := _lacks(pipelines):
            return Result([LeftOut(units[-1].account, units[-1].day.isoformat(), "", reason)], [])
        return Result([self.job(pipelines)], [])


def _pipeline(frame: pd.DataFrame, unit: Unit) -> Pipeline:
    """Take one day of an account as a pipeline, its deals in one order."""
    mine = (frame["day"].astype(object) == unit.day.isoformat()).to_numpy()
    deals = frame[mine].drop(columns=["account", "day"]).sort_index()
    nothing = pd.DataFrame()
    loaded = pd.Timestamp(unit.day, tz="UTC")
    return Pipeline(deals, nothing, nothing, loaded, unit.day, unit.account)


def _lacks(pipelines: Sequence[Pipeline]) -> str:
    """Say why an account cannot be projected; empty where it can."""
    newest = pipelines[-1].opportunities
    if not len(newest):
        return ""
    if newest["created_at"].isna().all():
        return "no deal has the time at which it was entered (created_at), so nothing has a past"
    ended = newest["status"] != "open"
    if ended.any() and len(pipelines) == 1:
        dates = newest.loc[ended, ["closed_at", "expected_close"]]
        if dates.isna().all(axis=None):
            return "no deal that ended has the day on which it closed (closed_at)"
    return ""


def _project(
    pipelines: Sequence[Pipeline], asked: Asked, priors: Mapping[str, Prior], usual: Prior
) -> Done:
    """Project an account, from its own prior if it taught and from the usual one if not."""
    prior = priors.get(pipelines[-1].account, usual)
    model = projection.fit(pipelines, prior=prior)
    rows = []
    for bucket in asked.buckets:
        for currency in model.currencies:
            law = model.distribution(*asked.days(bucket), currency)
            rows.append(Row(bucket, currency, asked.figures(law), Share.of(law)))
    basis = model.basis
    about = Basis(
        model.account, model.as_of, basis.deals, basis.ended, basis.won, basis.snapshots,
        basis.is_thin,
    )  # fmt: skip
    return Done(about, tuple(rows))


def project(day: OnDay, units: Sequence[Unit], asked: Asked) -> GroupProjection:
    """Project the accounts of a portfolio on a day.

    Parameters
    ----------
    day
        The portfolio on the day.
    units
        All its days up to then, by account and day.
    asked
        What is asked.
    """
    chosen = {unit.account: unit for unit in day.chosen}
    days = {
        name: _month_ends(list(of_account))
        for name, of_account in groupby(units, key=attrgetter("account"))
        if name in chosen
    }
    largest = sorted(chosen.values(), key=lambda unit: (-unit.size, unit.account))[:_TEACHERS]
    looked = max(unit.day for unit in chosen.values())
    wanted = list(dict.fromkeys(("value", *NEEDED, *COLUMNS)))
    reading = Reading(day.place, _nothing, ("id", *wanted), day.conversion, whole=True)
    teach = Each(reading, partial(projection.lesson, day=looked))
    lessons: list[Lesson] = []
    if len(chosen) > 1:
        taught = day.run(teach, [days[unit.account] for unit in largest], gathered)
        lessons = [one for one in taught.sums if not isinstance(one, LeftOut)]
    group = projection.pool(lessons, looked)
    priors: dict[str, Prior] = {}
    usual = projection.Prior()
    if asked.pooled:
        priors = {name: group.prior(name) for name in group.accounts}
        usual = group.prior(None)
    tell = Each(reading, partial(_project, asked=asked, priors=priors, usual=usual))
    result = day.run(tell, list(days.values()), gathered)
    day.settle(result)
    dateless = [one._asdict() for one in result.sums if isinstance(one, LeftOut)]
    done = [one for one in result.sums if isinstance(one, Done)]
    if not done:
        more = f": {dateless[0]['account']}: {dateless[0]['problem']}" if dateless else ""
        raise DataError(f"no account in {day.place.address} can be projected{more}")
    done.sort(key=lambda one: one.basis.account)
    day.left_out.extend(dateless)
    at_home = None if day.conversion is None else day.conversion.home
    return GroupProjection(asked, looked, tuple(done), group, at_home, day.about)


def _nothing(frame: pd.DataFrame) -> pd.DataFrame:
    """Sum nothing up: an account is read whole."""
    return frame


def _month_ends(units: Sequence[Unit]) -> list[Unit]:
    """Keep the last day of each month, as far back as is learnt from."""
    last = {(unit.day.year, unit.day.month): unit for unit in units}
    return list(last.values())[-_MONTHS:]


class GroupProjection:
    """What the accounts of a portfolio will bring; made by `Portfolio.project`.

    Attributes
    ----------
    as_of
        The newest day that counts.
    """

    def __init__(  # noqa: PLR0917 - what was asked, and all that was found
        self,
        asked: Asked,
        as_of: date,
        done: tuple[Done, ...],
        group: Group,
        home_currency: str | None,
        about: dict[str, Any],
    ) -> None:
        self.as_of = as_of
        self._asked, self._done, self._home, self._about = asked, done, home_currency, about
        self._group = group

    def __repr__(self) -> str:
        """Say how many accounts are projected."""
        count = len(self._done)
        return f"<GroupProjection of {count:,} account{'s' * (count != 1)} as of {self.as_of}>"

    @property
    def basis(self) -> pd.DataFrame:
        """What each account's projection stands on.

        One row an account: ``account``, ``as_of`` (its newest day), ``deals``, ``ended``, ``won``,
        ``snapshots``, ``is_thin`` (whether too little has ended to tell much).
        """
        table = pd.DataFrame([one.basis for one in self._done], columns=list(Basis._fields))
        return table.astype({"account": TEXT})

    def by_month(self) -> pd.DataFrame:
        """Give what each account may bring in each period and currency.

        Returns
        -------
        One row a period, account and currency, sorted: ``month`` (or ``quarter``, ``year``; pandas
        periods), ``account``, ``currency`` (missing for deals without one), ``won_value`` (so far),
        ``open_value``, ``new_value``, ``expected_value`` (their sum), ``p10``, ``p50``, ``p90``,
        and ``chance`` where there is a target. With a home currency, the rows of `total` follow
        those of the accounts in each period, with a missing ``account``. Amounts in the row's
        currency, unrounded. ``attrs`` has ``as_of``, and what `Portfolio.on` tells of the accounts:
        those in ``left_out`` are in no row, each with its reason.
        """
        table = pd.concat([self._rows(), *([self.total()] if self._home else [])])
        order = [self._asked.placing.period, "account", "currency"]
        table = table.sort_values(order, kind="stable", ignore_index=True)
        table.attrs = self._attrs
        return table

    def total(self) -> pd.DataFrame:
        """Give what all accounts may bring together, by period and currency.

        Expected values are the sums of the accounts'. The range is narrower than the sum of their
        ranges, as luck evens out, and wider than if they were independent, as months are partly
        good or bad for all of them.

        Returns
        -------
        One row a period and currency, the columns of `by_month`, with a missing ``account``.
        """
        codes = sorted({row.currency for one in self._done for row in one.rows})
        rows = [
            (bucket, pd.NA, code or pd.NA, *self._asked.figures(self._sum(bucket, code)))
            for bucket in self._asked.buckets
            for code in codes
        ]
        return self._table(rows)

    def distribution(self, period: str | pd.Period, currency: str | None = None) -> Projected:
        """Give the distribution of what all accounts bring together in a period.

        Parameters
        ----------
        period
            One of those that were asked for, as pandas writes it, such as 2026-11.
        currency
            Of several, the one to look at; the home currency if there is one.

        Returns
        -------
        The distribution: ``mean``, ``quantile``, ``cdf``, ``chance_of``, and the parts of the mean.

        Raises
        ------
        ArgumentError
            If the period was not asked for, or the currency is not clear.
        """
        held = {str(p): b for b, p in zip(self._asked.buckets, self._periods, strict=True)}
        if str(period) not in held:
            raise ArgumentError(f"the periods projected are {', '.join(held)}, not {period}")
        codes = sorted({row.currency for one in self._done for row in one.rows})
        code = self._home if currency is None else currency
        code = codes[0] if code is None and len(codes) == 1 else code
        if code not in codes:
            raise ArgumentError(f"choose a currency of {', '.join(codes)}, not {code!r}")
        return self._sum(held[str(period)], code)

    @property
    def _periods(self) -> pd.PeriodIndex:
        return self._asked.placing.periods(np.array(self._asked.buckets))

    def _rows(self) -> pd.DataFrame:
        """Lay out the rows of the accounts."""
        return self._table(
            [
                (row.bucket, one.basis.account, row.currency or pd.NA, *row.figures)
                for one in self._done
                for row in one.rows
            ]
        )

    def _table(self, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
        chance = [] if self._asked.target is None else ["chance"]
        table = pd.DataFrame(rows, columns=["bucket", "account", "currency", *_VALUES, *chance])
        numbers = table.pop("bucket").to_numpy(dtype=np.int64)
        table.insert(0, self._asked.placing.period, self._asked.placing.periods(numbers))
        table = table.astype({"account": TEXT, "currency": TEXT})
        table.attrs = self._attrs
        return table

    @property
    def _attrs(self) -> dict[str, Any]:
        return {"as_of": self.as_of.isoformat(), **self._about}

    def _sum(self, bucket: int, currency: str) -> Projected:
        """Sum a period and currency over the accounts."""
        shares = [
            row.share
            for one in self._done
            for row in one.rows
            if row.bucket == bucket and row.currency == currency
        ]
        return total_of_shares(
            shares, self._group.shared(*self._asked.days(bucket), pooled=self._asked.pooled)
        )


__all__ = ["Asked", "GroupProjection", "project"]
