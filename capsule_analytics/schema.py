"""The frame: its columns with their types and units, and the figures derived from them.

Everything that reads or writes opportunities agrees on this one table. `Pipeline` carries the
frame together with the milestones it was joined to and the data-quality findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capsule_analytics._card import card
from capsule_analytics._kinds import (
    BOOLEAN,
    CATEGORY,
    DATE,
    INTEGER,
    MOMENT,
    NUMBER,
    OBJECT,
    PERCENT,
    TEXT,
    TEXTS,
    TIMESTAMP,
    Kind,
    undated,
)
from capsule_analytics._words import currency_name, format_money
from capsule_analytics.errors import ArgumentError, missing_extra

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "DURATION_BASES",
    "RAW_NAMES",
    "STATUSES",
    "TEXT",
    "TIMESTAMP",
    "Column",
    "Kind",
    "Pipeline",
    "status_of",
    "total_contract_value",
]

__dir__ = __all__.copy  # what completion offers


@dataclass(frozen=True)
class Column:
    """One column of the frame as it comes from the wire.

    Attributes
    ----------
    name
        The column's name in the frame.
    kind
        Its dtype and Arrow type, and how stored values become one.
    meaning
        What it holds, with its unit.
    optional
        Present only when the wire carried it.
    """

    name: str
    kind: Kind
    meaning: str
    optional: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("id", INTEGER, "Capsule's id of the opportunity; the index of the frame"),
    Column("name", TEXTS, "name of the opportunity"),
    Column("description", TEXTS, "free text"),
    Column("party_id", INTEGER, "id of the person or organisation it is for"),
    Column("party", CATEGORY, "name of the person or organisation (API v2)"),
    Column("currency", CATEGORY, "ISO 4217 code of `value`"),
    Column("value", NUMBER, "amount in `currency` per unit of `duration_basis`"),
    Column("duration_basis", CATEGORY, "FIXED, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR"),
    Column("duration", INTEGER, "how many units of `duration_basis`"),
    Column("expected_close", DATE, "day on which it is expected to close, as midnight UTC"),
    Column("milestone", CATEGORY, "name of the milestone it stands at"),
    Column("milestone_id", INTEGER, "id of that milestone"),
    Column("pipeline", CATEGORY, "name of the milestone's pipeline (API v2)"),
    Column("pipeline_id", INTEGER, "id of that pipeline (API v2)"),
    Column("probability", PERCENT, "chance of winning, 0 to 1"),
    Column("owner", CATEGORY, "user name of the owner"),
    Column("owner_id", INTEGER, "id of the owner, which outlives a change of name (API v2)"),
    Column("team", CATEGORY, "name of the team that it belongs to (API v2)"),
    Column("team_id", INTEGER, "id of that team (API v2)"),
    Column("created_at", MOMENT, "when it was entered, UTC"),
    Column("updated_at", MOMENT, "when it was last changed, UTC"),
    Column("last_stage_changed_at", MOMENT, "when it came to its milestone, UTC (API v2)"),
    Column("last_contacted_at", MOMENT, "when the party was last spoken to, UTC (API v2)"),
    Column("closed_at", DATE, "day on which it was won or lost, as midnight UTC"),
    Column("last_open_milestone", CATEGORY, "last milestone while it was open (API v2)"),
    Column("last_open_milestone_id", INTEGER, "id of that milestone (API v2)"),
    Column("lost_reason", CATEGORY, "why it was lost (API v2)"),
    Column(
        "counts_for_conversion",
        BOOLEAN,
        "whether deals lost for this reason count in the win rate; missing without a reason "
        "(API v2)",
    ),
    Column("tags", OBJECT, "tuple of tag names (API v2, on request)", optional=True),
    Column("fields", OBJECT, "dict of custom fields by name (API v2, on request)", optional=True),
    Column(
        "missing_important_fields",
        BOOLEAN,
        "whether a field marked as important is empty (API v2, on request)",
        optional=True,
    ),
)

RAW_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS if not column.optional)
"""Raw columns that every page provides, in the order of the frame."""

STATUSES = ("open", "won", "lost")
DURATION_BASES = ("FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


@dataclass(frozen=True)
class Pipeline:
    """An account's opportunities at one moment, complete and typed.

    Attributes
    ----------
    opportunities
        One row an opportunity, index ``id`` (unique, ascending). The columns of `COLUMNS`, then
        ``tcv`` (total contract value in ``currency``) and ``status`` (open, won or lost).
    milestones
        Every milestone that the account has or a deal refers to: ``name``, ``description``,
        ``probability`` (0 to 1), ``complete``, ``pipeline``, ``pipeline_id``,
        ``days_until_stale`` (days at it after which an open deal is stale) and ``archived``
        (whether no deal can come to it any more); index ``id`` where the API gives one.
    issues
        One row a data-quality finding: ``opportunity_id``, ``check``, ``severity``, ``detail``.
    loaded_at
        UTC time at which the load began: what changed later may be missing.
    as_of
        The day from whose viewpoint deals are overdue and months are past.
    account
        Name of the account, for titles and the snapshot store.
    """

    opportunities: pd.DataFrame
    milestones: pd.DataFrame
    issues: pd.DataFrame
    loaded_at: pd.Timestamp
    as_of: date
    account: str = ""

    def __post_init__(self) -> None:
        """Take the as-of day in whatever form it is given."""
        object.__setattr__(self, "as_of", as_day(self.as_of))

    @property
    def unknown_milestones(self) -> int:
        """How many deals stand at a milestone that the account does not tell.

        They count as open, so figures with them are not whole.
        """
        return int((self.issues["check"] == "unknown_milestone").sum())

    @property
    def caution(self) -> str:
        """What a reader must know before any figure; empty where there is nothing."""
        count = self.unknown_milestones
        if not count:
            return ""
        stand, counts = ("1 deal stands", "counts")
        if count > 1:
            stand, counts = (f"{count:,} deals stand", "count")
        return (
            f"{stand} at a milestone that the account does not tell, and {counts} as open:"
            " the figures are not whole."
        )

    def to_arrow(self) -> pa.Table:
        """Give the opportunities as a typed Arrow table, for whatever speaks Arrow.

        Returns
        -------
        ``id`` and the columns of `opportunities`, in their order: categories as dictionaries of
        text, nullable integers as ``int64``, days (``expected_close``, ``closed_at``) as
        ``date32``, moments as ``timestamp[us, tz=UTC]``, tags as lists of text, custom fields as
        JSON text with dates in ISO form. What is missing is null, in numbers too.

        Raises
        ------
        MissingExtraError
            If pyarrow is not installed (extra ``arrow``).

        Examples
        --------
        >>> import capsule_analytics as ca
        >>> table = ca.load_sample().to_arrow()
        >>> [str(table.schema.field(name).type) for name in ("owner_id", "closed_at", "created_at")]
        ['int64', 'date32[day]', 'timestamp[us, tz=UTC]']
        """
        try:
            import pyarrow as pa  # noqa: PLC0415 - an optional dependency
        except ImportError as error:
            raise missing_extra("An Arrow table", "arrow") from error
        frame = self.opportunities
        columns = frame.assign(id=frame.index)[["id", *frame.columns]]
        return pa.table({name: _arrow(columns[name]) for name in columns.columns})

    def to_polars(self) -> pl.DataFrame:
        """Give the opportunities as a Polars frame, with the types of `to_arrow`.

        `capsule_analytics.forecast` takes it back, lazy or not.

        Returns
        -------
        ``id`` and the columns of `opportunities`; categories as ``Categorical``.

        Raises
        ------
        MissingExtraError
            If Polars or pyarrow is not installed (extra ``polars``).

        Examples
        --------
        >>> import capsule_analytics as ca
        >>> pipeline = ca.load_sample()
        >>> deals = pipeline.to_polars()
        >>> by_month = ca.forecast.by_month(deals.lazy(), as_of=pipeline.as_of)
        >>> len(by_month) == len(ca.forecast.by_month(pipeline))
        True
        """
        try:
            import polars as pl  # noqa: PLC0415 - an optional dependency
            import pyarrow  # noqa: F401, ICN001, PLC0415 - an optional dependency
        except ImportError as error:
            raise missing_extra("A Polars frame", "polars") from error
        return pl.DataFrame(pl.from_arrow(self.to_arrow()))

    def __repr__(self) -> str:
        """Say how many deals of each status there are, and from when."""
        counts = self.opportunities["status"].value_counts()
        deals = ", ".join(f"{int(counts.get(status, 0)):,} {status}" for status in STATUSES)
        account = f" of {self.account}" if self.account else ""
        return f"<Pipeline{account} as of {self.as_of}: {deals}; {len(self.issues):,} findings>"

    def _repr_html_(self) -> str:
        """Show in a notebook what is in it: deals by status, what is open, findings."""
        deals = self.opportunities
        counts = deals["status"].value_counts()
        said = ", ".join(f"{int(counts.get(status, 0)):,} {status}" for status in STATUSES)
        still = deals[deals["status"] == "open"]
        sums = (
            pd.DataFrame({"tcv": still["tcv"], "weighted": still["tcv"] * still["probability"]})
            .groupby(still["currency"].astype(TEXT), dropna=False)
            .agg(deals=("tcv", "size"), tcv=("tcv", "sum"), weighted=("weighted", "sum"))
            .sort_values("deals", ascending=False)
        )
        rows = [
            (
                currency_name(row.Index),
                f"{row.deals:,}",
                format_money(row.tcv, row.Index, whole=True),
                format_money(row.weighted, row.Index, whole=True),
            )
            for row in sums.itertuples()
        ]
        found = self.issues["severity"].value_counts()
        words = {"error": "error", "warning": "warning", "info": "note"}
        findings = ", ".join(
            f"{found[name]:,} {word}{'' if found[name] == 1 else 's'}"
            for name, word in words.items()
            if name in found
        )
        return card(
            self.account or "Capsule account",
            f"as of {self.as_of}",
            [said, f"Data quality: {findings or 'no findings'}"],
            ("Open", "Deals", "TCV", "Weighted"),
            rows,
        )


def as_day(given: date | str) -> date:
    """Take a day in any form.

    Parameters
    ----------
    given
        A date, a time (a `datetime` or `pandas.Timestamp`, whose day in UTC counts; a naive one
        is UTC), or either as ISO 8601 text.

    Returns
    -------
    The day.

    Raises
    ------
    ArgumentError
        If it is none of these.

    Examples
    --------
    >>> as_day("2026-10-15"), as_day(pd.Timestamp("2026-10-15 23:30", tz="America/New_York"))
    (datetime.date(2026, 10, 15), datetime.date(2026, 10, 16))
    """
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        moment = None
    if isinstance(moment, datetime) and moment is not pd.NaT:
        return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
    if isinstance(moment, date) and moment is not pd.NaT:
        return moment
    raise ArgumentError(f"as_of must be a day such as 2026-10-15, not {given!r}")


def _arrow(column: pd.Series) -> pa.Array:
    """Turn a column into an Arrow array of its kind; one that is not ours into what it holds."""
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    kind = next((one.kind for one in COLUMNS if one.name == column.name), None)
    if column.name == "tags":
        return pa.array(column, pa.list_(pa.string()), from_pandas=True)
    if kind is OBJECT:
        return pa.array(kind.to_arrow(column.map(undated, na_action="ignore")), pa.string())
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pa.array(column, from_pandas=True)
    if kind in {DATE, MOMENT}:
        return pa.array(column, pa.timestamp("us", "UTC"), from_pandas=True).cast(
            kind.arrow_type("UTC")
        )
    if kind is None:
        return pa.array(column, from_pandas=True)
    return pa.array(kind.to_arrow(column), kind.arrow_type(), from_pandas=True)


def total_contract_value(
    value: NDArray[np.float64], basis: pd.Series, duration: pd.Series
) -> NDArray[np.float64]:
    """Turn value and duration into total contract value (TCV).

    TCV is the value where the basis is FIXED or absent, and value times duration otherwise
    (a retainer of 5,000 a month for 3 months is worth 15,000). A duration that is missing
    where the basis needs one gives NaN, never a silent 1.

    Parameters
    ----------
    value
        Amounts per unit of the basis, shape (n,).
    basis
        Duration bases, shape (n,).
    duration
        Numbers of units, shape (n,), nullable integers.

    Returns
    -------
    TCV in the currency of the value, shape (n,), NaN where it is unknown.

    Examples
    --------
    >>> total_contract_value(
    ...     np.array([5000.0, 5000.0, 800.0]),
    ...     pd.Series(["MONTH", "FIXED", "DAY"]),
    ...     pd.Series([3, None, None], dtype="Int64"),
    ... )
    array([15000.,  5000.,    nan])
    """
    fixed = (basis.isna() | (basis == "FIXED").fillna(value=False)).to_numpy(dtype=bool)
    units = duration.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(fixed, value, value * units)


def status_of(complete: NDArray[np.bool_], milestone_probability: NDArray[np.float64]) -> pd.Series:
    """Classify deals by the milestone they stand at.

    Not complete is open; complete with probability 0 is lost; complete otherwise is won.

    Parameters
    ----------
    complete
        Whether the milestone closes the deal; False where the milestone is unknown.
    milestone_probability
        The milestone's own probability, 0 to 1.

    Returns
    -------
    Categorical series of ``open``, ``won``, ``lost``, shape (n,).

    Examples
    --------
    >>> status_of(np.array([False, True, True]), np.array([0.5, 1.0, 0.0])).tolist()
    ['open', 'won', 'lost']
    """
    codes = np.where(complete, np.where(milestone_probability == 0, 2, 1), 0)
    labels = pd.Index(STATUSES, dtype=object)
    return pd.Series(pd.Categorical.from_codes(codes, categories=labels))
