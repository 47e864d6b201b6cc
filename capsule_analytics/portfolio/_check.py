"""What is wrong with an export: every partition read through, and its columns compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from capsule_analytics.history import DEAL_COLUMNS
from capsule_analytics.schema import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from ._files import Place, Unit


class _Finding(NamedTuple):
    account: str
    day: str
    path: str
    check: str
    severity: str
    detail: str


def check_units(place: Place, chosen: Sequence[Unit], *, newest: date) -> pd.DataFrame:
    """Check partitions.

    Parameters
    ----------
    place
        Where the export stands.
    chosen
        The partitions.
    newest
        The day that every account should have.

    Returns
    -------
    One row a finding: ``account``, ``day``, ``path``, ``check``, ``severity``, ``detail``.
    """
    system, _ = place.open()
    last = {unit.account: unit for unit in chosen}
    found: list[_Finding] = []
    for unit in chosen:
        where = unit.account, unit.day.isoformat()
        if not unit.files:
            found.append(_Finding(*where, "", "missing_partition", "error", "there is no file"))
        for file in unit.files:
            found += [_Finding(*where, file, *one) for one in _of_file(system, file)]
        if last[unit.account] is unit and unit.day < newest:
            detail = f"its newest snapshot is older than {newest}"
            found.append(_Finding(*where, "", "behind", "warning", detail))
    table = pd.DataFrame(found, columns=_Finding._fields).astype(TEXT)
    return table.sort_values(["account", "day"], kind="stable", ignore_index=True)


def _of_file(system: Any, file: str) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401 - untyped
    import pyarrow as pa  # noqa: PLC0415 - an optional dependency
    import pyarrow.parquet as pq  # noqa: PLC0415 - an optional dependency

    try:
        with system.open(file, "rb") as opened, pq.ParquetFile(opened) as parquet:
            held = parquet.schema_arrow
            rows = sum(batch.num_rows for batch in parquet.iter_batches())
    except (OSError, pa.ArrowException) as error:
        yield "corrupt", "error", " ".join(str(error).split())
        return
    expected = {column.name: column.kind.arrow_type("UTC") for column in DEAL_COLUMNS}
    needed = {column.name for column in DEAL_COLUMNS if not column.optional}
    if "status" not in held.names:
        yield "corrupt", "error", "has no column status: open, won and lost cannot be told apart"
    if missing := sorted(needed - set(held.names) - {"status"}):
        yield "missing_columns", "warning", f"count as missing values: {', '.join(missing)}"
    if unknown := sorted(set(held.names) - set(expected)):
        yield "unknown_columns", "warning", f"are not read: {', '.join(unknown)}"
    other = [
        f"{field.name} is {field.type}"
        for field in held
        if field.name in expected and field.type not in (expected[field.name], pa.null())
    ]
    if other:
        yield "other_type", "warning", f"are cast: {', '.join(other)}"
    if not rows:
        yield "no_deals", "info", "the account has no deals"
