"""The revenue schedule: each deal's total over the months in which it is earned.

A deal is earned from its close day on: FIXED, HOUR and absent bases all in the close month; DAY
and WEEK by calendar days, the close day being the first; MONTH one value in each month, the close
month first; QUARTER and YEAR each unit evenly over its 3 or 12 months.

No row a month is made for a deal. A deal changes a level when it starts and changes it back when
it has ended; running sums of the changes are the months' amounts. The changes are whole numbers of
a tiny unit, since sums of floats would neither come back to zero nor keep the total.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np
import pandas as pd

from capsule_analytics._deals import (
    REST,
    UNDATED,
    Overdue,
    Period,
    Placing,
    Probability,
    add,
    add_up,
    combine,
    split,
    sums_by,
    table_of,
)
from capsule_analytics.schema import DURATION_BASES, TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from capsule_analytics._deals import Deals, Lazy

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

AMOUNTS = ("open_value", "weighted_value", "won_value", "expected_value")
"""Columns of amounts, in the row's currency."""

LONGEST_MONTHS = 12_000
"""A deal that would run for more than a thousand years is an error of entry."""

LARGEST_AMOUNT = 1e18
"""From here on an amount is an error of entry, and would blur all others it is summed with."""

_MONTHS_A_UNIT = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_DAYS_A_UNIT = {"DAY": 1, "WEEK": 7}
_DURATION = ("duration_basis", "duration")
_LARGE = 2.0**26  # from here on a sum in one float might tip a half cent
_EPOCH = 1970
_BITS = 61  # of a 64-bit integer, leaving room for the sign and for rounding


def revenue_schedule(
    deals: Deals,
    *,
    by: str | Sequence[str] | None = None,
    period: Period = "month",
    fiscal_year_start: int = 1,
    overdue: Overdue = "keep",
    as_of: date | str | None = None,
    probability: Probability = None,
) -> pd.DataFrame:
    """Spread each deal's total over the months in which it is earned.

    The parts of a deal sum to its TCV. A deal is placed whole in its close month if nothing can be
    spread: its duration is negative, or so long (over 1,000 years) or its amount so large (1e18)
    that it can only be an error of entry. A deal without a TCV adds nothing.

    Parameters
    ----------
    deals, by, period, fiscal_year_start
        As for `forecast.by_month`.
    overdue
        What to do with open deals whose expected close lies before the as-of day: keep their
        dates, start them on the as-of day (roll), or drop them.
    as_of, probability
        As for `forecast.by_month`.

    Returns
    -------
    One row for each period, currency and group in which an amount is due, sorted, undated deals
    last and whole: ``month`` (or ``quarter``, ``year``; pandas periods, NaT if undated),
    ``currency``, the columns of `by`, then `AMOUNTS`. Amounts are in the row's currency, not
    rounded. ``attrs`` has ``as_of``, ``overdue`` and ``account``.

    Raises
    ------
    ArgumentError
        If an option is not valid or the frame lacks a column.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = revenue_schedule(ca.load_sample(), period="year")
    >>> table.loc[table["currency"] == "CHF", ["year", "won_value"]].iloc[[0, 3]]
        year  won_value
    2   2025    77770.0
    16  2028    10450.0
    """
    table, day = table_of(deals, as_of, by)
    placing = Placing.of(
        day, by=by, period=period, fiscal_year_start=fiscal_year_start, overdue=overdue,
        probability=probability,
    )  # fmt: skip
    summed = combine([add_up(table, earned, placing, _DURATION)])
    due = (summed[list(AMOUNTS)] != 0).any(axis=1)
    return placing.dated(summed[due].reset_index(drop=True), deals)


