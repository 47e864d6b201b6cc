"""Targets: how much of a period's target is won, and how likely it is to be reached.

- attainment: won value / target;
- gap: what is still to be won, target minus won value, and 0 once the target is reached;
- coverage: open pipeline value of the period / gap, how many times the open deals cover the gap;
- chance: the probability that won value and open deals together reach the target, from the
  distribution of their total (`capsule_analytics.risk`).

A target may be of a number of deals: then each deal counts 1, in place of its value.

Every target is measured on its own. A year and its quarters may stand side by side: the year's
target is not derived from the quarters', and no row is a sum of others.
"""

from __future__ import annotations

import csv
import math
import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from capsule_analytics import risk
from capsule_analytics._deals import Overdue, Period, Placing, Probability, plain, resolve
from capsule_analytics.errors import ArgumentError, DataError, NotFoundError
from capsule_analytics.schema import TEXT, Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from capsule_analytics.api import CapsuleClient

__all__ = [
    "COLUMNS",
    "MEASURES",
    "attainment",
    "from_goals",
    "read_targets",
    "unmatched",
]

__dir__ = __all__.copy  # what completion offers

COLUMNS = ("period", "currency", "owner", "pipeline", "measure", "target")
"""Columns of a table of targets; ``owner``, ``pipeline`` and ``measure`` may be left out."""

MEASURES = ("value", "deals")
"""What a target is of: the value of won deals, or their number."""

_NEEDED = ("period", "currency", "target")

_YEAR = r"(?:FY ?)?(?P<year>\d{4})"
_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - one line
_FORMS = [
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        _YEAR,
        rf"{_YEAR}[- ]?Q(?P<quarter>[1-4])",
        rf"Q(?P<quarter>[1-4]) ?{_YEAR}",
        r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])",
        rf"(?P<name>{'|'.join(_NAMES)}) (?P<year>\d{{4}})",
    )
]
"""The forms in which the package prints periods, in tables, charts and on the page."""

_WON_SUM = "bbc7a4b4-78eb-3bbd-85bb-9f20ec2e3f5d"
_WON_COUNT = "264be3b0-490b-3d73-ae0d-d02b488ba1eb"
_OTHER_TYPES = {
    "7b05186c-c342-343f-8236-121dfbb2ae45": "it is of the value of created deals, not of won ones",
    "18305eb9-2c50-35ba-88e5-876be543e055": "it is of the number of created deals, not of won ones",
    "1659cb58-2401-30eb-aa82-c42771aea74e": "it is of the deals that reach a milestone",
}
"""The types of Capsule's goals (developer.capsulecrm.com/v2/models/goal)."""


class _Span(NamedTuple):
    """A period of time: its kind, its year, and its number in the year."""

    kind: Period
    year: int
    number: int

    def __str__(self) -> str:
        """Write it as tables have it: 2026-10, 2026-Q4 or 2026."""
        ends: dict[Period, str] = {
            "month": f"-{self.number:02}", "quarter": f"-Q{self.number}", "year": "",
        }  # fmt: skip
        return f"{self.year:04}{ends[self.kind]}"


def _span(text: str) -> _Span:
    """Find the period that a text names."""
    words = " ".join(text.split())
    match = next(filter(None, (form.fullmatch(words) for form in _FORMS)), None)
    if match is None:
        raise DataError(f"{text!r} is not a period such as 2026-10, 2026-Q4, Q3 FY2027 or 2026")
    found = match.groupdict()
    year = int(found["year"])
    if found.get("quarter"):
        return _Span("quarter", year, int(found["quarter"]))
    if found.get("name"):
        return _Span("month", year, _NAMES.index(found["name"].lower()) + 1)
    month = found.get("month")
    return _Span("month", year, int(month)) if month else _Span("year", year, 1)


