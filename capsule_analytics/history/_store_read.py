"""What the snapshot store held at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson
import pandas as pd

from capsule_analytics.schema import Pipeline

from . import _store_rows as rows

if TYPE_CHECKING:
    from datetime import date, datetime

    import duckdb


class Snapshot(NamedTuple):
    """A row of the log: what one load saw, and how many deals it found new, changed or gone."""

    taken_at: datetime
    as_of: date
    kind: str
    deals: int
    changed: int
    deleted: int
    optional_columns: str
    other_issues: str


LOG = ", ".join(Snapshot._fields)
NAMES = ", ".join(column.name for column in rows.DEAL_COLUMNS)

# Only names of our own columns are put into these statements; values go in as parameters.
_SNAPSHOT = f"""
    SELECT {LOG} FROM snapshots WHERE account = $account
    AND taken_at <= coalesce($moment::TIMESTAMP, taken_at) ORDER BY taken_at DESC LIMIT 1
"""  # noqa: S608
_VALID = "account = $account AND valid_from <= $moment AND (valid_to IS NULL OR valid_to > $moment)"
_DEALS = f"SELECT {NAMES}, issues FROM opportunities WHERE {_VALID} ORDER BY id"  # noqa: S608
_IDS = f"SELECT id FROM opportunities WHERE {_VALID} ORDER BY id"  # noqa: S608
_MILESTONES = f"SELECT * FROM milestones WHERE {_VALID} ORDER BY position"  # noqa: S608


def snapshot_at(
    connection: duckdb.DuckDBPyConnection, account: str, moment: datetime | None
) -> Snapshot | None:
    """Return the newest snapshot at or before a moment, or of all if that is None."""
    found = connection.execute(_SNAPSHOT, {"account": account, "moment": moment}).fetchall()
    return Snapshot(*found[0]) if found else None


def ids_at(connection: duckdb.DuckDBPyConnection, account: str, moment: datetime) -> pd.Index:
    """Return the ids of the deals that there were at a moment."""
    values = {"account": account, "moment": moment}
    return pd.Index(connection.execute(_IDS, values).fetchnumpy()["id"], dtype="int64", name="id")


def milestones_at(
    connection: duckdb.DuckDBPyConnection, account: str, moment: datetime
) -> pd.DataFrame:
    """Return the milestone configuration that held at a moment."""
    values = {"account": account, "moment": moment}
    return rows.milestones_to_frame(connection.sql(_MILESTONES, params=values).to_arrow_table())


def pipeline_at(
    connection: duckdb.DuckDBPyConnection, account: str, snapshot: Snapshot
) -> Pipeline:
    """Return the pipeline as a snapshot left it."""
    values = {"account": account, "moment": snapshot.taken_at}
    table = connection.sql(_DEALS, params=values).to_arrow_table()
    frame = rows.to_frame(table, orjson.loads(snapshot.optional_columns))
    milestones = milestones_at(connection, account, snapshot.taken_at)
    issues = rows.issues_from_text(
        frame, milestones, table["issues"].to_pylist(), snapshot.other_issues, snapshot.as_of
    )
    return Pipeline(
        opportunities=frame,
        milestones=milestones,
        issues=issues,
        loaded_at=pd.Timestamp(snapshot.taken_at, tz="UTC"),
        as_of=snapshot.as_of,
        account=account,
    )
