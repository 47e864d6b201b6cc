"""How sure a forecast is: the distribution of a period's total, its quantiles, its chances.

A period's total is the won value, which is certain, plus open deals that are each worth their TCV
with their probability and else nothing. The weighted value is only the mean of that total; this
module gives the rest of it: the range, and the chance to reach a target.

For up to a dozen unlike deals all outcomes are listed and nothing is approximated. More deals are
summed by convolution on a lattice which keeps the mean exact (see ``_lattice``); equal deals are
summed as binomials. No random numbers are drawn: the same deals give the same figures, always.
"""

from __future__ import annotations

from ._distribution import Distribution, distribution, quantiles_by

__all__ = [
    "Distribution",
    "distribution",
    "quantiles_by",
]

__dir__ = __all__.copy  # what completion offers
