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

from capsule_analytics._deals import NEEDED, Placing
from capsule_analytics.errors import ArgumentError, NoProjectionError
from capsule_analytics.schema import TEXT, Pipeline

from ._read import LeftOut, Reading, Result, gathered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from capsule_analytics._deals import Period
    from capsule_analytics.projection import Group, Lesson, Prior, Projected, Share

    from ._files import Unit
    from ._table import OnDay

_MONTHS = 48
"""How far back snapshots are read: of each month the last, as the projection learns of it."""
_TEACHERS = 64
"""From how many accounts it is learnt what is usual among all; the largest."""
_VALUES = ["won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"]


class Row(NamedTuple):
    """What an account may bring in a period and currency."""

    period: str
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
    track: pd.DataFrame


@dataclass(frozen=True)
class Span:
    """The periods of one kind that are projected.

    Attributes
    ----------
    placing
        The kind of period.
    buckets
        The periods, numbered as `Placing.buckets` numbers them.
    """

    placing: Placing
    buckets: tuple[int, ...]

    @property
    def periods(self) -> pd.PeriodIndex:
        """The periods, in order."""
        return self.placing.periods(np.array(self.buckets))

    def days(self, bucket: int) -> tuple[date, date]:
        """Give the first day of a period, and the day after its last."""
        found = self.placing.periods(np.array([bucket]))[0]
        return found.start_time.date(), (found + 1).start_time.date()


@dataclass(frozen=True)
class Asked:
    """What is asked of each account.

    Attributes
    ----------
    spans
        The kinds of period and their periods.
    target
        An amount whose chance is asked for.
    pooled
        Whether accounts learn from each other.
    """

    spans: tuple[Span, ...]
    target: float | None
    pooled: bool

    @classmethod
    def of(
        cls,
        day: date,
        months: int,
        *,
        period: Period | Sequence[Period],
        fiscal_year_start: int,
        target: float | None,
        pooled: bool,
    ) -> Asked:
        """Choose the periods in which the months after a day lie."""
        from capsule_analytics.projection import LONGEST  # noqa: PLC0415 - only where it is wanted

        if not isinstance(months, int | np.integer) or not 1 <= months <= LONGEST:
            raise ArgumentError(f"months must be 1 to {LONGEST}, not {months!r}")
        now = np.datetime64(day + timedelta(days=1), "M")
        coming = (now + np.arange(months)).astype("datetime64[s]")
        spans = []
        for kind in dict.fromkeys([period] if isinstance(period, str) else period):
            placing = Placing.of(day, period=kind, fiscal_year_start=fiscal_year_start)
            spans.append(Span(placing, tuple(np.unique(placing.buckets(coming)).tolist())))
        if not spans:
            raise ArgumentError("period must name at least one of month, quarter, year")
        return cls(tuple(spans), target, pooled)

    def span(self, period: str | None) -> Span:
        """Find the periods of a kind; None means the first that was asked for."""
        if period is None:
            return self.spans[0]
        kinds = {str(span.placing.period): span for span in self.spans}
        if period not in kinds:
            raise ArgumentError(f"projected by {', '.join(kinds)}, not by {period!r}")
        return kinds[period]

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
    from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

    prior = priors.get(pipelines[-1].account, usual)
    model = projection.fit(pipelines, prior=prior)
    rows = []
    for span in asked.spans:
        for bucket in span.buckets:
            for currency in model.currencies:
                law = model.distribution(*span.days(bucket), currency)
                kind = str(span.placing.period)
                rows.append(
                    Row(kind, bucket, currency, asked.figures(law), projection.Share.of(law))
                )
    basis = model.basis
    about = Basis(
        model.account, model.as_of, basis.deals, basis.ended, basis.won, basis.snapshots,
        basis.is_thin,
    )  # fmt: skip
    return Done(about, tuple(rows), model.track_record())