def earned(deals: Lazy, placing: Placing) -> pd.DataFrame:
    """Sum what is earned by bucket, currency and group: a part that `add` adds up.

    Deals that close in one month (where they are earned by days, on one day) and run alike are
    earned alike, so that their sum is spread.

    Parameters
    ----------
    deals
        The columns of ``placing.columns``, ``duration_basis`` and ``duration``, in plain types.
    placing
        How deals are placed.

    Returns
    -------
    ``bucket``, ``currency``, the groups, `AMOUNTS` but the expected value, each with its rest.
    """
    keys = ["currency", *placing.groups]
    close, by_days = nw.col("close"), nw.col("duration_basis").is_in(list(_DAYS_A_UNIT))
    vast = nw.col("tcv").abs() >= LARGEST_AMOUNT
    rows = placing.rows(deals, _DURATION).with_columns(
        (12 * (close.dt.year() - _EPOCH) + close.dt.month() - 1).alias("month"),
        nw.when(by_days).then(close.dt.day()).otherwise(1).alias("day"),
        nw.when(~vast | vast.is_null()).then(nw.col("duration")).alias("duration"),
    )
    table = sums_by(rows, ["month", "day", *keys, "won", *_DURATION])
    # Of a large sum the whole units and the rest are spread each by itself, to lose no digit.
    large = np.flatnonzero(table["tcv"].abs().to_numpy() >= _LARGE)
    tcv, weighted = (
        np.concatenate([_whole(table, name, large), table[f"{name}{REST}"].to_numpy()[large]])
        for name in ("tcv", "weighted")
    )
    if len(large):
        table = table.iloc[np.concatenate([np.arange(len(table)), large])].reset_index(drop=True)
    months = table["month"].to_numpy(dtype=np.float64, na_value=np.nan)
    dated = ~np.isnan(months)
    month = np.full(len(table), UNDATED)
    month[dated] = months[dated]
    won = table["won"].to_numpy()
    units, daily = _units(table["duration_basis"], table["duration"])
    fits = (units > 1) & (units <= np.where(daily, 30 * LONGEST_MONTHS, LONGEST_MONTHS))
    fits &= dated
    # Positions, since a mask is slow to apply again and again.
    kept, spread = np.flatnonzero(~fits), np.flatnonzero(fits)

    amounts = {
        "open_value": np.where(won, 0.0, tcv),
        "weighted_value": np.where(won, 0.0, weighted),
        "won_value": np.where(won, tcv, 0.0),
    }
    whole = table[keys].iloc[kept]
    whole = whole.assign(
        **{
            column: values
            for name, all_values in amounts.items()
            for column, values in split(name, all_values[kept]).items()
        }
    )
    whole.insert(0, "bucket", placing.of_months(month[kept]))
    parts = [whole]
    if len(spread):
        parts.append(
            _spread_amounts(
                table[keys].iloc[spread],
                _spans(
                    month[spread],
                    table["day"].to_numpy()[spread].astype(np.int64),
                    units[spread].astype(np.int64),
                    daily[spread],
                ),
                {name: values[spread] for name, values in amounts.items()},
            )
        )
        parts[1].insert(0, "bucket", placing.of_months(parts[1].pop("month").to_numpy()))
    return add(part.astype(dict.fromkeys(keys, TEXT)) for part in parts)


def _whole(table: pd.DataFrame, name: str, large: NDArray[np.intp]) -> Floats:
    """Add an amount's rest to its whole units, except where the sum is large."""
    amounts: Floats = np.array(table[name] + table[f"{name}{REST}"])
    amounts[large] = table[name].to_numpy()[large]
    return amounts


@dataclass(frozen=True)
class _Spans:
    """When deals run: arrays of shape (n,), one entry a spread deal.

    Months count from January 1970, or are cells of a grid. A deal has ``units`` equal parts, which
    are months, or days where ``daily``. ``first_days`` and ``last_days`` are the days of a daily
    deal from its first day to that month's end, and from its last month's start to its last day;
    of others they are 1.
    """

    daily: NDArray[np.bool_]
    units: Integers
    first: Integers
    last: Integers
    first_days: Integers
    last_days: Integers

    def take(self, at: NDArray[np.intp]) -> _Spans:
        """Return the spans at some positions."""
        return _Spans(*(getattr(self, name)[at] for name in self.__dataclass_fields__))


def _units(basis: pd.Series, duration: pd.Series) -> tuple[Floats, NDArray[np.bool_]]:
    """Count the months that deals run, or the days where daily, 0 where they are not spread."""
    # An unknown basis has the code -1: the last entry, of no length.
    months_a_unit = np.array([_MONTHS_A_UNIT.get(name, 0) for name in (*DURATION_BASES, "")])
    days_a_unit = np.array([_DAYS_A_UNIT.get(name, 0) for name in (*DURATION_BASES, "")])
    codes = np.asarray(pd.Categorical(basis, categories=list(DURATION_BASES)).codes)
    count = duration.to_numpy(dtype=np.float64, na_value=np.nan)
    units = np.nan_to_num(count * (months_a_unit + days_a_unit)[codes], nan=0.0)
    return units, (days_a_unit > 0)[codes]


def _spans(month: Integers, day: Integers, units: Integers, daily: NDArray[np.bool_]) -> _Spans:
    """Find from when until when deals run that close on days of months, the first being 1."""
    first_days, last_days = np.ones((2, len(units)), dtype=np.int64)
    last = month + units - 1
    at = np.flatnonzero(daily)
    months = month[at].astype("datetime64[M]")
    close = months.astype("datetime64[D]") + (day[at] - 1)
    end = close + units[at]
    end_month = (end - 1).astype("datetime64[M]")
    last[at] = end_month.astype(np.int64)
    first_days[at] = ((months + 1).astype("datetime64[D]") - close).astype(np.int64)
    last_days[at] = (end - end_month.astype("datetime64[D]")).astype(np.int64)
    return _Spans(daily, units, month, last, first_days, last_days)


