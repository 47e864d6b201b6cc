"""Where deals are held: pandas, Polars, DuckDB, Dask, Spark, or anything that speaks Arrow.

A measure is a function of placed deals in Narwhals' terms (`_sums.sums` and its like). Each engine
computes it for itself, on its own columns; only what is left, some thousands of partial sums, comes
into memory. What only a pandas frame can tell (tags, custom fields, probabilities by id) is worked
through in parts.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import narwhals as nw
import numpy as np
import orjson
import pandas as pd

from capsule_analytics import _kinds as kinds
from capsule_analytics._kinds import CATEGORY, NUMBER, TEXTS, Kind
from capsule_analytics.errors import ArgumentError, DataError
from capsule_analytics.schema import COLUMNS, Pipeline

from ._placing import (
    CALIBRATED,
    FIELD,
    group_names,
    grouped,
    other_chances,
    pandas_only,
    resolve,
)
from ._sums import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    import dask.dataframe as dd
    import duckdb
    import polars as pl
    import pyarrow as pa
    import pyspark.sql as ps

    from ._placing import Placing
    from ._sums import Lazy

    Measure: TypeAlias = Callable[[Lazy, Placing], pd.DataFrame]
    Part: TypeAlias = Callable[[pd.DataFrame], pd.DataFrame]
    Table: TypeAlias = (
        "pd.DataFrame | pl.DataFrame | pl.LazyFrame | dd.DataFrame | duckdb.DuckDBPyRelation"
        " | ps.DataFrame | Parted"
    )
    Deals: TypeAlias = "Pipeline | Table"

ROWS = 500_000
"""Rows of a chunk: some 100 MB while they are summed."""

_FAN_IN = 16
"""How many partial sums one task of a cluster adds up."""

_KINDS = {column.name: column.kind for column in COLUMNS} | {"tcv": NUMBER, CALIBRATED: NUMBER}


def _kind(name: str) -> Kind:
    """Return the kind of a column; what is not of the frame is a label."""
    found = _KINDS.get(name, CATEGORY)
    return CATEGORY if found is TEXTS else found


class Parted(Protocol):
    """Deals in parts that can add up partial sums by themselves."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns of the frame that they have."""

    def add_up(self, measure: Measure, placing: Placing, more: Sequence[str]) -> pd.DataFrame:
        """Add up the partial sums of all parts."""


def table_of(
    deals: Deals, as_of: date | str | None, by: str | Sequence[str] | None = None
) -> tuple[Table, date]:
    """Return the table of the deals as it is held, and the day from which to look.

    Parameters
    ----------
    deals
        A pipeline, or a table of its columns.
    as_of
        The day; None means the pipeline's own, or today in UTC.
    by
        What is grouped by; a pipeline has its account as a column if that is named.

    Raises
    ------
    ArgumentError
        If it is no table that can be read, lacks a column, or the day is none.
    """
    if engine_of(deals) == "polars":
        names = cast("pl.LazyFrame", deals).collect_schema().names()
        _, day = resolve(pd.DataFrame(columns=names), as_of)
        return cast("Table", deals), day
    if engine_of(deals) == "arrow":
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency

        arrow = pa.table(deals)
        deals = frame_of(arrow, arrow.column_names)
    # Only the columns are looked at, which all of them have.
    table, day = resolve(cast("Pipeline | pd.DataFrame", deals), as_of)
    if isinstance(deals, Pipeline) and "account" in group_names(by):
        table = table.assign(account=pd.Categorical.from_codes(
            np.zeros(len(table), dtype=np.int8), categories=pd.Index([deals.account], dtype=object)
        ))  # fmt: skip
    return table, day


def engine_of(deals: object) -> str:
    """Name the package that holds a table, arrow for any with its interface, else ""."""
    name = type(deals).__module__.partition(".")[0].lstrip("_")
    if name in {"pandas", "polars", "dask", "duckdb", "pyspark"}:
        return name
    return "arrow" if hasattr(deals, "__arrow_c_stream__") else ""


