"""The snapshot store: what the pipeline looked like on every day on which it was read.

A deal is held as versions, each from one snapshot until the next that saw it different, so an
unchanged deal costs nothing however often it is read.
"""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import pandas as pd

from capsule_analytics.errors import ArgumentError, HistoryError
from capsule_analytics.schema import TEXT, TIMESTAMP

from . import _store_rows as rows
from ._store_file import connect, default_path, explained, transaction
from ._store_read import ids_at, milestones_at, pipeline_at, snapshot_at
from ._store_write import write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    import duckdb

    from capsule_analytics.schema import Pipeline


def open_store(path: str | Path | None = None, *, read_only: bool = False) -> Store:
    """Open the snapshot store, creating it if there is none.

    Parameters
    ----------
    path
        The file; None means ``history.duckdb`` in the user's data folder. A new file is made
        readable by its owner alone, and so is a new folder.
    read_only
        Whether to open it for reading alone. Several programs may do so at a time, while a
        writer keeps the file to itself.

    Returns
    -------
    The store, to be closed or used in a ``with`` statement.

    Raises
    ------
    HistoryError
        If the file cannot be opened, is in use by another run, is no snapshot store, or was
        written by a newer release.
    MissingExtraError
        If the extra ``history`` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import capsule_analytics as ca
    >>> folder = tempfile.TemporaryDirectory()
    >>> with open_store(f"{folder.name}/history.duckdb") as store:
    ...     store.record(ca.load_sample())
    ...     pipeline = store.as_of("2026-10-20")
    >>> len(pipeline.opportunities), pipeline.as_of.isoformat()
    (602, '2026-10-15')
    >>> folder.cleanup()
    """
    file = default_path() if path is None else Path(path)
    return Store(connect(file, read_only=read_only), file)


