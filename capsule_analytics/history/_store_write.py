"""Writing one snapshot: which deals are new or different, and which are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from capsule_analytics.errors import HistoryError

from . import _store_rows as rows
from ._store_read import LOG, NAMES, Snapshot, milestones_at, snapshot_at

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import duckdb

    from capsule_analytics.schema import Pipeline

_DIFFERS = " OR ".join(
    f"fresh.{column.name} IS DISTINCT FROM known.{column.name}" for column in rows.DEAL_COLUMNS[1:]
)
# Only names of our own columns are put into these statements; values go in as parameters.
_STAGE = f"""
    CREATE OR REPLACE TEMP TABLE staged AS
    SELECT fresh.* FROM incoming AS fresh LEFT JOIN (
        SELECT * FROM opportunities WHERE account = ? AND valid_to IS NULL
    ) AS known ON fresh.id = known.id
    WHERE fresh.id NOT IN (SELECT id FROM deleted)
      AND (known.id IS NULL OR fresh.issues <> known.issues OR {_DIFFERS})
"""  # noqa: S608
_GONE = """
    CREATE OR REPLACE TEMP TABLE gone AS
    SELECT id FROM opportunities WHERE account = ? AND valid_to IS NULL AND id
"""
_CLOSE = """
    UPDATE opportunities SET valid_to = ? WHERE account = ? AND valid_to IS NULL
    AND (id IN (SELECT id FROM staged) OR id IN (SELECT id FROM gone))
"""
_INSERT = f"""
    INSERT INTO opportunities (account, valid_from, {NAMES}, issues)
    SELECT ?, ?, {NAMES}, issues FROM staged
"""  # noqa: S608
_LOG_IT = f"INSERT INTO snapshots ({LOG}, account) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


def write(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    taken_at: datetime,
    *,
    full: bool,
    deleted_ids: Iterable[int],
) -> None:
    """Write a snapshot within a transaction.

    Parameters
    ----------
    connection
        To the store.
    pipeline
        All deals, or those that may have changed.
    taken_at
        When they were loaded, UTC without saying so.
    full
        Whether they are all.
    deleted_ids
        Ids of deals that are gone although the pipeline may have them.

    Raises
    ------
    HistoryError
        If the snapshot contradicts what is in the store.
    """
    account = pipeline.account
    last = snapshot_at(connection, account, None)
    new_milestones = last is None or not pipeline.milestones.equals(
        milestones_at(connection, account, last.taken_at)
    )
    if last is not None and taken_at < last.taken_at:
        raise HistoryError(
            f"the newest snapshot of {account!r} was taken at {last.taken_at} UTC, after"
            f" {taken_at} UTC: the past is not rewritten, so check the clock"
        )
    optional = {name for name in rows.OPTIONAL if name in pipeline.opportunities.columns}
    if not full:
        if last is None:
            raise HistoryError(f"no snapshot of {account!r} to change: record a full one first")
        if new_milestones:
            raise HistoryError(
                f"the milestones of {account!r} have changed, and with them deals that were not"
                " loaded: record a full snapshot"
            )
        optional |= set(orjson.loads(last.optional_columns))
    of_deals, of_no_deal = rows.issues_to_text(pipeline)
    changed, deleted = _stage(connection, pipeline, of_deals, deleted_ids, full=full)
    if last is not None and taken_at == last.taken_at:
        if changed or deleted or new_milestones:
            raise HistoryError(
                f"another snapshot of {account!r} was taken at {taken_at} UTC too, and it differs"
            )
        return
    connection.execute(_CLOSE, [taken_at, account])
    connection.execute(_INSERT, [account, taken_at])
    if new_milestones:
        _replace_milestones(connection, pipeline, taken_at)
    [(deals,)] = connection.execute(
        "SELECT count(*) FROM opportunities WHERE account = ? AND valid_to IS NULL", [account]
    ).fetchall()
    snapshot = Snapshot(
        taken_at=taken_at,
        as_of=pipeline.as_of,
        kind="full" if full else "incremental",
        deals=deals,
        changed=changed,
        deleted=deleted,
        optional_columns=orjson.dumps(sorted(optional)).decode(),
        other_issues=of_no_deal,
    )
    connection.execute(_LOG_IT, [*snapshot, account])


def _stage(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    issues: list[str],
    deleted_ids: Iterable[int],
    *,
    full: bool,
) -> tuple[int, int]:
    """Set the new versions and the ids of vanished deals aside, and count them."""
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    incoming = rows.to_arrow(pipeline.opportunities, dated=True)
    incoming = incoming.append_column("issues", pa.array(issues, pa.string()))
    vanished = "NOT IN (SELECT id FROM incoming)" if full else "IN (SELECT id FROM deleted)"
    connection.register("incoming", incoming)
    connection.register("deleted", pa.table({"id": pa.array(list(deleted_ids), pa.int64())}))
    connection.execute(_STAGE, [pipeline.account])
    connection.execute(_GONE + vanished, [pipeline.account])
    connection.unregister("incoming")
    connection.unregister("deleted")
    [(changed, gone)] = connection.execute(
        "SELECT (SELECT count(*) FROM staged), (SELECT count(*) FROM gone)"
    ).fetchall()
    return changed, gone


def _replace_milestones(
    connection: duckdb.DuckDBPyConnection, pipeline: Pipeline, taken_at: datetime
) -> None:
    connection.execute(
        "UPDATE milestones SET valid_to = ? WHERE account = ? AND valid_to IS NULL",
        [taken_at, pipeline.account],
    )
    table = rows.milestones_to_arrow(pipeline.milestones)
    names = ", ".join(table.column_names)
    connection.register("incoming", table)
    connection.execute(
        f"INSERT INTO milestones (account, valid_from, {names}) SELECT ?, ?, {names} FROM incoming",  # noqa: S608
        [pipeline.account, taken_at],
    )
    connection.unregister("incoming")
