"""Projection: what will probably be won, and when, with ranges that come true."""

from __future__ import annotations

from ._evidence import COLUMNS as COLUMNS
from ._group import Group, pool
from ._group_total import Share as Share
from ._group_total import total_of_shares as total_of_shares
from ._known import Prior
from ._lessons import Lesson, lesson
from ._model import Basis, Projection, fit
from ._model import rolling as rolling
from ._record import FEWEST_MONTHS as FEWEST_MONTHS
from ._record import track_words
from ._totals import Projected
from ._window import LONGEST as LONGEST

__all__ = [
    "Basis",
    "Group",
    "Lesson",
    "Prior",
    "Projected",
    "Projection",
    "fit",
    "lesson",
    "pool",
    "track_words",
]

__dir__ = __all__.copy  # what completion offers
