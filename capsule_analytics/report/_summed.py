"""What a report shows of an account and of a group of accounts alike: what sums of deals tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from capsule_analytics import forecast
from capsule_analytics._words import currency_name, round_cents

from ._outlook import (
    Against,
    CurrencyOutlook,
    Outlook,
    against_last_year,
    in_currency,
    outlook_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capsule_analytics.portfolio import OnDay
    from capsule_analytics.schema import Pipeline

    from ._options import Options

FORECAST_AMOUNTS = (
    "open_value",
    "weighted_value",
    "won_value",
    "expected_value",
    "p10",
    "p50",
    "p90",
)
REVENUE_AMOUNTS = ("open_value", "weighted_value", "won_value", "expected_value")
STANDING = ("open_deals", "open_value", "weighted_value", "overdue_deals", "overdue_value")


@dataclass(frozen=True)
class Sheet:
    """A table as it leaves: a CSV file, and a sheet of the workbook.

    Attributes
    ----------
    file
        The name of the file, without its suffix.
    title
        The name of the sheet.
    frame
        The table.
    amounts
        Its columns of amounts, written to the cent.
    days
        Its columns of calendar days.
    """

    file: str
    title: str
    frame: pd.DataFrame
    amounts: tuple[str, ...] = ()
    days: tuple[str, ...] = ()


@dataclass(frozen=True)
class Headline:
    """The figures a reader asks for first, in one currency.

    Attributes
    ----------
    currency
        ISO code; None for deals without one.
    month, quarter
        What the ones of the as-of day are expected to come to.
    open_deals, open_value, weighted_value, overdue_deals, overdue_value
        Of all open deals, whatever the forecast does with the overdue ones.
    target
        The row of `Figures.attainment` that is running for the whole team; None without one.
    """

    currency: str | None
    month: Outlook
    quarter: Outlook
    open_deals: int
    open_value: float
    weighted_value: float
    overdue_deals: int
    overdue_value: float
    target: dict[str, object] | None

    @property
    def name(self) -> str:
        """The currency's code, or words where there is none."""
        return currency_name(self.currency)


