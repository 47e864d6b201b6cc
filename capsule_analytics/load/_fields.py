"""Custom fields: raw values to values of the type that the account defines, under stable keys."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from capsule_analytics.api import field_keys

from ._values import Problem, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from capsule_analytics.api import Field


def typed_fields(
    column: NDArray[np.object_], definitions: Sequence[Field], problems: list[Problem]
) -> NDArray[np.object_]:
    """Turn each deal's custom fields into a dict.

    Parameters
    ----------
    column
        Tuples of `Field` as they came, None where a deal has none; dicts stay as they are.
    definitions
        The account's definitions, with the type in place of a value. Fields that they lack keep
        the value that came.
    problems
        Receives values that are not of their field's type, which keep the value that came: a
        definition's type may have changed.

    Returns
    -------
    Dicts by the keys of `field_keys`: numbers as int or float, dates as `datetime.date`, booleans,
    everything else as text. Fields without a value are left out.
    """
    raw = [held for held in column if isinstance(held, tuple)]
    if not raw:
        return column
    keys = field_keys([*definitions, *(one for held in raw for one in held)])
    kinds = {one.definition: one.value for one in definitions if one.definition is not None}
    typed = np.empty(len(column), dtype=object)
    for row, held in enumerate(column):
        if not isinstance(held, tuple):
            typed[row] = held
            continue
        found: dict[str, Any] = {}
        for one in held:
            key = keys[one.definition, one.name]
            kind = kinds.get(one.definition, "")
            if one.value is None:
                continue
            found[key] = value = _READ.get(kind, _text)(one.value)
            if value is None:
                found[key] = one.value if isinstance(one.value, str | int) else shown(one.value)
                detail = f"the field {key!r} is {shown(one.value)}, no {kind or 'text'}"
                problems.append(Problem(row, "field_type", detail))
        typed[row] = found
    return typed


def _number(value: object) -> int | float | None:
    """Read a number, which the wire has as text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
        if number.is_integer() and abs(number) < 2**53:
            return int(number)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: object) -> object:
    """Keep what is of no type that we know; lists and objects are none."""
    return value if isinstance(value, str | int | float) else None


_READ: dict[str, Callable[[object], object]] = {
    "number": _number,
    "date": _date,
    "boolean": _boolean,
}
