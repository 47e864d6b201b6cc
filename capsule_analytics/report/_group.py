"""Everything that a report on a group of accounts shows, each figure computed once.

All of it is made of the partial sums that a portfolio adds up (`portfolio.Portfolio.on`), and of
the projection of its accounts (`Portfolio.project`), wherever they are made: nothing here needs the
deals themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from capsule_analytics import calibration, forecast, history
from capsule_analytics._deals import Placing, alike, sums
from capsule_analytics._words import counted
from capsule_analytics.errors import NoProjectionError
from capsule_analytics.schema import TEXT

from ._figures import MEANINGS, TRACK_AMOUNTS, where_installed
from ._outlook import (
    PROJECTION_AMOUNTS,
    CurrencyOutlook,
    Outlook,
    against_last_year,
    in_currency,
    outlook_table,
)
from ._summed import (
    FORECAST_AMOUNTS,
    REVENUE_AMOUNTS,
    Sheet,
    Summed,
    forecast_columns,
    whole_cents,
)
from ._workbook import MAX_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from capsule_analytics.portfolio import GroupProjection, OnDay

    from ._options import Options
    from ._outlook import Against

ACCOUNT_AMOUNTS = (
    "open_value",
    "weighted_value",
    "overdue_value",
    "won_value",
    "expected_value",
    "p10",
    "p90",
    "changed_value",
    "projected_value",
    "projected_p10",
    "projected_p90",
)
_MONTH = ("won_value", "expected_value", "p10", "p90")
_PROJECTED = {
    "expected_value": "projected_value",
    "p10": "projected_p10",
    "p90": "projected_p90",
}
_MILESTONE = ("open_deals", "open_value", "weighted_value", "overdue_deals")
_LAST_SHEETS = ("Data quality", "Left out")
_UNREAD = ["account", "day", "path", "problem"]


@dataclass(frozen=True, eq=False)
class GroupFigures(Summed):
    """Everything that a report on a group shows; each is computed when it is first asked for.

    Attributes
    ----------
    view
        The group on the day that is reported, as `Portfolio.on` gives it.
    options
        How the figures are made. Those that need the deals have no effect.
    before
        The group on the day that changes are counted from; None for no changes.
    home
        The currency to which amounts were converted; None where they were not.
    project
        Projects the accounts by month and quarter; None where that is not wanted.
    """

    lists_deals: ClassVar[bool] = False
    tried: ClassVar[bool] = False
    whose: ClassVar[str] = "account"

    view: OnDay
    options: Options
    before: OnDay | None = None
    home: str | None = None
    project: Callable[[], GroupProjection] | None = None

    @cached_property
    def source(self) -> OnDay:
        """What is summed, once it was read by account: the totals are then made of that."""
        options, view = self.options, self.view
        groups = ("account", *(name for name in options.by if name != "tag"))
        finest = (*groups, "milestone")
        view.add_up(sums, Placing.of(view.as_of, by=finest, overdue=options.overdue), ())
        if options.ranges:
            view.add_up(alike, Placing.of(view.as_of, by=groups, overdue=options.overdue), ())
        return view

    @property
    def projection(self) -> GroupProjection | None:
        """The projection of the accounts; None where it is not wanted, or no account has dates."""
        return self._projection[0]

    @cached_property
    def projected(self) -> pd.DataFrame | None:
        """What all accounts will probably win together, by month and currency.

        None without a projection.
        """
        return None if self.projection is None else _of_all(self.projection.total("month"))

    @cached_property
    def projected_quarters(self) -> pd.DataFrame | None:
        """The same by (fiscal) quarter, projected as such."""
        return None if self.projection is None else _of_all(self.projection.total("quarter"))

    @cached_property
    def projected_by_account(self) -> pd.DataFrame | None:
        """What each account will probably win, by month and currency; None as for `projected`."""
        return None if self.projection is None else _of_each(self.projection.by_month("month"))

    @cached_property
    def track_by_account(self) -> pd.DataFrame | None:
        """Past projections of each account beside what came; None as for `projected`."""
        return None if self.projection is None else self.projection.track_record()

    @cached_property
    def outlook_by_account(self) -> dict[tuple[str, str | None], CurrencyOutlook]:
        """What each account will probably win, by account and currency; empty as for `outlook`."""
        months, record = self.projected_by_account, self.track_by_account
        if self.projection is None or months is None or record is None:
            return {}
        from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

        quarters = _of_each(self.projection.by_month("quarter"))
        now, at = _first(months), _first(quarters)
        past = self._forecast((self.whose,), period="quarter", target=None, ranges=False)
        past = past[(past["quarter"] == quarters["quarter"].min() - 4).to_numpy(dtype=bool)]
        ago = {_key(row): Outlook(row["quarter"], row["won_value"]) for row in _records(past)}
        words = {
            (account, None if pd.isna(currency) else currency): projection.track_words(rows)
            for (account, currency), rows in record.groupby(["account", "currency"], dropna=False)
        }
        none = projection.track_words(record.iloc[:0])
        return {
            key: CurrencyOutlook(
                key[1],
                now[key],
                at[key],
                against_last_year(at[key], ago.get(key, Outlook(at[key].period - 4)), key[1]),
                words.get(key, none),
            )
            for key in now
        }

    @cached_property
    def unprojected(self) -> pd.DataFrame:
        """The accounts that are not in the projection alone: account, day, path, problem."""
        table = pd.DataFrame(self._projection[1], columns=_UNREAD).astype(TEXT)
        away = table["account"].isin(self.unread["account"]).to_numpy(dtype=bool)
        return table[~away].reset_index(drop=True)

    @property
    def converted(self) -> bool:
        """Whether amounts were converted to a home currency."""
        return self.home is not None

    @cached_property
    def forecast(self) -> pd.DataFrame:
        """The forecast by period, currency, account and the groups of the options."""
        return self._forecast((self.whose, *self.options.by))

    @cached_property
    def forecast_in_groups(self) -> pd.DataFrame:
        """The forecast of all accounts together, by the groups of the options."""
        return self._forecast(self.options.by)

    @cached_property
    def forecast_total(self) -> pd.DataFrame:
        """The forecast of all accounts together."""
        return self._forecast(()) if self.options.by else self.forecast_in_groups

    @cached_property
    def forecast_by_account(self) -> pd.DataFrame:
        """The forecast by account alone: a deal with two tags stands in two groups."""
        return self._forecast((self.whose,)) if self.options.by else self.forecast

    @cached_property
    def months_by_account(self) -> pd.DataFrame:
        """The forecast by month and account alone."""
        if self.options.period == "month":
            return self.forecast_by_account
        return self._forecast((self.whose,), period="month", target=None)

    @cached_property
    def revenue(self) -> pd.DataFrame:
        """The revenue schedule by period, currency, account and groups, in cents."""
        return self._revenue((self.whose, *self.options.by))

    @cached_property
    def revenue_in_groups(self) -> pd.DataFrame:
        """The revenue schedule of all accounts together, by the groups of the options."""
        assert self.revenue is not None  # noqa: S101 - read by account first
        return self._revenue(self.options.by)

    @cached_property
    def revenue_total(self) -> pd.DataFrame:
        """The revenue schedule of all accounts together, in cents."""
        return self._revenue(()) if self.options.by else self.revenue_in_groups

    @cached_property
    def revenue_by_account(self) -> pd.DataFrame:
        """The revenue schedule by account alone, in cents."""
        return self._revenue((self.whose,)) if self.options.by else self.revenue

    @cached_property
    def changes(self) -> pd.DataFrame | None:
        """The bridge of all accounts together; None where there is none."""
        if self.before is None:
            return None
        return history.changes(self.before, self.view)

    @cached_property
    def changes_by_account(self) -> pd.DataFrame | None:
        """The bridge of each account; None where there is none."""
        if self.before is None:
            return None
        return history.changes(self.before, self.view, by="account")

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """What each account has won and expects, and holds open, by currency.

        ``account``, ``currency``, ``day`` (of its snapshot), `STANDING`, ``won_value``,
        ``expected_value`` and, with ranges, ``p10`` and ``p90`` of this (fiscal) quarter, the same
        of this month with ``month_`` before their names, and ``changed_value``: how the open
        pipeline changed, where there is an earlier day. With a projection ``projected_value``,
        ``projected_p10`` and ``projected_p90`` of the (fiscal) quarter, and with ``month_`` before
        their names of the month, in which the day after the snapshots lies; missing for an account
        that cannot be projected.
        """
        table = self._holders(ranges=self.options.ranges, correlation=self.options.correlation)
        keys = ["account", "currency"]
        table.insert(2, "day", table["account"].map(self.view.days).astype("datetime64[s]"))
        months = self.months_by_account
        now = months[(months["month"] == self.month).to_numpy(dtype=bool)]
        names = [name for name in _MONTH if name in now.columns]
        named = {name: f"month_{name}" for name in names}
        now = now[[*keys, *names]].rename(columns=named)
        table = table.merge(now, on=keys, how="left", validate="one_to_one")
        table = table.fillna(dict.fromkeys(named.values(), 0.0))
        if self.outlook_by_account:
            table = table.merge(self._projected(), on=keys, how="left", validate="one_to_one")
        if self.changes_by_account is not None:
            table = table.merge(self._changed(), on=keys, how="left", validate="one_to_one")
        order = ["open_value", "won_value", "account"]
        return table.sort_values(order, ascending=[False, False, True], ignore_index=True)

    @cached_property
    def unread(self) -> pd.DataFrame:
        """The accounts that are in no figure: account, day, path, problem."""
        self.forecast  # noqa: B018 - whatever is read first finds them
        return pd.DataFrame(self.view.left_out, columns=_UNREAD).astype(TEXT)

    @cached_property
    def left_out(self) -> pd.DataFrame:
        """The accounts that are not in all figures: `unread`, unprojected, and without changes."""
        table = pd.concat([self.unread, self.unprojected, self._unmoved])
        return table.drop_duplicates(ignore_index=True)

    @cached_property
    def exceptions(self) -> pd.DataFrame:
        """The accounts that a reader must know of: ``account``, ``day``, ``problem``.

        Those that are in no figure, because they could not be read or have no snapshot so old;
        those that are not in the projection, or not in the bridge; those with amounts that could
        not be converted, without an open or a won deal, and with a snapshot older than the newest.
        """
        days = self.view.days
        away = set(self.unread["account"])
        held = set(self.accounts["account"])
        newest = max(days.values())
        rows = [
            (name, day, f"in no figure: {problem}")
            for name, day, _, problem in self.unread.to_numpy().tolist()
        ]
        for words, table in (
            ("not in the projection", self.unprojected),
            ("not in what changed", self._unmoved),
        ):
            rows += [
                (name, day, f"{words}: {problem}")
                for name, day, _, problem in table.to_numpy().tolist()
                if name not in away
            ]
        for row in self._unconverted.to_dict("records"):
            rate = f"no exchange rate from {row['currency']} to {self.home}"
            told = f"{counted(row['deals'], 'deal')} not converted: {rate}"
            rows.append((row["account"], f"{days[row['account']]}", told))
        for name, day in days.items():
            if name not in away and name not in held:
                rows.append((name, f"{day}", "no open or won deals"))
            if name not in away and day < newest:
                rows.append((name, f"{day}", f"no snapshot of {newest}, as others have"))
        return pd.DataFrame(rows, columns=["account", "day", "problem"]).astype(TEXT)

    @cached_property
    def milestones_by_account(self) -> pd.DataFrame:
        """The open deals by account, currency and milestone, in order of probability."""
        return self._milestones(["account"])

    @cached_property
    def milestones(self) -> pd.DataFrame:
        """The open deals of all accounts by currency and milestone, in order of probability.

        Milestones of one name are one, whatever account or pipeline they are of.
        """
        return self._milestones([])

    @cached_property
    def win_rates_by_account(self) -> pd.DataFrame | None:
        """Both win rates by account; None where nothing has ended or scipy is not installed."""
        return self._win_rates("account")

    @cached_property
    def win_rates_by_quarter(self) -> pd.DataFrame | None:
        """Both win rates by the (fiscal) quarter of the close; None as for those by account."""
        return self._win_rates("quarter")

    @cached_property
    def win_rates_by_account_and_quarter(self) -> pd.DataFrame | None:
        """Both win rates of each account by quarter; None as for those by account."""
        return self._win_rates("account", "quarter")

    @cached_property
    def lost_reasons(self) -> pd.DataFrame:
        """The lost deals by currency and reason, with the shares of both rates."""
        return calibration.lost_reasons_of(self._ended)

    @cached_property
    def lost_reasons_by_account(self) -> pd.DataFrame:
        """The lost deals of each account by currency and reason."""
        return calibration.lost_reasons_of(self._ended, ["account"])

    @cached_property
    def quality_by_account(self) -> pd.DataFrame:
        """What is wrong with the deals of each account, as far as an export tells.

        ``account``, ``severity``, ``check``, ``deals``; accounts with the most findings first.
        """
        table = self._findings
        total = table.groupby("account")["deals"].transform("sum")
        order = ["total", "account", "deals", "check"]
        rows = table.assign(total=total).sort_values(order, ascending=[False, True, False, True])
        return rows.drop(columns="total").reset_index(drop=True)

    @cached_property
    def severities(self) -> dict[str, int]:
        """How many data-quality findings there are of each severity."""
        return {
            str(name): int(count)
            for name, count in self._findings.groupby("severity")["deals"].sum().items()
        }

    @cached_property
    def sheets(self) -> tuple[Sheet, ...]:
        """The tables that leave as files, in the order of the workbook."""
        months = [name for name in self.accounts.columns if name.startswith("month_")]
        bridge = self.changes_by_account, self.changes
        sheets = {
            "projection": ("Projection", self._projection_sheet, PROJECTION_AMOUNTS, ()),
            "track_record": (
                "Track record by account", self.track_by_account, TRACK_AMOUNTS, (),
            ),
            "accounts": ("Accounts", self.accounts, (*ACCOUNT_AMOUNTS, *months), ("day",)),
            "changes_total": ("Changes", bridge[1], ("value",), ()),
            "changes": ("Changes by account", bridge[0], ("value",), ()),
            "forecast_total": (
                "Weighted forecast", forecast_columns(self.forecast_in_groups),
                FORECAST_AMOUNTS, (),
            ),
            "forecast": (
                "Forecast by account", forecast_columns(self.forecast), FORECAST_AMOUNTS, (),
            ),
            "revenue_total": ("Revenue", self.revenue_in_groups, REVENUE_AMOUNTS, ()),
            "revenue": ("Revenue by account", self.revenue, REVENUE_AMOUNTS, ()),
            "win_rates": ("Win rates by account", self.win_rates_by_account, (), ()),
            "data_quality": ("Data quality", self.quality_by_account, (), ()),
            "left_out": ("Left out", self.left_out, (), ()),
        }  # fmt: skip
        return tuple(
            Sheet(file, title, frame, amounts, days)
            for file, (title, frame, amounts, days) in sheets.items()
            if frame is not None
        )

    @cached_property
    def workbook(self) -> dict[str, pd.DataFrame]:
        """The sheets of the workbook by title: those of `sheets`, and what the page shows beside.

        In the order of the page: what will probably be won, the accounts, what changed, the
        weighted forecast, then how the group works, its data, and what figures mean.
        """
        long = {sheet.title: sheet for sheet in self.sheets if len(sheet.frame) >= MAX_ROWS}
        files = {sheet.title: sheet.frame for sheet in self.sheets if sheet.title not in long}
        last = {title: files.pop(title) for title in _LAST_SHEETS if title in files}
        how = {
            "Milestones": self.milestones,
            "Milestones by account": self.milestones_by_account,
            "Win rates by quarter": self.win_rates_by_quarter,
            "Lost reasons": self.lost_reasons,
            "Accounts to look at": self.exceptions,
        }
        shown = {title: table for title, table in how.items() if table is not None and len(table)}
        first = {"Outlook": outlook_table(self.outlook)} if self.outlook else {}
        known = _GROUP_MEANINGS | (_PROJECTED_MEANINGS if first else frozenset())
        told = {name: words for name, words in MEANINGS.items() if name in known}
        told |= {
            title: f"Too long for a sheet: see {sheet.file}.csv." for title, sheet in long.items()
        }
        meanings = pd.DataFrame(list(told.items()), columns=["figure", "meaning"])
        return first | files | shown | last | {"How figures are made": meanings}

    @cached_property
    def _held(self) -> pd.DataFrame:
        """All open and won deals by account and milestone, the overdue in their own period."""
        return forecast.by_month(self.source, by=("account", "milestone"))

    @cached_property
    def _projection(self) -> tuple[GroupProjection | None, list[dict[str, str]]]:
        """Project the accounts, and tell which cannot be."""
        if self.project is None:
            return None, []
        try:
            made = self.project()
        except NoProjectionError as error:
            return None, error.left_out
        return made, made.total().attrs["left_out"]

    @property
    def _projection_sheet(self) -> pd.DataFrame | None:
        """Lay out the projection of the accounts and, in each month after them, of all together."""
        if self.projected is None or self.projected_by_account is None:
            return None
        table = pd.concat([self.projected_by_account, self.projected])
        return table.sort_values(["month", "account", "currency"], kind="stable", ignore_index=True)

    @cached_property
    def _unmoved(self) -> pd.DataFrame:
        """List the accounts that are not in the bridge."""
        moved = self.changes_by_account
        found = [] if moved is None else moved.attrs["left_out"]
        return pd.DataFrame(found, columns=_UNREAD).astype(TEXT)

    def _projected(self) -> pd.DataFrame:
        """Give what each account is projected to win in the first month and quarter."""
        rows = [
            {
                "account": account,
                "currency": currency,
                **{
                    before + name: amount
                    for before, period in (("", one.quarter), ("month_", one.month))
                    for name, amount in zip(
                        _PROJECTED.values(), (period.expected, period.low, period.high), strict=True
                    )
                },
            }
            for (account, currency), one in self.outlook_by_account.items()
        ]
        return pd.DataFrame(rows).astype({"account": TEXT, "currency": TEXT})

    def _record(self, currency: str | None) -> str:
        """Say that there is none of the group, and what there is of its accounts."""
        none = "no track record of the group yet"
        if self.track_by_account is None:
            return none
        from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

        rows = in_currency(self.track_by_account, currency)
        if len(rows) < projection.FEWEST_MONTHS:
            return none
        inside = f"{int(rows['inside'].sum()):,} of {len(rows):,}"
        return f"{none}, but of its accounts' past months {inside} came inside their range"

    def _against(self, quarter: Outlook, currency: str | None) -> Against | None:
        """Hold a quarter against last year's, where all accounts of that are projected."""
        return None if len(self.unprojected) else super()._against(quarter, currency)

    @cached_property
    def _ended(self) -> pd.DataFrame:
        return self.view.ended()

    @cached_property
    def _findings(self) -> pd.DataFrame:
        return self.view.findings()

    @cached_property
    def _unconverted(self) -> pd.DataFrame:
        """Count the open and won deals that stay in another currency, by account and currency."""
        table = self._totals(["account", "currency"])
        if self.home is None:
            return table.iloc[:0].assign(deals=0)
        other = (table["currency"] != self.home).fillna(value=False).astype(bool)
        table = table[table["currency"].notna() & other]
        return table.assign(deals=table["open_deals"] + table["won_deals"])

    def _revenue(self, by: tuple[str, ...]) -> pd.DataFrame:
        table = forecast.revenue_schedule(self.view, **(self.options.placing() | {"by": by}))
        return whole_cents(table)

    def _changed(self) -> pd.DataFrame:
        """Give by how much the open pipeline of each account and currency changed."""
        assert self.changes_by_account is not None  # noqa: S101 - asked for with changes alone
        moved = self.changes_by_account
        part = moved["part"].astype(object)
        signed = moved["value"].where(part == "closing", -moved["value"])
        ends = moved.assign(changed_value=signed)[part.isin(["opening", "closing"])]
        keys = ["account", "currency"]
        return ends.groupby(keys, dropna=False)["changed_value"].sum().reset_index()

    def _milestones(self, more: list[str]) -> pd.DataFrame:
        keys = [*more, "currency", "milestone"]
        table = self._held.groupby(keys, dropna=False)[list(_MILESTONE)].sum().reset_index()
        table = table[(table["open_deals"] > 0).to_numpy(dtype=bool)]
        likely = (table["weighted_value"] / table["open_value"]).fillna(0.0)
        order = [*more, "currency", "likely", "milestone"]
        table = table.assign(likely=likely).sort_values(order, ignore_index=True)
        return table.drop(columns="likely")

    def _win_rates(self, *by: str) -> pd.DataFrame | None:
        if self._ended.empty:
            return None
        start = self.options.fiscal_year_start
        return where_installed(
            lambda: calibration.win_rates_of(self._ended, by, fiscal_year_start=start)
        )


