"""Data-quality checks: what a person should look at before trusting the figures.

A flawed record is kept and flagged, never dropped unseen. Checks that read the finished frame
stand in `CHECKS`; what was already seen while reading (a value that is no number, say) comes in
as `Finding`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from capsule_analytics.schema import DURATION_BASES, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

__all__ = [
    "CHECKS",
    "SEVERITIES",
    "Check",
    "Context",
    "Finding",
    "Severity",
    "check",
    "overdue",
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


class Finding(NamedTuple):
    """One thing found about one opportunity."""

    opportunity_id: int
    check: str
    detail: str


@dataclass(frozen=True)
class Context:
    """What a check may need to know beside the frame."""

    frame: pd.DataFrame
    currencies: Sequence[str]
    as_of: date


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
    """

    name: str
    severity: Severity
    applies: Callable[[Context], pd.Series]
    detail: str


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
    ),
    Check(
        "overdue",
        "warning",
        lambda c: overdue(c.frame, c.as_of),
        "open, but expected to close on {expected_close:%Y-%m-%d}",
    ),
)


def check(
    frame: pd.DataFrame,
    findings: Sequence[Finding],
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
    currencies
        The account's currencies; where empty, anything that is no three capital letters is
        flagged.
    as_of
        The day from which deals are overdue.

    Returns
    -------
    One row a finding, by opportunity and check: ``opportunity_id``, ``check``, ``severity``,
    ``detail``.
    """
    context = Context(frame, currencies, as_of)
    rows = [(f.opportunity_id, f.check, SEVERITIES[f.check], f.detail) for f in findings]
    for one in CHECKS:
        flagged = frame[one.applies(context).to_numpy(dtype=bool)]
        columns = [name for name in flagged.columns if "{" + name in one.detail]
        shown = flagged[columns].astype(object)
        records = shown.where(shown.notna(), "none").to_dict("records") or [{}] * len(shown)
        details = [one.detail.format(**record) for record in records]
        rows += [
            (key, one.name, one.severity, detail)
            for key, detail in zip(flagged.index.tolist(), details, strict=True)
        ]
    rows.sort(key=lambda row: (row[0], row[1], row[3]))
    table = pd.DataFrame(rows, columns=["opportunity_id", "check", "severity", "detail"])
    return table.astype(
        {"opportunity_id": "Int64", "check": TEXT, "severity": TEXT, "detail": TEXT}
    )
