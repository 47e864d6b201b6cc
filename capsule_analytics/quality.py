"""Data-quality checks: what a person should look at before trusting the figures.

`stale` and `neglected` list the open deals that need someone; the other checks look for what is
wrong in a record.

A flawed record is kept and flagged, never dropped unseen. Checks that read the finished frame
stand in `CHECKS`; what was already seen while reading (a value that is no number, say) comes in
as `Finding`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import pandas as pd

from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import DURATION_BASES, TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

__all__ = [
    "CHECKS",
    "NEGLECTED_AFTER",
    "SEVERITIES",
    "Check",
    "Context",
    "Finding",
    "Severity",
    "by_owner",
    "check",
    "neglected",
    "overdue",
    "run",
    "stale",
]

__dir__ = __all__.copy  # what completion offers

Severity = Literal["error", "warning", "info"]

SEVERITIES: dict[str, Severity] = {
    "missing_id": "error",
    "duplicate_id": "warning",
    "not_a_number": "error",
    "text_number": "warning",
    "not_text": "warning",
    "not_a_boolean": "warning",
    "field_type": "warning",
    "bad_date": "error",
    "probability_out_of_range": "error",
}
"""Severity of what is found while reading: error changes a figure, warning may, info does not."""


NEGLECTED_AFTER = 30
"""Days without a word to the customer after which an open deal is neglected, unless told."""


class Finding(NamedTuple):
    """One thing found about one opportunity."""

    opportunity_id: int
    check: str
    detail: str


@dataclass(frozen=True)
class Context:
    """What a check may need to know beside the frame."""

    frame: pd.DataFrame
    milestones: pd.DataFrame
    as_of: date
    currencies: Sequence[str] = ()


@dataclass(frozen=True)
class Check:
    """A check of the finished frame.

    Attributes
    ----------
    name
        Its name in ``Pipeline.issues``.
    severity
        ``error`` if a figure is wrong or incomplete for it, ``warning`` if one may be, ``info``.
    applies
        From the context to a boolean mask over the frame.
    detail
        What to tell, `str.format` with the row's columns.
    by_day
        Whether the result changes from day to day with nothing changed in the deal.
    loading
        Whether it needs to know what only a load does: the account's milestones, and what was
        filled in from them.
    """

    name: str
    severity: Severity
    applies: Callable[[Context], pd.Series]
    detail: str
    by_day: bool = False
    loading: bool = False


def overdue(frame: pd.DataFrame, as_of: date) -> pd.Series:
    """Tell which deals are open with an expected close before the as-of day.

    Parameters
    ----------
    frame
        Opportunities with ``status`` and ``expected_close``.
    as_of
        The day from which one looks.

    Returns
    -------
    Boolean series over the frame.
    """
    return (frame["status"] == "open") & (frame["expected_close"] < pd.Timestamp(as_of, tz="UTC"))


def _days_since(moments: pd.Series, as_of: date) -> pd.Series:
    """Count the days from the UTC date of each moment to the as-of day."""
    days: pd.Series = (pd.Timestamp(as_of, tz="UTC") - moments.dt.floor("D")).dt.days
    return days


def _limits(frame: pd.DataFrame, milestones: pd.DataFrame) -> pd.Series:
    """Give the days after which each deal is stale at its milestone; missing where none are told.

    Names repeat across pipelines, so only the id tells which milestone it is.
    """
    if milestones.index.name != "id" or "days_until_stale" not in milestones.columns:
        return pd.Series(pd.NA, index=frame.index, dtype="Int64")
    at = milestones.index.get_indexer(
        frame["milestone_id"].to_numpy(dtype="int64", na_value=-(2**63))
    )
    days = pd.array([*milestones["days_until_stale"], pd.NA], dtype="Int64")
    return pd.Series(days[at], index=frame.index)


def _is_stale(context: Context) -> pd.Series:
    frame = context.frame
    days = _days_since(frame["last_stage_changed_at"], context.as_of)
    over = days > _limits(frame, context.milestones).astype("Float64")
    return (frame["status"] == "open") & over.fillna(value=False).astype(bool)


def _last_word(frame: pd.DataFrame) -> pd.Series:
    """Give when the customer was last spoken to, or when the deal was entered if never yet.

    Where no deal tells of a contact, the API does not, and nothing is known.
    """
    last = frame["last_contacted_at"]
    return last.where(last.notna(), frame["created_at"]) if last.notna().any() else last


def _is_neglected(context: Context, days: int = NEGLECTED_AFTER) -> pd.Series:
    frame = context.frame
    return (frame["status"] == "open") & (_days_since(_last_word(frame), context.as_of) > days)


def stale(pipeline: Pipeline) -> pd.DataFrame:
    """List the open deals that stand longer at their milestone than it allows.

    A milestone has a number of days after which Capsule calls a deal stale (``daysUntilStale``,
    developer.capsulecrm.com/v2/models/milestone); they are counted from the day on which the deal
    came there (``lastStageChangedAt``). `history.stale` asks for something else: deals of which
    nothing at all was changed.

    Parameters
    ----------
    pipeline
        The account; days are counted up to its ``as_of``.

    Returns
    -------
    One row a deal, the longest over its limit first: ``opportunity_id``, ``name``, ``owner``,
    ``team``, ``pipeline``, ``milestone``, ``currency``, ``tcv``, ``last_stage_changed_at`` (UTC),
    ``days`` (at its milestone), ``days_until_stale`` (its limit) and ``days_over``. Nothing is
    known of deals without that time, nor at milestones without a limit or an id (API v1).

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = stale(ca.load_sample())
    >>> bool((table["days"] > table["days_until_stale"]).all())
    True
    """
    frame = pipeline.opportunities
    context = Context(frame, pipeline.milestones, pipeline.as_of)
    days = _days_since(frame["last_stage_changed_at"], pipeline.as_of)
    limits = _limits(frame, pipeline.milestones)
    found = frame.assign(days=days, days_until_stale=limits)[_is_stale(context).to_numpy()]
    found = found.astype({"days": "int64", "days_until_stale": "int64"})
    found = found.assign(days_over=found["days"] - found["days_until_stale"])
    return _listed(
        found, ["last_stage_changed_at", "days", "days_until_stale", "days_over"], "days_over"
    )


def neglected(pipeline: Pipeline, *, days: int = NEGLECTED_AFTER) -> pd.DataFrame:
    """List the open deals whose customer nobody has spoken to for long.

    Counted from ``lastContactedAt`` (developer.capsulecrm.com/v2/models/opportunity), and from the
    day on which the deal was entered where there was no contact yet.

    Parameters
    ----------
    pipeline
        The account; days are counted up to its ``as_of``.
    days
        More days than these without a word make a deal neglected.

    Returns
    -------
    One row a deal, the longest neglected first: ``opportunity_id``, ``name``, ``owner``, ``team``,
    ``pipeline``, ``milestone``, ``currency``, ``tcv``, ``last_contacted_at`` (UTC; missing where
    there was none) and ``days``. Empty if no deal of the account tells of a contact (API v1).

    Raises
    ------
    ArgumentError
        If `days` is negative.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> table = neglected(ca.load_sample(), days=60)
    >>> bool((table["days"] > 60).all())
    True
    """
    if days < 0:
        raise ArgumentError(f"days must be 0 or more, not {days}")
    frame = pipeline.opportunities
    context = Context(frame, pipeline.milestones, pipeline.as_of)
    since = _days_since(_last_word(frame), pipeline.as_of)
    found = frame.assign(days=since)[_is_neglected(context, days).to_numpy()]
    return _listed(found.astype({"days": "int64"}), ["last_contacted_at", "days"], "days")


def by_owner(pipeline: Pipeline) -> pd.DataFrame:
    """Count the findings by owner and check: who has what to mend.

    Parameters
    ----------
    pipeline
        The account.

    Returns
    -------
    One row an owner, severity and check, those with the most findings first, a missing owner
    last: ``owner``, ``severity``, ``check``, ``deals`` (how many have it). Findings about no deal
    that was loaded count for no owner.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> list(by_owner(ca.load_sample()).columns)
    ['owner', 'severity', 'check', 'deals']
    """
    issues = pipeline.issues
    owners = pipeline.opportunities["owner"].astype(TEXT)
    owners = owners[~owners.index.duplicated()]
    rows = issues.assign(owner=owners.reindex(issues["opportunity_id"]).array)
    keys = ["owner", "severity", "check"]
    table = rows.groupby(keys, dropna=False, observed=True)["opportunity_id"].nunique()
    table = table.rename("deals").reset_index()
    total = table.groupby("owner", dropna=False)["deals"].transform("sum")
    table = table.assign(total=total, place=table["severity"].map(get_args(Severity).index))
    table = table.assign(nobody=table["owner"].isna()).sort_values(
        ["nobody", "total", "owner", "place", "deals", "check"],
        ascending=[True, False, True, True, False, True],
    )
    return table[[*keys, "deals"]].reset_index(drop=True)


def tally(frame: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """Count what the columns of a frame tell by themselves: a part that `_deals.add` adds up.

    Parameters
    ----------
    frame
        Opportunities of one or several accounts, with ``account``.
    as_of
        The day from which deals are overdue and neglected.

    Returns
    -------
    ``account``, ``severity``, ``check`` and ``deals``, for each account and check that finds
    something. Left out are the checks that need what only a load knows; added is ``missing_rate``
    where amounts were converted.
    """
    context = Context(frame, pd.DataFrame(), as_of)
    account = frame["account"].astype(TEXT)
    marks: list[tuple[str, Severity, pd.Series]] = [
        (one.name, one.severity, one.applies(context)) for one in CHECKS if not one.loading
    ]
    if "fx_rate" in frame.columns:
        lacking = frame["original_currency"].notna() & frame["fx_rate"].isna()
        marks.append(("missing_rate", "error", lacking))
    found = [
        account[mark.to_numpy(dtype=bool)]
        .value_counts()
        .rename_axis("account")
        .rename("deals")
        .reset_index()
        .assign(severity=severity, check=name)
        for name, severity, mark in marks
    ]
    table = pd.concat(found, ignore_index=True)[["account", "severity", "check", "deals"]]
    return table.astype({"account": TEXT, "severity": TEXT, "check": TEXT, "deals": "int64"})


def _listed(found: pd.DataFrame, more: list[str], first: str) -> pd.DataFrame:
    """Show deals that need someone, those with the most of one column first."""
    columns = ["name", "owner", "team", "pipeline", "milestone", "currency", "tcv", *more]
    table = found[columns].reset_index(names="opportunity_id")
    return table.sort_values([first, "opportunity_id"], ascending=[False, True], ignore_index=True)


def _needs_duration(frame: pd.DataFrame) -> pd.Series:
    return frame["duration_basis"].notna() & (frame["duration_basis"] != "FIXED")


def _undated(frame: pd.DataFrame) -> pd.Series:
    no_day = frame["expected_close"].isna()
    return (frame["status"] == "open") & no_day | (
        (frame["status"] == "won") & no_day & frame["closed_at"].isna()
    )


def _unknown_currency(context: Context) -> pd.Series:
    codes = context.frame["currency"]
    given = codes.notna()
    if context.currencies:
        return given & ~codes.isin(list(context.currencies))
    wrong = [code for code in codes.cat.categories if not re.fullmatch("[A-Z]{3}", code)]
    return given & codes.isin(wrong)


CHECKS: tuple[Check, ...] = (
    Check("missing_name", "info", lambda c: c.frame["name"].isna(), "the opportunity has no name"),
    Check("missing_value", "error", lambda c: c.frame["value"].isna(), "counts with no value"),
    Check(
        "negative_value", "warning", lambda c: c.frame["value"] < 0, "value {value:.2f} {currency}"
    ),
    Check(
        "missing_currency",
        "error",
        lambda c: c.frame["currency"].isna() & c.frame["value"].notna(),
        "value {value:.2f} in an unknown currency",
    ),
    Check("unknown_currency", "warning", _unknown_currency, "currency {currency}"),
    Check(
        "missing_duration",
        "error",
        lambda c: _needs_duration(c.frame) & c.frame["duration"].isna(),
        "basis {duration_basis} without a duration: total contract value unknown",
    ),
    Check(
        "negative_duration",
        "error",
        lambda c: _needs_duration(c.frame) & (c.frame["duration"] < 0).fillna(value=False),
        "duration {duration}",
    ),
    Check(
        "zero_duration",
        "warning",
        lambda c: _needs_duration(c.frame) & (c.frame["duration"] == 0).fillna(value=False),
        "basis {duration_basis} with duration 0 is worth nothing",
    ),
    Check(
        "unknown_duration_basis",
        "error",
        lambda c: _needs_duration(c.frame) & ~c.frame["duration_basis"].isin(DURATION_BASES),
        "basis {duration_basis}",
    ),
    Check(
        "unknown_milestone",
        "error",
        lambda c: ~c.frame["milestone_known"],
        "milestone {milestone} (id {milestone_id}) is not in the configuration: counted as open",
        loading=True,
    ),
    Check(
        "missing_close_date",
        "warning",
        lambda c: _undated(c.frame),
        "in no month of the forecast",
    ),
    Check(
        "missing_probability",
        "error",
        lambda c: c.frame["probability"].isna(),
        "none of its own and none from its milestone: counts with no weighted value",
    ),
    Check(
        "milestone_probability",
        "info",
        lambda c: (
            (c.frame["status"] == "open")
            & c.frame["own_probability"].isna()
            & c.frame["probability"].notna()
        ),
        "none of its own: its milestone's {probability:.0%} is used",
        loading=True,
    ),
    Check(
        "overdue",
        "warning",
        lambda c: overdue(c.frame, c.as_of),
        "open, but expected to close on {expected_close:%Y-%m-%d}",
        by_day=True,
    ),
    Check(
        "stale",
        "info",
        _is_stale,
        "at {milestone} since {last_stage_changed_at:%Y-%m-%d}, longer than the milestone allows",
        by_day=True,
        loading=True,
    ),
    Check(
        "neglected",
        "info",
        _is_neglected,
        "last contact with the customer: {last_contacted_at!s:.10}; entered on {created_at!s:.10}",
        by_day=True,
    ),
)


def run(checks: Iterable[Check], context: Context) -> list[tuple[int, str, Severity, str]]:
    """Make some of the checks.

    Parameters
    ----------
    checks
        Of `CHECKS`.
    context
        What they look at.

    Returns
    -------
    ``opportunity_id``, ``check``, ``severity`` and ``detail`` of each finding.
    """
    rows = []
    for one in checks:
        flags = one.applies(context).to_numpy(dtype=bool)
        if not flags.any():
            continue
        columns = [name for name in context.frame.columns if "{" + name in one.detail]
        shown = context.frame[columns][flags]
        # As days, for a finding shows no more, and pandas writes its moments very slowly.
        days = {name: shown[name].dt.date for name in shown.select_dtypes("datetimetz")}
        shown = shown.assign(**days).astype(object)
        records = shown.where(shown.notna(), "none").to_dict("records") or [{}] * len(shown)
        rows += [
            (int(key), one.name, one.severity, one.detail.format(**record))
            for key, record in zip(shown.index, records, strict=True)
        ]
    return rows


def check(
    frame: pd.DataFrame,
    findings: Sequence[Finding],
    milestones: pd.DataFrame,
    currencies: Sequence[str],
    as_of: date,
) -> pd.DataFrame:
    """Run every check.

    Parameters
    ----------
    frame
        The finished frame, with ``own_probability`` (the opportunity's own, before any fallback)
        and ``milestone_known`` (whether the configuration has its milestone).
    findings
        What was found while reading.
    milestones
        As in ``Pipeline.milestones``.
    currencies
        The account's currencies; where empty, anything that is no three capital letters is
        flagged.
    as_of
        The day from which deals are overdue, stale and neglected.

    Returns
    -------
    One row a finding, by opportunity and check: ``opportunity_id``, ``check``, ``severity``,
    ``detail``.
    """
    rows = [(f.opportunity_id, f.check, SEVERITIES[f.check], f.detail) for f in findings]
    rows += run(CHECKS, Context(frame, milestones, as_of, currencies))
    rows.sort(key=lambda row: (row[0], row[1], row[3]))
    table = pd.DataFrame(rows, columns=["opportunity_id", "check", "severity", "detail"])
    return table.astype(
        {"opportunity_id": "Int64", "check": TEXT, "severity": TEXT, "detail": TEXT}
    )