def _of_all(table: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of all accounts together."""
    return table.drop(columns="account")


def _of_each(table: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of the accounts."""
    return table[table["account"].notna().to_numpy(dtype=bool)].reset_index(drop=True)


def _records(table: pd.DataFrame) -> list[dict[Any, Any]]:
    rows: list[dict[Any, Any]] = table.to_dict("records")
    return rows


def _key(row: dict[Any, Any]) -> tuple[str, str | None]:
    """Name the account and the currency of a row."""
    return row["account"], None if pd.isna(row["currency"]) else row["currency"]


def _first(table: pd.DataFrame) -> dict[tuple[str, str | None], Outlook]:
    """Give what the first period brings, by account and currency."""
    period = str(table.columns[0])
    rows = table[(table[period] == table[period].min()).to_numpy(dtype=bool)]
    names = ["won_value", "expected_value", "p10", "p90"]
    return {
        _key(row): Outlook(row[period], *(float(row[name]) for name in names))
        for row in _records(rows)
    }


_PROJECTED_MEANINGS = frozenset({"Projection", "P10, P50, P90 of the projection"})
_GROUP_MEANINGS = frozenset(
    {
        "Weighted value",
        "P10, P50, P90 of the weighted forecast",
        "Expected value",
        "Win rate",
    }
)
