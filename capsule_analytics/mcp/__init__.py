"""The account as it is asked about: read-only tools for assistants that speak MCP.

The Model Context Protocol (https://modelcontextprotocol.io) is how desktop assistants call tools.
`Analyst` answers from the `Figures` of a report, so that a figure asked for is the one on the page;
`serve` offers its answers over standard input and output (extra ``mcp``), as ``capsule-mcp`` does.
"""

from __future__ import annotations

from ._server import serve, server
from ._tools import TOOLS, Analyst, Source

__all__ = ["TOOLS", "Analyst", "Source", "serve", "server"]

__dir__ = __all__.copy  # what completion offers
