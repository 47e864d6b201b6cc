"""Charts: a table in, ``(fig, ax)`` out.

One function a chart. Every chart of amounts has one panel a currency, because amounts in two
currencies never share an axis. The user's matplotlib settings are left as they are.
"""

from __future__ import annotations

from ._forecast import forecast as forecast
from ._forecast import revenue as revenue
from ._range import fan as fan