def _spread_amounts(keys: pd.DataFrame, spans: _Spans, amounts: dict[str, Floats]) -> pd.DataFrame:
    """Sum spread deals by month and group, for the months of each group's first to last deal."""
    # Numbers for labels: pandas would rank the groups of categories, whatever the order asked for.
    numbers = {name: pd.factorize(keys[name], use_na_sentinel=False)[0] for name in keys}
    code = pd.DataFrame(numbers).groupby(list(keys), sort=False).ngroup().to_numpy()
    # Some row of each group, which is all that its labels need: np.unique would sort for it.
    sample = np.zeros(code.max() + 1, dtype=np.int64)
    sample[code] = np.arange(len(code))
    labels = keys.iloc[sample]
    first = np.full(len(labels), np.iinfo(np.int64).max)
    last = np.full(len(labels), np.iinfo(np.int64).min)
    np.minimum.at(first, code, spans.first)
    np.maximum.at(last, code, spans.last)
    # One more cell a group: there the levels of its last deals come back to zero.
    width = last - first + 2
    start = np.cumsum(width) - width
    month = np.arange(width.sum()) - np.repeat(start - first, width)
    starts = month.astype("datetime64[M]")
    length = ((starts + 1).astype("datetime64[D]") - starts.astype("datetime64[D]")).astype(int)
    cell = (start - first)[code]
    spans = replace(spans, first=spans.first + cell, last=spans.last + cell)
    table = labels.iloc[np.repeat(np.arange(len(labels)), width)].reset_index(drop=True)
    table.insert(0, "month", month)
    for name, values in amounts.items():
        counts = np.flatnonzero(values)
        whole, rest = _by_cell(values[counts], spans.take(counts), length)
        table[name], table[f"{name}_rest"] = whole, rest
    return table[(table.drop(columns=["month", *keys.columns]) != 0).any(axis=1)]


def _by_cell(amounts: Floats, spans: _Spans, length: Integers) -> tuple[Floats, Floats]:
    """Add deals' amounts to the cells of a grid.

    Fixed-point arithmetic in two steps. In the first an amount is a whole number of a unit so small
    that the sum of all amounts just fits an integer, and each month or day gets the same number of
    units. What that leaves over, less than a unit for each month or day of the deal, is spread in
    the second step in units smaller still, and the last remainder falls to the first month.

    Parameters
    ----------
    amounts
        The deals' totals, shape (n,), finite, not 0.
    spans
        The cells in which they run, shape (n,).
    length
        The days of each cell's month, shape (c,).

    Returns
    -------
    The sums by cell, each as a whole number of units and a rest: two arrays of shape (c,).
    """
    whole, rest_of_cell = np.zeros((2, len(length)))
    if not len(amounts):
        return whole, rest_of_cell
    coarse = _BITS - int(np.frexp(np.abs(amounts).sum())[1])
    shift = _BITS - len(amounts).bit_length() - int(spans.units.max()).bit_length()
    rounded = np.rint(np.ldexp(amounts, coarse))
    rest = np.rint(np.ldexp(amounts - np.ldexp(rounded, -coarse), coarse + shift))
    total = rounded.astype(np.int64)
    rate = np.sign(total) * (np.abs(total) // spans.units)
    left = (total - rate * spans.units) * 2**shift + rest.astype(np.int64)
    small = np.sign(left) * (np.abs(left) // spans.units)
    none = np.zeros_like(total)
    for rates, extra, exponent in (
        (rate, none, coarse),
        (small, left - small * spans.units, coarse + shift),
    ):
        levels = _levels(rates, extra, spans, length)
        # No float holds all digits of a level, so that its units and its rest go separate ways.
        bits = min(max(exponent, 0), _BITS + 1)
        units = levels >> bits
        whole += np.ldexp(units.astype(float), bits - exponent)
        rest_of_cell += np.ldexp((levels - (units << bits)).astype(float), -exponent)
    return whole, rest_of_cell


def _levels(rate: Integers, extra: Integers, spans: _Spans, length: Integers) -> Integers:
    """Add whole numbers a month or day, and something extra in the first month, to the cells."""
    direct = np.zeros(len(length), dtype=np.int64)
    # First the changes of what a month earns, then of what a day earns. They also hold for a deal
    # within one month: it takes the month back, of which its first and last days cover too much.
    changes = np.zeros(2 * len(length), dtype=np.int64)
    kind = np.where(spans.daily, len(length), 0)
    np.add.at(direct, spans.first, rate * spans.first_days + extra)
    np.add.at(changes, kind + spans.first + 1, rate)
    np.subtract.at(changes, kind + spans.last, rate)
    np.add.at(direct, spans.last, rate * spans.last_days)
    monthly, daily = np.cumsum(changes.reshape(2, -1), axis=1)
    levels: Integers = direct + monthly + daily * length
    return levels
