"""The kinds of columns: each its dtype, its Arrow type, and how stored values become one.

How raw values of a wire are read stands in `load`, for it depends on the wire too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

TEXT = "string[python]"
"""Dtype of text columns: nullable, and the same under pandas 2 and 3."""

TIMESTAMP = "datetime64[us, UTC]"
"""Dtype of dates and timestamps. Microseconds reach far past the years 1677 to 2262."""

_DATE = "date"
"""Key under which a date among custom fields is kept, for JSON has none."""


@dataclass(frozen=True)
class Kind:
    """A kind of column.

    Attributes
    ----------
    name
        What it is called where a value cannot be read.
    dtype
        Of the frame's column.
    arrow
        Name of the Arrow type in which it is stored and exported.
    to_arrow
        From a column of the frame to values that Arrow takes.
    from_arrow
        From an Arrow array, of its own type or one that can be cast to it, to a column.
    """

    name: str
    dtype: str
    arrow: str
    to_arrow: Callable[[pd.Series], pd.Series]
    from_arrow: Callable[[pa.Array], Any]

    def __repr__(self) -> str:
        """Name it."""
        return f"<Kind {self.name}>"

    def arrow_type(self, zone: str | None = None) -> pa.DataType:
        """Return the Arrow type; of points in time with a zone, if one is given."""
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency

        if self.arrow == "timestamp[us]":
            return pa.timestamp("us", zone)
        return pa.type_for_alias(self.arrow)


def _as_is(column: pd.Series) -> pd.Series:
    return column


def _plain(column: pd.Series) -> pd.Series:
    return column.astype(object)


def _naive(column: pd.Series) -> pd.Series:
    return column.dt.tz_convert(None).dt.as_unit("us")


def _json(column: pd.Series) -> pd.Series:
    return column.map(_written, na_action="ignore").astype(object)


def _written(value: object) -> str:
    """Write tags or fields as JSON, dates marked so that they are found again."""
    if isinstance(value, dict):
        value = {key: {_DATE: one} if isinstance(one, date) else one for key, one in value.items()}
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _texts(values: pa.Array) -> Any:  # noqa: ANN401 - a pandas array
    return pd.array(values.cast("string").to_pylist(), dtype=TEXT)


def _labels(values: pa.Array) -> pd.Categorical:
    coded = values.cast("string").dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    names = coded.dictionary.to_pylist()
    ranks = np.append(np.argsort(np.argsort(np.array(names, dtype=object))), -1)
    return pd.Categorical.from_codes(
        ranks[codes].astype(np.int32), categories=pd.Index(sorted(names), dtype=object)
    )


def _numbers(values: pa.Array) -> Any:  # noqa: ANN401 - a numpy array
    return values.cast("float64").to_numpy(zero_copy_only=False)


def _integers(values: pa.Array) -> Any:  # noqa: ANN401 - a pandas array
    whole = values.cast("int64")
    numbers = np.array(whole.fill_null(0).to_numpy(zero_copy_only=False))
    return pd.arrays.IntegerArray(numbers, whole.is_null().to_numpy(zero_copy_only=False))


def _booleans(values: pa.Array) -> Any:  # noqa: ANN401 - a pandas array
    return pd.array(values.cast("bool").to_pylist(), dtype="boolean")


def _moments(values: pa.Array) -> pd.DatetimeIndex:
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    zone = getattr(values.type, "tz", None)
    utc = values.cast(pa.timestamp("us", zone)).cast(pa.timestamp("us", zone and "UTC"))
    moments = utc.to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return pd.DatetimeIndex(moments).tz_localize("UTC")


def _objects(values: pa.Array) -> Any:  # noqa: ANN401 - a numpy array of tuples or dicts
    objects = np.empty(len(values), dtype=object)
    for at, held in enumerate(values.to_pylist()):
        objects[at] = _read(orjson.loads(held) if isinstance(held, str) else held)
    return objects


def _read(value: object) -> object:
    """Turn what JSON, or an engine's own nested type, has for tags or fields into those."""
    if isinstance(value, list):
        return dict(value) if value and isinstance(value[0], tuple) else tuple(value)
    if isinstance(value, dict):
        return {
            key: date.fromisoformat(one[_DATE]) if isinstance(one, dict) and _DATE in one else one
            for key, one in value.items()
        }
    return value


def undated(value: object) -> object:
    """Write the dates among custom fields as ISO text, for those who read JSON alone."""
    if isinstance(value, dict):
        return {
            key: one.isoformat() if isinstance(one, date) else one for key, one in value.items()
        }
    return value


TEXTS = Kind("text", TEXT, "string", _plain, _texts)
INTEGER = Kind("integer", "Int64", "int64", _as_is, _integers)
NUMBER = Kind("number", "float64", "float64", _as_is, _numbers)
PERCENT = Kind("percent", "float64", "float64", _as_is, _numbers)
BOOLEAN = Kind("boolean", "boolean", "bool", _as_is, _booleans)
CATEGORY = Kind("category", "category", "string", _plain, _labels)
DATE = Kind("date", TIMESTAMP, "date32", _naive, _moments)
MOMENT = Kind("timestamp", TIMESTAMP, "timestamp[us]", _naive, _moments)
OBJECT = Kind("object", "object", "string", _json, _objects)
