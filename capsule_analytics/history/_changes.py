"""The bridge from one day's open pipeline to another's: what came, what went, what moved.

Every deal is looked at on both days. The total contract value with which it counts on the first
day leaves under one name, that of the second day enters under another, and what remains of a deal
that counts on both days is a change of value; so the parts sum to the difference by construction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

import numpy as np
import pandas as pd

from capsule_analytics._deals import add, owner_names, owners_under
from capsule_analytics.errors import ArgumentError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from numpy.typing import NDArray

PARTS = (
    "opening",
    "new",
    "reopened",
    "value_up",
    "value_down",
    "pulled_in",
    "pushed_out",
    "won",
    "lost",
    "deleted",
    "closing",
)
"""The parts of a bridge, in the order in which they are drawn."""

_COLUMNS = ["opportunity_id", "name", "owner", "currency", "part", "value", "detail"]


class _Day(NamedTuple):
    """One day's view of the deals of both days, all arrays in the order of their ids."""

    frame: pd.DataFrame  # one row a deal, all missing where the deal is not there
    status: NDArray[np.object_]  # open, won, lost, or empty where the deal is not there
    counts: NDArray[np.bool_]  # open and, where a period is given, expected in it
    currency: NDArray[np.object_]  # empty where missing
    cents: NDArray[np.float64]  # whole numbers, which floats add exactly up to 2**53


class Changing(Protocol):
    """A day that can tell by itself what changed until another: one of a portfolio."""

    def changed_to(
        self,
        after: Any,  # noqa: ANN401 - a day of its own kind
        *,
        period: tuple[date | str, date | str] | None,
        by: Literal["account"] | None,
    ) -> pd.DataFrame:
        """Make the bridge to another day."""


def changes(
    before: Pipeline | Changing,
    after: Pipeline | Changing,
    *,
    period: tuple[date | str, date | str] | None = None,
    by: Literal["account"] | None = None,
) -> pd.DataFrame:
    """Explain how one day's open pipeline became another's, by currency.

    The parts, each in total contract value:

    - ``opening``, ``closing``: the open deals of the two days. With a period, only those
      expected to close in it.
    - ``new``: open now and not there before. ``reopened``: open now, won or lost before.
    - ``value_up``, ``value_down``: open on both days at another value. A deal whose currency
      changed goes down by its whole value in the old one and up in the new.
    - ``pulled_in``, ``pushed_out``: open on both days, but the expected close came into the
      period or left it, in either direction. Without a period there are none.
    - ``won``, ``lost``, ``deleted``: open before and no longer, at the value it had before.

    A deal that came and closed between the two days was in neither pipeline and is in no part.

    Parameters
    ----------
    before, after
        The account on the two days; or two days of a portfolio (`portfolio.Portfolio.on`).
    period
        First and last day of the closing period that the bridge is about; None means all open
        deals, with or without a date.
    by
        For a portfolio: account, or None for the total of all accounts.

    Returns
    -------
    Eleven rows a currency, by currency with a missing one last: ``currency``, ``part``
    (categorical, in the order above with opening first and closing last), ``deals``, and
    ``value`` in the currency, whole cents, negative for what went; where asked for, the same for
    each ``account``, which comes first. For each currency the value of ``closing`` is the sum of
    all the others. Deals of unknown value count 0.

    Raises
    ------
    ArgumentError
        If one is no pipeline, they are of different accounts, or the period is none.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *_, september, october = ca.history.sample_history()
    >>> bridge = ca.history.changes(september, october)
    >>> pounds = bridge[bridge["currency"] == "GBP"].set_index("part")["value"]
    >>> bool(pounds.drop("closing").sum() == pounds["closing"])
    True
    """
    if hasattr(before, "changed_to"):
        return before.changed_to(after, period=period, by=by)
    if by is not None:
        raise ArgumentError("only the changes of a portfolio are by account")
    after = cast("Pipeline", after)
    _of_one_account(before, after)
    table = bridge([moved(before.opportunities, after.opportunities, period=period)])
    return _noted(table, before, after, period)


