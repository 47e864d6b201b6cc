"""Run the commands: in a process of their own, as a user's shell would, or in this one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from capsule_analytics import cli
from capsule_analytics.sandbox.cli import sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

BIN = Path(sys.executable).parent
NO_CHARTS = "--format", "none"
"""For reports of which only the tables or the page are looked at: charts take longer than both."""


def environment(token: str | None = None, **more: str) -> dict[str, str]:
    """Build an environment with the token, or without one."""
    kept = {key: value for key, value in os.environ.items() if key != "CAPSULE_TOKEN"}
    return kept | ({"CAPSULE_TOKEN": token} if token else {}) | more


def command(
    *args: str | Path, token: str | None = None, under: Sequence[str] = (), **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command, under another one if that is given, and wait for it."""
    name, *rest = map(str, args)
    return subprocess.run(
        [*under, BIN / name, *rest],
        env=environment(token, **more),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def invoked(
    *args: str | Path, token: str | None = None, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, to its exit code and without a terminal."""
    name, *rest = map(str, args)
    command = {
        "capsule-mcp": cli.mcp,
        "capsule-report": cli.report,
        "capsule-sandbox": sandbox,
        "capsule-snapshot": cli.snapshot,
    }[name]
    out, err = io.StringIO(), io.StringIO()
    showwarning = warnings.showwarning
    signals = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            mock.patch.dict(os.environ, environment(token, **more), clear=True),
            chdir(cwd or Path.cwd()),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = cli.run(command, rest)
    finally:
        warnings.showwarning = showwarning
        for number, handler in signals.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess([name, *rest], code, out.getvalue(), err.getvalue())
