"""Conversion to a home currency at dated rates, so that currencies may be added.

Won deals are converted at the rate of their close day, since that is what they were worth; open
and lost deals, and won deals not yet closed or undated, at the rate of the as-of day. A weekend or
holiday takes the last rate published before it. A rate that is not known is an error or a finding,
never a silent 1; only the home currency converts to itself at 1.

Rates come from files alone, never from the network: the European Central Bank's reference rates
(`ecb_rates`) or a CSV file of one's own (`read_rates`).
"""

from __future__ import annotations

from ._conversion import ORIGINALS, convert, rates_used
from ._conversion import Missing as Missing
from ._rates import Rates, ecb_rates, read_rates

__all__ = [
    "ORIGINALS",
    "Rates",
    "convert",
    "ecb_rates",
    "rates_used",
    "read_rates",
]

__dir__ = __all__.copy  # what completion offers
