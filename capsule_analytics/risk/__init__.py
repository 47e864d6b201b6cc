"""How sure a weighted forecast is: the distribution of a period's total, quantiles, chances.

A period's total is the won value, which is certain, plus open deals that are each worth their TCV
with their probability and else nothing. The weighted value is only the mean of that total; this
module gives the rest of it: the range, and the chance to reach a target, if every stated
probability and date were right. What will probably be won is in `capsule_analytics.projection`.

For up to a dozen unlike deals all outcomes are listed and nothing is approximated. More deals are
summed by convolution on a lattice which keeps the mean exact (see ``_lattice``); equal deals are
summed as binomials. No random numbers are drawn: the same deals give the same figures, always.
"""

from __future__ import annotations

from ._distribution import Distribution, distribution, quantiles_by
from ._lattice import NOTHING as NOTHING
from ._lattice import Law as Law
from ._lattice import add as add
from ._lattice import merge as merge
from ._lattice import mix as mix
from ._lattice import place as place
from ._lattice import step_for as step_for
from ._lattice import total as total

__all__ = [
    "Distribution",
    "distribution",
    "quantiles_by",
]

__dir__ = __all__.copy  # what completion offers
