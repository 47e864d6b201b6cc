"""Importing the package and asking for help load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    "mcp",
}


@pytest.mark.parametrize(
    "code",
    [
        "import capsule_analytics",
        "from capsule_analytics.cli import report; report.main(['--help'], standalone_mode=False)",
        "import capsule_analytics.cli as c; c.run(c.snapshot, ['--help'])",
        "import capsule_analytics.cli as c; c.run(c.mcp, ['--help'])",
        "from capsule_analytics.sandbox.cli import main",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(done.stderr.split())