class Summed(ABC):
    """The figures that are sums of deals; each is computed when it is first asked for, and once."""

    options: Options
    lists_deals: ClassVar[bool]
    """Whether the deals themselves are shown, so that a figure can lead to those behind it."""

    whose: ClassVar[str]
    """Whose parts the whole is made of: owner, or account."""

    tried: ClassVar[bool] = True
    """Whether projections of past months are held against what came."""

    home: str | None = None
    """The currency that comes first; None for the one with the most deals."""

    @property
    @abstractmethod
    def source(self) -> Pipeline | OnDay:
        """What is summed."""

    @property
    @abstractmethod
    def projected(self) -> pd.DataFrame | None:
        """What will probably be won by month and currency; None where it is not projected."""

    @property
    @abstractmethod
    def changes(self) -> pd.DataFrame | None:
        """The bridge from an earlier day; None where there is none."""

    @property
    @abstractmethod
    def sheets(self) -> tuple[Sheet, ...]:
        """The tables that leave as files, in the order of the workbook."""

    @property
    @abstractmethod
    def workbook(self) -> dict[str, pd.DataFrame]:
        """The sheets of the workbook by title."""

    @property
    @abstractmethod
    def severities(self) -> dict[str, int]:
        """How many data-quality findings there are of each severity."""

    @property
    def attainment_periods(self) -> pd.DataFrame | None:
        """The attainment with its periods as pandas has them; None where there are no targets."""
        return None

    @property
    @abstractmethod
    def projected_quarters(self) -> pd.DataFrame | None:
        """The same by (fiscal) quarter, projected as such."""

    @cached_property
    def outlook(self) -> tuple[CurrencyOutlook, ...]:
        """What will probably be won, one a currency; empty without a projection.

        The home currency or the one with the most open and won deals first, deals without a
        currency last. Currencies in which nothing is likely to be won are left out.
        """
        months, quarters = self.projected, self.projected_quarters
        if months is None or quarters is None:
            return ()
        return tuple(
            self._outlook_of(months, quarters, head.currency)
            for head in self.headlines
            if len(in_currency(months, head.currency))
        )

    @property
    @abstractmethod
    def converted(self) -> bool:
        """Whether amounts were converted to a home currency."""

    @property
    def track(self) -> pd.DataFrame | None:
        """Past projections beside what came; None without a projection."""
        return None

    @property
    def charts(self) -> Iterator[tuple[str, tuple[pd.DataFrame, ...]]]:
        """The charts: the name of each, of its files and its function, and what it is drawn from.

        The projection comes last, as it takes longest to compute; it is drawn beside what past
        months brought.
        """
        yield "forecast", (self.forecast_total,)
        yield "revenue", (self.revenue_total,)
        if self.changes is not None:
            yield "changes", (self.changes,)
        if self.projected is not None:
            yield "projection", (self.projected, self.forecast_month)

    @cached_property
    def forecast(self) -> pd.DataFrame:
        """The forecast by period, currency and the groups of the options, with its ranges."""
        return self._forecast(self.options.by)

    @cached_property
    def forecast_total(self) -> pd.DataFrame:
        """The forecast without groups: a deal with two tags stands in two of them."""
        return self._forecast(()) if self.options.by else self.forecast

    @cached_property
    def forecast_month(self) -> pd.DataFrame:
        """The forecast by month, without groups."""
        return self._without_groups("month")

    @cached_property
    def forecast_quarter(self) -> pd.DataFrame:
        """The forecast by quarter, without groups."""
        return self._without_groups("quarter")

    @cached_property
    def revenue(self) -> pd.DataFrame:
        """The revenue schedule by period, currency and the groups of the options, in cents."""
        return whole_cents(forecast.revenue_schedule(self.source, **self.options.placing()))

    @cached_property
    def revenue_total(self) -> pd.DataFrame:
        """The revenue schedule without groups, in cents."""
        if not self.options.by:
            return self.revenue
        placing = self.options.placing() | {"by": ()}
        return whole_cents(forecast.revenue_schedule(self.source, **placing))

    @cached_property
    def standing(self) -> pd.DataFrame:
        """What is open and overdue in each currency: `home`, then most open and won deals first.

        Whatever the forecast does with overdue deals, they are open and overdue.
        """
        table = self._totals(["currency"])
        table["deals"] = table["open_deals"] + table["won_deals"]
        known = table["currency"].notna()
        home = (table["currency"] == self.home).fillna(value=False).astype(bool)
        order = ["home", "known", "deals", "currency"]
        rows = table.assign(known=known, home=home)
        rows = rows.sort_values(order, ascending=[False, False, False, True])
        return rows.drop(columns=["home", "known", "deals"]).reset_index(drop=True)

    @cached_property
    def month(self) -> pd.Period:
        """The month of the as-of day."""
        return pd.Period(self.source.as_of, freq="M")

    @cached_property
    def quarter(self) -> pd.Period:
        """The (fiscal) quarter of the as-of day."""
        return pd.Period(self.source.as_of, freq=self.forecast_quarter["quarter"].dt.freq)

    @cached_property
    def headlines(self) -> tuple[Headline, ...]:
        """What is asked for first, one a currency that has an open or a won deal."""
        return tuple(self._headline(row) for row in self.standing.to_dict("records"))

    @cached_property
    def _held(self) -> pd.DataFrame:
        """All open and won deals by whose they are, the overdue in their own period."""
        return forecast.by_month(
            self.source, by=self.whose, period="year", probability=self.options.probability
        )

    def _holders(self, **more: Any) -> pd.DataFrame:  # noqa: ANN401
        """Sum what each owner or account has won and expects this quarter, and holds open."""
        keys = [self.whose, "currency"]
        placing = self.options.placing() | {"by": self.whose, "period": "quarter"}
        table = forecast.by_month(self.source, **(placing | more))
        now = table["quarter"] == self.quarter
        ranges = [name for name in ("p10", "p90") if name in table.columns]
        quarter = table.loc[now, [*keys, "won_value", "expected_value", *ranges]]
        held = self._totals(keys)[[*keys, *STANDING]]
        rows = held.merge(quarter, on=keys, how="left", validate="one_to_one")
        return rows.fillna({"won_value": 0.0, "expected_value": 0.0})

    def _totals(self, keys: list[str]) -> pd.DataFrame:
        """Sum what is held over the years, and over whose it is where that is not asked for."""
        sums = self._held.groupby(keys, dropna=False)[[*STANDING, "won_deals"]].sum()
        return sums.reset_index()

    def _forecast(self, by: tuple[str, ...], **more: Any) -> pd.DataFrame:  # noqa: ANN401
        options = self.options
        asked: dict[str, Any] = {
            "ranges": options.ranges,
            "correlation": options.correlation,
            "target": options.target,
        }
        return forecast.by_month(self.source, **(options.placing() | asked | {"by": by} | more))

    def _without_groups(self, period: str) -> pd.DataFrame:
        if self.options.period == period:
            return self.forecast_total
        return self._forecast((), period=period, target=None)

    def _headline(self, standing: dict[str, Any]) -> Headline:
        currency = None if pd.isna(standing["currency"]) else str(standing["currency"])
        return Headline(
            currency,
            month=outlook_in(self.forecast_month, self.month, currency),
            quarter=outlook_in(self.forecast_quarter, self.quarter, currency),
            **{name: standing[name] for name in STANDING},
            target=self._running_target(currency),
        )

    def _outlook_of(
        self, months: pd.DataFrame, quarters: pd.DataFrame, currency: str | None
    ) -> CurrencyOutlook:
        month = outlook_in(months, months["month"].iloc[0], currency)
        quarter = outlook_in(quarters, quarters["quarter"].iloc[0], currency)
        against, record = self._against(quarter, currency), self._record(currency)
        return CurrencyOutlook(currency, month, quarter, against, record, self.tried)

    @abstractmethod
    def _record(self, currency: str | None) -> str:
        """Say how projections of past months came true."""

    def _against(self, quarter: Outlook, currency: str | None) -> Against | None:
        """Hold a projected quarter against the same one of last year."""
        year_ago = outlook_in(self.forecast_quarter, quarter.period - 4, currency)
        return against_last_year(quarter, year_ago, currency)

    def _running_target(self, currency: str | None) -> dict[str, object] | None:  # noqa: ARG002
        """Find the target that is running; a group has none."""
        return None