def add_up(
    table: Table, measure: Measure, placing: Placing, more: Sequence[str] = ()
) -> pd.DataFrame:
    """Add up the partial sums of a table, wherever it is held.

    Parameters
    ----------
    table
        The table, as `table_of` returns it.
    measure
        From deals in plain types to their partial sums.
    placing
        How deals are placed.
    more
        Columns that the measure needs beside those of `placing`.

    Returns
    -------
    One partial sum.
    """
    columns = [*placing.columns, *more]

    def part(frame: pd.DataFrame) -> pd.DataFrame:
        return measure(plain(frame, placing, more), placing)

    engine = engine_of(table)
    if engine == "pandas":
        return part(cast("pd.DataFrame", table))
    if engine == "polars":
        return _polars(cast("pl.LazyFrame", table), measure, placing, more, part)
    if engine == "dask":
        return _add_dask(cast("dd.DataFrame", table), part, ["id", *columns])
    if engine == "duckdb":
        return add_relation(cast("duckdb.DuckDBPyRelation", table), measure, placing, more)
    if engine == "pyspark":
        return _spark(cast("ps.DataFrame", table), measure, placing, more, part)
    return cast("Parted", table).add_up(measure, placing, more)


def plain(frame: pd.DataFrame, placing: Placing, more: Sequence[str] = ()) -> Lazy:
    """Give a pandas frame's columns the types that `Placing.rows` counts on.

    Raises
    ------
    ArgumentError
        If a column that is grouped by is missing, or a probability is none.
    """
    pandas_only(frame)
    nested = [name for name in placing.groups if name == "tag" or name.startswith(FIELD)]
    wanted = [
        name
        for name in dict.fromkeys((*placing.columns, *more))
        if name not in {"tags", "fields", CALIBRATED}
        and (name != "party_id" or name in frame.columns)
    ]
    if lacking := [name for name in wanted if name not in frame.columns]:
        raise ArgumentError(f"the frame has no column {lacking[0]!r}")
    data = {name: _plain(name, frame[name]) for name in wanted}
    if placing.probability is not None:
        data[CALIBRATED] = other_chances(frame, placing.probability)
    for name in nested:
        data[name] = grouped(frame, name)
    chosen = pd.DataFrame(data, index=frame.index, copy=False)
    if "tag" in nested:
        chosen = chosen.reset_index(drop=True).explode("tag", ignore_index=True)
    return cast("Lazy", nw.from_native(chosen))


def _plain(name: str, column: pd.Series) -> Any:  # noqa: ANN401 - a series or a numpy array
    """Take the zone off days, which are UTC, and the nullable numbers to floats."""
    match _kind(name):
        case kinds.DATE | kinds.MOMENT:
            return column.dt.tz_localize(None) if column.dt.tz is not None else column
        case kinds.NUMBER | kinds.PERCENT:
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        case kinds.INTEGER if name != "party_id":
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.astype(object) if name == "party" else column  # to put ids beside the names


def _polars(
    table: pl.DataFrame | pl.LazyFrame,
    measure: Measure,
    placing: Placing,
    more: Sequence[str],
    part: Part,
) -> pd.DataFrame:
    """Sum where Polars holds the deals; as a frame where only that can tell."""
    import polars as pl  # noqa: PLC0415 - an optional dependency

    lazy = table.lazy()
    schema = lazy.collect_schema()
    wanted = [name for name in dict.fromkeys((*placing.columns, *more)) if name in schema]
    if placing.needs_frame:
        named = lazy.select([*(["id"] if "id" in schema else []), *wanted]).collect()
        return part(frame_of(named.to_arrow(), named.columns))
    _has_all(placing, wanted)
    columns = [_polars_column(name, schema[name]) for name in wanted]
    try:
        found = measure(nw.from_native(lazy.select(columns)), placing)
    except pl.exceptions.PolarsError as error:
        first, *_ = str(error).splitlines()
        raise DataError(f"a column cannot be read as what it should be: {first}") from error
    if placing.probability is not None:
        _check_chances(lazy.select(
            pl.col(CALIBRATED).min().alias("least"), pl.col(CALIBRATED).max().alias("most")
        ).collect().row(0))  # fmt: skip
    return found


