"""Raw values of one column, as the wire sent them, to a typed array.

Each converter takes a list in which None means absent, reads the regular case at C speed, and
falls back to one value at a time only where something is odd. What cannot be read becomes
missing and is reported with its position and its text, so that nothing is lost unseen.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Raw = list[Any]

_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
_USUAL = "2026-03-31T09:15:00Z"
_FIRST, _LAST = np.datetime64("1900-01-01"), np.datetime64("2199-12-31T23:59:59")
_NONE = type(None)
_LEAST, _MOST = -(2**63), 2**63 - 1
_INEXACT = 2**53  # from here on not every whole number is a float
HUGE = 1e18  # no amount is as large, and much larger ones would make totals infinite
_SHOWN = 80


class Problem(NamedTuple):
    """A raw value that could not be read as what its column holds."""

    row: int
    check: str
    detail: str


def numbers(name: str, raw: Raw, problems: list[Problem], *, typed: bool) -> NDArray[np.float64]:
    """Read amounts.

    Parameters
    ----------
    name
        The column, for the problems.
    raw
        Values as they came, None where absent.
    problems
        Receives what could not be read.
    typed
        Whether the wire has numbers (JSON). There, a number written as text is read and
        reported; in XML everything is text.

    Returns
    -------
    Shape (n,), NaN where absent, unreadable or beyond all amounts (1e18).
    """
    expected = {int, float, _NONE} if typed else {str, _NONE}
    if set(map(type, raw)) <= expected:
        try:
            given = raw if None not in raw else [math.nan if v is None else v for v in raw]
            read = np.fromiter(map(float, given), dtype=np.float64, count=len(raw))
        except (ValueError, OverflowError):
            pass
        else:
            # float() also reads "nan" and "inf", which are no amounts.
            if (np.abs(read) < HUGE).sum() == len(raw) - raw.count(None):
                return read
    values = [
        _number(name, row, value, problems, typed=typed, below=HUGE)
        for row, value in enumerate(raw)
    ]
    return np.array(values, dtype=np.float64)


def _number(
    name: str,
    row: int,
    value: object,
    problems: list[Problem],
    *,
    typed: bool,
    below: float = math.inf,
) -> float:
    if value is None:
        return math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value) if is_plain([value]) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if abs(number) < below:
            if typed and isinstance(value, str):
                problems.append(Problem(row, "text_number", f"{name} is text: {shown(value)}"))
            return number
    problems.append(Problem(row, "not_a_number", f"{name} is {shown(value)}"))
    return math.nan


def integers(name: str, raw: Raw, problems: list[Problem], *, typed: bool) -> pd.array:
    """Read whole numbers, exact to 64 bits. Parameters as for `numbers`.

    Returns
    -------
    Nullable integers, shape (n,); missing where absent, unreadable or not whole.
    """
    mask = np.array([v is None for v in raw], dtype=bool)
    if set(map(type, raw)) <= ({int, _NONE} if typed else {str, _NONE}) and is_plain(raw):
        try:
            given = raw if None not in raw else [0 if v is None else v for v in raw]
            values = np.fromiter(map(int, given), dtype=np.int64, count=len(raw))
        except (ValueError, OverflowError):
            pass
        else:
            return pd.arrays.IntegerArray(values, mask)
    values = np.zeros(len(raw), dtype=np.int64)
    for row, value in enumerate(raw):
        number = _number(name, row, value, problems, typed=typed)
        if math.isnan(number):
            mask[row] = True
        elif number != int(number) or not _LEAST <= _exact_integer(value) <= _MOST:
            # A number, so it is shown alike whether the wire sent it as text or not.
            problems.append(Problem(row, "not_a_number", f"{name} is {_cut(value)}, not whole"))
            mask[row] = True
        else:
            values[row] = _exact_integer(value)
    return pd.arrays.IntegerArray(values, mask)


def is_plain(raw: Raw) -> bool:
    """Tell whether no text has an underscore, which Python takes for a part of a number."""
    return "_" not in "".join([value for value in raw if type(value) is str])


def _exact_integer(value: str | float) -> int:
    """Avoid the detour over float, where what is not exact beyond 2**53 could be another's id."""
    try:
        number = value if isinstance(value, float) else int(value)
    except ValueError:
        number = float(value)
    return int(number) if isinstance(number, int) or abs(number) < _INEXACT else _MOST + 1


def booleans(name: str, raw: Raw, problems: list[Problem]) -> pd.arrays.BooleanArray:
    """Read yes and no. Parameters as for `numbers`.

    Returns
    -------
    Nullable booleans, shape (n,); missing where absent or neither.
    """
    values = np.zeros(len(raw), dtype=bool)
    mask = np.ones(len(raw), dtype=bool)
    for row, value in enumerate(raw):
        if isinstance(value, bool):
            values[row], mask[row] = value, False
        elif value is not None:
            problems.append(Problem(row, "not_a_boolean", f"{name} is {shown(value)}"))
    return pd.arrays.BooleanArray(values, mask)


