"""The memory of the pipeline: what it looked like on earlier days, and what happened since.

Capsule tells how a pipeline stands, not how it stood. `open_store` keeps snapshots in a DuckDB
file and reads any past moment back; `changes` and `changed_deals` explain the difference between
two days; `slippage`, `slippage_by_owner`, `pushed_out` and `stale` show deals that drift.
`sample_history` gives 19 snapshots of the sample account to try them on. Only the store needs
the extra ``history``; the rest are pure functions of pipelines.

Examples
--------
>>> import tempfile
>>> days = sample_history()
>>> folder = tempfile.TemporaryDirectory()
>>> with open_store(f"{folder.name}/history.duckdb") as store:
...     store.record(days[0])
...     store.record(days[1])
...     spring = store.as_of("2025-05-15")
>>> folder.cleanup()
>>> bridge = changes(spring, days[-1])
>>> list(bridge["part"].cat.categories[:3])
['opening', 'new', 'reopened']
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import orjson
import pandas as pd

from . import _v2
from ._assemble import assemble, milestone_frame
from ._changes import PARTS, changed_deals, changes
from ._slippage import pushed_out, slippage, slippage_by_owner, stale
from ._store import Store, open_store
from .sample import account_path, sample_folder

if TYPE_CHECKING:
    from .schema import Pipeline

__all__ = [
    "PARTS",
    "Store",
    "changed_deals",
    "changes",
    "open_store",
    "pushed_out",
    "sample_history",
    "slippage",
    "slippage_by_owner",
    "stale",
]


def sample_history() -> list[Pipeline]:
    """Return the sample account as it stood on 19 days, oldest first.

    Returns
    -------
    The ends of the months from April 2025 to September 2026, each taken a second before
    midnight UTC, and the morning of 15 October 2026, which is `load_sample`.

    Examples
    --------
    >>> days = sample_history()
    >>> len(days), days[0].as_of.isoformat(), days[-1].as_of.isoformat()
    (19, '2025-04-30', '2026-10-15')
    """
    body = (sample_folder() / "snapshots.json").read_bytes()
    history = orjson.loads(body)
    records, _ = _v2.parse_milestones(body, {})
    milestones = milestone_frame(records, typed=_v2.TYPED)
    currencies = _v2.parse_currencies(account_path().read_bytes())
    account = history["account"]
    known: dict[int, object] = {}
    pipelines = []
    for snapshot in history["snapshots"]:
        known |= {record["id"]: record for record in snapshot["changed"]}
        for key in snapshot["deleted"]:
            del known[key]
        page = orjson.dumps({"opportunities": list(known.values())})
        morning = pd.Timestamp(snapshot["day"], tz="UTC")
        evening = morning + pd.Timedelta(hours=23, minutes=59, seconds=59)
        pipelines.append(
            assemble(
                [_v2.parse_page(page, {}).columns],
                typed=_v2.TYPED,
                milestones=milestones,
                currencies=currencies,
                loaded_at=morning if snapshot["day"] == account["asOf"] else evening,
                as_of=date.fromisoformat(snapshot["day"]),
                account=account["name"],
            )
        )
    return pipelines
