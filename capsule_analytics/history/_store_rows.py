"""The frame as the rows of the snapshot store, and back with the same dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd

from capsule_analytics import quality
from capsule_analytics._kinds import CATEGORY, NUMBER, OBJECT, undated
from capsule_analytics.errors import HistoryError
from capsule_analytics.schema import COLUMNS, STATUSES, TEXT, Column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pyarrow as pa

    from capsule_analytics.schema import Pipeline

DEAL_COLUMNS: tuple[Column, ...] = (
    *COLUMNS,
    Column("tcv", NUMBER, "total contract value in `currency`"),
    Column("status", CATEGORY, "open, won or lost"),
)
"""What a version of a deal holds: the whole frame, derived columns too, so that a later change
of a definition does not rewrite the past."""

OPTIONAL = tuple(column.name for column in COLUMNS if column.optional)

_BY_DAY = tuple(check for check in quality.CHECKS if check.by_day)
"""The checks whose results change from day to day with nothing changed in the deal. They are
made anew when a day is read back."""

Issues = dict[int, list[list[Any]]]


def to_arrow(frame: pd.DataFrame, *, dated: bool = False) -> pa.Table:
    """Turn the frame into a table of plain types: text, integers, numbers, days, UTC times.

    Parameters
    ----------
    frame
        Opportunities, index ``id``. Optional columns that it lacks become null.
    dated
        Whether dates among the custom fields are marked as such, so that `to_frame` finds them
        again; otherwise they are ISO text.

    Returns
    -------
    The columns of `DEAL_COLUMNS`; tags and fields as JSON text.
    """
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    columns = {column.name for column in DEAL_COLUMNS}
    given = {"id", *frame.columns}
    if unknown := sorted(given - columns):
        raise HistoryError(
            f"a snapshot holds opportunities as they were loaded, without {', '.join(unknown)}"
        )
    if missing := sorted(columns - given - set(OPTIONAL)):
        raise HistoryError(f"the frame lacks the columns {', '.join(missing)}")
    whole = frame.assign(id=frame.index)
    arrays: dict[str, Any] = {}
    for column in DEAL_COLUMNS:
        stored = column.kind.arrow_type()
        if column.name not in given:
            arrays[column.name] = pa.nulls(len(frame), stored)
            continue
        values = whole[column.name]
        if column.kind is OBJECT and not dated:
            values = values.map(undated, na_action="ignore")
        arrays[column.name] = pa.array(column.kind.to_arrow(values), from_pandas=True).cast(stored)
    return pa.table(arrays)


def to_frame(table: pa.Table, optional: Sequence[str]) -> pd.DataFrame:
    """Turn rows read back into the frame that was recorded.

    Parameters
    ----------
    table
        The columns of `DEAL_COLUMNS`, ordered by id.
    optional
        Which optional columns the recorded frame had.

    Returns
    -------
    The frame, with the dtypes of a loaded one. Categories are those in use, in sorted order.
    """
    names = [c for c in DEAL_COLUMNS[1:] if not c.optional or c.name in optional]
    data = {column.name: _from_arrow(column, table[column.name]) for column in names}
    ids = pd.Index(table["id"].to_numpy().astype(np.int64), name="id")
    return pd.DataFrame(data, index=ids, copy=False)


def _from_arrow(column: Column, values: pa.ChunkedArray) -> Any:  # noqa: ANN401 - pandas arrays
    found = column.kind.from_arrow(values.combine_chunks())
    if column.name == "status":  # whose categories are all three, whatever there is
        return found.set_categories(pd.Index(STATUSES, dtype=object))
    return found


def issues_to_text(pipeline: Pipeline) -> tuple[list[str], str]:
    """Split the findings into those of each deal and the rest, as JSON text.

    Parameters
    ----------
    pipeline
        A loaded pipeline.

    Returns
    -------
    For each row of the frame its findings without those that change by the day, and those of no
    deal in the frame.
    """
    of_deal: Issues = {key: [] for key in pipeline.opportunities.index.tolist()}
    other: list[list[Any]] = []
    passing = pipeline.issues["check"].isin([check.name for check in _BY_DAY])
    lasting = pipeline.issues[~passing].astype(object)
    for key, *rest in lasting.where(lasting.notna(), None).to_numpy().tolist():
        if key in of_deal:
            of_deal[key].append(rest)
        else:
            other.append([key, *rest])
    texts = [orjson.dumps(found).decode() for found in of_deal.values()]
    return texts, orjson.dumps(other).decode()


def issues_from_text(
    frame: pd.DataFrame, milestones: pd.DataFrame, texts: Sequence[str], other: str, as_of: date
) -> pd.DataFrame:
    """Put the findings together again, as `quality.check` gives them.

    Parameters
    ----------
    frame
        The frame as it was recorded.
    milestones
        The configuration that held then.
    texts
        The findings of each row.
    other
        The findings of no deal in the frame.
    as_of
        The day from which deals are overdue, stale and neglected.

    Returns
    -------
    One row a finding, by opportunity and check.
    """
    rows: list[list[Any]] = orjson.loads(other)
    for key, text in zip(frame.index.tolist(), texts, strict=True):
        if text != "[]":  # most have none
            rows += [[key, *finding] for finding in orjson.loads(text)]
    context = quality.Context(frame, milestones, as_of)
    rows += [list(finding) for finding in quality.run(_BY_DAY, context)]
    rows.sort(key=lambda row: (row[0] is None, row[0] or 0, row[1]))
    table = pd.DataFrame(rows, columns=["opportunity_id", "check", "severity", "detail"])
    return table.astype(
        {"opportunity_id": "Int64", "check": TEXT, "severity": TEXT, "detail": TEXT}
    )


def milestones_to_arrow(milestones: pd.DataFrame) -> pa.Table:
    """Turn the milestone configuration into a table of plain types, in its order."""
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency

    has_ids = milestones.index.name == "id"
    count = len(milestones)
    arrays = {
        "position": pa.array(range(count), pa.int64()),
        "id": pa.array(milestones.index, pa.int64()) if has_ids else pa.nulls(count, pa.int64()),
    }
    for name in ("name", "description", "pipeline"):
        text = milestones[name].astype(object)
        arrays[name] = pa.array(text, pa.string(), from_pandas=True)
    arrays["probability"] = pa.array(milestones["probability"], pa.float64(), from_pandas=True)
    arrays["complete"] = pa.array(milestones["complete"], pa.bool_())
    for name in ("pipeline_id", "days_until_stale"):
        arrays[name] = pa.array(milestones[name], pa.int64(), from_pandas=True)
    arrays["archived"] = pa.array(milestones["archived"], pa.bool_())
    return pa.table(arrays)


def milestones_to_frame(table: pa.Table) -> pd.DataFrame:
    """Turn milestones read back into the configuration that was recorded."""
    text = {
        name: pd.array(table[name].to_pylist(), dtype=TEXT)
        for name in ("name", "description", "pipeline")
    }
    has_ids = table.num_rows > 0 and table["id"].null_count == 0
    return pd.DataFrame(
        {
            "name": text["name"],
            "description": text["description"],
            "probability": table["probability"].to_numpy().astype(np.float64),
            "complete": table["complete"].to_numpy().astype(bool),
            "pipeline": text["pipeline"],
            "pipeline_id": pd.array(table["pipeline_id"].to_pylist(), dtype="Int64"),
            "days_until_stale": pd.array(table["days_until_stale"].to_pylist(), dtype="Int64"),
            # Null in what was recorded before there was such a column.
            "archived": np.array([held is True for held in table["archived"].to_pylist()], bool),
        },
        index=pd.Index(table["id"].to_numpy(), name="id") if has_ids else None,
    )
