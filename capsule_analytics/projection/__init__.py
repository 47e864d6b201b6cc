"""Projection: what will probably be won, and when."""

from __future__ import annotations

from ._model import Projection, fit
from ._totals import Projected

__all__ = ["Projected", "Projection", "fit"]
