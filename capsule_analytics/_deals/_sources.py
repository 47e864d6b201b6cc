"""Where deals are held: in memory, in a DuckDB relation, or in the partitions of a Dask DataFrame.

What is too large for memory is worked through in parts. Each part becomes a pandas frame, for which
every figure is defined; its partial sums are small, and add up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
import orjson
import pandas as pd

from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.schema import COLUMNS, Pipeline

from ._placing import CALIBRATED, NEEDED, resolve
from ._sums import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    import dask.dataframe as dd
    import duckdb
    import pyarrow as pa

    Part: TypeAlias = Callable[[pd.DataFrame], pd.DataFrame]
    Held: TypeAlias = "pd.DataFrame | dd.DataFrame | duckdb.DuckDBPyRelation | Parted"
    Deals: TypeAlias = "Pipeline | Held"

ROWS = 500_000
"""Rows of a chunk: some 100 MB while they are summed."""

_FAN_IN = 16
"""How many partial sums one task of a cluster adds up."""

_GROUP_COLUMNS = {"party": ("party", "party_id"), "tag": ("tags",)}
_KINDS = {column.name: column.kind for column in COLUMNS} | {
    "tcv": "number", CALIBRATED: "number", "status": "category", "account": "category",
}  # fmt: skip


class Parted(Protocol):
    """Deals in parts that can add up partial sums by themselves."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the frame that they have."""

    def add_up(self, part: Part, columns: Sequence[str]) -> pd.DataFrame:
        """Add up the partial sums of all parts, each a frame of these columns."""


def table_of(deals: Deals, as_of: date | str | None, groups: Sequence[str]) -> tuple[Held, date]:
    """Return the table of the deals as it is held, and the day from which to look.

    Parameters
    ----------
    deals
        A pipeline, or a table of its columns.
    as_of
        The day; None means the pipeline's own, or today in UTC.
    groups
        What is grouped by; a pipeline has its account as a column if that is one.

    Raises
    ------
    ArgumentError
        If it is no table that can be read, lacks a column, or the day is none.
    """
    # Only the columns are looked at, which all of them have.
    table, day = resolve(cast("Pipeline | pd.DataFrame", deals), as_of)
    if isinstance(deals, Pipeline) and "account" in groups:
        table = table.assign(account=pd.Categorical.from_codes(
            np.zeros(len(table), dtype=np.int8), categories=pd.Index([deals.account], dtype=object)
        ))  # fmt: skip
    return table, day


def add_up(held: Held, part: Part, groups: Sequence[str], more: Sequence[str] = ()) -> pd.DataFrame:
    """Add up the partial sums of a table, wherever it is held.

    Parameters
    ----------
    held
        The table.
    part
        From a frame of deals to their partial sums.
    groups
        What is grouped by.
    more
        Columns that `part` needs beside those of every forecast.

    Returns
    -------
    One partial sum.
    """
    if isinstance(held, pd.DataFrame):
        return part(held)
    wanted = ["id", *NEEDED, CALIBRATED, *more]
    for group in groups:
        wanted += _GROUP_COLUMNS.get(group, (group,))
    columns = [name for name in dict.fromkeys(wanted) if name in held.columns]
    match type(held).__module__.partition(".")[0].lstrip("_"):
        case "dask":
            return _add_dask(held, part, columns)
        case "duckdb":
            return add(map(part, frames(cast("duckdb.DuckDBPyRelation", held), columns)))
    return cast("Parted", held).add_up(part, columns)


def _add_dask(held: dd.DataFrame, part: Part, columns: Sequence[str]) -> pd.DataFrame:
    """Sum each partition where it is, and add the sums up in a tree."""
    from dask import delayed  # noqa: PLC0415 - an optional dependency

    names = [name for name in columns if name != "id"]  # which is the index
    if "tags" in names and held["tags"].dtype != object:
        raise ArgumentError(
            "Dask has turned the tuples of tags into text: make the DataFrame under "
            "dask.config.set({'dataframe.convert-string': False})"
        )
    sum_of = delayed(part, pure=False)
    parts = [sum_of(partition) for partition in held[names].to_delayed()]
    result: pd.DataFrame = tree(parts, add).compute()
    return result


