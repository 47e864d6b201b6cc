"""Sums that add up: a table of a part of the deals, and the table of all of them.

Every table of the forecast is the total of partial sums, so that parts of an account, or many
accounts on many machines, add up to the same figures as the whole. A sum of floats depends on the
order of its terms in the last digits, which may tip a half cent. Amounts are therefore summed as
two numbers: their whole units, which floats add exactly up to 2**53, and the rests, which are so
small that what is lost in adding them reaches no cent.

An engine sums a forecast by calendar day, which every engine can group by as it stands. Years and
months are made of the days that are left, some thousands at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ._placing import Placing

    Lazy = nw.LazyFrame[Any]

MEASURES = (
    "open_deals",
    "open_value",
    "weighted_value",
    "won_deals",
    "won_value",
    "expected_value",
    "overdue_deals",
    "overdue_value",
    "overdue_weighted",
)
"""Columns of sums: deals are counts, the others amounts in the row's currency."""

SUMMED = frozenset([*MEASURES, "deals", "cents"])
"""Columns of partial sums that are added up; all others are keys."""

REST = "_rest"
"""Ending of the column that holds the rests of an amount's whole units."""


def split(name: str, amounts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Split amounts into whole units and rests: two columns of a partial sum.

    Examples
    --------
    >>> split("value", np.array([1234.75, -0.5]))
    {'value': array([1235.,   -0.]), 'value_rest': array([-0.25, -0.5 ])}
    """
    whole = np.rint(amounts)
    return {name: whole, f"{name}{REST}": amounts - whole}


def sums_by(rows: Lazy, keys: Sequence[str]) -> pd.DataFrame:
    """Sum placed deals by some of their columns: what every engine does for itself.

    Parameters
    ----------
    rows
        Deals as `Placing.rows` returns them, with further columns as the caller likes.
    keys
        The columns to group by, ``won`` among them.

    Returns
    -------
    The keys, in the engine's own types, then ``deals`` and, each with its rest, ``tcv`` and
    ``weighted`` (TCV times probability, also of won deals). A TCV or a probability that is not
    known adds nothing.
    """
    weighted = nw.col("tcv") * nw.col("probability")
    amounts = {"tcv": nw.col("tcv"), "weighted": weighted}
    rows = rows.with_columns(
        part.alias(name)
        for key, amount in amounts.items()
        for name, part in (
            (f"_{key}", amount.round(0)),
            (f"_{key}{REST}", amount - amount.round(0)),
        )
    )
    names = [f"{key}{ending}" for key in amounts for ending in ("", REST)]
    native: Any = nw.to_native(rows)
    if isinstance(native, pd.DataFrame):
        return _grouped(native, keys, names)
    summed = rows.group_by(*keys, drop_null_keys=False).agg(
        nw.len().alias("deals"), *(nw.col(f"_{name}").sum().alias(name) for name in names)
    )
    table = collected(summed)
    table[names] = table[names].astype(np.float64).fillna(0.0)
    return table.astype({"deals": np.int64, "won": bool})


def _grouped(rows: pd.DataFrame, keys: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Group a pandas frame, in less than half the time of its own group-by if groups are many."""
    group, size = np.zeros(len(rows), dtype=np.int64), 1
    for key in keys:
        codes, values = pd.factorize(rows[key], use_na_sentinel=False)
        if size * len(values) >= 2**63:
            group, found = pd.factorize(group)
            size = len(found)
        group, size = group * len(values) + codes, size * len(values)
    # Numbers of half the width are hashed in half the time.
    group, found = pd.factorize(group.astype(np.int32) if size < 2**31 else group)
    some = np.empty(len(found), dtype=np.intp)
    some[group] = np.arange(len(rows))
    table = rows[list(keys)].iloc[some].reset_index(drop=True).astype({"won": bool})
    table["deals"] = np.bincount(group, minlength=len(found))
    # Rests are summed as whole numbers, exactly, of a unit as small as that many of them allow.
    bits = 62 - len(rows).bit_length()
    for name in names:
        amounts = rows[f"_{name}"].to_numpy()
        known = np.where(np.isnan(amounts), 0.0, amounts)
        if name.endswith(REST):
            total = np.zeros(len(found), dtype=np.int64)
            np.add.at(total, group, np.rint(np.ldexp(known, bits)).astype(np.int64))
            table[name] = np.ldexp(total.astype(np.float64), -bits)
        else:
            table[name] = np.bincount(group, known, minlength=len(found))
    return table


def collected(frame: Lazy) -> pd.DataFrame:
    """Bring what an engine has summed into pandas, its days naive."""
    native: Any = nw.to_native(frame)
    match frame.implementation:
        case nw.Implementation.DUCKDB:
            table = native.df()
        case nw.Implementation.POLARS:
            found = native.collect()
            table = pd.DataFrame({name: found[name].to_numpy() for name in found.columns})
        case nw.Implementation.PYSPARK | nw.Implementation.PYSPARK_CONNECT:
            table = native.toArrow().to_pandas()
        case _:
            table = native
    if "close" in table:
        table["close"] = pd.to_datetime(table["close"]).astype("datetime64[us]")
    return table.reset_index(drop=True)


def sums(deals: Lazy, placing: Placing) -> pd.DataFrame:
    """Sum deals by bucket, currency and group: a part that `add` and `combine` add up.

    Parameters
    ----------
    deals
        The columns of ``placing.columns``, in plain types.
    placing
        How deals are placed.

    Returns
    -------
    ``bucket``, ``currency``, the groups, `MEASURES` but the expected value, amounts with rests.
    """
    keys = ["currency", *placing.groups]
    table = sums_by(placing.rows(deals), ["close", *keys, "won", "overdue"])
    won, late = table["won"].to_numpy(), table["overdue"].to_numpy(dtype=bool)
    measured = table[keys].astype(TEXT)
    measured.insert(0, "bucket", placing.buckets(table["close"].to_numpy()))
    taken = {
        "open_deals": ("deals", ~won),
        "won_deals": ("deals", won),
        "overdue_deals": ("deals", late),
        "open_value": ("tcv", ~won),
        "weighted_value": ("weighted", ~won),
        "won_value": ("tcv", won),
        "overdue_value": ("tcv", late),
        "overdue_weighted": ("weighted", late),
    }
    columns = {
        f"{name}{ending}": np.where(counts, table[f"{amount}{ending}"].to_numpy(), 0)
        for name, (amount, counts) in taken.items()
        for ending in ("", REST)[: 1 if amount == "deals" else 2]
    }
    return add([measured.assign(**columns)])


def alike(deals: Lazy, placing: Placing) -> pd.DataFrame:
    """Count open deals that are worth the same with the same probability.

    Ranges are not sums, but the deals that they are made of are: this part adds up like `sums`,
    and loses nothing. Deals without a TCV or a probability are left out.
    """
    keys = ["close", "currency", *placing.groups, "tcv", "probability"]
    known = ~nw.col("won") & ~nw.col("tcv").is_null() & ~nw.col("probability").is_null()
    rows = placing.rows(deals).filter(known).group_by(keys, drop_null_keys=False)
    table = collected(rows.agg(nw.len().alias("open_deals")))
    table.insert(0, "bucket", placing.buckets(table.pop("close").to_numpy()))
    amounts = {"tcv": np.float64, "probability": np.float64, "open_deals": np.int64}
    return table.astype({**amounts, **dict.fromkeys(("currency", *placing.groups), TEXT)})


def add(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Add up partial sums to a partial sum, which may be added up again.

    Parameters
    ----------
    parts
        Tables of one set of key columns and of some of `SUMMED` with their rests, in any order.

    Returns
    -------
    One table of the same columns, in no order.
    """
    table = pd.concat(list(parts), ignore_index=True)
    keys = [name for name in table.columns if name.removesuffix(REST) not in SUMMED]
    return table.groupby(keys, dropna=False, sort=False).sum().reset_index()


def coarser(table: pd.DataFrame, finer: Placing, placing: Placing) -> pd.DataFrame:
    """Make of partial sums those of fewer groups or longer periods (`Placing.is_made_of`)."""
    dropped = [name for name in finer.groups if name not in placing.groups]
    table = table.drop(columns=dropped)
    if finer.period != placing.period:
        table["bucket"] = placing.of_months(table["bucket"].to_numpy())
    return add([table])


def combine(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Add up partial sums to the table that is shown.

    Parameters
    ----------
    parts
        Tables of one set of key columns and of `MEASURES` (or some of them), in any order.

    Returns
    -------
    One table, sorted by its keys, missing keys last.
    """
    first, *others = parts
    table = add([first, *others]) if others else first  # one part has been added up already
    summed = {
        name: table[name].to_numpy() + table[f"{name}{REST}"].to_numpy()
        if f"{name}{REST}" in table
        else table[name].to_numpy()
        for name in MEASURES
        if name in table
    }
    summed["expected_value"] = summed["won_value"] + summed["weighted_value"]
    keys = [name for name in table.columns if name.removesuffix(REST) not in MEASURES]
    shown = table[keys].assign(**{name: summed[name] for name in MEASURES if name in summed})
    return shown.sort_values(keys, na_position="last", ignore_index=True)
