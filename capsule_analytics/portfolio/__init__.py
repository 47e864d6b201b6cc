"""A portfolio: many accounts and years of days, as `Store.export_parquet` writes them.

The figures of one account come from a frame in memory. A group, a consultancy or a franchise has
too many accounts for that: their export is read with DuckDB a chunk at a time, or, past what one
machine can read, by the workers of a Dask cluster. The figures are the same to the cent.

Examples
--------
>>> import tempfile
>>> import capsule_analytics as ca
>>> folder = tempfile.TemporaryDirectory()
>>> with ca.history.open_store(f"{folder.name}/history.duckdb") as store:
...     store.record(ca.load_sample())
...     files = store.export_parquet(f"{folder.name}/export")
>>> portfolio = Portfolio(f"{folder.name}/export")
>>> portfolio
<Portfolio of 1 account, 1 day from 2026-10-15 to 2026-10-15>
>>> table = portfolio.by_month(by="account", period="year")
>>> table.loc[table["currency"] == "CHF", ["year", "won_deals", "won_value"]].head(1)
   year  won_deals  won_value
2  2025          7    85270.0
>>> found = portfolio.project(months=1)
>>> found.by_month().columns.tolist()[:4], len(found.basis)
(['month', 'account', 'currency', 'won_value'], 1)
>>> folder.cleanup()
"""

from __future__ import annotations

from ._portfolio import Portfolio
from ._portfolio import Summing as Summing
from ._portfolio import parted as parted
from ._project import GroupProjection
from ._table import OnDay
from ._table import OnError as OnError

__all__ = ["GroupProjection", "OnDay", "Portfolio"]

__dir__ = __all__.copy  # what completion offers
