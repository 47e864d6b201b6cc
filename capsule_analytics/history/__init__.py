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

from ._changes import PARTS, changed_deals, changes
from ._changes import bridge as bridge
from ._changes import moved as moved
from ._sample import sample_history
from ._slippage import pushed_out, slippage, slippage_by_owner, stale
from ._store import Store, open_store
from ._store_file import OFFLINE as OFFLINE
from ._store_file import default_path as default_path
from ._store_rows import DEAL_COLUMNS as DEAL_COLUMNS

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

__dir__ = __all__.copy  # what completion offers
