"""Run the installed commands as a user's shell would: own process, no terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BIN = Path(sys.executable).parent


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
        timeout=120,
        check=False,
    )
