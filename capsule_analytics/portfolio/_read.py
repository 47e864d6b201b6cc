"""Reading a portfolio: a batch of accounts to its partial sums, on any machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from capsule_analytics import fx
from capsule_analytics._deals import add, frame_of, frames, tree
from capsule_analytics.errors import ArgumentError, DataError, TransportError, missing_extra
from capsule_analytics.history import OFFLINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date

    import duckdb

    from ._files import Place, Unit

    Job: TypeAlias = Callable[[Any], "Result"]
    Join: TypeAlias = Callable[[Sequence["Result"]], "Result"]
    Told: TypeAlias = Callable[[int], None]

_FETCHED_AT_ONCE = 8
"""Files that are fetched over a network at the same time."""

_PATIENCE = 20.0
"""Seconds within which the scheduler of a cluster must answer."""

_NO_STATUS = "has deals without a status: open, won and lost cannot be told apart"


@dataclass(frozen=True)
class Conversion:
    """How amounts are converted, or not.

    Attributes
    ----------
    home
        The currency to convert to.
    rates
        The exchange rates.
    as_of
        The day whose rate open deals take.
    missing
        What to do without a rate.
    """

    home: str
    rates: fx.Rates
    as_of: date
    missing: fx.Missing


class LeftOut(NamedTuple):
    """An account that could not be read."""

    account: str
    day: str
    path: str
    problem: str


class Result(NamedTuple):
    """What came of some batches: partial sums, or whatever else was made of each account."""

    sums: list[Any]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class Reading:
    """How the batches of a portfolio are read and summed.

    Attributes
    ----------
    place
        Where the export stands.
    part
        From a frame of deals, with ``account`` and ``day``, to their partial sums.
    columns
        The columns that `part` needs.
    conversion
        How amounts are converted first; None for not at all.
    whole
        Give `part` all deals of a batch at once, not a chunk at a time: it compares days.
    here
        From a relation with ``account`` to the partial sums, where DuckDB can make them from local
        files by itself; None where it cannot.
    """

    place: Place
    part: Callable[[pd.DataFrame], pd.DataFrame]
    columns: tuple[str, ...]
    conversion: Conversion | None
    whole: bool = False
    here: Callable[[duckdb.DuckDBPyRelation], pd.DataFrame] | None = None

    def __call__(self, batch: Sequence[Unit]) -> Result:
        """Sum a batch; where it cannot be read, sum its accounts one by one and leave out some."""
        import duckdb  # noqa: PLC0415 - an optional dependency
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency

        cut = {unit.account: unit for unit in batch if not unit.files}
        left_out = [self._left_out(unit, "has no file") for unit in cut.values()]
        kept = [unit for unit in batch if unit.account not in cut]
        if not kept:
            return Result([], left_out)
        try:
            return Result([self._summed(kept)], left_out)
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            raise
        except (duckdb.Error, pa.ArrowException, OSError, DataError) as error:
            accounts = dict.fromkeys(unit.account for unit in kept)
            if len(accounts) > 1:
                each = joined(
                    [self([unit for unit in kept if unit.account == name]) for name in accounts]
                )
                return Result(each.sums, [*left_out, *each.left_out])
            problem = " ".join(str(error).split())
            return Result([], [*left_out, self._left_out(kept[-1], problem)])

    def account(self, units: Sequence[Unit]) -> tuple[pd.DataFrame | None, list[LeftOut]]:
        """Read all days of an account as one frame, or say why it cannot be read."""
        import duckdb  # noqa: PLC0415 - an optional dependency
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency

        for unit in units:
            if not unit.files:
                return None, [self._left_out(unit, "has no file")]
        try:
            first, *others = self._frames(units)  # the first is empty
            frame = self._sum(pd.concat(others) if others else first)
            _each_once(frame)
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            raise
        except (duckdb.Error, pa.ArrowException, OSError, DataError) as error:
            return None, [self._left_out(units[-1], " ".join(str(error).split()))]
        return frame, []

    def _left_out(self, unit: Unit, problem: str) -> LeftOut:
        return LeftOut(unit.account, unit.day.isoformat(), self._folder(unit), problem)

    def _folder(self, unit: Unit) -> str:
        """Name the folder of an account's day as a person would look for it."""
        from urllib.parse import quote  # noqa: PLC0415

        if unit.files:
            return unit.files[0]
        return f"{self.place.address}/account={quote(unit.account, safe='')}/day={unit.day}"

    def _summed(self, batch: Sequence[Unit]) -> pd.DataFrame:
        """Sum a batch where it lies, if DuckDB can, or else as frames."""
        system, _ = self.place.open()
        if self.here is None or "file" not in _protocols(system):
            return add(map(self._sum, self._chunks(batch)))
        held = {file: unit for unit in batch for file in unit.files}
        with _local(held) as relation:
            unknown = "status" not in relation.columns
            if unknown or relation.filter("status IS NULL").limit(1).fetchall():
                raise DataError(_NO_STATUS)
            lacking = [name for name in self.columns if name not in relation.columns]
            nothing = "".join(f', NULL::VARCHAR AS "{name}"' for name in lacking)
            return self.here(relation.project(f"*{nothing}"))

    def _sum(self, frame: pd.DataFrame) -> pd.DataFrame:
        if frame["status"].isna().any():
            raise DataError(_NO_STATUS)
        if self.conversion is not None:
            how = self.conversion
            frame = fx.convert(frame, how.home, how.rates, as_of=how.as_of, missing=how.missing)
        return self.part(frame)

    def _chunks(self, batch: Sequence[Unit]) -> Iterator[pd.DataFrame]:
        """Read a batch as `part` wants it."""
        frames = self._frames(batch)
        if not self.whole:
            return frames
        first, *others = frames  # the first is empty
        return iter([pd.concat(others) if others else first])

    def _frames(self, batch: Sequence[Unit]) -> Iterator[pd.DataFrame]:
        """Read the columns of a batch with the account and the day, in chunks; first none."""
        system, _ = self.place.open()
        held = {file: unit for unit in batch for file in unit.files}
        if "file" in _protocols(system):
            return self._local_frames(held)
        return self._fetched_frames(system, held)

    def _local_frames(self, held: dict[str, Unit]) -> Iterator[pd.DataFrame]:
        with _local(held) as relation:
            yield from frames(relation, [*self.columns, "account", "day"])

    def _fetched_frames(self, system: Any, held: dict[str, Unit]) -> Iterator[pd.DataFrame]:  # noqa: ANN401
        """Fetch several files at a time.

        DuckDB could read them through fsspec too, but its threads and Python's then wait for each
        other for ever in some of its releases.
        """
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency
        import pyarrow.parquet as pq  # noqa: PLC0415 - an optional dependency

        def fetch(file: str) -> pa.Table:
            with system.open(file, "rb") as handle:
                parquet = pq.ParquetFile(handle)
                names = parquet.schema_arrow.names
                return parquet.read([name for name in self.columns if name in names])

        def framed(table: pa.Table, account: str, day: str) -> pd.DataFrame:
            frame = frame_of(table, self.columns)
            zeros = np.zeros(len(frame), dtype=np.int8)
            return frame.assign(
                account=pd.Categorical.from_codes(zeros, pd.Index([account], dtype=object)),
                day=pd.Categorical.from_codes(zeros, pd.Index([day], dtype=object)),
            )

        yield framed(pa.table({}), "", "")
        with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
            for unit, table in zip(held.values(), pool.map(fetch, held), strict=True):
                yield framed(table, unit.account, unit.day.isoformat())


