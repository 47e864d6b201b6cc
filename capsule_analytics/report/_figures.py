"""Everything that a report shows, computed once from a pipeline and options.

What writes a report (CSV, charts, page, workbook, terminal, notebook card) takes its figures from
here and computes none, so that a figure that is shown twice is the same object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from capsule_analytics import forecast, fx, quality, scenarios, targets
from capsule_analytics._deals import chances
from capsule_analytics._words import currency_name, period_text, round_cents
from capsule_analytics.errors import ArgumentError

from ._options import FORMATS, Options

if TYPE_CHECKING:
    from capsule_analytics.schema import Pipeline

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
_CATEGORY_AMOUNTS = ("won_value", "commit_value", "best_case_value", "pipeline_value")
_TARGET_AMOUNTS = ("target", "won_value", "expected_value", "gap")
_FRAME_AMOUNTS = ("value", "tcv", "original_value", "original_tcv")
_FRAME_DAYS = ("expected_close", "closed_at", "fx_date")
_STANDING = ("open_deals", "open_value", "weighted_value", "overdue_deals", "overdue_value")


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
class Outlook:
    """What a period is expected to come to, in one currency."""

    period: pd.Period
    won: float = 0.0
    expected: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def name(self) -> str:
        """The period in words."""
        month = self.period.freqstr == "M"
        return str(self.period.strftime("%B %Y")) if month else period_text(self.period)


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
    old_deals, old_value
        Of these, the ones that were entered 180 days ago or earlier.
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
    old_deals: int
    old_value: float
    target: dict[str, object] | None

    @property
    def name(self) -> str:
        """The currency's code, or words where there is none."""
        return currency_name(self.currency)