def read_targets(path: str | Path) -> pd.DataFrame:
    """Read targets from a CSV file in UTF-8.

    Parameters
    ----------
    path
        The file, with the header ``period,currency,target`` and perhaps ``owner``, ``pipeline`` and
        ``measure``, in any order. A period is a month (2026-10, Oct 2026), a quarter (2026-Q4,
        2026Q4, Q4 2026, Q3 FY2027) or a year (2026, FY2027), quarters and years being those of the
        fiscal year that `attainment` is told of. An empty owner means the whole team, an empty
        pipeline all of them. A measure is ``value`` (also where it is empty) or ``deals``. A target
        is an amount of 0 or more in the currency, or a number of deals, for which an empty currency
        means all of them.

    Returns
    -------
    The targets in the order of the file: ``period`` (as 2026-10, 2026-Q4 or 2026), ``currency``,
    ``owner``, ``pipeline`` and ``measure`` where the file has them (missing for all), ``target``.

    Raises
    ------
    DataError
        If the file cannot be read, its header is another, or a line is wrong or repeats the target
        of another; it names the line.
    """
    rows: list[dict[str, str | float | None]] = []
    seen: dict[tuple[object, ...], int] = {}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            header = [name.strip() for name in lines.fieldnames or []]
            twice = len(header) > len(set(header))
            if twice or not set(_NEEDED) <= set(header) <= set(COLUMNS):
                raise DataError(
                    f"{path}, line 1: the header must be {','.join(_NEEDED)}, and may have"
                    f" {', '.join(name for name in COLUMNS if name not in _NEEDED)}"
                )
            lines.fieldnames = header
            for line in lines:
                where = f"{path}, line {lines.line_num}"
                row = _row(line, where)
                key = tuple(row.get(name) for name in COLUMNS[:-1])
                if key in seen:
                    raise DataError(
                        f"{where}: line {seen[key]} has a target for"
                        f" {' '.join(str(part) for part in key if part)} already"
                    )
                seen[key] = lines.line_num
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    texts = [name for name in COLUMNS[:-1] if name in header]
    table = pd.DataFrame(rows, columns=[*texts, "target"])
    return table.astype({**dict.fromkeys(texts, TEXT), "target": "float64"})


def _row(line: dict[str, str], where: str) -> dict[str, str | float | None]:
    """Check one line of a file of targets."""
    # A line with too few or too many fields has None among its values or keys.
    if None in line or None in line.values():
        raise DataError(f"{where}: as many fields are needed as the header has")
    texts = {name: text.strip() for name, text in line.items()}
    currency, measure = texts["currency"], texts.get("measure") or MEASURES[0]
    try:
        period = str(_span(texts["period"]))
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    if measure not in MEASURES:
        raise DataError(f"{where}: the measure is {' or '.join(MEASURES)}, not {measure!r}")
    any_currency = measure == "deals" and not currency
    code = len(currency) == 3 and currency.isascii() and currency.isupper()  # noqa: PLR2004
    if not (code or any_currency):
        raise DataError(f"{where}: {currency!r} is not a currency code of three capital letters")
    try:
        target = float(texts["target"])
    except ValueError as error:
        raise DataError(f"{where}: the target {texts['target']!r} is not a number") from error
    if not (math.isfinite(target) and target >= 0):
        raise DataError(f"{where}: a target must be 0 or more, not {texts['target']}")
    if measure == "deals" and target % 1:
        raise DataError(f"{where}: a target of deals is a whole number, not {texts['target']}")
    row: dict[str, str | float | None] = {name: text or None for name, text in texts.items()}
    row |= {"period": period, "target": target}
    return row | {"measure": measure} if "measure" in row else row


