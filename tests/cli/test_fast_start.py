"""Importing the package and asking for help load nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "pandas",
    "numpy",
    "matplotlib",
    "requests",
    "lxml",
    "rich",
    "scipy",
    "duckdb",
    "flask",
    "werkzeug",
    "mcp",
}

STARTS = [
    "import capsule_analytics",
    "from capsule_analytics.cli import report; report.main(['--help'], standalone_mode=False)",
    "import capsule_analytics.cli as c; c.run(c.snapshot, ['--help'])",
    "import capsule_analytics.cli as c; c.run(c.mcp, ['--help'])",
    "from capsule_analytics.sandbox.cli import main",
    "from capsule_analytics.sandbox.cli import sandbox; c.run(sandbox, ['--help'])",
]

ONE_AFTER_THE_OTHER = """
import json, sys
for start in json.loads(sys.argv[1]):
    exec(start)
    print(start, *set(sys.argv[2:]) & set(sys.modules), sep="\\t", file=sys.stderr)
"""


def test_nothing_heavy_is_imported() -> None:
    """One process starts all: what one of them imported would still be there after the others."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(STARTS), *HEAVY],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines() == STARTS