def _each_once(frame: pd.DataFrame) -> None:
    """Refuse a deal that is there twice on one day."""
    if frame.set_index("day", append=True).index.has_duplicates:
        raise DataError("has two deals of the same id on one day")


@contextmanager
def _local(held: dict[str, Unit]) -> Iterator[duckdb.DuckDBPyRelation]:
    """Open local files as one relation, each row with its account and day."""
    import duckdb  # noqa: PLC0415 - an optional dependency

    with duckdb.connect(config=OFFLINE) as connection:
        # Rows need no order to be summed, and keeping it costs memory.
        connection.execute("SET preserve_insertion_order = false")
        deals = connection.read_parquet(
            list(held), union_by_name=True, filename=True, hive_partitioning=False
        )
        connection.execute("CREATE TABLE units (filename VARCHAR, account VARCHAR, day VARCHAR)")
        rows = [(file, unit.account, unit.day.isoformat()) for file, unit in held.items()]
        connection.executemany("INSERT INTO units VALUES (?, ?, ?)", rows)
        yield deals.join(connection.table("units"), "filename")


def _protocols(system: object) -> tuple[str, ...]:
    name = getattr(system, "protocol", ())
    return (name,) if isinstance(name, str) else tuple(name)


def joined(results: Sequence[Result]) -> Result:
    """Add up what came of several batches."""
    sums = [part for result in results for part in result.sums]
    left_out = [found for result in results for found in result.left_out]
    return Result([add(sums)] if sums else [], left_out)


def gathered(results: Sequence[Result]) -> Result:
    """Put what came of several accounts one after the other."""
    return Result(
        [one for result in results for one in result.sums],
        [found for result in results for found in result.left_out],
    )


def run_here(
    reading: Job, work: Sequence[Any], join: Join = joined, told: Told | None = None
) -> Result:
    """Read the batches one after another; DuckDB uses all processors for each."""
    total = Result([], [])
    for done, batch in enumerate(work, start=1):
        total = join([total, reading(batch)])
        if told is not None:
            told(done)
    return total


def run_on_dask(
    reading: Job,
    work: Sequence[Any],
    join: Join = joined,
    told: Told | None = None,
    *,
    scheduler: str | None = None,
) -> Result:
    """Read the batches on a cluster, or in the threads of this process without one.

    A batch that was being read when its worker died is read again by another.
    """
    try:
        import dask  # noqa: PLC0415 - an optional dependency

        if scheduler is not None:
            import distributed  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise missing_extra("Dask", "cluster") from error
    if scheduler is not None:
        _check_address(scheduler)
    how = dask.delayed(reading)  # sent once, not with every batch
    read = dask.delayed(_read, pure=False)
    total = tree([read(how, batch) for batch in work], join)
    result: Result
    if scheduler is None:
        result = total.compute(scheduler="threads")
        if told is not None:
            told(len(work))
        return result
    try:
        client = distributed.Client(scheduler, set_as_default=False, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise TransportError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    with client:
        result = client.compute(total).result()
    if told is not None:
        told(len(work))
    return result


def _check_address(scheduler: str) -> None:
    """Refuse what is no address; Dask would wait for it, and fail again when the process ends."""
    from distributed.comm.addressing import (  # noqa: PLC0415 - an optional dependency
        parse_address,
        parse_host_port,
    )
    from distributed.comm.registry import backends  # noqa: PLC0415 - an optional dependency

    try:
        scheme, place = parse_address(scheduler)
        known = scheme in backends and (scheme == "inproc" or bool(parse_host_port(place)[0]))
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ArgumentError(
            f"a scheduler's address is tcp://host:port or tls://host:port, not {scheduler!r}"
        )


def _read(reading: Job, batch: Any) -> Result:  # noqa: ANN401 - whatever a job works on
    return reading(batch)