@dataclass(frozen=True, eq=False)
class Figures:
    """Everything that a report shows; each is computed when it is first asked for, and once.

    Attributes
    ----------
    pipeline
        The account.
    options
        How the figures are made.
    """

    pipeline: Pipeline
    options: Options = field(default_factory=Options)

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
        return whole_cents(forecast.revenue_schedule(self.pipeline, **self.options.placing()))

    @cached_property
    def revenue_total(self) -> pd.DataFrame:
        """The revenue schedule without groups, in cents."""
        if not self.options.by:
            return self.revenue
        placing = self.options.placing() | {"by": ()}
        return whole_cents(forecast.revenue_schedule(self.pipeline, **placing))

    @cached_property
    def categories(self) -> pd.DataFrame:
        """Commit, best case and pipeline by period, currency and the groups of the options."""
        return self._categories(self.options.by)

    @cached_property
    def categories_total(self) -> pd.DataFrame:
        """Commit, best case and pipeline without groups."""
        return self._categories(()) if self.options.by else self.categories

    @cached_property
    def attainment(self) -> pd.DataFrame | None:
        """How far the targets are reached; None where there are none."""
        options = self.options
        if options.targets is None:
            return None
        return targets.attainment(
            self.pipeline,
            options.targets,
            fiscal_year_start=options.fiscal_year_start,
            overdue=options.overdue,
            probability=options.probability,
            correlation=options.correlation,
        )

    @cached_property
    def attainment_periods(self) -> pd.DataFrame | None:
        """The attainment with its periods as pandas has them; None where there are no targets."""
        if self.attainment is None:
            return None
        quarters = self.quarter.freqstr
        periods = [_period(text, quarters) for text in self.attainment["period"]]
        return self.attainment.assign(
            period=pd.Series(periods, index=self.attainment.index, dtype=object)
        )

    @cached_property
    def rates(self) -> pd.DataFrame | None:
        """The exchange rates that were used; None where nothing is converted."""
        converted = "fx_rate" in self.pipeline.opportunities.columns
        return fx.rates_used(self.pipeline) if converted else None

    @cached_property
    def milestones(self) -> pd.DataFrame:
        """The open deals by milestone."""
        return forecast.open_by_milestone(self.pipeline, probability=self.options.probability)

    @cached_property
    def ages(self) -> pd.DataFrame:
        """The open deals by age and milestone."""
        return forecast.open_by_age(self.pipeline, probability=self.options.probability)

    @cached_property
    def standing(self) -> pd.DataFrame:
        """What is open and overdue in each currency, most open and won deals first.

        Whatever the forecast does with overdue deals, they are open and overdue.
        """
        table = self._totals(["currency"])
        table["deals"] = table["open_deals"] + table["won_deals"]
        known = table["currency"].notna()
        order = ["known", "deals", "currency"]
        rows = table.assign(known=known).sort_values(order, ascending=[False, False, True])
        return rows.drop(columns=["known", "deals"]).reset_index(drop=True)

    @cached_property
    def owners(self) -> pd.DataFrame:
        """What each owner has won and expects this quarter, and holds open, by currency."""
        placing = self.options.placing() | {"by": "owner", "period": "quarter"}
        table = forecast.by_month(self.pipeline, **placing)
        keys = ["owner", "currency"]
        now = table["quarter"] == self.quarter
        quarter = table.loc[now, [*keys, "won_value", "expected_value"]]
        held = self._totals(keys)[[*keys, *_STANDING]]
        rows = held.merge(quarter, on=keys, how="left", validate="one_to_one")
        return rows.fillna({"won_value": 0.0, "expected_value": 0.0})

    @cached_property
    def open_deals(self) -> pd.DataFrame:
        """The open deals, the largest first: the frame, with their figures in the forecast.

        ``probability`` is the one that counts; added are ``weighted``, and ``late``: whether the
        expected close has passed.
        """
        frame = self.pipeline.opportunities
        frame = frame[(frame["status"] == "open").to_numpy(dtype=bool)]
        chance = chances(frame, self.options.probability)
        rows = frame.assign(
            probability=chance,
            weighted=frame["tcv"] * chance,
            late=quality.overdue(frame, self.pipeline.as_of).to_numpy(dtype=bool),
        )
        return rows.reset_index().sort_values("tcv", ascending=False, kind="stable")

    @cached_property
    def severities(self) -> dict[str, int]:
        """How many data-quality findings there are of each severity."""
        counts: dict[str, int] = self.pipeline.issues["severity"].value_counts().to_dict()
        return counts

    @cached_property
    def month(self) -> pd.Period:
        """The month of the as-of day."""
        return pd.Period(self.pipeline.as_of, freq="M")

    @cached_property
    def quarter(self) -> pd.Period:
        """The (fiscal) quarter of the as-of day."""
        return pd.Period(self.pipeline.as_of, freq=self.forecast_quarter["quarter"].dt.freq)

    @cached_property
    def headlines(self) -> tuple[Headline, ...]:
        """What is asked for first, one a currency that has an open or a won deal."""
        return tuple(self._headline(row) for row in self.standing.to_dict("records"))

    @cached_property
    def sheets(self) -> tuple[Sheet, ...]:
        """The tables that leave as files, in the order of the workbook."""
        options = self.options
        deals = self.pipeline.opportunities.reset_index()
        sheets = {
            "forecast": ("Forecast", forecast_columns(self.forecast), FORECAST_AMOUNTS, ()),
            "revenue": ("Revenue", self.revenue, REVENUE_AMOUNTS, ()),
            "scenarios": ("Categories", self.categories, _CATEGORY_AMOUNTS, ()),
            "targets": ("Targets", self.attainment, _TARGET_AMOUNTS, ()),
            "changes": ("Changes", options.changes, ("value",), ()),
            "changed_deals": ("Changed deals", options.changed_deals, ("value",), ()),
            "opportunities": ("Opportunities", deals, _FRAME_AMOUNTS, _FRAME_DAYS),
            "data_quality": ("Data quality", self.pipeline.issues, (), ()),
            "rates": ("Rates", self.rates, ("original_tcv", "tcv"), ("date", "rate_date")),
        }
        return tuple(
            Sheet(file, title, frame, amounts, days)
            for file, (title, frame, amounts, days) in sheets.items()
            if frame is not None
        )

    @cached_property
    def charts(self) -> dict[str, pd.DataFrame]:
        """What the charts are drawn from, by the name of their file and of their function."""
        charts = {
            "forecast": self.forecast_total,
            "revenue": self.revenue_total,
            "targets": self.attainment,
            "changes": self.options.changes,
        }
        return {name: table for name, table in charts.items() if table is not None}

    @cached_property
    def _held(self) -> pd.DataFrame:
        """All open and won deals by owner and currency, the overdue in their own period."""
        return forecast.by_month(
            self.pipeline, by="owner", period="year", probability=self.options.probability
        )

    def _totals(self, keys: list[str]) -> pd.DataFrame:
        """Sum what is held over the years, and over owners where they are not asked for."""
        sums = self._held.groupby(keys, dropna=False)[[*_STANDING, "won_deals"]].sum()
        return sums.reset_index()

    def _forecast(self, by: tuple[str, ...], **more: Any) -> pd.DataFrame:  # noqa: ANN401
        options = self.options
        asked: dict[str, Any] = {
            "ranges": True,
            "correlation": options.correlation,
            "target": options.target,
        }
        return forecast.by_month(self.pipeline, **(options.placing() | asked | {"by": by} | more))

    def _without_groups(self, period: str) -> pd.DataFrame:
        if self.options.period == period:
            return self.forecast_total
        return self._forecast((), period=period, target=None)

    def _categories(self, by: tuple[str, ...]) -> pd.DataFrame:
        placing = self.options.placing() | {"by": by}
        return scenarios.by_category(self.pipeline, thresholds=self.options.thresholds, **placing)

    def _headline(self, standing: dict[str, Any]) -> Headline:
        currency = None if pd.isna(standing["currency"]) else str(standing["currency"])
        ages = in_currency(self.ages, currency)
        old = ages[ages["age"].isin(forecast.AGES[-2:])]
        return Headline(
            currency,
            month=_outlook(self.forecast_month, self.month, currency),
            quarter=_outlook(self.forecast_quarter, self.quarter, currency),
            **{name: standing[name] for name in _STANDING},
            old_deals=int(old["open_deals"].sum()),
            old_value=float(old["open_value"].sum()),
            target=self._running_target(currency),
        )

    def _running_target(self, currency: str | None) -> dict[str, object] | None:
        """Find the whole team's target that is running: the quarter's, else month's or year's."""
        if self.attainment_periods is None:
            return None
        now = self.quarter
        periods = [now, self.month, _period(f"{now.qyear}", now.freqstr)]
        rows = self.attainment_periods
        rows = rows[(rows["currency"] == currency).fillna(value=False).to_numpy(dtype=bool)]
        if "owner" in rows.columns:
            rows = rows[rows["owner"].isna()]
        found = rows[rows["period"].isin(periods)]
        if found.empty:
            return None
        first = found["period"].map(periods.index).idxmin()
        return {str(name): value for name, value in found.loc[first].items()}


