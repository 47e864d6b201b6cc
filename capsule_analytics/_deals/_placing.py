"""Where each deal counts: its close month, its currency, its share of the forecast.

The forecast, the revenue schedule, the ranges and the targets all start from these rows, so that
each of these definitions stands once.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from capsule_analytics import quality
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Overdue = Literal["keep", "roll", "drop"]
Period = Literal["month", "quarter", "year"]
Probability: TypeAlias = "pd.Series | Literal['calibrated'] | None"

GROUPS = ("owner", "milestone", "pipeline", "team", "tag", "party", "account")
CALIBRATED = "calibrated"
"""The column of corrected probabilities."""

UNDATED = np.iinfo(np.int64).max
"""Bucket of deals without a close date: after all others."""

NEEDED = ("currency", "expected_close", "closed_at", "probability", "tcv", "status")
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_YEAR_ENDS = ("DEC", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV")
"""The last month of a fiscal year, by its first: a year from April ends in March."""


def day_of(day: date | str) -> date:
    """Read a day.

    Parameters
    ----------
    day
        A day, or its text, YYYY-MM-DD.

    Raises
    ------
    ArgumentError
        If it is neither.

    Examples
    --------
    >>> day_of("2026-10-15")
    datetime.date(2026, 10, 15)
    """
    if isinstance(day, datetime) and day is not pd.NaT:
        return day.date()
    if isinstance(day, date) and day is not pd.NaT:
        return day
    if isinstance(day, str):
        with suppress(ValueError):
            return date.fromisoformat(day)
    raise ArgumentError(f"a day is a date or text of the form YYYY-MM-DD, not {day!r}")


def resolve(
    deals: Pipeline | pd.DataFrame, as_of: date | str | None, needed: Sequence[str] = NEEDED
) -> tuple[pd.DataFrame, date]:
    """Return the frame and the day from which to look.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    as_of
        The day; None means the pipeline's own, or today in UTC for a bare frame.
    needed
        Columns that must be there.

    Raises
    ------
    ArgumentError
        If the deals are no table, a needed column is missing, or the day is none.
    """
    if not isinstance(deals, Pipeline) and not hasattr(deals, "columns"):
        raise ArgumentError(
            "deals are a Pipeline, or its columns as a pandas frame (by_month and revenue_schedule "
            "also take a Dask DataFrame or a DuckDB relation), not "
            f"{type(deals).__name__}"
        )
    frame = deals.opportunities if isinstance(deals, Pipeline) else deals
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ArgumentError(f"the frame lacks the column {missing[0]!r}; see schema.COLUMNS")
    if as_of is not None:
        return frame, day_of(as_of)
    return frame, deals.as_of if isinstance(deals, Pipeline) else datetime.now(UTC).date()


def place(
    frame: pd.DataFrame,
    as_of: date,
    *,
    by: Sequence[str] = (),
    overdue: Overdue = "keep",
    probability: Probability = None,
) -> pd.DataFrame:
    """Give every open and won deal its close day and its values; lost deals add nothing.

    A won deal closes on ``closed_at`` where known, else on ``expected_close``; an open deal on
    ``expected_close``. Weighted value is TCV times probability over open deals; a TCV or a
    probability that is not known adds nothing.

    Parameters
    ----------
    frame
        Opportunities.
    as_of
        The day before which an open deal is overdue.
    by
        Columns to keep for grouping, of `GROUPS`. A deal with two tags gives two rows.
    overdue
        Overdue deals stay in their own month (keep), move to the as-of day (roll), or are left
        out (drop).
    probability
        Other probabilities for open deals, as `chances` takes them.

    Returns
    -------
    Index id: ``close`` (datetime64, NaT if undated), ``currency``, the columns of `by`, ``won``
    and ``overdue`` (bool), ``tcv``, ``probability`` (1 for won deals), ``weighted`` (0 for won
    deals).

    Raises
    ------
    ArgumentError
        If an option is not one of the valid ones, or a column that it names is missing.
    """
    if not isinstance(frame, pd.DataFrame):
        raise ArgumentError(
            f"only a Pipeline or a pandas frame can be taken here, not {type(frame).__name__}"
        )
    if overdue not in get_args(Overdue):
        raise ArgumentError(f"overdue must be one of keep, roll, drop, not {overdue!r}")
    late = quality.overdue(frame, as_of).to_numpy(dtype=bool)
    status = frame["status"]
    counts = (status != "lost").to_numpy(dtype=bool)
    if overdue == "drop":
        counts = counts & ~late  # pandas may hand out arrays that cannot be written
    won = (status == "won").to_numpy(dtype=bool)
    close = close_days(frame)
    if overdue == "roll":
        close[late] = np.datetime64(as_of, "D")
    chance = chances(frame, probability)
    tcv = frame["tcv"].to_numpy(dtype=np.float64)
    weighted = np.where(won, 0.0, np.nan_to_num(tcv * chance, nan=0.0))
    placed = pd.DataFrame(
        {
            "close": close[counts],
            "currency": frame["currency"].to_numpy(dtype=object)[counts]
            if not isinstance(frame["currency"].dtype, pd.CategoricalDtype)
            else frame["currency"].array[counts],
            **{name: _group(frame, name)[counts] for name in by},
            "won": won[counts],
            "overdue": late[counts],
            "tcv": tcv[counts],
            "probability": chance[counts],
            "weighted": weighted[counts],
        },
        index=frame.index[counts],
        copy=False,
    )
    return placed.explode("tag") if "tag" in by else placed


def chances(frame: pd.DataFrame, probability: Probability) -> NDArray[np.float64]:
    """Return the probability with which each deal counts.

    Parameters
    ----------
    frame
        Opportunities.
    probability
        None for the stated ones; a series of others, 0 to 1, by opportunity id; or ``"calibrated"``
        for the column of that name, which `calibration.calibrate` adds. Won deals keep their own,
        and so do deals for which the others are missing.

    Returns
    -------
    Shape (n,), NaN where not known.

    Raises
    ------
    ArgumentError
        If it is none of these, one is outside 0 to 1, or the column is missing.
    """
    stated: NDArray[np.float64] = frame["probability"].to_numpy(dtype=np.float64, na_value=np.nan)
    if probability is None:
        return stated
    if isinstance(probability, pd.Series):
        if not probability.index.is_unique:
            twice = probability.index[probability.index.duplicated()][0]
            raise ArgumentError(f"the opportunity {twice} has several probabilities: give one each")
        other = probability.reindex(frame.index)
    elif isinstance(probability, str) and probability == CALIBRATED:
        if CALIBRATED not in frame.columns:
            raise ArgumentError(
                "the deals have no calibrated probabilities: add them with calibration.calibrate"
            )
        other = frame[CALIBRATED]
    else:
        raise ArgumentError(
            f"probability must be a series by opportunity id, or {CALIBRATED!r}, not"
            f" {probability!r}"
        )
    try:
        others = other.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"probabilities are numbers from 0 to 1: {error}") from error
    outside = np.flatnonzero((others < 0) | (others > 1))
    if outside.size:
        at = outside[0]
        raise ArgumentError(
            f"probabilities are from 0 to 1, and that of the opportunity {frame.index[at]} is "
            f"{others[at]:g}"
        )
    keeps = (frame["status"] == "won").to_numpy(dtype=bool) | np.isnan(others)
    chosen: NDArray[np.float64] = np.where(keeps, stated, others)
    return chosen


def _group(frame: pd.DataFrame, name: str) -> pd.api.extensions.ExtensionArray:
    if name not in GROUPS:
        raise ArgumentError(f"cannot group by {name!r}; valid are {', '.join(GROUPS)}")
    if name == "tag":
        if "tags" not in frame.columns:
            raise ArgumentError("the frame has no tags; load it with embed=('tags',) over API v2")
        tags = [tags or (None,) for tags in frame["tags"]]
        return pd.Series(tags, dtype=object).array
    if name == "party":
        names = frame["party"].astype(TEXT)
        return names.fillna(frame["party_id"].astype(TEXT)).array
    if name not in frame.columns:
        raise ArgumentError(f"the frame has no column {name!r}")
    return frame[name].array


def close_days(frame: pd.DataFrame) -> NDArray[np.datetime64]:
    """Return the day on which each deal closes, shape (n,), NaT if undated.

    Won deals close on ``closed_at`` where known, all others on ``expected_close``.
    """
    expected = _days(frame["expected_close"])
    closed = _days(frame["closed_at"])
    won = (frame["status"] == "won").to_numpy(dtype=bool)
    return np.where(won & ~np.isnat(closed), closed, expected)


def _days(column: pd.Series) -> NDArray[np.datetime64]:
    """Return calendar days; they are midnights UTC, so no zone can shift them."""
    values = column.dt.tz_localize(None) if column.dt.tz is not None else column
    days: NDArray[np.datetime64] = values.to_numpy().astype("datetime64[D]")
    return days


def buckets(
    days: NDArray[np.datetime64], period: Period, fiscal_year_start: int
) -> NDArray[np.int64]:
    """Give each day the number of its period, `UNDATED` for NaT.

    Months count from January 1970; quarters and years from the fiscal year's first month.
    """
    if period not in get_args(Period):
        raise ArgumentError(f"period must be one of month, quarter, year, not {period!r}")
    if not isinstance(fiscal_year_start, int | np.integer) or not 1 <= fiscal_year_start <= 12:  # noqa: PLR2004 - months
        raise ArgumentError(f"fiscal_year_start must be 1 to 12, not {fiscal_year_start!r}")
    months = days.astype("datetime64[M]").astype(np.int64)
    offset = 0 if period == "month" else fiscal_year_start - 1
    return np.where(np.isnat(days), UNDATED, (months - offset) // _MONTHS[period])


def bucket_periods(
    numbers: NDArray[np.int64], period: Period, fiscal_year_start: int
) -> pd.PeriodIndex:
    """Turn bucket numbers back into pandas periods, NaT for `UNDATED`.

    A fiscal year is named after the calendar year in which it ends, as pandas does.
    """
    end = _YEAR_ENDS[fiscal_year_start - 1]
    freq = {"month": "M", "quarter": f"Q-{end}", "year": f"Y-{end}"}[period]
    offset = 0 if period == "month" else fiscal_year_start - 1
    dated = numbers != UNDATED
    first = np.where(dated, numbers, 0) * _MONTHS[period] + offset
    starts = pd.DatetimeIndex(first.astype("datetime64[M]").astype("datetime64[s]"))
    return starts.to_period(freq).where(dated)


def dated(
    table: pd.DataFrame,
    period: Period,
    fiscal_year_start: int,
    *,
    as_of: date,
    overdue: Overdue,
    account: str,
) -> pd.DataFrame:
    """Turn the buckets of a table into its first column, periods, and note how it was made."""
    numbers = table.pop("bucket").to_numpy()
    table.insert(0, period, bucket_periods(numbers, period, fiscal_year_start))
    table.attrs = {"as_of": as_of.isoformat(), "overdue": overdue, "account": account}
    return table
