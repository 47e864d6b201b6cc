"""A fitted projection, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capsule_analytics._card import card
from capsule_analytics._deals import Period, Placing, day_of
from capsule_analytics._words import currency_name, format_money
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT

from ._evidence import (
    OPEN,
    VANISHED,
    WON,
    History,
    Sightings,
    day_from,
    day_number,
    in_order,
    month_of,
    month_start,
    read,
    read_each,
)
from ._fit import Evidence, Fitted
from ._known import NO_PRIOR, Prior
from ._reasons import reasons_of
from ._record import record_of, track_words
from ._track import (
    LOOKED_BACK,
    Correction,
    Past,
    corrected,
    correction_of,
    monthly,
    naive_law,
    past_fits,
    past_months,
    pasts_of,
)
from ._window import LONGEST, Outlooks, Window, window, won_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from capsule_analytics.schema import Pipeline

    from ._totals import Projected

_GROUPS = ("owner", "team", "pipeline", "party", "milestone")
_QUANTILES = (0.1, 0.5, 0.9)
_LENGTHS = {"month": 1, "quarter": 3, "year": 12}
_Z90 = 1.6448536269514722
_FEW = 30
_CHANGEABLE = ("milestone", "expected_close", "probability", "tcv", "owner")
_SHARES_HALF_LIFE = 365.0


@dataclass(frozen=True)
class Basis:
    """What a projection stands on.

    Attributes
    ----------
    deals, ended, won
        Deals ever seen, those that ended, and of these the won ones.
    snapshots
        Days on which the account was seen.
    months_seen, months_rebuilt
        Past month ends known from snapshots, and rebuilt from dates alone.
    breaks
        The month with which the present level of new deals began, by currency, where it changed.
    scored
        Past months whose projection was held against what came, by currency.
    inside
        How many of these lay within P10 to P90.
    """

    deals: int
    ended: int
    won: int
    snapshots: int
    months_seen: int
    months_rebuilt: int
    breaks: dict[str, pd.Period]
    scored: dict[str, int]
    inside: dict[str, int]

    @property
    def is_thin(self) -> bool:
        """Whether fewer than 30 deals ended or none was won, so that priors speak."""
        return self.ended < _FEW or self.won == 0

    def __str__(self) -> str:
        """Say it in a sentence or two."""
        parts = [
            f"{self.deals:,} deals, {self.ended:,} of them ended and {self.won:,} won",
            f"{self.months_seen} months seen in {self.snapshots} snapshots",
        ]
        if self.months_rebuilt:
            parts.append(f"{self.months_rebuilt} rebuilt from dates")
        text = "; ".join(parts) + "."
        for currency, month in self.breaks.items():
            text += f" New {currency or 'unpriced'} deals changed their level in {month}."
        if self.is_thin:
            text += " Too little has ended to tell much: general experience fills in."
        return text


class Projection:
    """What will be won, and when, with how much certainty; made by `fit`.

    Attributes
    ----------
    as_of
        The day that counts as over.
    account
        Name of the account.
    currencies
        The currencies that deals are in; an empty text stands for none.
    basis
        What the projection stands on.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> model = fit(ca.history.sample_history())
    >>> model.as_of.isoformat(), model.currencies[:3]
    ('2026-10-15', ('', 'CHF', 'EUR'))
    """

    def __init__(
        self,
        evidence: Evidence,
        fitted: Fitted,
        present: Sightings,
        pasts: Mapping[int, Sequence[Past]],
        snapshots: int,
    ) -> None:
        self._evidence, self._fitted, self._present = evidence, fitted, present
        self._pasts, self._snapshots = pasts, snapshots
        self._corrections = {code: correction_of(of_code) for code, of_code in pasts.items()}
        self._outlooks = Outlooks(fitted, present)
        self._series = {
            code: monthly(evidence, code, int(month_of(fitted.today + 1))) for code in fitted.levels
        }
        self._codes = sorted(fitted.levels, key=self._name)
        self._windows: dict[tuple[int, int, int], Window] = {}

    @property
    def as_of(self) -> date:
        """The day that counts as over."""
        return day_from(self._fitted.today)

    @property
    def account(self) -> str:
        """Name of the account."""
        return self._evidence.history.account

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies that deals are in; an empty text stands for none."""
        return tuple(self._name(code) for code in self._codes)

    @property
    def basis(self) -> Basis:
        """What the projection stands on."""
        history = self._evidence.history
        kind = history.deals.kind
        at = history.sightings
        breaks = {
            self._name(code): _month(level.began)
            for code, level in self._fitted.levels.items()
            if level.began is not None
        }
        return Basis(
            deals=len(kind),
            ended=int((kind != OPEN).sum() - (kind == VANISHED).sum()),
            won=int((kind == WON).sum()),
            snapshots=self._snapshots,
            months_seen=len(np.unique(at.day[at.seen])),
            months_rebuilt=len(np.unique(at.day[~at.seen])),
            breaks=breaks,
            scored={self._name(c): one.months for c, one in self._corrections.items()},
            inside={self._name(c): one.inside for c, one in self._corrections.items()},
        )

    def __repr__(self) -> str:
        """Say what is projected, from what, and the next month's range."""
        basis = self.basis
        now = int(month_of(self._fitted.today + 1))
        parts = []
        for code in self._codes[:3]:
            law = self._law(int(month_start(now)), int(month_start(now + 1)), code)
            low, high = law.quantile([0.1, 0.9])
            name = self._name(code) or "no currency"
            parts.append(f"{name} {law.mean:,.0f} ({low:,.0f} to {high:,.0f})")
        if len(self._codes) > len(parts):
            parts.append(f"{len(self._codes) - len(parts)} more currencies")
        of = f" of {self.account}" if self.account else ""
        thin = ", thin evidence" if basis.is_thin else ""
        return (
            f"<Projection{of} as of {self.as_of}: {_month(now)} {'; '.join(parts) or 'nothing'}; "
            f"from {basis.ended:,} ended deals, {basis.won:,} won, {basis.snapshots} "
            f"snapshots{thin}>"
        )

    def _repr_html_(self) -> str:
        """Show the coming quarter by month in a notebook, what it stands on, and its record."""
        table = self.by_month(3)
        record = self.track_record()
        names = record["currency"].map(currency_name)
        told = [
            f"{currency}: {track_words(record[(names == currency).to_numpy(dtype=bool)])}"
            for currency in dict.fromkeys(table["currency"].map(currency_name))
        ]
        rows = [
            (
                f"{row['month']:%B %Y}, {currency_name(row['currency'])}",
                *(
                    format_money(row[name], row["currency"], whole=True)
                    for name in ("won_value", "expected_value", "p10", "p90")
                ),
            )
            for row in table.to_dict("records")
        ]
        return card(
            self.account or "Capsule account",
            f"projection as of {self.as_of}",
            [str(self.basis), "P10 to P90 holds four of five outcomes.", *told],
            ("Probably won", "So far", "Expected", "P10", "P90"),
            rows,
        )

    def distribution(
        self, start: date | str, end: date | str, currency: str | None = None
    ) -> Projected:
        """Give the distribution of what will have been won from a day to before another.

        What was won in the period already is in it, and certain.

        Parameters
        ----------
        start, end
            First day, and the day after the last; dates or texts such as 2026-10-15. A part of a
            month counts by its days.
        currency
            Of several, the one to project; may be left out where there is one.

        Returns
        -------
        The distribution of the total, in the currency: ``mean``, ``quantile``, ``cdf``,
        ``chance_of``, and ``won_value``, ``open_value``, ``new_value`` that the mean is made of.

        Raises
        ------
        ArgumentError
            If the period is empty, or no or an unknown currency is given where there are several.

        Examples
        --------
        >>> import capsule_analytics as ca
        >>> model = fit(ca.load_sample())
        >>> quarter = model.distribution("2027-01-01", "2027-04-01", "GBP")
        >>> quarter.quantile(0.1) < quarter.mean < quarter.quantile(0.9)
        True
        """
        first, last = self._period(start, end)
        return self._law(first, last, self._code(currency))

    def chance_of(
        self,
        amount: float,
        period: str | pd.Period | tuple[date | str, date | str] | None = None,
        currency: str | None = None,
    ) -> float:
        """Give the chance that a period brings at least an amount.

        Parameters
        ----------
        amount
            In the currency of the projection.
        period
            A period as pandas writes it (``2026-11``, ``2026Q4``, ``2026``), or its first day and
            the day after its last. None is the month of the day after the as-of day.
        currency
            Of several, the one to project.

        Returns
        -------
        ``P(total >= amount)``, 0 to 1.

        Raises
        ------
        ArgumentError
            If the period cannot be read, the amount is no number, or the currency is not clear.

        Examples
        --------
        >>> import capsule_analytics as ca
        >>> model = fit(ca.load_sample())
        >>> 0 < model.chance_of(400_000, "2027Q1", "GBP") < 1
        True
        """
        start, end = self._days(period)
        return self._law(start, end, self._code(currency)).chance_of(amount)

    def by_month(
        self,
        months: int = 6,
        *,
        period: Period = "month",
        by: str | None = None,
        target: float | None = None,
        fiscal_year_start: int = 1,
    ) -> pd.DataFrame:
        """Project the coming months, quarters or years.

        The first row is the period in which the day after the as-of day lies, with what it has
        brought so far. Quarters and years are projected as such: a deal is won once, and months
        share their luck, so that their ranges are not the sums of the months' ranges.

        Parameters
        ----------
        months
            How many months ahead to go; longer periods are those that these months lie in.
        period
            month, quarter or year.
        by
            A column to split by: owner, team, pipeline, party or milestone. Means of the parts add
            up to the whole; new business is shared out as recent wins were, and has no milestone
            (missing).
        target
            Add ``chance``: how likely each row reaches this amount.
        fiscal_year_start
            First month of the fiscal year, 1 to 12, for quarters and years.

        Returns
        -------
        One row a period, currency and part, sorted: ``month`` (or ``quarter``, ``year``; pandas
        periods), ``currency`` (missing for deals without one), the column of `by`, ``won_value``
        (so far), ``open_value``, ``new_value``, ``expected_value`` (their sum), ``p10``, ``p50``,
        ``p90``, and ``chance`` where there is a target. Amounts in the row's currency, unrounded.
        ``attrs`` has ``as_of``, ``account`` and ``basis`` (a text).

        Raises
        ------
        ArgumentError
            If an option is not valid.

        Examples
        --------
        >>> import capsule_analytics as ca
        >>> table = fit(ca.load_sample()).by_month(months=3)
        >>> table.columns.tolist()[:4], str(table["month"].iloc[0])
        (['month', 'currency', 'won_value', 'open_value'], '2026-10')
        """
        self._check(months, by)
        placing = Placing.of(self.as_of, period=period, fiscal_year_start=fiscal_year_start)
        now = int(month_of(self._fitted.today + 1))
        coming = (np.arange(now, now + months) - 23640).astype("datetime64[M]")
        numbers = placing.buckets(coming.astype("datetime64[s]"))
        numbers = np.unique(numbers)
        length = _LENGTHS[period]
        offset = 0 if period == "month" else fiscal_year_start - 1
        rows: list[dict[str, Any]] = []
        for number in numbers.tolist():
            first = number * length + offset + 23640
            start, end = int(month_start(first)), int(month_start(first + length))
            for code in self._codes:
                laws = self._parts(start, end, code, by)
                for name, law in laws:
                    part = {by: pd.NA if name is None else name} if by else {}
                    rows.append(self._row(number, code, part, law, target))
        columns = [period, "currency", *([by] if by else [])]
        columns += ["won_value", "open_value", "new_value", "expected_value", "p10", "p50", "p90"]
        columns += [] if target is None else ["chance"]
        table = pd.DataFrame(rows, columns=["bucket", *columns[1:]])
        found = table.pop("bucket").to_numpy(dtype=np.int64)
        table.insert(0, period, placing.periods(found))
        table = table.astype({name: TEXT for name in ("currency", by) if name})
        table.attrs = {
            "as_of": self.as_of.isoformat(),
            "account": self.account,
            "basis": str(self.basis),
        }
        return table

    def deals(self) -> pd.DataFrame:
        """Tell of every open deal how likely it is won, when, and why.

        Returns
        -------
        One row an open deal, index ``id``: ``currency``, ``tcv``, ``milestone``, ``owner``,
        ``won_this_month``, ``won_this_quarter`` (calendar periods in which the day after the as-of
        day lies), ``won_within_year`` (twelve months), ``won_ever`` (chances, 0 to 1),
        ``likely_month`` (the month in which it is most likely won, if it is), ``reasons`` (what
        moves its odds of being won soon against the average open deal, in words and factors).
        """
        return self._deals.copy()

    @cached_property
    def _deals(self) -> pd.DataFrame:
        """The table of `deals`, which a report shows and sorts other tables by."""
        history, at = self._evidence.history, self._present
        now = int(month_of(self._fitted.today + 1))
        quarter = now - now % 3
        periods = {
            "won_this_month": (now, now + 1),
            "won_this_quarter": (quarter, quarter + 3),
            "won_within_year": (now, now + 12),
            "won_ever": (now, now + LONGEST),
        }
        chances = {name: np.zeros(len(at)) for name in periods}
        for code in np.unique(at.currency).tolist():
            so_far = np.zeros(len(at))
            for name, (first, end) in periods.items():
                part = self._window(int(month_start(first)), int(month_start(end)), code)
                # Longer periods have other shocks, but never less time.
                so_far[part.deals] = np.maximum(so_far[part.deals], part.chances())
                chances[name][part.deals] = so_far[part.deals]
        ahead = self._outlooks.months(LONGEST).won
        likely = now + (np.argmax(ahead, axis=1) if len(at) else np.zeros(0, dtype=np.int64))
        table = pd.DataFrame(
            {
                "currency": pd.array(_names(history.currencies, at.currency), dtype=TEXT),
                "tcv": at.tcv,
                "milestone": pd.array(_names(history.milestones, at.milestone), dtype=TEXT),
                "owner": pd.array(_names(history.owners, at.owner), dtype=TEXT),
                **chances,
                "likely_month": Placing(self.as_of).periods(likely.astype(np.int64) - 23640),
                "reasons": pd.array(reasons_of(self._fitted.hazards, at, history), dtype=TEXT),
            },
            index=pd.Index(history.deals.ids[at.deal], name="id"),
        )
        return table.sort_index()

    def summary(self) -> pd.DataFrame:
        """Give what was learnt of open deals, as odds ratios with intervals.

        Returns
        -------
        One row a feature: ``feature``, ``group``, ``meaning``, ``won``, ``won_low``, ``won_high``,
        ``lost``, ``lost_low``, ``lost_high`` (factors on a month's odds of being won or lost per
        unit of the feature, with the range that holds it nine times in ten), ``learnt`` (0 to 1:
        how much of the prior's variance the account's own deals have taken away for winning).
        Deals without value-bearing evidence keep their priors, and ``learnt`` is near 0.
        """
        hazards = self._fitted.hazards
        size = len(hazards.design.features)
        spread = np.sqrt(np.diag(hazards.covariance)).reshape(2, size)
        prior = np.array([feature.spread for feature in hazards.design.features])
        columns: dict[str, Any] = {
            "feature": [f.name for f in hazards.design.features],
            "group": [f.group for f in hazards.design.features],
            "meaning": [f.words for f in hazards.design.features],
        }
        for head, name in enumerate(("won", "lost")):
            columns[name] = np.exp(hazards.coef[head])
            columns[f"{name}_low"] = np.exp(hazards.coef[head] - _Z90 * spread[head])
            columns[f"{name}_high"] = np.exp(hazards.coef[head] + _Z90 * spread[head])
        columns["learnt"] = (1 - (spread[0] / prior) ** 2).clip(0, 1)
        return pd.DataFrame(columns).astype(dict.fromkeys(("feature", "group", "meaning"), TEXT))

    def track_record(self, months: int = 12) -> pd.DataFrame:
        """Put what was projected for past months beside what they brought.

        For each of the last months the model is refitted on what was known on the eve of it and
        projects it as it does today, corrected by the months before that one alone.

        Parameters
        ----------
        months
            How many of the last months, 1 to 12. Months that were not projected are left out: the
            account's first six, and those on whose eve the currency had no open deal.

        Returns
        -------
        One row a month and currency, sorted by currency and month: ``month`` (pandas periods),
        ``currency`` (missing for deals without one), ``expected_value``, ``p10``, ``p50``,
        ``p90`` (as projected), ``actual_value`` (what was won in it), ``inside`` (whether that
        lay within P10 to P90, to the cent). Amounts in the row's currency, unrounded. ``attrs``
        has ``as_of`` and ``account``. `track_words` says it in a few words.

        Raises
        ------
        ArgumentError
            If `months` is none of these.

        Examples
        --------
        >>> import capsule_analytics as ca
        >>> record = fit(ca.load_sample()).track_record()
        >>> pounds = record[record["currency"] == "GBP"]
        >>> len(pounds), bool(pounds["inside"].mean() > 0.5)
        (12, True)
        """
        if not isinstance(months, int | np.integer) or not 1 <= months <= LOOKED_BACK:
            raise ArgumentError(f"months must be 1 to {LOOKED_BACK}, not {months!r}")
        since = int(month_of(self._fitted.today + 1)) - months
        table = record_of({self._name(c): self._pasts.get(c, ()) for c in self._codes}, since)
        table.attrs = {"as_of": self.as_of.isoformat(), "account": self.account}
        return table

    def noise(self, start: date | str, end: date | str, currency: str | None = None) -> Projected:
        """Give what chance alone leaves open of a period: the noise floor.

        The distribution that the total would have if every chance and the rate of new business
        were right and known, and no luck were shared: each open deal won or not by itself, new
        ones Poisson. No model of this account can miss by less on average, if the chances are
        right.

        Parameters
        ----------
        start, end, currency
            As for `distribution`.

        Returns
        -------
        The distribution, not corrected by the track record.

        Raises
        ------
        ArgumentError
            As `distribution` raises it.
        """
        first, last = self._period(start, end)
        laid = self._window(first, last, self._code(currency))
        alone = replace(laid, new_spread=0.0, nodes=np.ones(1), weights=np.ones(1))
        return alone.total()

    def without(self, ids: int | Iterable[int]) -> Projection:
        """Project as if some open deals were not there.

        Parameters
        ----------
        ids
            One id or several, of open deals.

        Returns
        -------
        The same model for the other deals. Nothing is learnt anew.

        Raises
        ------
        ArgumentError
            If one is no open deal.
        """
        given = [ids] if isinstance(ids, int | np.integer) else list(ids)
        return self._with(self._present.where(~np.isin(self._rows(given), 1)))

    def with_(self, changes: Mapping[int, Mapping[str, Any]] | pd.DataFrame) -> Projection:
        """Project as if some open deals stood differently.

        Parameters
        ----------
        changes
            What changes by deal: ``{1587: {"milestone": "Negotiation", "probability": 0.8}}``, or
            a frame indexed by id. Of ``milestone`` (its name, or id), ``expected_close`` (a day or
            None), ``probability`` (0 to 1), ``tcv``, ``owner``. A deal that moves to another
            milestone has just arrived there.

        Returns
        -------
        The same model for the changed deals. Nothing is learnt anew.

        Raises
        ------
        ArgumentError
            If one is no open deal, or a column or value cannot be used.
        """
        given = changes.to_dict("index") if isinstance(changes, pd.DataFrame) else dict(changes)
        flags = self._rows(list(given))
        history = self._evidence.history
        ids = history.deals.ids[self._present.deal]
        present = self._present.where(np.arange(len(flags)))
        arrays = {name: array.copy() for name, array in vars(present).items()}
        for deal, change in given.items():
            position = int(np.flatnonzero(ids == deal)[0])
            for column, value in change.items():
                _apply(arrays, position, column, value, history)
        return self._with(Sightings(**arrays))

    def _with(self, present: Sightings) -> Projection:
        """Make the same model with other open deals."""
        return Projection(self._evidence, self._fitted, present, self._pasts, self._snapshots)

    def _rows(self, ids: Sequence[Any]) -> NDArray[np.bool_]:
        """Mark the open deals of some ids, all of which must be there."""
        held = self._evidence.history.deals.ids[self._present.deal]
        missing = sorted(set(ids) - set(held.tolist()), key=str)
        if missing:
            raise ArgumentError(f"no open deal has the id {missing[0]!r}")
        return np.isin(held, np.asarray(list(ids), dtype=np.int64))

    def _check(self, months: int, by: str | None) -> None:
        if not isinstance(months, int | np.integer) or not 1 <= months <= LONGEST:
            raise ArgumentError(f"months must be 1 to {LONGEST}, not {months!r}")
        if by is not None and by not in _GROUPS:
            raise ArgumentError(f"a projection splits by {', '.join(_GROUPS)}, not {by!r}")

    def _name(self, code: int) -> str:
        return self._evidence.history.currencies[code] if code >= 0 else ""

    def _code(self, currency: str | None) -> int:
        if currency is None and len(self._codes) == 1:
            return self._codes[0]
        if currency is None and not self._codes:
            return -1
        if currency is None:
            raise ArgumentError(f"choose a currency of {', '.join(filter(None, self.currencies))}")
        if currency not in self.currencies:
            raise ArgumentError(
                f"no deal is in {currency!r}; there are {', '.join(self.currencies)}"
            )
        return self._codes[self.currencies.index(currency)]

    @staticmethod
    def _period(start: date | str, end: date | str) -> tuple[int, int]:
        """Read the first day of a period and the day after its last."""
        first, last = day_number(day_of(start)), day_number(day_of(end))
        if last <= first:
            raise ArgumentError(f"a period ends after it starts, not {start} to {end}")
        return first, last

    def _days(
        self, period: str | pd.Period | tuple[date | str, date | str] | None
    ) -> tuple[int, int]:
        """Read a period as its first day and the day after its last."""
        if isinstance(period, tuple):
            return self._period(*period)
        if period is None:
            now = int(month_of(self._fitted.today + 1))
            return int(month_start(now)), int(month_start(now + 1))
        try:
            found = pd.Period(period)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"a period is like 2026-11, 2026Q4 or 2026, not {period!r}"
            ) from error
        return day_number(found.start_time.date()), day_number(found.end_time.date()) + 1

    def _window(self, start: int, end: int, currency: int) -> Window:
        """Lay out a period once: tables, charts and deals ask for the same ones."""
        key = start, end, currency
        if key not in self._windows:
            self._windows[key] = window(self._evidence.history, self._outlooks, *key)
        return self._windows[key]

    def _law(self, start: int, end: int, currency: int) -> Projected:
        laid = self._window(start, end, currency)
        return self._corrected(laid.total(), start, end, currency)

    def _corrected(self, law: Projected, start: int, end: int, currency: int) -> Projected:
        """Correct a whole projection by the account's track record."""
        correction = self._corrections.get(currency)
        if correction is None or end <= self._fitted.today + 1:
            return law
        simple = None
        first = int(month_of(start))
        whole = start > self._fitted.today and int(month_start(first)) == start
        length = int(month_of(end)) - first
        if whole and correction.naive > 0 and int(month_start(first + length)) == end:
            ahead = first - int(month_of(self._fitted.today + 1))
            simple = naive_law(self._series[currency], ahead, length)
        return corrected(law, correction, simple)

    def _parts(
        self, start: int, end: int, code: int, by: str | None
    ) -> list[tuple[str | None, Projected]]:
        """Project a period as a whole, or by the values of a column, sorted."""
        history = self._evidence.history
        laid = self._window(start, end, code)
        whole = laid.total()
        right = self._corrected(whole, start, end, code)
        if by is None:
            return [(None, right)]
        deals = history.deals
        names, held, of_deal = self._split(by)
        held = held[laid.deals]
        won = won_between(history, self._fitted.today, start, end, code)
        of_won = of_deal[won]
        share = self._shares(code, of_deal, len(names))
        ratio = (
            (right.mean - right.sure) / (whole.mean - whole.sure) if whole.mean != whole.sure else 1
        )
        found: list[tuple[str | None, Projected]] = []
        for number in range(-1, len(names)):
            mine, sure = held == number, float(deals.tcv[won[of_won == number]].sum())
            if not mine.any() and not (of_won == number).any() and not share[number]:
                continue
            law = laid.part(sure, mine, float(share[number])).total()
            open_value, new_value = law.open_value * ratio, law.new_value * ratio
            spread = corrected(
                law, replace(self._corrections.get(code, Correction()), naive=0.0), None
            )
            spread = replace(
                spread,
                open_value=open_value,
                new_value=new_value,
                mean=sure + open_value + new_value,
            )
            found.append((names[number] if number >= 0 else None, spread))
        return sorted(found, key=lambda one: (one[0] is None, one[0] or ""))

    def _split(self, by: str) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
        """Give the names of a column, and the codes of the open deals and of all deals."""
        history, present = self._evidence.history, self._present
        if by in {"team", "party"}:
            split = history.teams if by == "team" else history.parties
            return split.names, split.of_deal[present.deal], split.of_deal
        if by == "milestone":  # which is no place for deals that are won or to come
            return history.milestones, present.milestone, np.full(len(history.deals.ids), -1)
        names = history.owners if by == "owner" else history.pipelines
        return names, getattr(present, by), getattr(history.deals, by)

    def _shares(self, code: int, of_deal: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """Share new business out by recent wins; the last entry is for none."""
        shares = np.zeros(count + 1)
        deals, today = self._evidence.history.deals, self._fitted.today
        won = (deals.kind == WON) & (deals.currency == code) & (deals.end <= today)
        won = won if won.any() else deals.currency == code
        ended = np.minimum(deals.end[won], today)
        weight = 0.5 ** ((today - ended) / _SHARES_HALF_LIFE)
        np.add.at(shares, of_deal[won], weight)
        if not shares.sum():
            shares[-1] = 1.0
        return np.asarray(shares / shares.sum())

    def _row(
        self,
        number: int,
        code: int,
        part: dict[str, Any],
        law: Projected,
        target: float | None,
    ) -> dict[str, Any]:
        p10, p50, p90 = law.quantile(list(_QUANTILES))
        row: dict[str, Any] = {"bucket": number, "currency": self._name(code) or pd.NA}
        row |= part
        row |= {
            "won_value": law.won_value,
            "open_value": law.open_value,
            "new_value": law.new_value,
            "expected_value": law.mean,
            "p10": p10,
            "p50": p50,
            "p90": p90,
        }
        if target is not None:
            row["chance"] = law.chance_of(target)
        return row


def _month(number: int) -> pd.Period:
    return pd.Period(year=number // 12, month=number % 12 + 1, freq="M")


def _names(names: Sequence[str], codes: NDArray[np.int64]) -> NDArray[np.object_]:
    """Turn codes into names, missing where there is none."""
    return np.array([*names, pd.NA], dtype=object)[codes]


def _apply(
    arrays: dict[str, NDArray[Any]],
    position: int,
    column: str,
    value: Any,  # noqa: ANN401 - a name, a day or a number
    history: History,
) -> None:
    """Change one thing of one deal."""
    if column not in _CHANGEABLE:
        raise ArgumentError(f"{column!r} cannot be changed; {', '.join(_CHANGEABLE)} can")
    if column in {"milestone", "owner"}:
        names = history.milestones if column == "milestone" else history.owners
        if value not in names:
            raise ArgumentError(f"no deal has the {column} {value!r}; there are {', '.join(names)}")
        arrays[column][position] = names.index(value)
        if column == "milestone":
            arrays["at_milestone"][position] = 0.0
            arrays["since_update"][position] = 0.0
    elif column == "expected_close":
        missing = value is None or value is pd.NaT
        arrays["due"][position] = np.nan if missing else day_number(day_of(value))
    else:
        number = float(value)
        if not np.isfinite(number) or (column == "probability" and not 0 <= number <= 1):
            raise ArgumentError(f"{column} cannot be {value!r}")
        if column == "tcv" and number > 0 and arrays["tcv"][position] > 0:
            arrays["relative"][position] += np.log(number / arrays["tcv"][position])
            arrays["relative"][position] = np.clip(arrays["relative"][position], -3.0, 3.0)
        arrays[column][position] = number


def fit(pipelines: Pipeline | Iterable[Pipeline], *, prior: Prior = NO_PRIOR) -> Projection:
    """Fit the projection of an account to its snapshots.

    Parameters
    ----------
    pipelines
        One or more pipelines of one account, in any order; the newest is the one projected. Past
        month ends of which there is no snapshot are rebuilt from ``created_at`` and ``closed_at``.
    prior
        What other accounts of a group have told, as `Group.prior` gives it: what this one has
        told too little of is drawn to what is usual among them, and not to no effect.

    Returns
    -------
    The projection. The same pipelines give the same figures to the last digit.

    Raises
    ------
    ArgumentError
        If there is no pipeline, or they are of several accounts.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> model = fit(ca.history.sample_history())
    >>> model.basis.snapshots, model.basis.months_rebuilt > 0
    (19, True)
    """
    return _fit(read(pipelines), {}, exact=True, prior=prior)


def rolling(pipelines: Iterable[Pipeline]) -> Iterator[Projection]:
    """Fit a projection as of each pipeline, oldest first, each to it and those before it.

    What a model says is not moved by anything later. Each is as `fit` makes it of the same
    pipelines, but the months it looks back at stay as they were projected when they came up,
    and coefficients are found to fewer digits.

    Parameters
    ----------
    pipelines
        As for `fit`.

    Yields
    ------
    The projections, one a day that the pipelines show.

    Raises
    ------
    ArgumentError
        As `fit` raises it.
    """
    kept: dict[int, dict[int, Past]] = {}
    for history in read_each(in_order(pipelines)):
        yield _fit(history, kept, exact=False)


def _fit(
    history: History,
    kept: dict[int, dict[int, Past]],
    *,
    exact: bool,
    prior: Prior = NO_PRIOR,
) -> Projection:
    """Fit to a history; past projections that are not kept yet are made, and kept."""
    evidence = Evidence.of(history)
    months = past_months(history)
    fits = past_fits(evidence, [month for month in months if month not in kept], prior)
    kept |= pasts_of(evidence, fits)
    start = fits[-1].hazards if fits else None
    fitted = evidence.fitted(history.today, start, exact=exact, others=prior.at(history.today))
    pasts: dict[int, list[Past]] = {}
    for code in fitted.levels:
        series = monthly(evidence, code, months.stop)
        # What a month brought is told by the newest pipeline: closings are entered late.
        pasts[code] = [
            replace(kept[month][code], came=float(series[month - history.first]))
            for month in months
            if code in kept[month]
        ]
    return Projection(evidence, fitted, history.present, pasts, len(history.snapshot_days))
