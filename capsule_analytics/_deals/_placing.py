"""Where each deal counts: its close day, its period, its share of the forecast.

The forecast, the revenue schedule, the ranges, the categories and the targets all start from
these rows, so that each of these definitions stands once. They are Narwhals expressions, which run
on pandas, Polars and DuckDB alike, each at its own speed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

import narwhals as nw
import numpy as np
import pandas as pd

from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = TypeVar("Rows", nw.DataFrame[Any], nw.LazyFrame[Any])

Overdue = Literal["keep", "roll", "drop"]
Period = Literal["month", "quarter", "year"]
Probability: TypeAlias = "pd.Series | Literal['calibrated'] | None"

GROUPS = ("owner", "milestone", "pipeline", "team", "tag", "party", "account")
FIELD = "field:"
"""What the name of a custom field has in front when it is grouped by."""

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
        The day; None means the deals' own, or today in UTC for a bare frame.
    needed
        Columns that must be there.

    Raises
    ------
    ArgumentError
        If the deals are no table, a needed column is missing, or the day is none.
    """
    frame = deals.opportunities if isinstance(deals, Pipeline) else deals
    columns = getattr(frame, "columns", None)
    if columns is None:
        raise ArgumentError(
            "deals are a Pipeline, or its columns as a pandas frame (by_month and revenue_schedule "
            "also take a Polars, Dask or Spark DataFrame or a DuckDB relation), not "
            f"{type(deals).__name__}"
        )
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ArgumentError(f"the frame lacks the column {missing[0]!r}; see schema.COLUMNS")
    if as_of is not None:
        return frame, day_of(as_of)
    own: date | None = getattr(deals, "as_of", None)
    return frame, datetime.now(UTC).date() if own is None else own


def pandas_only(table: object) -> None:
    """Refuse a table of another engine where pandas alone can tell what is asked.

    Raises
    ------
    ArgumentError
        If it is no pandas frame.
    """
    if not isinstance(table, pd.DataFrame):
        kind = type(table)
        raise ArgumentError(
            "only a Pipeline or a pandas frame can be taken here, not "
            f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
        )


