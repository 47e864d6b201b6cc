"""The commands: ``capsule-report`` and ``capsule-snapshot``."""

from __future__ import annotations

from ._account import read_token as read_token
from ._report import main as report_main
from ._report import report
from ._run import finish as finish
from ._run import run as run
from ._snapshot import main as snapshot_main
from ._snapshot import snapshot

__all__ = ["report", "report_main", "snapshot", "snapshot_main"]

__dir__ = __all__.copy  # what completion offers
