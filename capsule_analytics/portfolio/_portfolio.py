"""A portfolio and its figures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast, get_args

from capsule_analytics import forecast, history
from capsule_analytics._deals import day_of
from capsule_analytics.errors import ArgumentError

from ._check import check_units
from ._files import Unit, place_of, units
from ._project import Asked, GroupProjection, project
from ._read import Conversion, run_here, run_on_dask
from ._table import OnDay, OnError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from capsule_analytics._deals import Overdue, Period
    from capsule_analytics.fx import Missing, Rates

    from ._table import Run


Engine = Literal["duckdb", "dask"]


class Viewing(TypedDict, total=False):
    """How a portfolio is looked at; see `Portfolio.on` for each."""

    as_of: date | str | None
    home_currency: str | None
    rates: Rates | None
    missing_rate: Missing
    engine: Engine | None
    scheduler: str | None


class Summing(Viewing, total=False):
    """How a portfolio is looked at, and its deals summed; see `forecast.by_month` for each."""

    period: Period
    fiscal_year_start: int
    overdue: Overdue
    ranges: bool
    correlation: float
    target: float | None


class Portfolio:
    """The export of many accounts.

    Parameters
    ----------
    path
        The folder of the export: a local path, or an address that fsspec knows, such as
        ``s3://bucket/export``.
    on_error
        What to do about an account whose partition is corrupt or missing: stop with an error that
        names it, or leave that account out and say so in ``attrs["left_out"]``.
    storage_options
        What the file system of the address needs, such as an endpoint. Put no secrets here that
        the environment of the workers can give.

    Raises
    ------
    DataError
        If the folder holds no export.
    ArgumentError
        If an option is not valid.
    MissingExtraError
        If the extra ``cluster`` is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        on_error: OnError = "raise",
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if on_error not in get_args(OnError):
            raise ArgumentError(f"on_error must be one of raise, skip, not {on_error!r}")
        self._place = place_of(path, storage_options)
        self._on_error = on_error
        self._units = units(self._place)

    def __repr__(self) -> str:
        """Say how much there is."""
        names, days = len(self.accounts), self.days
        return (
            f"<Portfolio of {names:,} account{'s' * (names != 1)}, {len(days):,} "
            f"day{'s' * (len(days) != 1)} from {days[0]} to {days[-1]}>"
        )

    @property
    def accounts(self) -> list[str]:
        """The names of the accounts, sorted."""
        return sorted({unit.account for unit in self._units})

    @property
    def days(self) -> list[date]:
        """The days on which there is a snapshot of some account, oldest first."""
        return sorted({unit.day for unit in self._units})

    def on(
        self,
        day: date | str | None = None,
        *,
        as_of: date | str | None = None,
        home_currency: str | None = None,
        rates: Rates | None = None,
        missing_rate: Missing = "error",
        engine: Engine | None = None,
        scheduler: str | None = None,
    ) -> OnDay:
        """Return the portfolio on a day, to be given to `forecast` and `history.changes`.

        Parameters
        ----------
        day
            Each account counts with its newest snapshot at or before it; None means the newest.
            Days may be text, as 2026-10-15.
        as_of
            The day from which to look; None means `day`, or else the newest day that counts.
        home_currency
            Convert every amount to this currency first (see `fx.convert`).
        rates
            The exchange rates; None means the European Central Bank's.
        missing_rate
            Without a rate: stop with an error, or flag: the deal keeps its own currency.
        engine
            duckdb: this machine; dask: a cluster, or the threads of this process. None means
            duckdb without a scheduler and dask with one.
        scheduler
            Address of the scheduler of a Dask cluster, such as ``tcp://10.0.0.5:8786``. Its workers
            need this package and must be able to read the export at the same address.

        Returns
        -------
        What `forecast.by_month`, `forecast.revenue_schedule` and `history.changes` take like a
        pipeline; by ``account`` is one of the groups. The ``attrs`` of their tables have ``day``
        and ``oldest_day`` (of the snapshots that count), ``accounts`` (how many do) and
        ``left_out``: one entry an account without a snapshot so early or, with
        ``on_error="skip"``, one that cannot be read, each with ``account``, ``day``, ``path`` and
        ``problem``.

        Raises
        ------
        ArgumentError
            If an option is not valid, or no snapshot is so old.
        """
        chosen, late = self._chosen(day)
        day = day if as_of is None else as_of
        looked = max(unit.day for unit in chosen) if day is None else day_of(day)
        run, conversion = _runner(engine, scheduler), None
        if home_currency is not None:
            from capsule_analytics.fx import ecb_rates  # noqa: PLC0415 - reads a large file

            conversion = Conversion(home_currency, rates or ecb_rates(), looked, missing_rate)
        return OnDay(self._place, chosen, looked, conversion, run, self._on_error, late)

    def by_month(
        self,
        *,
        day: date | str | None = None,
        by: str | Sequence[str] | None = "account",
        **options: Unpack[Summing],
    ) -> pd.DataFrame:
        """Sum the pipelines of all accounts by close month and currency.

        Parameters
        ----------
        day
            As for `on`.
        by
            What to group by beside currency, as for `forecast.by_month`; None for the total of
            all accounts.
        **options
            as_of, home_currency, rates, missing_rate, engine and scheduler as for `on`; period,
            fiscal_year_start, overdue, ranges, correlation and target as for `forecast.by_month`.
            With ranges or a target the export is read twice.

        Returns
        -------
        As `forecast.by_month` returns it for the day that `on` gives.

        Raises
        ------
        DataError
            If a partition is corrupt or missing, unless such accounts are to be left out.
        ArgumentError
            If an option is not valid, or no snapshot is so old.
        RateError
            If an exchange rate is missing, unless it is to be flagged.
        TransportError
            If no scheduler answers.
        """
        viewing, how = parted(options)
        return forecast.by_month(self.on(day, **viewing), by=by, **how)

    def revenue_schedule(
        self,
        *,
        day: date | str | None = None,
        by: str | Sequence[str] | None = "account",
        **options: Unpack[Summing],
    ) -> pd.DataFrame:
        """Spread the deals of all accounts over the months in which they are earned.

        Parameters
        ----------
        day, by, **options
            As for `by_month`, without ranges.

        Returns
        -------
        As `forecast.revenue_schedule` returns it for the day that `on` gives.

        Raises
        ------
        DataError, ArgumentError, RateError, TransportError
            As for `by_month`.
        """
        viewing, how = parted(options)
        return forecast.revenue_schedule(self.on(day, **viewing), by=by, **how)

    def changes(
        self,
        before: date | str,
        after: date | str | None = None,
        *,
        period: tuple[date | str, date | str] | None = None,
        by: Literal["account"] | None = "account",
        **viewing: Unpack[Viewing],
    ) -> pd.DataFrame:
        """Explain how the open pipelines of one day became those of another.

        Parameters
        ----------
        before, after
            The two days; each account counts with its newest snapshot at or before them. None
            means the newest.
        period
            First and last day of the closing period that the bridge is about, as for
            `history.changes`; None means all open deals.
        by
            account; or None for the total of all accounts.
        **viewing
            As for `on`. Open deals of both days take the rates of the later one, so that a
            difference is a change of the deals and not of the rates.

        Returns
        -------
        As `history.changes` returns it for two days that `on` gives.

        Raises
        ------
        DataError, ArgumentError, RateError, TransportError
            As for `by_month`.
        """
        return history.changes(self.on(before), self.on(after, **viewing), period=period, by=by)

    def project(
        self,
        months: int = 6,
        *,
        day: date | str | None = None,
        period: Period | Sequence[Period] = "month",
        fiscal_year_start: int = 1,
        target: float | None = None,
        pooled: bool = True,
        progress: Callable[[int, int], None] | None = None,
        **viewing: Unpack[Viewing],
    ) -> GroupProjection:
        """Project what every account will win, and all of them together.

        Each account is projected as `projection.fit` does it, from its snapshots up to the day
        (the last of each month) and what it rebuilds of the months before. What a small account
        tells too little of is drawn to what is usual among the others. An account at a time is in
        memory.

        Parameters
        ----------
        months
            How many months ahead to go, from the day after `day` on.
        day
            As for `on`; nothing later is read. An account whose newest snapshot is older is
            projected from there on.
        period
            month, quarter or year, or several of them: each account is then fitted once for all.
        fiscal_year_start, target
            As for `Projection.by_month`.
        pooled
            Whether accounts learn from each other; without it each stands alone.
        progress
            Called with how many of how many steps are done: one an account, and one for each of
            those from which is learnt what is usual. On a cluster, when all of a kind are.
        **viewing
            home_currency, rates, missing_rate, engine and scheduler as for `on`.

        Returns
        -------
        The projection: `by_month` gives a row an account, period and currency, and with a home
        currency the total; `total` and `distribution` the group's; `basis` what each stands on.
        The same to the last digit on any engine.

        Raises
        ------
        DataError
            If a partition is corrupt or missing, unless such accounts are to be left out. One that
            lacks the dates is in ``attrs["left_out"]`` with the reason, and in no row.
        NoProjectionError
            If no account can be projected; it has the reasons.
        ArgumentError, RateError, TransportError
            As for `by_month`.
        """
        if viewing.get("as_of") is not None:
            raise ArgumentError("a projection looks from the day of the snapshots: choose `day`")
        view = self.on(day, **viewing)
        looked = max(unit.day for unit in view.chosen)
        asked = Asked.of(
            looked,
            months,
            period=period,
            fiscal_year_start=fiscal_year_start,
            target=target,
            pooled=pooled,
        )
        units = [unit for unit in self._units if unit.day <= looked]
        return project(view, units, asked, progress)

    def check(self, day: date | str | None = None) -> pd.DataFrame:
        """List what is wrong with the export, by reading all of it.

        Parameters
        ----------
        day
            Look at each account's newest snapshot at or before it; None means at all days.

        Returns
        -------
        One row a finding, by account and day: ``account``, ``day``, ``path``, ``check``
        (missing_partition, corrupt, missing_columns, unknown_columns, other_type, behind,
        no_deals), ``severity`` (error: cannot be used; warning: figures may lack something;
        info) and ``detail``.
        """
        if day is None:
            return check_units(self._place, self._units, newest=self.days[-1])
        return check_units(self._place, self._chosen(day)[0], newest=day_of(day))

    def _chosen(self, day: date | str | None) -> tuple[list[Unit], list[dict[str, str]]]:
        """Return each account's newest unit at or before a day, and the accounts without one."""
        day = None if day is None else day_of(day)
        newest: dict[str, Unit] = {}
        for unit in self._units:  # by account and day
            if day is None or unit.day <= day:
                newest[unit.account] = unit
        if not newest:
            raise ArgumentError(f"no snapshot is from {day} or before: the first is {self.days[0]}")
        late = [
            {"account": name, "day": "", "path": "", "problem": f"has no snapshot up to {day}"}
            for name in self.accounts
            if name not in newest
        ]
        return list(newest.values()), late


def parted(options: Summing) -> tuple[Viewing, dict[str, Any]]:
    """Part what `Portfolio.on` takes from what the figure takes."""
    names = Viewing.__annotations__
    viewing = {name: value for name, value in options.items() if name in names}
    how = {name: value for name, value in options.items() if name not in names}
    return cast("Viewing", viewing), how


def _runner(engine: Engine | None, scheduler: str | None) -> Run:
    if engine is None:
        engine = "duckdb" if scheduler is None else "dask"
    if engine not in get_args(Engine):
        raise ArgumentError(f"engine must be one of duckdb, dask, not {engine!r}")
    if engine == "duckdb":
        if scheduler is not None:
            raise ArgumentError("a scheduler needs engine='dask'")
        return run_here
    return partial(run_on_dask, scheduler=scheduler)