@dataclass(frozen=True, eq=False)
class Placing:
    """How deals are placed in a table: made and checked where a user's words come in.

    Attributes
    ----------
    as_of
        The day before which an open deal is overdue.
    groups
        Further columns to group by, of `GROUPS` or ``field:NAME``, each once.
    period
        month, quarter or year.
    fiscal_year_start
        First month of the fiscal year, 1 to 12.
    overdue
        Overdue deals stay in their own month (keep), move to the as-of day (roll), or are left
        out (drop).
    probability
        Other probabilities for open deals: a series, 0 to 1, by opportunity id, or ``calibrated``
        for the column of that name. Won deals keep their own, and so do deals without another.
    """

    as_of: date
    groups: tuple[str, ...] = ()
    period: Period = "month"
    fiscal_year_start: int = 1
    overdue: Overdue = "keep"
    probability: Probability = None

    @classmethod
    def of(
        cls,
        as_of: date,
        *,
        by: str | Sequence[str] | None = None,
        period: Period = "month",
        fiscal_year_start: int = 1,
        overdue: Overdue = "keep",
        probability: Probability = None,
    ) -> Placing:
        """Make one of a user's words; a single group may be a bare name."""
        groups = group_names(by)
        return cls(as_of, groups, period, fiscal_year_start, overdue, probability)

    def __post_init__(self) -> None:
        """Refuse what is not valid, naming what is."""
        for group in self.groups:
            if group not in GROUPS and not (isinstance(group, str) and group.startswith(FIELD)):
                raise ArgumentError(
                    f"cannot group by {group!r}; valid are {', '.join(GROUPS)} and {FIELD}NAME"
                )
        if self.overdue not in get_args(Overdue):
            raise ArgumentError(f"overdue must be one of keep, roll, drop, not {self.overdue!r}")
        if self.period not in get_args(Period):
            raise ArgumentError(f"period must be one of month, quarter, year, not {self.period!r}")
        first = self.fiscal_year_start
        if not isinstance(first, int | np.integer) or not 1 <= first <= 12:  # noqa: PLR2004 - months
            raise ArgumentError(f"fiscal_year_start must be 1 to 12, not {first!r}")
        known = self.probability is None or isinstance(self.probability, pd.Series)
        if not known and not (isinstance(self.probability, str) and self.probability == CALIBRATED):
            raise ArgumentError(
                f"probability must be a series by opportunity id, or {CALIBRATED!r}, not"
                f" {self.probability!r}"
            )

    @property
    def needs_frame(self) -> bool:
        """Whether something is asked for that only a pandas frame can tell: tags, fields, ids."""
        nested = any(name == "tag" or name.startswith(FIELD) for name in self.groups)
        return nested or isinstance(self.probability, pd.Series)

    @property
    def columns(self) -> list[str]:
        """The columns of the deals that are needed."""
        of_group = {"party": ("party", "party_id"), "tag": ("tags",)}
        wanted = [*NEEDED]
        for group in self.groups:
            wanted += ("fields",) if group.startswith(FIELD) else of_group.get(group, (group,))
        if isinstance(self.probability, str):
            wanted.append(CALIBRATED)
        return list(dict.fromkeys(wanted))

    def rows(self, deals: Rows, more: Sequence[str] = ()) -> Rows:
        """Give every open and won deal its close day and its values; lost deals add nothing.

        A won deal closes on ``closed_at`` where known, else on ``expected_close``; an open deal on
        ``expected_close``.

        Parameters
        ----------
        deals
            The columns of `columns`, in plain types: days without a zone, missing text and numbers
            as what the engine calls missing (see `_sources.plain`).
        more
            Columns to keep beside those returned.

        Returns
        -------
        ``close``, ``currency``, the groups, ``won``, ``overdue``, ``tcv``, ``probability``, and
        those of `more`.
        """
        status, expected = nw.col("status"), nw.col("expected_close")
        closed, own = nw.col("closed_at"), nw.col("probability")
        today = nw.lit(datetime(self.as_of.year, self.as_of.month, self.as_of.day))  # noqa: DTZ001 - a day
        lost = (status == "lost").fill_null(value=False)
        won = (status == "won").fill_null(value=False)
        late = ((status == "open") & (expected < today)).fill_null(value=False)
        close = nw.when(won & ~closed.is_null()).then(closed).otherwise(expected)
        if self.overdue == "roll":
            close = nw.when(late).then(today).otherwise(close)
        if self.probability is not None:
            other = nw.col(CALIBRATED)
            own = nw.when(won | other.is_null()).then(own).otherwise(other)
        groups = [
            nw.coalesce(nw.col(name), nw.col("party_id").cast(nw.String)).alias(name)
            if name == "party" and "party_id" in deals.collect_schema().names()
            else nw.col(name)
            for name in self.groups
        ]
        return deals.filter(~(lost | late) if self.overdue == "drop" else ~lost).select(
            close.alias("close"),
            nw.col("currency"),
            *groups,
            won.alias("won"),
            late.alias("overdue"),
            nw.col("tcv"),
            own.alias("probability"),
            *map(nw.col, more),
        )

    def buckets(self, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Give each day the number of its period, `UNDATED` for NaT.

        Months count from January 1970; quarters and years from the fiscal year's first month.
        """
        months = days.astype("datetime64[M]").astype(np.int64)
        return self.of_months(np.where(np.isnat(days), UNDATED, months))

    def of_months(self, months: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give each month, by its number, the number of the period that it lies in."""
        offset = 0 if self.period == "month" else self.fiscal_year_start - 1
        within = (months - offset) // _MONTHS[self.period]
        return np.where(months == UNDATED, UNDATED, within)

    def is_made_of(self, finer: Placing) -> bool:
        """Tell whether sums that were placed by another add up to those of this one.

        They do if the other groups by more, and by months or the same periods. Tags do not: a deal
        with two of them stands in two groups, and would count twice.
        """
        own = (self.period, self.fiscal_year_start)
        more = set(finer.groups) - set(self.groups)
        return (
            (self.as_of, self.overdue) == (finer.as_of, finer.overdue)
            and self.probability is finer.probability
            and finer.period in ("month", self.period)
            and (finer.period == "month" or own == (finer.period, finer.fiscal_year_start))
            and set(self.groups) <= set(finer.groups)
            and "tag" not in more
        )

    def periods(self, numbers: NDArray[np.int64]) -> pd.PeriodIndex:
        """Turn bucket numbers back into pandas periods, NaT for `UNDATED`.

        A fiscal year is named after the calendar year in which it ends, as pandas does.
        """
        end = _YEAR_ENDS[self.fiscal_year_start - 1]
        freq = {"month": "M", "quarter": f"Q-{end}", "year": f"Y-{end}"}[self.period]
        offset = 0 if self.period == "month" else self.fiscal_year_start - 1
        dated = numbers != UNDATED
        first = np.where(dated, numbers, 0) * _MONTHS[self.period] + offset
        starts = pd.DatetimeIndex(first.astype("datetime64[M]").astype("datetime64[s]"))
        return starts.to_period(freq).where(dated)

    def dated(self, table: pd.DataFrame, deals: object) -> pd.DataFrame:
        """Turn the buckets of a table into its first column, periods, and note how it was made."""
        numbers = table.pop("bucket").to_numpy()
        table.insert(0, self.period, self.periods(numbers))
        account = deals.account if isinstance(deals, Pipeline) else ""
        table.attrs = {
            "as_of": self.as_of.isoformat(), "overdue": self.overdue, "account": account,
        }  # fmt: skip
        table.attrs |= getattr(deals, "about", {})  # what a portfolio tells of its accounts
        return table


def group_names(by: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return what is grouped by as names, each once."""
    if by is None or isinstance(by, str):
        return () if by is None else (by,)
    try:
        return tuple(dict.fromkeys(by))
    except TypeError as error:
        raise ArgumentError(f"group by a name or several names, not by {by!r}") from error


def chances(frame: pd.DataFrame, probability: Probability) -> NDArray[np.float64]:
    """Return the probability with which each deal of a pandas frame counts.

    Parameters
    ----------
    frame
        Opportunities.
    probability
        None for the stated ones, or as in `Placing`.

    Returns
    -------
    Shape (n,), NaN where not known.

    Raises
    ------
    ArgumentError
        If one is outside 0 to 1, an id has several, or the column is missing.
    """
    stated: NDArray[np.float64] = frame["probability"].to_numpy(dtype=np.float64, na_value=np.nan)
    if probability is None:
        return stated
    others = other_chances(frame, Placing(date.min, probability=probability).probability)
    keeps = (frame["status"] == "won").to_numpy(dtype=bool) | np.isnan(others)
    chosen: NDArray[np.float64] = np.where(keeps, stated, others)
    return chosen


def other_chances(frame: pd.DataFrame, probability: Probability) -> NDArray[np.float64]:
    """Return the other probabilities of a pandas frame's deals, NaN where there is none."""
    if isinstance(probability, pd.Series):
        if not probability.index.is_unique:
            twice = probability.index[probability.index.duplicated()][0]
            raise ArgumentError(f"the opportunity {twice} has several probabilities: give one each")
        other = probability.reindex(frame.index)
    elif CALIBRATED not in frame.columns:
        raise ArgumentError(
            "the deals have no calibrated probabilities: add them with calibration.calibrate"
        )
    else:
        other = frame[CALIBRATED]
    try:
        others: NDArray[np.float64] = other.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"probabilities are numbers from 0 to 1: {error}") from error
    outside = np.flatnonzero((others < 0) | (others > 1))
    if outside.size:
        at = outside[0]
        raise ArgumentError(
            f"probabilities are from 0 to 1, and that of the opportunity {frame.index[at]} is "
            f"{others[at]:g}"
        )
    return others


def close_days(frame: pd.DataFrame) -> NDArray[np.datetime64]:
    """Return the day on which each deal of a pandas frame closes, shape (n,), NaT if undated.

    Won deals close on ``closed_at`` where known, all others on ``expected_close``.
    """
    closed, expected = (
        frame[name].dt.tz_localize(None).to_numpy().astype("datetime64[D]")
        for name in ("closed_at", "expected_close")
    )
    won = (frame["status"] == "won").to_numpy(dtype=bool)
    days: NDArray[np.datetime64] = np.where(won & ~np.isnat(closed), closed, expected)
    return days


def grouped(frame: pd.DataFrame, group: str) -> pd.api.extensions.ExtensionArray:
    """Return the column of a pandas frame for a group that is no plain column of its own."""
    column = "tags" if group == "tag" else "fields"
    if column not in frame.columns:
        raise ArgumentError(
            f"the frame has no {column}; load it with embed=({column!r},) over API v2"
        )
    if group == "tag":
        return pd.Series([tags or (None,) for tags in frame["tags"]], dtype=object).array
    name = group.removeprefix(FIELD)
    each = [dict(fields or ()) for fields in frame["fields"]]  # DuckDB gives pairs
    values = [fields.get(name) for fields in each]
    known = sorted({key for fields in each for key in fields})
    if name not in known and len(frame):
        raise ArgumentError(
            f"no deal has the custom field {name!r}; there are {', '.join(known) or 'none'}"
        )
    return pd.Series([None if v is None else str(v) for v in values], dtype=TEXT).array
