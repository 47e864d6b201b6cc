"""Amounts turned into one home currency at dated rates."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args, overload

import numpy as np
import pandas as pd

from capsule_analytics._deals import close_days, pandas_only, resolve
from capsule_analytics._words import round_cents
from capsule_analytics.errors import ArgumentError, RateError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from ._rates import Rates


Missing = Literal["error", "flag"]

ORIGINALS = (
    "original_currency",
    "original_value",
    "original_tcv",
    "fx_asked",
    "fx_rate",
    "fx_date",
)
"""Columns that `convert` adds."""

_NEEDED = ("currency", "value", "tcv", "status", "expected_close", "closed_at")


@overload
def convert(
    deals: Pipeline, home: str, rates: Rates, *, as_of: date | None = ..., missing: Missing = ...
) -> Pipeline: ...
@overload
def convert(
    deals: pd.DataFrame,
    home: str,
    rates: Rates,
    *,
    as_of: date | None = ...,
    missing: Missing = ...,
) -> pd.DataFrame: ...
def convert(
    deals: Pipeline | pd.DataFrame,
    home: str,
    rates: Rates,
    *,
    as_of: date | None = None,
    missing: Missing = "error",
) -> Pipeline | pd.DataFrame:
    """Express every deal in one currency.

    Parameters
    ----------
    deals
        A pipeline, or a pandas frame of its columns.
    home
        The currency to convert to.
    rates
        The exchange rates.
    as_of
        The day whose rate open deals take; None means the pipeline's, or today (UTC) for a frame.
    missing
        What to do where a rate is not known: stop with an error, or flag: the deal keeps its own
        currency and the pipeline's issues get the finding ``missing_rate``, of severity error.

    Returns
    -------
    Of the kind that was given, with ``value`` and ``tcv`` in ``home``, each deal's rounded to whole
    cents, so that deals add up to their totals to the cent, and the columns `ORIGINALS`:
    the currency and the amounts before, the day whose rate was asked for, the rate (units of home a
    unit), and the day it was published; the last two are missing where there is no rate. A deal
    without a currency stays as it is: no rate could be right for it.

    Raises
    ------
    RateError
        If a rate is missing, unless it is to be flagged; it names the currency and the day. If
        there is no rate of ``home`` at all, and something to convert.
    ArgumentError
        If ``home`` is no currency code, an option is not valid, a column is missing, or the deals
        have been converted before.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> pipeline = ca.fx.convert(ca.load_sample(), "GBP", ca.fx.ecb_rates(), missing="flag")
    >>> sorted(pipeline.opportunities["currency"].dropna().unique())  # XXX is no real currency
    ['GBP', 'XXX']
    """
    if missing not in get_args(Missing):
        raise ArgumentError(f"missing must be one of error, flag, not {missing!r}")
    frame, day = resolve(deals, as_of, _NEEDED)
    pandas_only(frame)
    if "original_currency" in frame.columns:
        raise ArgumentError("these deals are converted already; convert the original ones")
    asked = _asked_days(frame, day)
    currency = frame["currency"].astype(TEXT)
    _check_home(home, currency, rates)
    rate = np.full(len(frame), np.nan)
    published = np.full(len(frame), np.datetime64("NaT", "D"))
    # A currency is looked up once, for the distinct days on which it is needed.
    for code in currency.dropna().unique():
        rows = np.flatnonzero((currency == code).fillna(value=False).to_numpy(dtype=bool))
        days, of_row = np.unique(asked[rows], return_inverse=True)
        found, dates = rates.lookup(code, days, home)
        if missing == "error" and np.isnan(found).any():
            first: date = days[np.isnan(found)][0].astype(object)
            rates.rate(code, first, home)
        rate[rows], published[rows] = found[of_row], dates[of_row]

    known = ~np.isnan(rate)
    moved = known & (currency != home).fillna(value=False).to_numpy(dtype=bool)
    home_value, home_tcv = (
        np.where(moved, round_cents(amounts * rate), amounts)
        for amounts in (
            frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("value", "tcv")
        )
    )
    converted = frame.assign(
        currency=pd.Categorical(currency.mask(known, home).astype(object)),
        value=home_value,
        tcv=home_tcv,
        original_currency=frame["currency"],
        original_value=frame["value"],
        original_tcv=frame["tcv"],
        fx_asked=_timestamps(asked, frame.index),
        fx_rate=rate,
        fx_date=_timestamps(published, frame.index),
    )
    if not isinstance(deals, Pipeline):
        return converted
    lacking = ~known & currency.notna().to_numpy(dtype=bool)
    findings = _findings(converted[lacking], home)
    issues = (
        pd.concat([deals.issues, findings], ignore_index=True) if lacking.any() else deals.issues
    )
    issues = issues.sort_values(["opportunity_id", "check"], kind="stable", ignore_index=True)
    return replace(deals, opportunities=converted, issues=issues)


def _check_home(home: str, currency: pd.Series, rates: Rates) -> None:
    if not re.fullmatch("[A-Z]{3}", home):
        raise ArgumentError(
            f"a home currency is a code of three capital letters, such as GBP, not {home!r}"
        )
    if home not in rates.currencies and (currency.dropna() != home).any():
        raise RateError(
            f"{rates.source or 'the rates'}: there is no rate of {home}; there are"
            f" {', '.join(rates.currencies)}"
        )


def rates_used(deals: Pipeline | pd.DataFrame) -> pd.DataFrame:
    """List the rates that a conversion used, for the footnotes of a report.

    Parameters
    ----------
    deals
        What `convert` returned.

    Returns
    -------
    One row a currency and day asked for, sorted: ``currency``, ``date`` (the day asked for),
    ``rate`` (units of the home currency a unit), ``rate_date`` (the day it was published; this and
    the rate are missing where there was none), ``deals`` (how many open and won ones took it),
    ``original_tcv`` and ``tcv``: what those are worth before and after conversion, the latter
    missing without a rate.

    Raises
    ------
    ArgumentError
        If the deals have not been converted.
    """
    frame = deals.opportunities if isinstance(deals, Pipeline) else deals
    if not set(ORIGINALS) <= set(frame.columns):
        raise ArgumentError("these deals are not converted; use convert first")
    given = frame[frame["original_currency"].notna() & (frame["status"] != "lost")]
    used = pd.DataFrame(
        {
            "currency": given["original_currency"].astype(TEXT),
            "date": given["fx_asked"],
            "rate": given["fx_rate"],
            "rate_date": given["fx_date"],
            "deals": 1,
            "original_tcv": given["original_tcv"],
            "tcv": given["tcv"],
        }
    )
    # Of one currency and day all rates are the same.
    keys = ["currency", "date", "rate", "rate_date"]
    table = used.groupby(keys, dropna=False).sum().reset_index()
    table["tcv"] = table["tcv"].where(table["rate"].notna())
    return table


def _asked_days(frame: pd.DataFrame, as_of: date) -> NDArray[np.datetime64]:
    """Give the day whose rate each deal takes: its close day if won by then, else the as-of day."""
    won = (frame["status"] == "won").to_numpy(dtype=bool)
    close = close_days(frame)
    today = np.datetime64(as_of, "D")
    return np.where(won & (close <= today), close, today)


def _timestamps(days: NDArray[np.datetime64], index: pd.Index) -> pd.Series:
    return pd.Series(days.astype("datetime64[us]"), index=index).dt.tz_localize("UTC")


def _findings(lacking: pd.DataFrame, home: str) -> pd.DataFrame:
    days = lacking["fx_asked"].dt.strftime("%Y-%m-%d").astype(TEXT)
    detail = "no rate from " + lacking["original_currency"].astype(TEXT) + f" to {home} on " + days
    findings = pd.DataFrame(
        {
            "opportunity_id": lacking.index,
            "check": "missing_rate",
            "severity": "error",
            "detail": (detail + ": not converted").array,
        }
    )
    return findings.astype(
        {"opportunity_id": "Int64", "check": TEXT, "severity": TEXT, "detail": TEXT}
    )
