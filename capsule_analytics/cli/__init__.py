"""The commands: ``capsule-report``, ``capsule-snapshot`` and ``capsule-mcp``."""

from __future__ import annotations

from ._account import read_token as read_token
from ._mcp import main as mcp_main
from ._mcp import mcp
from ._report import main as report_main
from ._report import report
from ._run import finish as finish
from ._run import run as run
from ._snapshot import main as snapshot_main
from ._snapshot import snapshot

__all__ = ["mcp", "mcp_main", "report", "report_main", "snapshot", "snapshot_main"]

__dir__ = __all__.copy  # what completion offers