def forecast_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of ``forecast.csv``: the table without the parts that are overdue."""
    return table.drop(columns=["overdue_deals", "overdue_value", "overdue_weighted"])


def whole_cents(revenue: pd.DataFrame) -> pd.DataFrame:
    """Round a revenue schedule so that the months of a currency still sum to their total.

    Each month shows the difference of two rounded running totals, so no cent is lost or made
    and no amount is off by a whole cent; the expected value, a sum of two, by no two.

    Parameters
    ----------
    revenue
        As `forecast.revenue_schedule` makes it.

    Examples
    --------
    >>> third = pd.DataFrame({"month": [1, 2, 3], "currency": "GBP", "won_value": [100 / 3] * 3,
    ...     "open_value": 0.0, "weighted_value": 0.0, "expected_value": [100 / 3] * 3})
    >>> whole_cents(third)["won_value"].round(2).tolist()
    [33.33, 33.34, 33.33]
    """
    rounded = revenue.copy()
    series = [name for name in revenue.columns[1:] if name not in REVENUE_AMOUNTS]
    running = revenue.groupby(series, dropna=False, observed=True)
    for name in REVENUE_AMOUNTS:
        total = running[name].cumsum()
        cents = pd.Series(round_cents(total.to_numpy()), index=revenue.index)
        earlier = cents.groupby([revenue[key] for key in series], dropna=False).shift(fill_value=0)
        rounded[name] = cents - earlier
    rounded["expected_value"] = rounded["won_value"] + rounded["weighted_value"]
    return rounded
