"""Charts: a table in, ``(fig, ax)`` out.

One function a chart. Every chart of amounts has one panel a currency, because amounts in two
currencies never share an axis. The user's matplotlib settings are left as they are.
"""

from __future__ import annotations

from ._calibration import reliability as reliability
from ._calibration import slippage as slippage
from ._changes import changes as changes
from ._forecast import forecast as forecast
from ._forecast import revenue as revenue
from ._milestones import ageing as ageing
from ._milestones import milestones as milestones
from ._panels import by_currency as by_currency
from ._projection import deal_chances as deal_chances
from ._projection import projection as projection
from ._projection import track_record as track_record
from ._range import fan as fan
from ._targets import targets as targets

__all__ = [
    "ageing",
    "changes",
    "deal_chances",
    "fan",
    "forecast",
    "milestones",
    "projection",
    "reliability",
    "revenue",
    "slippage",
    "targets",
    "track_record",
]

__dir__ = __all__.copy  # what completion offers