def project(
    day: OnDay,
    units: Sequence[Unit],
    asked: Asked,
    progress: Callable[[int, int], None] | None = None,
) -> GroupProjection:
    """Project the accounts of a portfolio on a day.

    Parameters
    ----------
    day
        The portfolio on the day.
    units
        All its days up to then, by account and day.
    asked
        What is asked.
    progress
        Told how many of how many steps are done.
    """
    from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

    chosen = {unit.account: unit for unit in day.chosen}
    days = {
        name: _month_ends(list(of_account))
        for name, of_account in groupby(units, key=attrgetter("account"))
        if name in chosen
    }
    largest = sorted(chosen.values(), key=lambda unit: (-unit.size, unit.account))[:_TEACHERS]
    looked = max(unit.day for unit in chosen.values())
    wanted = list(dict.fromkeys(("value", *NEEDED, *projection.COLUMNS)))
    reading = Reading(day.place, _nothing, ("id", *wanted), day.conversion, whole=True)
    teach = Each(reading, partial(projection.lesson, day=looked))
    lessons: list[Lesson] = []
    lessons_due = len(largest) if len(chosen) > 1 else 0
    steps = lessons_due + len(days)

    def told(before: int) -> Callable[[int], None] | None:
        return None if progress is None else lambda done: progress(before + done, steps)

    if lessons_due:
        taught = day.run(teach, [days[unit.account] for unit in largest], gathered, told(0))
        lessons = [one for one in taught.sums if not isinstance(one, LeftOut)]
    group = projection.pool(lessons, looked)
    priors: dict[str, Prior] = {}
    usual = projection.Prior()
    if asked.pooled:
        priors = {name: group.prior(name) for name in group.accounts}
        usual = group.prior(None)
    tell = Each(reading, partial(_project, asked=asked, priors=priors, usual=usual))
    result = day.run(tell, list(days.values()), gathered, told(lessons_due))
    day.settle(result)
    dateless = [one._asdict() for one in result.sums if isinstance(one, LeftOut)]
    done = [one for one in result.sums if isinstance(one, Done)]
    if not done:
        more = f": {dateless[0]['account']}: {dateless[0]['problem']}" if dateless else ""
        message = f"no account in {day.place.address} can be projected{more}"
        raise NoProjectionError(message, [*day.left_out, *dateless])
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
        self._sums: dict[tuple[str, int, str], Projected] = {}

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

    def by_month(self, period: Period | None = None) -> pd.DataFrame:
        """Give what each account may bring in each period and currency.

        Parameters
        ----------
        period
            Of several kinds that were asked for, the one to give; None means the first.

        Returns
        -------
        One row a period, account and currency, sorted: ``month`` (or ``quarter``, ``year``; pandas
        periods), ``account``, ``currency`` (missing for deals without one), ``won_value`` (so far),
        ``open_value``, ``new_value``, ``expected_value`` (their sum), ``p10``, ``p50``, ``p90``,
        and ``chance`` where there is a target. With a home currency, the rows of `total` follow
        those of the accounts in each period, with a missing ``account``. Amounts in the row's
        currency, unrounded. ``attrs`` has ``as_of``, and what `Portfolio.on` tells of the accounts:
        those in ``left_out`` are in no row, each with its reason.

        Raises
        ------
        ArgumentError
            If that kind of period was not asked for.
        """
        span = self._asked.span(period)
        table = pd.concat([self._rows(span), *([self.total(period)] if self._home else [])])
        order = [span.placing.period, "account", "currency"]
        table = table.sort_values(order, kind="stable", ignore_index=True)
        table.attrs = self._attrs
        return table

    def total(self, period: Period | None = None) -> pd.DataFrame:
        """Give what all accounts may bring together, by period and currency.

        Expected values are the sums of the accounts'. The range is narrower than the sum of their
        ranges, as luck evens out, and wider than if they were independent, as months are partly
        good or bad for all of them.

        Parameters
        ----------
        period
            As for `by_month`.

        Returns
        -------
        One row a period and currency, the columns of `by_month`, with a missing ``account``.

        Raises
        ------
        ArgumentError
            As for `by_month`.
        """
        span = self._asked.span(period)
        rows = [
            (bucket, pd.NA, code or pd.NA, *self._asked.figures(self._sum(span, bucket, code)))
            for bucket in span.buckets
            for code in self._codes
        ]
        return self._table(span, rows)

    def track_record(self) -> pd.DataFrame:
        """Give what was projected of each account for past months, beside what they brought.

        What the group was projected to bring as a whole is not known of past months.

        Returns
        -------
        The rows of `Projection.track_record` of each account, with ``account`` as first column.
        """
        tables = [
            one.track.assign(account=one.basis.account) for one in self._done if len(one.track)
        ]
        table = pd.concat(tables or [self._done[0].track.assign(account="")], ignore_index=True)
        table.insert(0, "account", table.pop("account").astype(TEXT))
        table.attrs = self._attrs
        return table

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
        held = {
            str(name): (span, bucket)
            for span in self._asked.spans
            for name, bucket in zip(span.periods, span.buckets, strict=True)
        }
        if str(period) not in held:
            raise ArgumentError(f"the periods projected are {', '.join(held)}, not {period}")
        codes = self._codes
        code = self._home if currency is None else currency
        code = codes[0] if code is None and len(codes) == 1 else code
        if code not in codes:
            raise ArgumentError(f"choose a currency of {', '.join(codes)}, not {code!r}")
        return self._sum(*held[str(period)], code)

    @property
    def _codes(self) -> list[str]:
        """The currencies in which something is projected; empty text for none."""
        return sorted({row.currency for one in self._done for row in one.rows})

    def _rows(self, span: Span) -> pd.DataFrame:
        """Lay out the rows of the accounts."""
        return self._table(
            span,
            [
                (row.bucket, one.basis.account, row.currency or pd.NA, *row.figures)
                for one in self._done
                for row in one.rows
                if row.period == span.placing.period
            ],
        )

    def _table(self, span: Span, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
        chance = [] if self._asked.target is None else ["chance"]
        table = pd.DataFrame(rows, columns=["bucket", "account", "currency", *_VALUES, *chance])
        numbers = table.pop("bucket").to_numpy(dtype=np.int64)
        table.insert(0, span.placing.period, span.placing.periods(numbers))
        table = table.astype({"account": TEXT, "currency": TEXT})
        table.attrs = self._attrs
        return table

    @property
    def _attrs(self) -> dict[str, Any]:
        return {"as_of": self.as_of.isoformat(), **self._about}

    def _sum(self, span: Span, bucket: int, currency: str) -> Projected:
        """Sum a period and currency over the accounts."""
        from capsule_analytics.projection import total_of_shares  # noqa: PLC0415 - as above

        key = str(span.placing.period), bucket, currency
        if key not in self._sums:
            shares = [row.share for one in self._done for row in one.rows if row[:3] == key]
            shared = self._group.shared(*span.days(bucket), pooled=self._asked.pooled)
            self._sums[key] = total_of_shares(shares, shared)
        return self._sums[key]


__all__ = ["Asked", "GroupProjection", "project"]