def figures_of(pipeline: Pipeline, options: Options | None = None) -> Figures:
    """Take the figures of a report from a pipeline.

    Parameters
    ----------
    pipeline
        The account.
    options
        How the figures are made; None for the defaults.

    Returns
    -------
    The figures. Each is computed when it is first asked for.

    Raises
    ------
    ArgumentError
        If a format is none; the figures themselves raise what the functions do that make them.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> figures = figures_of(ca.load_sample())
    >>> head = figures.headlines[0]
    >>> head.currency, head.month.won, head.month.expected
    ('GBP', 26650.0, 320725.0)
    >>> figures.forecast is figures.forecast_total
    True
    """
    options = options or Options()
    if unknown := set(options.formats) - set(FORMATS):
        raise ArgumentError(f"unknown format {min(unknown)!r}; valid are {', '.join(FORMATS)}")
    return Figures(pipeline, options)


def in_currency(table: pd.DataFrame, currency: str | None) -> pd.DataFrame:
    """Return the rows of one currency, or of none."""
    column = table["currency"].astype("object")
    rows = column.isna() if currency is None else (column == currency)
    return table[rows.to_numpy(dtype=bool)]


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


def _outlook(table: pd.DataFrame, now: pd.Period, currency: str | None) -> Outlook:
    """Read the as-of period of a currency from its forecast; zeros if nothing is in it."""
    rows = in_currency(table[(table.iloc[:, 0] == now).to_numpy(dtype=bool)], currency)
    if rows.empty:
        return Outlook(now)
    names = ["won_value", "expected_value", "p10", "p90"]
    return Outlook(now, *(float(amount) for amount in rows[names].iloc[0]))


def _period(text: str, quarters: str) -> pd.Period:
    """Return the period that a target names, with quarters of a frequency such as ``Q-DEC``."""
    if "Q" in text:
        return pd.Period(text.replace("-Q", "Q"), freq=quarters)
    return pd.Period(text, freq="M" if "-" in text else quarters.replace("Q-", "Y-"))
