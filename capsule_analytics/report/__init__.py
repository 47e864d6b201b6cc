"""The report: a pipeline's figures as files.

Everything is written aside and moved into place at the end, so that a run that fails leaves the
old report as it was.
"""

from __future__ import annotations

from ._figures import Figures, figures_of
from ._folder import mend as mend
from ._group import GroupFigures
from ._options import FORMATS, Options
from ._outlook import in_currency as in_currency
from ._portfolio import group_figures
from ._report import write_figures, write_report
from ._summed import whole_cents

__all__ = [
    "FORMATS",
    "Figures",
    "GroupFigures",
    "Options",
    "figures_of",
    "group_figures",
    "whole_cents",
    "write_figures",
    "write_report",
]

__dir__ = __all__.copy  # what completion offers
