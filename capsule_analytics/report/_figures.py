"""Everything that a report shows, computed once from a pipeline and options.

What writes a report (CSV, charts, page, workbook, terminal, notebook card) takes its figures from
here and computes none, so that a figure that is shown twice is the same object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from capsule_analytics import (
    attention,
    calibration,
    forecast,
    fx,
    history,
    quality,
    scenarios,
    targets,
)
from capsule_analytics._card import card
from capsule_analytics._deals import chances
from capsule_analytics._safe_text import one_line
from capsule_analytics._words import (
    currency_name,
    format_compact,
    format_money,
    percent,
)
from capsule_analytics.errors import ArgumentError, MissingExtraError
from capsule_analytics.schema import TEXT

from ._options import FORMATS, Options
from ._outlook import MONTHS_AHEAD, PROJECTION_AMOUNTS, Against, in_currency, outlook_table
from ._summed import (
    FORECAST_AMOUNTS,
    REVENUE_AMOUNTS,
    Sheet,
    Summed,
    forecast_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capsule_analytics.projection import Projection
    from capsule_analytics.schema import Pipeline

    from ._outlook import Outlook

_NAMED = 3
_NAME = 40

MEANINGS = {
    "Projection": (
        "What will have been won in a period: won already, from open deals whenever they "
        "close, and from business that is not in the list yet. Learnt from what earlier deals "
        "became."
    ),
    "P10, P50, P90 of the projection": (
        "The outcome is below P10 once in ten times, below P50 five times and below P90 nine "
        "times, as far as the track record bears it out."
    ),
    "Track record": ("What was projected for past months, beside what they brought."),
    "Weighted value": (
        "TCV times the stated probability of each open deal, in the month of its expected "
        "close: what would be won on average if every stated probability and date were right."
    ),
    "P10, P50, P90 of the weighted forecast": (
        "The spread that chance alone would leave if every stated probability and date were "
        "right. They seldom are, so the outcome lies outside far more often than twice in "
        "ten."
    ),
    "Expected value": ("Won, and of open deals the weighted value; in a projection, its mean."),
    "Stake": ("TCV times the chance that the deal is won within a year."),
    "Win rate": (
        "Won divided by won and lost; deals lost for a reason that the account leaves out of "
        "its conversion rate are not counted. rate_of_all counts them as lost."
    ),
}
"""What the figures of a report mean, in the words of the workbook and the page."""

_LAST_SHEETS = ("Opportunities", "Data quality", "Rates")
TRACK_AMOUNTS = ("expected_value", "p10", "p50", "p90", "actual_value")
_CHANCES = ("won_this_month", "won_this_quarter", "won_within_year", "won_ever")
_CATEGORY_AMOUNTS = ("won_value", "commit_value", "best_case_value", "pipeline_value")
_TARGET_AMOUNTS = ("target", "won_value", "expected_value", "gap")
_FRAME_AMOUNTS = ("value", "tcv", "original_value", "original_tcv")
_FRAME_DAYS = ("expected_close", "closed_at", "fx_date")


@dataclass(frozen=True)
class Attention:
    """Which deals need someone, in one currency: the few to begin with, and what they hold.

    Attributes
    ----------
    currency
        ISO code; None for deals without one.
    deals, stake
        Of all deals that need someone.
    first_deals, first_stake
        Of the first of them.
    names
        The three with the largest stake: id, name and stake.
    """

    currency: str | None
    deals: int
    stake: float
    first_deals: int
    first_stake: float
    names: tuple[tuple[int, str, float], ...]

    @property
    def name(self) -> str:
        """The currency's code, or words where there is none."""
        return currency_name(self.currency)

    @property
    def opening(self) -> str:
        """Say how many, and how much of what is at stake the first of them hold."""
        need = "1 deal needs someone" if self.deals == 1 else f"{self.deals:,} deals need someone"
        if not self.first_deals:
            return need
        stake = format_compact(self.stake, self.currency)
        if self.first_deals == self.deals:
            return f"{need}, with {stake} at stake"
        hold = "holds" if self.first_deals == 1 else "hold"
        return (
            f"{self.first_deals:,} of {self.deals:,} deals that need someone {hold} "
            f"{percent(self.first_stake / self.stake)} of the {stake} at stake"
        )

    @property
    def linked(self) -> tuple[tuple[int, str], ...]:
        """The id of each that is named, and its name with the stake."""
        return tuple(
            (deal, f"{name} ({format_compact(stake, self.currency)})")
            for deal, name, stake in self.names
        )

    @property
    def sentence(self) -> str:
        """Say both in one line."""
        *others, last = [named for _, named in self.linked] or [""]
        listed = f"{', '.join(others)} and {last}" if others else last
        return f"{self.opening}{': ' * bool(listed)}{listed}."


