"""Fit the same deals once: a fit takes seconds, and many tests ask for that of the sample account.

Nothing is left out by it: each model is fitted by `projection.fit`, as its first caller had it.
"""

from __future__ import annotations

import pickle
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from capsule_analytics.projection import Projection, fit
from capsule_analytics.schema import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEPT: dict[str, Projection] = {}


def fit_once(pipelines: Pipeline | Iterable[Pipeline], **how: Any) -> Projection:
    """Give the model of these pipelines, from an earlier call if they are the same to the byte."""
    listed = [pipelines] if isinstance(pipelines, Pipeline) else list(pipelines)
    key = sha256(pickle.dumps([listed, how])).hexdigest()
    if key not in _KEPT:
        _KEPT[key] = fit(listed, **how)
    return _KEPT[key]