def from_goals(client: CapsuleClient, *, fiscal_year_start: int = 1) -> pd.DataFrame:
    """Read the account's goals as targets.

    A goal of Capsule's is of the value or the number of won deals, of one user or all, in one
    pipeline or all, and has a target in each of its periods
    (developer.capsulecrm.com/v2/models/goal). Two periods of a goal may share the day on which one
    ends and the other begins; that day belongs to the later one. Who was renamed is known by id.

    Parameters
    ----------
    client
        The account, over API v2.
    fiscal_year_start
        First month of the fiscal year, 1 to 12, by which quarters and years are named; `attainment`
        must be told the same.

    Returns
    -------
    One row a goal and period, in the order of Capsule's list: ``period`` (as 2026-10, 2026-Q4 or
    2026), ``currency`` (missing for a number of deals), ``owner`` (user name; missing for all),
    ``owner_id``, ``pipeline`` (missing for all), ``pipeline_id``, ``measure`` (value or deals),
    ``target`` and ``goal`` (its name). ``attrs["left_out"]`` has a sentence for each goal that
    cannot be measured so: of another type, of an unknown one, of a milestone, or with periods that
    are no months, quarters or years (of the fiscal year).

    Raises
    ------
    ArgumentError
        If the account is read over API v1, or the month is none.
    CapsuleError
        If the goals cannot be read.

    Examples
    --------
    >>> import capsule_analytics as ca
    >>> with ca.CapsuleClient(account="acme", token="...", api_version="v2") as client:
    ...     goals = ca.targets.from_goals(client)  # doctest: +SKIP
    """
    placings = _placings(date.min, fiscal_year_start=fiscal_year_start)
    goals = client.list_goals()
    users = {user["id"]: user.get("username") for user in client.list_users()} if goals else {}
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for goal in goals:
        name = goal.get("name") or f"number {goal.get('id')}"
        measure = {_WON_SUM: "value", _WON_COUNT: "deals"}.get(str(goal.get("type")))
        periods: list[dict[str, Any]] = []
        why_not = None
        if measure is None:
            why_not = _OTHER_TYPES.get(str(goal.get("type")), "its type is unknown")
        elif goal.get("milestone") is not None:
            why_not = "it is of one milestone alone"
        elif not (periods := _periods_of(client, goal)):
            why_not = "its periods are not told"
        if why_not is not None:
            left_out.append(f"the goal {name!r} is left out: {why_not}")
            continue
        owner_id, owner = _reference(goal.get("user"), "username")
        pipeline_id, pipeline = _reference(goal.get("pipeline"), "name")
        about = {
            "currency": goal.get("currency") if measure == "value" else None,
            "owner": users.get(owner_id) or owner or (owner_id and f"user {owner_id}"),
            "owner_id": owner_id,
            "pipeline": pipeline or (pipeline_id and f"pipeline {pipeline_id}"),
            "pipeline_id": pipeline_id,
            "measure": measure,
            "goal": name,
        }
        problems = []
        for period in periods:
            try:
                span = _span_of_days(period.get("startOn"), period.get("endOn"), placings)
                target = _amount_of(period.get("targetValue"))
            except DataError as error:
                problems.append(str(error))
            else:
                rows.append({"period": str(span), **about, "target": target})
        if problems:
            count = "a period" if len(problems) == 1 else f"{len(problems)} periods"
            left_out.append(f"{count} of the goal {name!r} left out: {problems[0]}")
    columns = [
        "period", "currency", "owner", "owner_id", "pipeline", "pipeline_id", "measure", "target",
        "goal",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns).astype(
        {**dict.fromkeys(columns, TEXT), "owner_id": "Int64", "pipeline_id": "Int64"}
        | {"target": "float64"}
    )
    table.attrs["left_out"] = left_out
    return table