def changed_deals(
    before: Pipeline,
    after: Pipeline,
    *,
    period: tuple[date | str, date | str] | None = None,
) -> pd.DataFrame:
    """List the deals behind each part of the bridge that `changes` makes.

    Parameters
    ----------
    before, after, period
        As for `changes`.

    Returns
    -------
    One row a deal and part, by currency and part, the largest value first:
    ``opportunity_id``, ``name`` and ``owner`` (of the later day on which it is there; a user who
    was renamed goes by the newer name),
    ``currency``, ``part`` (categorical), ``value`` (signed) and ``detail``, which says what
    happened. A deal whose currency changed has a row in each. The values of a part sum to its
    value in the bridge.

    Raises
    ------
    ArgumentError
        As for `changes`.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> *_, september, october = ca.history.sample_history()
    >>> deals = ca.history.changed_deals(september, october)
    >>> deals.loc[deals["part"] == "value_up", "detail"].iloc[0]
    'EUR 36,400.00 to EUR 37,900.00'
    """
    _of_one_account(before, after)
    first, last = _days(before.opportunities, after.opportunities, period)
    moves = _moves(first, last)
    at = moves["at"].to_numpy()
    seen_last = last.frame["status"].notna()
    names = owner_names(last.frame, owner_names(first.frame))
    owners = [owners_under(day.frame, names).astype(object) for day in (first, last)]
    shown = {
        "name": last.frame["name"].astype(object).where(seen_last, first.frame["name"]),
        "owner": owners[1].where(seen_last, owners[0]),
    }
    table = pd.DataFrame(
        {
            "opportunity_id": last.frame.index.to_numpy()[at],
            **{name: values.array[at] for name, values in shown.items()},
            "currency": moves["currency"].to_numpy(),
            "part": pd.Categorical(moves["part"], PARTS, ordered=True),
            "value": moves["cents"].to_numpy() / 100,
            "detail": _details(moves, first, last),
        }
    ).astype({"name": TEXT, "owner": TEXT, "detail": TEXT})
    table["size"] = -table["value"].abs()
    table["currency"] = _codes(table["currency"])
    table = table.sort_values(["currency", "part", "size", "opportunity_id"], ignore_index=True)
    return _noted(table[_COLUMNS], before, after, period)


def moved(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    period: tuple[date | str, date | str] | None = None,
    groups: Sequence[str] = (),
) -> pd.DataFrame:
    """Sum what came, went and moved: a part that `_sums.add` adds up, and `bridge` shows.

    Parameters
    ----------
    before, after
        Opportunities on the two days, of an account or of several, or those of some ids alone; the
        index tells them apart.
    period
        As for `changes`.
    groups
        Levels of the index to group by.

    Returns
    -------
    The groups, ``currency`` (empty where missing), ``part``, ``deals`` and ``cents``, whole.

    Raises
    ------
    ArgumentError
        If the period is none.
    """
    first, last = _days(before, after, period)
    whole = [
        pd.DataFrame(
            {
                "at": np.flatnonzero(day.counts),
                "currency": day.currency[day.counts],
                "part": name,
                "cents": day.cents[day.counts],
            }
        )
        for name, day in (("opening", first), ("closing", last))
    ]
    rows = pd.concat([*whole, _moves(first, last)])
    at = rows.pop("at").to_numpy()
    labels = {name: first.frame.index.get_level_values(name).to_numpy()[at] for name in groups}
    rows = rows.assign(**labels, deals=np.int64(1))
    keys = [*groups, "currency", "part"]
    return rows.astype(dict.fromkeys(keys, TEXT)).groupby(keys).sum().reset_index()


def bridge(parts: Iterable[pd.DataFrame], groups: Sequence[str] = ()) -> pd.DataFrame:
    """Add up what `moved` found to the table that is shown.

    Parameters
    ----------
    parts
        Of different deals, in any order.
    groups
        What they are grouped by.

    Returns
    -------
    As `changes` returns it: eleven rows for each group and currency.
    """
    sums = add(parts)
    keys = [*groups, "currency"]
    names = pd.DataFrame({"part": pd.Series(PARTS, dtype=TEXT)})
    table = sums[keys].drop_duplicates().merge(names, how="cross")
    table = table.merge(sums, on=[*keys, "part"], how="left", validate="one_to_one")
    table["part"] = pd.Categorical(table["part"], PARTS, ordered=True)
    table["currency"] = _codes(table["currency"])
    table["deals"] = table["deals"].fillna(0).astype("int64")
    table["value"] = table.pop("cents").fillna(0.0) / 100
    return table.sort_values([*keys, "part"], ignore_index=True)


def _codes(currency: pd.Series) -> pd.Series:
    return currency.astype(TEXT).replace("", pd.NA)


def _noted(
    table: pd.DataFrame,
    before: Pipeline,
    after: Pipeline,
    period: tuple[date | str, date | str] | None,
) -> pd.DataFrame:
    """Note what was compared."""
    table.attrs["before"] = before.as_of.isoformat()
    table.attrs["after"] = after.as_of.isoformat()
    table.attrs["period"] = None if period is None else [f"{day:%Y-%m-%d}" for day in _ends(period)]
    return table