def tree(parts: Sequence[Any], combine: Callable[[list[Any]], Any]) -> Any:  # noqa: ANN401 - Delayed
    """Combine delayed results some at a time, so that no machine ever gets all of them.

    Parameters
    ----------
    parts
        Results to come, at least one.
    combine
        From a list of results to one of their kind.

    Returns
    -------
    The one that is left.
    """
    from dask import delayed  # noqa: PLC0415 - an optional dependency

    level = list(parts)
    while len(level) > 1:
        level = [delayed(combine)(level[at : at + _FAN_IN]) for at in range(0, len(level), _FAN_IN)]
    return level[0]


def frames(relation: duckdb.DuckDBPyRelation, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Read a relation as frames, a chunk at a time; it is never in memory as a whole.

    Parameters
    ----------
    relation
        A relation with some of the columns of the frame, and ``id``.
    columns
        Those that are wanted; what the relation lacks is missing in every row.

    Yields
    ------
    Frames with the dtypes of a loaded one or others that behave alike, the first of them empty,
    so that there is always one.
    """
    import duckdb  # noqa: PLC0415 - an optional dependency
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    held = [duckdb.ColumnExpression(name) for name in relation.columns if name in columns]
    chosen = relation.select(*held)
    # Releases of DuckDB differ in the name of the method.
    read = getattr(chosen, "to_arrow_reader", None) or chosen.fetch_arrow_reader
    with read(ROWS) as reader:
        yield frame_of(reader.schema.empty_table(), columns)
        for batch in reader:
            yield frame_of(pa.Table.from_batches([batch]), columns)


def frame_of(table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """Turn a table of plain types into a frame.

    Parameters
    ----------
    table
        Columns as `Store.export_parquet` writes them, or of types that can be cast to those.
    columns
        The columns wanted; those that the table lacks are missing in every row.

    Returns
    -------
    The frame, index ``id`` if that is among the columns.

    Raises
    ------
    DataError
        If a column cannot be read as what it should be.
    """
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    data = {}
    for name in columns:
        held = table[name] if name in table.column_names else pa.nulls(table.num_rows)
        if held.null_count == len(held):  # of whatever type
            held = pa.nulls(len(held))
        values = pa.chunked_array([held]) if isinstance(held, pa.Array) else held
        try:
            data[name] = _READ[_KINDS.get(name, "text")](values.combine_chunks())
        except (pa.ArrowException, orjson.JSONDecodeError) as error:
            raise DataError(
                f"the column {name} is {values.type} and cannot be read as"
                f" {_KINDS.get(name, 'text')}: {error}"
            ) from error
    index = data.pop("id", None)
    rows = pd.RangeIndex(table.num_rows) if index is None else pd.Index(index, name="id")
    return pd.DataFrame(data, index=rows, copy=False)


def _labels(values: pa.Array) -> pd.Categorical:
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    coded = values.cast(pa.string()).dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    names = pd.Index(coded.dictionary.to_pylist(), dtype=object)
    return pd.Categorical.from_codes(codes, categories=names)


def _numbers(values: pa.Array) -> Any:  # noqa: ANN401 - a numpy array
    return values.cast("float64").to_numpy(zero_copy_only=False)


def _integers(values: pa.Array) -> Any:  # noqa: ANN401 - a pandas array
    whole = values.cast("int64")
    numbers = whole.fill_null(0).to_numpy(zero_copy_only=False)
    return pd.arrays.IntegerArray(numbers, whole.is_null().to_numpy(zero_copy_only=False))


def _moments(values: pa.Array) -> pd.DatetimeIndex:
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    zone = getattr(values.type, "tz", None)
    utc = values.cast(pa.timestamp("us", zone)).cast(pa.timestamp("us", zone and "UTC"))
    moments = utc.to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return pd.DatetimeIndex(moments).tz_localize("UTC")


def _objects(values: pa.Array) -> Any:  # noqa: ANN401 - a numpy array of tuples or dicts
    objects = np.empty(len(values), dtype=object)
    for at, held in enumerate(values.to_pylist()):
        value = orjson.loads(held) if isinstance(held, str) else held
        objects[at] = tuple(value) if isinstance(value, list) else value
    return objects


_READ: dict[str, Callable[[Any], Any]] = {
    "text": _labels, "category": _labels, "object": _objects,
    "number": _numbers, "percent": _numbers, "integer": _integers,
    "date": _moments, "timestamp": _moments,
}  # fmt: skip