@dataclass(frozen=True, eq=False)
class Figures(Summed):
    """Everything that a report shows; each is computed when it is first asked for, and once.

    Leads with `outlook`: what will probably be won. The weighted forecast beside it says what would
    be, if every stated probability and date were right.

    Attributes
    ----------
    pipeline
        The account.
    options
        How the figures are made.
    """

    lists_deals: ClassVar[bool] = True
    whose: ClassVar[str] = "owner"

    pipeline: Pipeline
    options: Options = field(default_factory=Options)

    @property
    def source(self) -> Pipeline:
        """What is summed."""
        return self.pipeline

    @property
    def changes(self) -> pd.DataFrame | None:
        """The bridge from an earlier day; None where there is none."""
        return self.options.changes

    @cached_property
    def projection(self) -> Projection | None:
        """The projection, fitted on the snapshots and the account; None where it is not wanted."""
        if not self.options.projection:
            return None
        from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

        return projection.fit([*self.options.snapshots, self.pipeline])

    @cached_property
    def projected(self) -> pd.DataFrame | None:
        """What will probably be won by month and currency; None without a projection."""
        return None if self.projection is None else self.projection.by_month(MONTHS_AHEAD)

    @cached_property
    def projected_quarters(self) -> pd.DataFrame | None:
        """The same by (fiscal) quarter, projected as such."""
        if self.projection is None:
            return None
        return self.projection.by_month(
            MONTHS_AHEAD, period="quarter", fiscal_year_start=self.options.fiscal_year_start
        )

    @cached_property
    def projected_deals(self) -> pd.DataFrame | None:
        """The chances of each open deal, those that bring most first; None without a projection.

        As `Projection.deals` gives them, with ``id``, ``name``, ``party`` as first columns, and
        chances to four digits.
        """
        if self.projection is None:
            return None
        deals = self.projection.deals()
        names = self.pipeline.opportunities[["name", "party"]].astype(TEXT).reindex(deals.index)
        table = names.join(deals)
        order = (table["tcv"] * table["won_within_year"]).fillna(0.0)
        table = table.loc[order.sort_values(ascending=False, kind="stable").index]
        return table.round(dict.fromkeys(_CHANCES, 4)).reset_index(names="id")

    @cached_property
    def track(self) -> pd.DataFrame | None:
        """Past projections beside what came, over twelve months; None without a projection."""
        return None if self.projection is None else self.projection.track_record()

    @cached_property
    def track_words(self) -> str:
        """How projections of the main currency came true, in words; empty without a projection."""
        return self.outlook[0].track if self.outlook else ""

    @cached_property
    def needs(self) -> pd.DataFrame:
        """The open deals that need someone, as `attention.needing` gives them, with ``link``."""
        options = self.options
        table = attention.needing(self.pipeline, options.before, options.snapshots, self.projection)
        if not options.web:
            return table.assign(link=pd.array([pd.NA] * len(table), dtype=TEXT))
        links = (f"{options.web}/opportunity/" + table["id"].astype(str)).astype(TEXT)
        return table.assign(link=links.where(table["id"] > 0))  # others have no id in Capsule

    @cached_property
    def attention(self) -> tuple[Attention, ...]:
        """The few deals to begin with, one a currency in the order of `headlines`.

        Currencies in which no deal needs someone are left out.
        """
        needs = self.needs[(self.needs["urgency"] != "note").to_numpy(dtype=bool)]
        parts = [(head.currency, in_currency(needs, head.currency)) for head in self.headlines]
        return tuple(_attention(currency, rows) for currency, rows in parts if len(rows))

    @cached_property
    def ended(self) -> pd.DataFrame:
        """The deals that have ended."""
        return calibration.ended(self.pipeline)

    @cached_property
    def win_rates_by_owner(self) -> pd.DataFrame | None:
        """Both win rates by owner; None where nothing has ended or scipy is not installed."""
        return self._win_rates("owner")

    @cached_property
    def win_rates_by_quarter(self) -> pd.DataFrame | None:
        """Both win rates by the (fiscal) quarter of the close; None as for those by owner."""
        return self._win_rates("quarter")

    @cached_property
    def lost_reasons(self) -> pd.DataFrame:
        """The lost deals by currency and reason, with the shares of both rates."""
        return calibration.lost_reasons(self.pipeline)

    @cached_property
    def conversion(self) -> pd.DataFrame | None:
        """How many deals move on from each milestone; None without snapshots."""
        if not self.options.snapshots:
            return None
        return calibration.milestone_steps(self.options.snapshots, self.pipeline)

    @cached_property
    def velocity(self) -> pd.DataFrame:
        """Win rate, deal size, cycle and velocity by currency."""
        return calibration.velocity(self.pipeline)

    @cached_property
    def slippage_by_owner(self) -> pd.DataFrame | None:
        """How often each owner's deals were pushed out; None without snapshots."""
        if not self.options.snapshots:
            return None
        slips = history.slippage([*self.options.snapshots, self.pipeline])
        return history.slippage_by_owner(slips)

    @cached_property
    def time_at_milestone(self) -> pd.DataFrame:
        """The open deals by the time that they have stood at their milestone."""
        return forecast.open_by_age(
            self.pipeline, probability=self.options.probability, since="last_stage_changed_at"
        )

    @cached_property
    def quality_by_owner(self) -> pd.DataFrame:
        """The data-quality findings by owner."""
        return quality.by_owner(self.pipeline)

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

    @property
    def converted(self) -> bool:
        """Whether amounts were converted to a home currency."""
        return self.rates is not None

    @cached_property
    def milestones(self) -> pd.DataFrame:
        """The open deals by milestone."""
        return forecast.open_by_milestone(self.pipeline, probability=self.options.probability)

    @cached_property
    def ages(self) -> pd.DataFrame:
        """The open deals by age and milestone."""
        return forecast.open_by_age(self.pipeline, probability=self.options.probability)

    @cached_property
    def owners(self) -> pd.DataFrame:
        """What each owner has won and expects this quarter, and holds open, by currency."""
        return self._holders()

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
    def sheets(self) -> tuple[Sheet, ...]:
        """The tables that leave as files, in the order of the workbook."""
        options = self.options
        deals = self.pipeline.opportunities.reset_index()
        sheets = {
            "projection": ("Projection", self.projected, PROJECTION_AMOUNTS, ()),
            "track_record": ("Track record", self.track, TRACK_AMOUNTS, ()),
            "changes": ("Changes", options.changes, ("value",), ()),
            "changed_deals": ("Changed deals", options.changed_deals, ("value",), ()),
            "attention": ("Need someone", self.needs, ("tcv", "stake"), ()),
            "projected_deals": ("Projected deals", self.projected_deals, ("tcv",), ()),
            "forecast": (
                "Weighted forecast",
                forecast_columns(self.forecast),
                FORECAST_AMOUNTS,
                (),
            ),
            "revenue": ("Revenue", self.revenue, REVENUE_AMOUNTS, ()),
            "scenarios": ("Categories", self.categories, _CATEGORY_AMOUNTS, ()),
            "targets": ("Targets", self.attainment, _TARGET_AMOUNTS, ()),
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
    def workbook(self) -> dict[str, pd.DataFrame]:
        """The sheets of the workbook by title: those of `sheets`, and what the page shows beside.

        In the order of the page: what will probably be won, what needs someone, the weighted
        forecast, then how the account works, its deals and their quality, and what figures mean.
        """
        files = {sheet.title: sheet.frame for sheet in self.sheets}
        last = {title: files.pop(title) for title in _LAST_SHEETS if title in files}
        how = {
            "Win rates by owner": self.win_rates_by_owner,
            "Win rates by quarter": self.win_rates_by_quarter,
            "Lost reasons": self.lost_reasons,
            "Conversion": self.conversion,
            "Velocity": self.velocity,
            "Slippage by owner": self.slippage_by_owner,
            "Quality by owner": self.quality_by_owner,
        }
        shown = {title: table for title, table in how.items() if table is not None and len(table)}
        first = {"Outlook": outlook_table(self.outlook)} if self.outlook else {}
        meanings = pd.DataFrame(list(MEANINGS.items()), columns=["figure", "meaning"])
        return first | files | shown | last | {"How figures are made": meanings}

    def _repr_html_(self) -> str:
        """Show what the report leads with, in a notebook: the outlook, and what needs someone."""
        rows = [
            (
                f"{period.name}, {one.name}",
                *(
                    format_money(amount, one.currency, whole=True)
                    for amount in (period.won, period.expected, period.low, period.high)
                ),
            )
            for one in self.outlook
            for period in (one.month, one.quarter)
        ]
        return card(
            self.pipeline.account or "Capsule account",
            f"report as of {self.pipeline.as_of}",
            [
                *(one.sentence for one in self.outlook[:1]),
                *(one.sentence for one in self.attention[:1]),
            ],
            ("Probably won", "So far", "Expected", "P10", "P90"),
            rows,
        )

    @property
    def charts(self) -> Iterator[tuple[str, tuple[pd.DataFrame, ...]]]:
        """Give the charts of the targets and of all that is summed."""
        if self.attainment is not None:
            yield "targets", (self.attainment,)
        yield from super().charts

    def _categories(self, by: tuple[str, ...]) -> pd.DataFrame:
        placing = self.options.placing() | {"by": by}
        return scenarios.by_category(self.pipeline, thresholds=self.options.thresholds, **placing)

    def _record(self, currency: str | None) -> str:
        from capsule_analytics import projection  # noqa: PLC0415 - only where it is wanted

        assert self.track is not None  # noqa: S101 - there is a projection
        return projection.track_words(in_currency(self.track, currency))

    def _against(self, quarter: Outlook, currency: str | None) -> Against | None:
        """Hold a projected quarter against its target, else against the same one of last year."""
        rows = self.attainment_periods
        if rows is not None:
            rows = in_currency(rows[_whole_team(rows)], currency)
            rows = rows[(rows["period"] == quarter.period).to_numpy(dtype=bool)]
            if len(rows) and rows["target"].iloc[0] > 0:
                amount = float(rows["target"].iloc[0])
                money = format_compact(amount, currency)
                share = percent(quarter.expected / amount)
                return Against(amount, target=True, words=f"{share} of the target of {money}")
        return super()._against(quarter, currency)

    def _win_rates(self, by: str) -> pd.DataFrame | None:
        if self.ended.empty:
            return None
        start = self.options.fiscal_year_start
        return where_installed(
            lambda: calibration.win_rates(self.ended, by=[by], fiscal_year_start=start)
        )

    def _running_target(self, currency: str | None) -> dict[str, object] | None:
        """Find the whole team's target that is running: the quarter's, else month's or year's."""
        if self.attainment_periods is None:
            return None
        now = self.quarter
        periods = [now, self.month, _period(f"{now.qyear}", now.freqstr)]
        rows = self.attainment_periods
        rows = rows[(rows["currency"] == currency).fillna(value=False).to_numpy(dtype=bool)]
        rows = rows[_whole_team(rows)]
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


def _attention(currency: str | None, needs: pd.DataFrame) -> Attention:
    """Sum up the deals of a currency that need someone."""
    first = needs[(needs["urgency"] == "first").to_numpy(dtype=bool)]
    names = tuple(
        (deal, f"deal {deal}" if pd.isna(name) else _cut(one_line(name)), stake)
        for deal, name, stake in first[["id", "name", "stake"]].head(_NAMED).itertuples(index=False)
    )
    stake = float(needs["stake"].clip(lower=0).sum())
    return Attention(currency, len(needs), stake, len(first), float(first["stake"].sum()), names)


def _cut(name: str) -> str:
    """Cut a long name, so that a sentence stays one."""
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _whole_team(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark the targets of value that are everybody's."""
    whole = np.ones(len(rows), dtype=bool)
    for name in ("owner", "pipeline"):
        if name in rows.columns:
            whole &= rows[name].isna().to_numpy(dtype=bool)
    if "measure" in rows.columns:
        whole &= (rows["measure"].astype(object) != "deals").to_numpy(dtype=bool)
    return whole


def where_installed(make: Callable[[], pd.DataFrame]) -> pd.DataFrame | None:
    """Make a table unless it needs an extra that is not there."""
    try:
        return make()
    except MissingExtraError:
        return None


def _period(text: str, quarters: str) -> pd.Period:
    """Return the period that a target names, with quarters of a frequency such as ``Q-DEC``."""
    if "Q" in text:
        return pd.Period(text.replace("-Q", "Q"), freq=quarters)
    return pd.Period(text, freq="M" if "-" in text else quarters.replace("Q-", "Y-"))