def _periods_of(client: CapsuleClient, goal: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ask for a goal's periods; there are none if there is no such goal any more."""
    try:
        return client.list_goal_periods(goal["id"])
    except (KeyError, NotFoundError):
        return []


def _reference(value: object, key: str) -> tuple[int | None, str | None]:
    """Take id and name of what a goal refers to, which may be its id alone."""
    if isinstance(value, dict):
        number, name = value.get("id"), value.get(key)
    else:
        number, name = value, None
    if not isinstance(number, int) or isinstance(number, bool):
        number = None
    return number, (str(name) if name else None)


def _amount_of(value: object) -> float:
    """Read the target of a period."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    amount = float(value) if number else math.nan  # type: ignore[arg-type]
    if not 0 <= amount < math.inf:
        raise DataError(f"a target must be 0 or more, not {value!r}")
    return amount


def _span_of_days(start: object, end: object, placings: Mapping[Period, Placing]) -> _Span:
    """Find the month, quarter or year that has these first and last days.

    The last day may be the first of the next period: months, quarters and years are told apart by
    their length, so that both can be read.
    """
    try:
        first, last = (date.fromisoformat(str(day)[:10]) for day in (start, end))
    except ValueError as error:
        raise DataError(f"from {start} to {end} there are no days") from error
    for end_of in (last, last - timedelta(days=1)):
        for kind, placing in placings.items():
            days = np.array([first, end_of], dtype="datetime64[D]")
            period, same = placing.periods(placing.buckets(days))
            whole = period.start_time.date() == first and period.end_time.date() == end_of
            if period == same and whole:
                number = {"month": period.month, "quarter": period.quarter, "year": 1}[kind]
                # A fiscal year is named after the calendar year in which it ends.
                year = period.qyear if kind == "quarter" else period.end_time.year
                return _Span(kind, year, number)
    raise DataError(f"from {first} to {last} is no month, quarter or year")


def _placings(
    day: date,
    *,
    fiscal_year_start: int,
    by: Sequence[str] = (),
    **options: Any,  # noqa: ANN401
) -> dict[Period, Placing]:
    """Place deals by month, by quarter and by year."""
    return {
        kind: Placing.of(day, by=by, period=kind, fiscal_year_start=fiscal_year_start, **options)
        for kind in get_args(Period)
    }


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
    """Compare each target with the deals of its period, currency, owner and pipeline.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    targets
        A table as of `read_targets` or `from_goals`. Where it has ``owner_id`` or ``pipeline_id``,
        and the deals have, too, they decide, and the names are only shown.
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
    One row a target, in the order of the targets: ``period`` (as 2026-10, 2026-Q4 or 2026),
    ``currency``, ``owner``, ``pipeline`` and ``measure`` where the targets have them, ``target``,
    ``won_value``, ``expected_value`` (amounts in the row's currency, not rounded, or numbers of
    deals where the measure is ``deals``), ``attainment`` (ratio; NaN for a target of 0), ``gap``
    (as the target), ``coverage`` (ratio; NaN where there is no gap), ``chance`` (0 to 1; 1 once the
    target is won, unless an open deal may take some of it back). A target without deals has zeros;
    `unmatched` tells those that no deal could count for.

    Raises
    ------
    ArgumentError
        If an option is not valid or the frame lacks a column.
    DataError
        If the table of targets lacks a column, or has a period or measure that is none or a
        negative target.
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
    missing = [name for name in _NEEDED if name not in targets.columns]
    if missing:
        raise DataError(f"the targets lack the column {missing[0]!r}; see targets.COLUMNS")
    amounts = targets["target"].to_numpy(dtype=np.float64, na_value=np.nan)
    if not ((amounts >= 0) & np.isfinite(amounts)).all():
        raise DataError(f"a target must be 0 or more, not {targets['target'].tolist()}")
    spans = [_span(str(text)) for text in targets["period"]]
    measures = _measures(targets)
    frame, day = resolve(deals, as_of)
    by = [name for name in ("owner", "pipeline") if name in targets.columns]
    placings = _placings(
        day, by=by, fiscal_year_start=fiscal_year_start, overdue=overdue, probability=probability
    )
    ids = [f"{name}_id" for name in by if f"{name}_id" in frame.columns]
    placing = placings["month"]
    placed = placing.rows(plain(frame, placing, ids), ids).to_native()
    close = placed["close"].to_numpy()
    numbers = {kind: one.buckets(close) for kind, one in placings.items()}
    figures = []
    for row, span, of_deals in zip(targets.to_dict("records"), spans, measures, strict=True):
        belongs = numbers[span.kind] == _bucket(span, placings[span.kind])
        if not (of_deals and pd.isna(row["currency"])):
            belongs &= _equals(placed["currency"], row["currency"])
        for name in by:
            belongs &= _of(placed, name, row)
        counted = placed[belongs]
        figures.append(
            _figures(counted.assign(tcv=1.0) if of_deals else counted, row["target"], correlation)
        )
    names = ["won_value", "expected_value", "attainment", "gap", "coverage", "chance"]
    texts = [name for name in COLUMNS[:-1] if name in targets.columns]
    table = targets[[*texts, "target"]].reset_index(drop=True)
    table["period"] = [str(span) for span in spans]
    table = table.astype(dict.fromkeys(texts, TEXT))
    table[names] = np.reshape(np.array(figures, dtype=np.float64), (len(table), len(names)))
    table.attrs = {"as_of": day.isoformat(), "overdue": overdue}
    return table


def _measures(targets: pd.DataFrame) -> list[bool]:
    """Tell which targets are of a number of deals."""
    if "measure" not in targets.columns:
        return [False] * len(targets)
    measures = targets["measure"].astype(object).where(targets["measure"].notna(), MEASURES[0])
    if wrong := sorted({str(one) for one in measures} - set(MEASURES)):
        raise DataError(f"the measure of a target is {' or '.join(MEASURES)}, not {wrong[0]!r}")
    return [one == "deals" for one in measures]


def _of(placed: pd.DataFrame, name: str, target: Mapping[Any, Any]) -> NDArray[np.bool_]:
    """Tell which deals are of the target's owner or pipeline: by id where both have it."""
    key = f"{name}_id"
    if key in placed.columns and not pd.isna(target.get(key)) and placed[key].notna().any():
        return _equals(placed[key], target[key])
    if pd.isna(target[name]):
        return np.ones(len(placed), dtype=bool)
    return _equals(placed[name], target[name])


def unmatched(deals: Pipeline | pd.DataFrame, targets: pd.DataFrame) -> list[str]:
    """Say which targets no deal could count for: what they name may be mistyped.

    Parameters
    ----------
    deals
        A pipeline, or a frame of its columns.
    targets
        A table as of `read_targets`.

    Returns
    -------
    A sentence for each currency, owner and pipeline with a target that no deal, open or closed,
    has. Such a target is not wrong: a new colleague has one before the first deal.

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
    for name in ("currency", "owner", "pipeline"):
        known = sorted(set(frame[name].dropna().astype(str))) if name in frame.columns else []
        named = targets[name].dropna() if name in targets.columns else pd.Series(dtype=TEXT)
        key = f"{name}_id"
        if key in targets.columns and key in frame.columns:  # whatever the name is
            named = named[~targets.loc[named.index, key].isin(frame[key].dropna())]
        wanted = named.unique()
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


def _equals(column: pd.Series, value: object) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (column == value).fillna(value=False).to_numpy(dtype=bool)
    return equal


def _bucket(span: _Span, placing: Placing) -> int:
    """Give the number that `Placing.buckets` has for a period."""
    year = np.datetime64(f"{span.year:04}", "Y").astype("datetime64[M]")
    if span.kind == "month":
        first = year + (span.number - 1)
    else:
        # The fiscal year that ends in a calendar year begins in the one before it, unless both
        # are the same.
        begins = placing.fiscal_year_start - 1 - (0 if placing.fiscal_year_start == 1 else 12)
        first = year + begins + 3 * (span.number - 1)
    return int(placing.buckets(np.array([first]))[0])