def texts(name: str, raw: Raw, problems: list[Problem]) -> NDArray[np.object_]:
    """Read text, keeping every character; other things are shown as text and reported.

    Empty text is absent: XML cannot tell the two apart, and the APIs must agree.
    """
    if "" in raw:
        raw = [None if value == "" else value for value in raw]
    read = np.fromiter(raw, dtype=object, count=len(raw))
    if not set(map(type, raw)) <= {str, _NONE}:
        for row, value in enumerate(raw):
            if value is not None and not isinstance(value, str):
                problems.append(Problem(row, "not_text", f"{name} is {shown(value)}"))
                read[row] = str(value)
    return read


def dates(name: str, raw: Raw, problems: list[Problem]) -> NDArray[np.datetime64]:
    """Read calendar days: the first ten characters, never shifted by a time zone.

    Returns
    -------
    Midnights in microseconds, shape (n,), NaT where absent or no day of 1900 to 2199.
    """
    return _by_distinct_value(name, raw, problems, _day)


def timestamps(name: str, raw: Raw, problems: list[Problem]) -> NDArray[np.datetime64]:
    """Read points in time as UTC; a time without an offset is UTC.

    Returns
    -------
    Microseconds, shape (n,), NaT where absent or outside 1900 to 2199.
    """
    if set(map(type, raw)) == {str} and set(map(len, raw)) == {len(_USUAL)}:
        read = _usual_timestamps(raw)
        if read is not None:
            return read
    return _by_distinct_value(name, raw, problems, _moment)


def _usual_timestamps(raw: Raw) -> NDArray[np.datetime64] | None:
    """Read times that are all written like `_USUAL`, at once; None if one of them is not.

    The joined text is one table of characters, a column a time. numpy's own reading of text as
    times is not used: some of its releases crash on what is none.
    """
    joined = "".join(raw).encode("ascii", "replace")
    table = np.frombuffer(joined, dtype=np.uint8).reshape(len(raw), -1).T
    lowest = np.frombuffer(b"0000-00-00T00:00:00Z", dtype=np.uint8)[:, None]
    highest = np.frombuffer(b"9999-99-99T99:99:99Z", dtype=np.uint8)[:, None]
    table = np.ascontiguousarray(table)
    if not ((table >= lowest) & (table <= highest)).all():
        return None
    digits = table - lowest

    def pair(at: int) -> NDArray[np.int32]:
        both: NDArray[np.int32] = 10 * digits[at].astype(np.int32) + digits[at + 1]
        return both

    year, month, day = 100 * pair(0) + pair(2), pair(5), pair(8)
    hour, minute, second = pair(11), pair(14), pair(17)
    months = (12 * (year - 1970) + month - 1).astype("M8[M]")
    days = months.astype("M8[D]") + (day - 1)
    on_calendar = (month >= 1) & (month <= 12) & (days.astype("M8[M]") == months)  # noqa: PLR2004
    on_clock = (hour < 24) & (minute < 60) & (second < 60)  # noqa: PLR2004
    read = days.astype("M8[s]") + (3600 * hour + 60 * minute + second)
    valid = on_calendar & on_clock & (read >= _FIRST) & (read <= _LAST)
    return read.astype("datetime64[us]") if valid.all() else None


def _by_distinct_value(
    name: str, raw: Raw, problems: list[Problem], read: Callable[[str], datetime | None]
) -> NDArray[np.datetime64]:
    """Read each distinct text once: a pipeline has few distinct days."""
    column, distinct = _distinct(name, raw, problems)
    moments = {text: read(text) for text in distinct}
    unread = {text for text, moment in moments.items() if moment is None}
    if unread:
        problems += [
            Problem(row, "bad_date", f"{name} is {shown(text)}")
            for row, text in enumerate(column)
            if text in unread
        ]
    table = np.array([*moments.values(), None], dtype="datetime64[us]")
    codes = dict(zip(moments, range(len(moments)), strict=True))
    result: NDArray[np.datetime64] = table[_coded(column, codes)]
    return result


def _distinct(name: str, raw: Raw, problems: list[Problem]) -> tuple[Raw, set[str]]:
    """Return the values as text or None, and the distinct texts."""
    if not set(map(type, raw)) <= {str, _NONE}:
        raw = texts(name, raw, problems).tolist()
    return raw, set(raw) - {None, ""}


def _coded(column: Raw, codes: dict[str, int]) -> NDArray[np.int32]:
    """Look every text up; what is absent becomes -1."""
    code_of: dict[Any, int] = {None: -1, "": -1, **codes}
    return np.fromiter(map(code_of.__getitem__, column), dtype=np.int32, count=len(column))


def _day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day) if _EARLIEST <= day <= _LATEST else None  # noqa: DTZ001 - numpy's datetime64 is UTC without saying so


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return moment if _EARLIEST <= moment.date() <= _LATEST else None


def shown(value: object) -> str:
    """Show a raw value in a finding, cut where it is long."""
    return _cut(repr(value))


def _cut(value: str | float) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
