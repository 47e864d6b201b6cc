"""The forecast: what closes, in which month and currency, weighted by its probability.

Definitions, after Capsule's own pipeline report and the usual terms of sales teams:

- weighted value: TCV times probability, over open deals;
- expected value: won value plus weighted value; lost deals add nothing;
- currencies are never added together (see `capsule_analytics.fx` for a home currency).

Every table is the `combine` of partial sums (see `_sums`), so that parts of an account, or many
accounts, add up to the same figures as the whole: in memory, in a DuckDB relation that is streamed
past, or in the partitions of a Dask DataFrame (see `_engines`).
"""

from __future__ import annotations

from capsule_analytics._deals import MEASURES, combine

from ._by_month import by_month
from ._open import AGES, open_by_age, open_by_milestone
from ._schedule import AMOUNTS as AMOUNTS
from ._schedule import revenue_schedule

__all__ = [
    "AGES",
    "MEASURES",
    "by_month",
    "combine",
    "open_by_age",
    "open_by_milestone",
    "revenue_schedule",
]

__dir__ = __all__.copy  # what completion offers
