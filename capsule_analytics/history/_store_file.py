"""The file of the snapshot store: where it stands, who may read it, its tables, its errors.

Opening is the only thing done here. A new store is built aside and linked into place whole, so
that a run killed while creating one leaves no half-made file behind.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from capsule_analytics.errors import HistoryError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
}

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE store (version INTEGER NOT NULL, writes BIGINT NOT NULL);
    INSERT INTO store VALUES (0, 0);
    CREATE TABLE snapshots (
        account VARCHAR NOT NULL,
        taken_at TIMESTAMP NOT NULL,
        as_of DATE NOT NULL,
        kind VARCHAR NOT NULL,
        deals BIGINT NOT NULL,
        changed BIGINT NOT NULL,
        deleted BIGINT NOT NULL,
        optional_columns VARCHAR NOT NULL,
        other_issues VARCHAR NOT NULL
    );
    CREATE TABLE milestones (
        account VARCHAR NOT NULL,
        valid_from TIMESTAMP NOT NULL,
        valid_to TIMESTAMP,
        position BIGINT NOT NULL,
        id BIGINT,
        name VARCHAR,
        description VARCHAR,
        probability DOUBLE,
        complete BOOLEAN NOT NULL,
        pipeline VARCHAR
    );
    CREATE TABLE opportunities (
        account VARCHAR NOT NULL,
        valid_from TIMESTAMP NOT NULL,
        valid_to TIMESTAMP,
        id BIGINT NOT NULL,
        name VARCHAR,
        description VARCHAR,
        party_id BIGINT,
        currency VARCHAR,
        value DOUBLE,
        duration_basis VARCHAR,
        duration BIGINT,
        expected_close DATE,
        milestone VARCHAR,
        milestone_id BIGINT,
        pipeline VARCHAR,
        probability DOUBLE,
        owner VARCHAR,
        created_at TIMESTAMP,
        updated_at TIMESTAMP,
        closed_at DATE,
        last_open_milestone VARCHAR,
        lost_reason VARCHAR,
        team VARCHAR,
        party VARCHAR,
        tags VARCHAR,
        fields VARCHAR,
        tcv DOUBLE,
        status VARCHAR NOT NULL,
        issues VARCHAR NOT NULL
    );
    """,
    """
    ALTER TABLE milestones ADD COLUMN pipeline_id BIGINT;
    ALTER TABLE milestones ADD COLUMN days_until_stale BIGINT;
    ALTER TABLE milestones ADD COLUMN archived BOOLEAN;
    ALTER TABLE opportunities ADD COLUMN pipeline_id BIGINT;
    ALTER TABLE opportunities ADD COLUMN owner_id BIGINT;
    ALTER TABLE opportunities ADD COLUMN team_id BIGINT;
    ALTER TABLE opportunities ADD COLUMN last_stage_changed_at TIMESTAMP;
    ALTER TABLE opportunities ADD COLUMN last_contacted_at TIMESTAMP;
    ALTER TABLE opportunities ADD COLUMN last_open_milestone_id BIGINT;
    ALTER TABLE opportunities ADD COLUMN counts_for_conversion BOOLEAN;
    ALTER TABLE opportunities ADD COLUMN missing_important_fields BOOLEAN;
    """,
)
"""The steps from each version of the tables to the next, the first from nothing to version 1.

All timestamps are UTC. A version of a deal holds from ``valid_from`` until before ``valid_to``,
which is null while it is current. ``store.writes`` is raised by every write, so that of two
writers in one process the second fails instead of both adding the same versions.
"""


def default_path() -> Path:
    """Return where the store stands if nothing else is said: the user's data folder."""
    folder = platformdirs.user_data_dir("capsule-analytics", appauthor=False)
    return Path(folder) / "history.duckdb"


def connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open the store's file, creating or migrating it where needed.

    Parameters
    ----------
    path
        The file.
    read_only
        Whether to open it for reading alone; it must exist then.

    Returns
    -------
    A connection to a store of the newest version.

    Raises
    ------
    HistoryError
        If the file cannot be opened, is locked, is no store, or is newer than the package.
    MissingExtraError
        If DuckDB or pyarrow is not installed.
    """
    try:
        import duckdb  # noqa: PLC0415 - an optional dependency
        import pyarrow  # noqa: F401, ICN001, PLC0415 - an optional dependency
    except ImportError as error:
        raise missing_extra("The snapshot store", "history") from error
    with explained(path), private_files():
        if read_only and not path.exists():
            raise HistoryError(f"there is no snapshot store at {path}")
        if not path.exists():
            _create(path)
        connection = duckdb.connect(path, read_only=read_only, config=OFFLINE)
        try:
            _migrate(connection, path, read_only=read_only)
        except BaseException:
            connection.close()
            raise
    return connection


def _create(path: Path) -> None:
    import duckdb  # noqa: PLC0415 - an optional dependency

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        aside = Path(folder) / path.name
        with duckdb.connect(aside, config=OFFLINE) as connection:
            _apply(connection, 0)
            connection.execute("CHECKPOINT")  # the journal is left behind, so nothing may be in it
        try:
            path.hardlink_to(aside)  # refuses to replace what another run made meanwhile
        except FileExistsError:
            return


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool) -> None:
    newest = len(MIGRATIONS)
    found = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    tables = {name for (name,) in found}
    if not {"store", "snapshots", "opportunities", "milestones"} <= tables:
        raise HistoryError(f"{path} is a DuckDB file but not a snapshot store")
    [(version,)] = connection.execute("SELECT version FROM store").fetchall()
    if version > newest:
        raise HistoryError(
            f"{path} is a snapshot store of version {version}, and this release reads up to"
            f" version {newest}: upgrade capsule-analytics"
        )
    if version < newest:
        if read_only:
            raise HistoryError(
                f"{path} is a snapshot store of version {version}: open it once for writing,"
                f" which brings it to version {newest}"
            )
        _apply(connection, version)


def _apply(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    connection.begin()
    for step in MIGRATIONS[version:]:
        connection.execute(step)
    connection.execute("UPDATE store SET version = ?", [len(MIGRATIONS)])
    connection.commit()


@contextmanager
def private_files() -> Iterator[None]:
    """Let files and folders that come into being meanwhile be the user's alone.

    DuckDB makes its journal itself, beside the store, and takes no mode for it.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of DuckDB, Arrow and the file system into ones that say what to do."""
    import duckdb  # noqa: PLC0415 - an optional dependency
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    try:
        yield
    except duckdb.Error as error:
        text = str(error).splitlines()[0]
        if "Could not set lock" in text or "Conflict" in text:
            what = "another run is writing to it; try again when it is done"
        elif "different configuration" in text:
            what = "this process has it open already, for reading or for writing: close it first"
        elif "valid DuckDB database" in text or "Extension" in text:
            what = "the file is not a snapshot store"
        else:
            what = text
        raise HistoryError(f"snapshot store {path}: {what}") from error
    except pa.ArrowException as error:
        raise HistoryError(f"snapshot store {path}: {error}") from error
    except FileExistsError as error:
        what = "a file stands where its folder should be"
        raise HistoryError(f"snapshot store {path}: {what}") from error
    except OSError as error:
        raise HistoryError(f"snapshot store {path}: {error.strerror or error}") from error


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[None]:
    """Make all that is written meanwhile one change: it happens whole or not at all."""
    with explained(path), private_files():
        connection.begin()
        try:
            connection.execute("UPDATE store SET writes = writes + 1")
            yield
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
