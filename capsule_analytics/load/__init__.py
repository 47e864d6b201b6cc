"""From an account to a complete `Pipeline`: every page, each opportunity once, or an error.

How that is made sure is told in `_complete`.
"""

from __future__ import annotations

from ._frame import assemble as assemble
from ._frame import milestone_frame as milestone_frame
from ._loader import Earlier, Update, load_changes, load_pipeline, opportunities_from_pages
from ._loader import counting_reasons as counting_reasons
from ._select import select
from ._verify import verify

__all__ = [
    "Earlier",
    "Update",
    "load_changes",
    "load_pipeline",
    "opportunities_from_pages",
    "select",
    "verify",
]

__dir__ = __all__.copy  # what completion offers