def _polars_column(name: str, dtype: pl.DataType) -> pl.Expr:
    """Write a column as an expression of a plain type."""
    import polars as pl  # noqa: PLC0415 - an optional dependency

    column = pl.col(name)
    match _kind(name):
        case kinds.DATE | kinds.MOMENT:
            if dtype == pl.String:
                return column.str.to_datetime(
                    "%+", time_unit="us", time_zone="UTC"
                ).dt.replace_time_zone(None)
            if getattr(dtype, "time_zone", None) is not None:
                column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            return column.cast(pl.Datetime("us"))
        case kinds.NUMBER | kinds.PERCENT:
            return column.cast(pl.Float64).fill_nan(None)
        case kinds.INTEGER if name != "party_id":
            return column.cast(pl.Float64)
        case kinds.INTEGER:
            return column
    return column.cast(pl.String)


def _has_all(placing: Placing, names: Sequence[str]) -> None:
    """Refuse to group by, or to take, a column that is not there."""
    for name in placing.columns:
        if name not in names and name != "party_id":
            if name == CALIBRATED:
                other_chances(pd.DataFrame(), CALIBRATED)
            raise ArgumentError(f"the frame has no column {name!r}")


def _check_chances(ends: tuple[float | None, ...]) -> None:
    for end in ends:
        if end is not None and not 0 <= end <= 1:
            raise ArgumentError(f"probabilities are from 0 to 1, and one is {end:g}")


def add_relation(
    relation: duckdb.DuckDBPyRelation, measure: Measure, placing: Placing, more: Sequence[str]
) -> pd.DataFrame:
    """Sum where DuckDB holds the deals; in chunks where only a frame can tell."""
    import duckdb  # noqa: PLC0415 - an optional dependency

    columns = [name for name in (*placing.columns, *more) if name in relation.columns]

    def by_frames() -> pd.DataFrame:
        chunks = frames(relation, [*(["id"] if "id" in relation.columns else []), *columns])
        return add(measure(plain(frame, placing, more), placing) for frame in chunks)

    if placing.needs_frame:
        return by_frames()
    _has_all(placing, columns)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    chosen = relation.project(", ".join(_sql(name, types[name]) for name in columns))
    with quiet(relation):
        try:
            found = measure(nw.from_native(chosen), placing)
        except (duckdb.ConversionException, duckdb.BinderException):
            # Read as frames, what is wrong is told by column; or it is not wrong after all.
            return by_frames()
        if placing.probability is not None:
            ends = chosen.aggregate(f"min({CALIBRATED}) AS least, max({CALIBRATED}) AS most")
            _check_chances(ends.fetchall()[0])
    return found


def _sql(name: str, dtype: str) -> str:
    """Write a column as an SQL expression of a plain type."""
    quoted = f'"{name}"'
    match _kind(name):
        case kinds.DATE | kinds.MOMENT:
            if dtype == "TIMESTAMP WITH TIME ZONE":
                read = f"timezone('UTC', {quoted})"
            elif dtype == "DATE" or dtype.startswith("TIMESTAMP"):
                read = f"{quoted}::TIMESTAMP"
            else:
                read = f"{quoted}::VARCHAR::TIMESTAMP"
        case kinds.NUMBER | kinds.PERCENT | kinds.INTEGER:
            read = f"{quoted}::DOUBLE"
            if dtype in {"DOUBLE", "FLOAT"}:
                read = f"CASE WHEN isnan({read}) THEN NULL ELSE {read} END"
        case _:
            read = quoted if dtype == "VARCHAR" else f"{quoted}::VARCHAR"
    return f"{read} AS {quoted}"


@contextmanager
def quiet(relation: duckdb.DuckDBPyRelation) -> Iterator[None]:
    """Keep DuckDB from drawing its own progress bar on standard output meanwhile."""
    setting = "enable_progress_bar"
    told = relation.query("deals", f"SELECT current_setting('{setting}')")
    drawn = told is not None and told.fetchall() == [(True,)]
    if drawn:
        relation.query("deals", f"SET {setting} = false")
    try:
        yield
    finally:
        if drawn:
            relation.query("deals", f"SET {setting} = true")


