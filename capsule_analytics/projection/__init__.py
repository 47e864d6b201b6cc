"""Projection: what will probably be won, and when, with ranges that come true."""

from __future__ import annotations

from ._model import Basis, Projection, fit
from ._totals import Projected

__all__ = ["Basis", "Projected", "Projection", "fit"]

__dir__ = __all__.copy  # what completion offers