def _ends(period: tuple[date | str, date | str]) -> tuple[pd.Timestamp, pd.Timestamp]:
    try:
        start, end = (pd.Timestamp(day).tz_localize("UTC") for day in period)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"period {period!r} is not a first and a last day") from error
    if not start <= end:
        raise ArgumentError(f"period {period!r} ends before it starts")
    return start, end


def _of_one_account(before: Pipeline, after: Pipeline) -> None:
    for day in (before, after):
        if not isinstance(day, Pipeline):
            raise ArgumentError(f"changes are between two pipelines, not {type(day).__name__}")
    if before.account != after.account:
        raise ArgumentError(
            f"one pipeline is of account {before.account!r}, the other of {after.account!r}"
        )


def _days(
    before: pd.DataFrame, after: pd.DataFrame, period: tuple[date | str, date | str] | None
) -> tuple[_Day, _Day]:
    ids = before.index.union(after.index)
    return _day(before, ids, period), _day(after, ids, period)


def _day(deals: pd.DataFrame, ids: pd.Index, period: tuple[date | str, date | str] | None) -> _Day:
    frame = deals.reindex(ids)
    status = frame["status"].astype(object).fillna("").to_numpy()
    counts = status == "open"
    if period is not None:
        counts &= frame["expected_close"].between(*_ends(period)).to_numpy(dtype=bool)
    value = frame["tcv"].to_numpy()
    return _Day(
        frame=frame,
        status=status,
        counts=counts,
        currency=frame["currency"].astype(object).fillna("").to_numpy(),
        cents=np.rint(np.where(np.isfinite(value), value, 0) * 100),
    )


def _moves(first: _Day, last: _Day) -> pd.DataFrame:
    """Return what each deal adds to which part: ``at`` (its position), currency, part, cents."""
    stays = first.counts & last.counts
    same = first.currency == last.currency
    left = np.select(
        [last.status == "", last.status == "won", last.status == "lost"],
        ["deleted", "won", "lost"],
        "pushed_out",
    )
    came = np.select([first.status == "", first.status != "open"], ["new", "reopened"], "pulled_in")
    up = "value_up", "value_down"
    leaving = 0 - first.cents  # not minus, which would make a negative zero
    delta = last.cents - first.cents
    pieces = (
        (first.counts & ~last.counts, first.currency, left, leaving),
        (last.counts & ~first.counts, last.currency, came, last.cents),
        (stays & same & (delta != 0), last.currency, np.where(delta > 0, *up), delta),
        (stays & ~same & (leaving != 0), first.currency, np.where(leaving > 0, *up), leaving),
        (
            stays & ~same & (last.cents != 0),
            last.currency,
            np.where(last.cents > 0, *up),
            last.cents,
        ),
    )
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "at": np.flatnonzero(chosen),
                    "currency": currency[chosen],
                    "part": part[chosen].astype(object),
                    "cents": cents[chosen],
                }
            )
            for chosen, currency, part, cents in pieces
        ],
        ignore_index=True,
    )


def _details(moves: pd.DataFrame, first: _Day, last: _Day) -> NDArray[np.object_]:
    """Say what happened to each deal, from what it was to what it is."""
    at = moves["at"].to_numpy()

    def text(day: _Day, column: str, missing: str) -> NDArray[np.object_]:
        values = day.frame[column].iloc[at]
        if column in {"expected_close", "closed_at"}:
            values = values.dt.strftime("%Y-%m-%d")
        result: NDArray[np.object_] = values.astype(object).fillna(missing).to_numpy()
        return result

    def amount(day: _Day) -> NDArray[np.object_]:
        pairs = zip(day.currency[at], day.cents[at], strict=True)
        return np.array([f"{code} {cents / 100:,.2f}".lstrip() for code, cents in pairs], object)

    days = (
        text(first, "expected_close", "no date") + " to " + text(last, "expected_close", "no date")
    )
    amounts = amount(first) + " to " + amount(last)
    details = {
        "new": "at " + text(last, "milestone", "no milestone")
        + ", expected " + text(last, "expected_close", "at no date"),
        "reopened": "was " + first.status[at],
        "value_up": amounts,
        "value_down": amounts,
        "pulled_in": days,
        "pushed_out": days,
        "won": "closed " + text(last, "closed_at", "at no date"),
        "lost": text(last, "lost_reason", "no reason given"),
        "deleted": "was at " + text(first, "milestone", "no milestone"),
    }  # fmt: skip
    part = moves["part"].to_numpy()
    result: NDArray[np.object_] = np.select(
        [part == name for name in details], list(details.values()), ""
    )
    return result