class Store:
    """An open snapshot store; made by `open_store`.

    Attributes
    ----------
    path
        Its file.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self.path = path

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def __repr__(self) -> str:
        """Say which file it is."""
        return f"<Store {str(self.path)!r}>"

    def close(self) -> None:
        """Close the file, which lets other programs write to it."""
        with explained(self.path):
            self._connection.close()

    def record(self, pipeline: Pipeline) -> None:
        """Record a full snapshot: what the pipeline holds is all there is.

        Deals known to the store and not in the pipeline count as deleted from
        ``pipeline.loaded_at`` on, so never pass one that was filtered. Recording the same
        snapshot again changes nothing.

        Parameters
        ----------
        pipeline
            The account as it was loaded.

        Raises
        ------
        HistoryError
            If it was loaded before the newest snapshot of the account, if another run is
            writing, or if the file cannot be written. Nothing is recorded then.
        """
        with transaction(self._connection, self.path):
            write(self._connection, pipeline, _utc(pipeline.loaded_at), full=True, deleted_ids=())

    def record_changes(
        self,
        pipeline: Pipeline,
        *,
        deleted_ids: Iterable[int],
        loaded_at: pd.Timestamp | None = None,
    ) -> None:
        """Record an incremental snapshot: what may have changed since the last one.

        Deals in it that did not change cost nothing, so load a little more than needed.

        Parameters
        ----------
        pipeline
            The deals that were created or changed; all others stay as they are.
        deleted_ids
            Ids of deals that are gone. One that is also in `pipeline` counts as gone; ids that
            the store does not know are passed over.
        loaded_at
            When the load began, if not ``pipeline.loaded_at``.

        Raises
        ------
        HistoryError
            As for `record`; also if there is no snapshot of the account to change, or if the
            milestone configuration has changed, for that may change every deal: record a full
            snapshot then.
        """
        taken_at = _utc(pipeline.loaded_at if loaded_at is None else loaded_at)
        with transaction(self._connection, self.path):
            write(self._connection, pipeline, taken_at, full=False, deleted_ids=deleted_ids)

    def accounts(self) -> list[str]:
        """List the accounts of which there are snapshots, by name."""
        with explained(self.path):
            found = self._connection.execute(
                "SELECT DISTINCT account FROM snapshots ORDER BY account"
            ).fetchall()
        return [name for (name,) in found]

    def snapshots(self, account: str | None = None) -> pd.DataFrame:
        """List the snapshots of an account.

        Parameters
        ----------
        account
            Its name; may be left out if the store has one account.

        Returns
        -------
        One row a snapshot, oldest first: ``taken_at`` (UTC), ``kind`` (full or incremental),
        ``deals`` (how many there were), ``changed`` (how many were new or different) and
        ``deleted`` (how many were gone).
        """
        columns = ["taken_at", "kind", "deals", "changed", "deleted"]
        with explained(self.path):
            found = self._connection.execute(
                f"SELECT {', '.join(columns)} FROM snapshots WHERE account = ? ORDER BY taken_at",  # noqa: S608
                [self._account(account)],
            ).fetchall()
        table = pd.DataFrame(found, columns=columns)
        table["taken_at"] = pd.to_datetime(table["taken_at"], utc=True)
        counts = dict.fromkeys(columns[2:], "int64")
        return table.astype({"taken_at": TIMESTAMP, "kind": TEXT, **counts})

    def as_of(self, when: date | str, account: str | None = None) -> Pipeline:
        """Read back what the newest snapshot at or before a moment held.

        Parameters
        ----------
        when
            A day (its end, UTC) or a timestamp, also as ISO 8601 text. A time without a zone is
            UTC.
        account
            The account; may be left out if the store has one.

        Returns
        -------
        The pipeline as it was recorded, or put together from incremental snapshots: same
        values, same dtypes; its ``as_of`` and ``loaded_at`` are those of the snapshot.

        Raises
        ------
        HistoryError
            If there is no snapshot so early, or no such account.
        ArgumentError
            If `when` is no day and no time.
        """
        name = self._account(account)
        with explained(self.path):
            snapshot = snapshot_at(self._connection, name, _end(when))
            if snapshot is None:
                [(first,)] = self._connection.execute(
                    "SELECT min(taken_at) FROM snapshots WHERE account = ?", [name]
                ).fetchall()
                raise HistoryError(
                    f"no snapshot of {name!r} was taken on or before {when}: the first day known"
                    f" is {first:%Y-%m-%d}"
                )
            return pipeline_at(self._connection, name, snapshot)

    def newest(self, account: str | None = None) -> tuple[pd.Index, pd.DataFrame]:
        """Tell which deals the newest snapshot holds, without reading them.

        Parameters
        ----------
        account
            Its name; may be left out if the store has one account.

        Returns
        -------
        The ids of its deals, ascending, and its milestone configuration, as `as_of` gives them.

        Raises
        ------
        HistoryError
            If there is no such account.
        """
        name = self._account(account)
        with explained(self.path):
            [(moment,)] = self._connection.execute(
                "SELECT max(taken_at) FROM snapshots WHERE account = ?", [name]
            ).fetchall()
            ids = ids_at(self._connection, name, moment)
            return ids, milestones_at(self._connection, name, moment)

    def pipelines(self, account: str | None = None) -> Iterator[Pipeline]:
        """Read every snapshot of an account back, oldest first.

        Parameters
        ----------
        account
            Its name; may be left out if the store has one account.

        Yields
        ------
        The pipelines, one at a time; `slippage` takes them as they are.
        """
        name = self._account(account)
        for moment in self.snapshots(name)["taken_at"]:
            yield self.as_of(moment, name)

    def export_parquet(self, folder: str | Path) -> list[Path]:
        """Write the whole frame of every day as Parquet, for a warehouse.

        Parameters
        ----------
        folder
            Where to; made if it is not there. Files of an earlier export are replaced.

        Returns
        -------
        The files, ``account=NAME/day=YYYY-MM-DD/part.parquet``, with the name percent-encoded
        as Hive does. Each holds the last snapshot of its day: the columns of the frame with
        ``id`` first, dates as dates, timestamps in UTC, tags and fields as JSON text.
        """
        import pyarrow as pa  # noqa: PLC0415 - an optional dependency
        import pyarrow.parquet as pq  # noqa: PLC0415 - an optional dependency

        written = []
        for account in self.accounts():
            for day in self.snapshots(account)["taken_at"].dt.date.unique():
                table = rows.to_arrow(self.as_of(day, account).opportunities)
                for place, field in enumerate(table.schema):
                    if pa.types.is_timestamp(field.type):
                        utc = table[field.name].cast(pa.timestamp("us", "UTC"))
                        table = table.set_column(place, field.name, utc)
                name = quote(account, safe="") or "__HIVE_DEFAULT_PARTITION__"
                file = Path(folder) / f"account={name}" / f"day={day}" / "part.parquet"
                with explained(file):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    aside = file.with_suffix(".new")
                    pq.write_table(table, aside)
                    aside.replace(file)
                written.append(file)
        return written

    def _account(self, account: str | None) -> str:
        known = self.accounts()
        if account in known:
            return account
        if account is None and len(known) == 1:
            return known[0]
        if not known:
            raise HistoryError(f"the snapshot store {self.path} is empty: record a snapshot first")
        names = ", ".join(map(repr, known))
        if account is None:
            raise HistoryError(f"the snapshot store has several accounts, name one of {names}")
        raise HistoryError(f"no account {account!r} in the snapshot store, only {names}")


def _utc(moment: datetime) -> datetime:
    """Return a time as DuckDB's TIMESTAMP holds it: UTC, without saying so, to microseconds."""
    stamp = pd.Timestamp(moment)
    if stamp.tzinfo is not None:
        stamp = stamp.tz_convert(None)
    naive: datetime = stamp.floor("us").to_pydatetime()
    return naive


def _end(when: date | str) -> datetime:
    """Return the last moment that a day or a timestamp means."""
    try:
        if isinstance(when, str):
            is_day = len(when) == len("2026-03-31")
            when = date.fromisoformat(when) if is_day else datetime.fromisoformat(when)
    except ValueError as error:
        raise ArgumentError(f"{when!r} is no day and no time: write it like 2026-03-31") from error
    if isinstance(when, datetime):
        return _utc(when)
    return datetime.combine(when, time.max)