def _spark(
    table: ps.DataFrame, measure: Measure, placing: Placing, more: Sequence[str], part: Part
) -> pd.DataFrame:
    """Sum where Spark holds the deals; as a frame where only that can tell."""
    from pyspark.errors import PySparkException  # noqa: PLC0415 - an optional dependency
    from pyspark.sql import functions as sql  # noqa: PLC0415 - an optional dependency

    wanted = [name for name in dict.fromkeys((*placing.columns, *more)) if name in table.columns]
    if placing.needs_frame:
        ids = ["id"] if "id" in table.columns else []
        return part(frame_of(table.select(*ids, *wanted).toArrow(), [*ids, *wanted]))
    _has_all(placing, wanted)
    types = dict(table.dtypes)
    chosen = table.select(*(_spark_column(name, types[name]) for name in wanted))
    try:
        with _naive_days(table.sparkSession):
            found = measure(nw.from_native(chosen), placing)
    except PySparkException as error:
        first, *_ = str(error).splitlines()
        raise DataError(f"Spark cannot sum the deals: {first}") from error
    if placing.probability is not None:
        ends = chosen.agg(sql.min(CALIBRATED), sql.max(CALIBRATED)).first()
        _check_chances(ends or ())
    return found


def _spark_column(name: str, dtype: str) -> ps.Column:
    """Write a column as an expression of a plain type."""
    from pyspark.sql import functions as sql  # noqa: PLC0415 - an optional dependency

    column = sql.col(f"`{name}`")
    match _kind(name):
        case kinds.DATE | kinds.MOMENT:
            if dtype == "timestamp":  # an instant, which Spark shows in the session's zone
                column = sql.convert_timezone(None, sql.lit("UTC"), column)
            elif dtype not in {"timestamp_ntz", "date", "void"}:
                raise DataError(f"the column {name} is {dtype} in Spark: make it a timestamp")
            column = column.cast("timestamp_ntz")
        case kinds.NUMBER | kinds.PERCENT | kinds.INTEGER if name != "party_id":
            number = column.cast("double")
            column = sql.when(~sql.isnan(number), number)
        case kinds.INTEGER:
            pass
        case _:
            column = column.cast("string")
    return column.alias(name)


@contextmanager
def _naive_days(session: ps.SparkSession) -> Iterator[None]:
    """Let Spark take a day without a zone as one, not as an instant of this machine's zone."""
    setting = "spark.sql.timestampType"
    before = session.conf.get(setting)
    session.conf.set(setting, "TIMESTAMP_NTZ")
    try:
        yield
    finally:
        session.conf.set(setting, str(before))


def _add_dask(table: dd.DataFrame, part: Part, columns: Sequence[str]) -> pd.DataFrame:
    """Sum each partition where it is, and add the sums up in a tree."""
    from dask import delayed  # noqa: PLC0415 - an optional dependency

    # The id is the index.
    names = [name for name in dict.fromkeys(columns) if name != "id" and name in table.columns]
    if "tags" in names and table["tags"].dtype != object:
        raise ArgumentError(
            "Dask has turned the tuples of tags into text: make the DataFrame under "
            "dask.config.set({'dataframe.convert-string': False})"
        )
    sum_of = delayed(part, pure=False)
    parts = [sum_of(partition) for partition in table[names].to_delayed()]
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
            data[name] = _kind(name).from_arrow(values.combine_chunks())
        except (pa.ArrowException, orjson.JSONDecodeError) as error:
            raise DataError(
                f"the column {name} is {values.type} and cannot be read as"
                f" {_kind(name).name}: {error}"
            ) from error
    index = data.pop("id", None)
    rows = pd.RangeIndex(table.num_rows) if index is None else pd.Index(index, name="id")
    return pd.DataFrame(data, index=rows, copy=False)
