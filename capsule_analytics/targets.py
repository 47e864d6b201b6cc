"""Targets: how much of a period's target is won, and how likely it is to be reached.

- attainment: won value / target;
- gap: what is still to be won, target minus won value, and 0 once the target is reached;
- coverage: open pipeline value of the period / gap, how many times the open deals cover the gap;
- chance: the probability that won value and open deals together reach the target, from the
  distribution of their total (`capsule_analytics.risk`).

Every target is measured on its own. A year and its quarters may stand side by side: the year's
target is not derived from the quarters', and no row is a sum of others.
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np
import pandas as pd

from capsule_analytics import risk
from capsule_analytics._deals import Overdue, Period, Placing, Probability, plain, resolve
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "attainment",
    "read_targets",
    "unmatched",
]

__dir__ = __all__.copy  # what completion offers

COLUMNS = ("period", "currency", "owner", "target")
"""Columns of a table of targets; ``owner`` may be left out."""

_PERIOD = re.compile(r"(?P<year>\d{4})(-(Q(?P<quarter>[1-4])|(?P<month>0[1-9]|1[0-2])))?", re.ASCII)


class _Span(NamedTuple):
    """A period of time: its kind, and its number among its kind."""

    kind: Period
    bucket: int


def read_targets(path: str | Path) -> pd.DataFrame:
    """Read targets from a CSV file in UTF-8.

    Parameters
    ----------
    path
        The file, with the header ``period,currency,target`` or ``period,currency,owner,target``, in
        any order. A period is a month (2026-10), a quarter (2026-Q4) or a year (2026), quarters and
        years being those of the fiscal year that `attainment` is told of. An empty owner means the
        whole team. A target is an amount of 0 or more in the currency.

    Returns
    -------
    The targets in the order of the file: ``period``, ``currency``, ``owner`` where the file has it
    (missing for the whole team), ``target``.

    Raises
    ------
    DataError
        If the file cannot be read, its header is another, or a line is wrong or repeats the target
        of another; it names the line.
    """
    rows: list[dict[str, str | float | None]] = []
    seen: dict[tuple[str, str, str], int] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            header = [name.strip() for name in lines.fieldnames or []]
            if sorted(header) not in (sorted(COLUMNS), sorted(set(COLUMNS) - {"owner"})):
                raise DataError(
                    f"{path}, line 1: the header must be period,currency,target or "
                    f"period,currency,owner,target"
                )
            lines.fieldnames = header
            for line in lines:
                where = f"{path}, line {lines.line_num}"
                row = _row(line, where)
                key = (str(row["period"]), str(row["currency"]), str(row.get("owner") or ""))
                if key in seen:
                    raise DataError(
                        f"{where}: line {seen[key]} has a target for "
                        f"{' '.join(filter(None, key))} already"
                    )
                seen[key] = lines.line_num
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    texts = [name for name in COLUMNS if name in header and name != "target"]
    table = pd.DataFrame(rows, columns=[*texts, "target"])
    return table.astype({**dict.fromkeys(texts, TEXT), "target": "float64"})


def _row(line: dict[str, str], where: str) -> dict[str, str | float | None]:
    """Check one line of a file of targets."""
    # A line with too few or too many fields has None among its values or keys.
    if None in line or None in line.values():
        raise DataError(f"{where}: as many fields are needed as the header has")
    texts = {name: text.strip() for name, text in line.items()}
    currency = texts["currency"]
    if not _PERIOD.fullmatch(texts["period"]):
        raise DataError(
            f"{where}: {texts['period']!r} is not a period such as 2026-10, 2026-Q4 or 2026"
        )
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):  # noqa: PLR2004
        raise DataError(f"{where}: {currency!r} is not a currency code of three capital letters")
    try:
        target = float(texts["target"])
    except ValueError as error:
        raise DataError(f"{where}: the target {texts['target']!r} is not a number") from error
    if not (math.isfinite(target) and target >= 0):
        raise DataError(f"{where}: a target must be 0 or more, not {texts['target']}")
    return {name: text or None for name, text in texts.items()} | {"target": target}


def attainment(
    deals: Pipeline | pd.DataFrame,
    targets: pd.DataFrame,
    *,
    fiscal_year_start: int = 1,
    overdue: Overdue = "keep",
    as_of: date | str | None = None,
    correlation: float = 0.0,
    probability: Probability = None,
) -> pd.DataFrame:
    """Compare each target with the deals of its period, currency and owner.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    targets
        A table as of `read_targets`.
    fiscal_year_start
        First month of the fiscal year, 1 to 12, for quarters and years; a fiscal year is named
        after the calendar year in which it ends.
    overdue
        keep, roll or drop, as in `forecast.by_month`.
    as_of
        The day from which to look; None means the pipeline's, or today (UTC) for a frame.
    correlation
        How strongly deals rise and fall together, 0 to 1, for the chance (see `risk.distribution`).
    probability
        Other probabilities, as for `forecast.by_month`.

    Returns
    -------
    One row a target, in the order of the targets: ``period``, ``currency``, ``owner`` where the
    targets have it, ``target``, ``won_value``, ``expected_value`` (amounts in the row's currency,
    not rounded), ``attainment`` (ratio; NaN for a target of 0), ``gap`` (amount), ``coverage``
    (ratio; NaN where there is no gap), ``chance`` (0 to 1; 1 once the target is won, unless an open
    deal may take some of it back). A target without deals has zeros;
    `unmatched` tells those that no deal could count for.

    Raises
    ------
    ArgumentError
        If an option is not valid or the frame lacks a column.
    DataError
        If the table of targets lacks a column, or has a period that is none or a negative target.
    MissingExtraError
        If a correlation is asked for and scipy is not installed.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> targets = pd.DataFrame({"period": ["2026-Q4"], "currency": ["GBP"], "target": [500_000.0]})
    >>> table = attainment(ca.load_sample(), targets)
    >>> table[["won_value", "attainment", "gap"]].values.tolist()
    [[26650.0, 0.0533, 473350.0]]
    """
    if not isinstance(targets, pd.DataFrame):
        raise ArgumentError(
            f"targets are a table as read_targets returns it, not {type(targets).__name__}"
        )
    missing = [name for name in COLUMNS if name not in targets.columns and name != "owner"]
    if missing:
        raise DataError(f"the targets lack the column {missing[0]!r}; see targets.COLUMNS")
    amounts = targets["target"].to_numpy(dtype=np.float64, na_value=np.nan)
    if not ((amounts >= 0) & np.isfinite(amounts)).all():
        raise DataError(f"a target must be 0 or more, not {targets['target'].tolist()}")
    frame, day = resolve(deals, as_of)
    by = ["owner"] if "owner" in targets.columns else []
    placings: dict[Period, Placing] = {
        kind: Placing.of(
            day, by=by, period=kind, fiscal_year_start=fiscal_year_start, overdue=overdue,
            probability=probability,
        )
        for kind in get_args(Period)
    }  # fmt: skip
    placing = placings["month"]
    placed = placing.rows(plain(frame, placing)).to_native()
    close = placed["close"].to_numpy()
    numbers = {kind: one.buckets(close) for kind, one in placings.items()}
    figures = []
    for row in targets.itertuples(index=False):
        span = _span(str(row.period), placings)
        belongs = (numbers[span.kind] == span.bucket) & _equals(placed["currency"], row.currency)
        if by and not pd.isna(row.owner):
            belongs &= _equals(placed["owner"], row.owner)
        figures.append(_figures(placed[belongs], float(row.target), correlation))
    names = ["won_value", "expected_value", "attainment", "gap", "coverage", "chance"]
    table = targets[["period", "currency", *by, "target"]].reset_index(drop=True)
    table = table.astype({"period": TEXT, "currency": TEXT, **dict.fromkeys(by, TEXT)})
    table[names] = np.reshape(np.array(figures, dtype=np.float64), (len(table), len(names)))
    table.attrs = {"as_of": day.isoformat(), "overdue": overdue}
    return table


def unmatched(deals: Pipeline | pd.DataFrame, targets: pd.DataFrame) -> list[str]:
    """Say which targets no deal could count for: their currency or owner may be mistyped.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    targets
        A table as of `read_targets`.

    Returns
    -------
    A sentence for each currency and owner with a target that no deal, open or closed, has. Such a
    target is not wrong: a new colleague has one before the first deal.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> targets = pd.DataFrame({"period": ["2026-Q4"], "currency": ["GPB"], "target": [500_000.0]})
    >>> unmatched(ca.load_sample(), targets)
    ["there is a target for the currency 'GPB', and no deal has it; there are CHF, EUR, GBP, USD,
    XXX"]
    """
    frame, _ = resolve(deals, None)
    sentences = []
    for name in ("currency", "owner"):
        known = sorted(set(frame[name].dropna().astype(str))) if name in frame.columns else []
        wanted = targets[name].dropna().unique() if name in targets.columns else []
        sentences += [
            f"there is a target for the {name} {text!r}, and no deal has it; there are "
            f"{', '.join(known) or 'none'}"
            for text in wanted
            if text not in known
        ]
    return sentences


def _figures(placed: pd.DataFrame, target: float, correlation: float) -> list[float]:
    """Work out one target's row from its deals."""
    won = placed["won"].to_numpy()
    tcv = placed["tcv"].to_numpy()
    won_value = float(np.nansum(tcv[won]))
    open_value = float(np.nansum(tcv[~won]))
    gap = max(target - won_value, 0.0)
    total = risk.distribution(
        tcv[~won], placed["probability"].to_numpy()[~won], won=won_value, correlation=correlation
    )
    return [
        won_value,
        won_value + float(np.nansum((tcv * placed["probability"].to_numpy())[~won])),
        won_value / target if target else math.nan,
        gap,
        open_value / gap if gap else math.nan,
        total.chance_of(target),
    ]


def _equals(column: pd.Series, text: object) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (column == text).fillna(value=False).to_numpy(dtype=bool)
    return equal


def _span(text: str, placings: Mapping[Period, Placing]) -> _Span:
    """Find the period that a text names, in the numbering of `Placing.buckets`."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise DataError(f"{text!r} is not a period such as 2026-10, 2026-Q4 or 2026")
    kind: Period = "month" if match["month"] else "quarter" if match["quarter"] else "year"
    year = np.datetime64(match["year"], "Y").astype("datetime64[M]")
    if kind == "month":
        first = year + (int(match["month"]) - 1)
    else:
        # The fiscal year that ends in a calendar year begins in the one before it, unless both
        # are the same.
        january = placings[kind].fiscal_year_start == 1
        begins = placings[kind].fiscal_year_start - 1 - (0 if january else 12)
        first = year + begins + 3 * (int(match["quarter"] or 1) - 1)
    return _Span(kind, int(placings[kind].buckets(np.array([first]))[0]))
