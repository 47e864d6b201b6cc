"""Projection: what will probably be won, and when, with ranges that come true."""

from __future__ import annotations

from ._model import Basis, Projection, fit
from ._model import rolling as rolling
from ._record import track_words
from ._totals import Projected

__all__ = ["Basis", "Projected", "Projection", "fit", "track_words"]

__dir__ = __all__.copy  # what completion offers
